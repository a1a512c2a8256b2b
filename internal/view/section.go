package view

import (
	"cmp"
	"fmt"
	"slices"
)

// section is a block with what it may show.
type section struct {
	owner     int // the block of the definition that tells of it: its own, or the one that shows its view
	depth     int // 1, and one more for each view that it is shown in
	block     Block
	label     string // what it shows, for its heading: "memories"
	one       string // what is left out when the budget is used up: "older turn"
	many      string
	items     []item
	units     []unit // in the order in which they are worth showing
	order     order
	gapless   bool     // what comes after a unit that is left out is left out, too
	summaries []item   // stand before all items, whatever else is shown
	overviews [][]item // of each collection those that may become one of summaries, the best first
	absent    bool     // it is not shown at all
	title     bool     // it is the heading of a view, and has no items
	template  *blockTemplate
	node      *node
	weight    float64
}

// unit is what is shown together: items by their index, in the order of the text.
type unit struct {
	items []int
	found int // the one that stands there if the others find no room
}

// order is how the items that are shown follow one another.
type order int

const (
	ranked      order = iota // unit by unit, the best first
	oldestFirst              // the units backwards
	journaled                // item by item, as the journal has them
)

// single makes each item a unit of its own.
func (s *section) single() {
	s.units = make([]unit, len(s.items))
	for i := range s.items {
		s.units[i] = unit{items: []int{i}, found: i}
	}
}

// words say how many items the budget left out; nothing if it left out none.
func (s *section) words(cut int) string {
	switch cut {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("1 %s left out", s.one)
	}
	return fmt.Sprintf("%d %s left out", cut, s.many)
}

// arranged returns the items that are shown in the order of the text.
func (s *section) arranged(shown func(item int) bool) []int {
	var all []int
	for _, u := range s.units {
		for _, i := range u.items {
			if shown(i) {
				all = append(all, i)
			}
		}
	}
	switch s.order {
	case oldestFirst:
		slices.Reverse(all)
	case journaled:
		slices.SortStableFunc(all, func(a, b int) int {
			return cmp.Or(cmp.Compare(s.items[a].sequence, s.items[b].sequence), cmp.Compare(s.items[a].index, s.items[b].index))
		})
	}
	return all
}

// style returns how the section is written.
func (s *section) style() style {
	if s.title {
		return titles{}
	}
	return styleOf(s.block.Rendering)
}

// pieces returns the section as it stands in the text.
func (s *section) pieces(items []item, words string) []string {
	style := s.style()
	items = slices.Concat(s.summaries, items)
	out := []string{style.open(s)}
	if len(items) == 0 && words == "" {
		return compact(append(out, style.none(), style.close(s, "")))
	}
	var note string
	if words != "" {
		note = style.note(words)
	}
	at := len(items) // where the note stands
	if s.order == oldestFirst {
		at = len(s.summaries)
	}
	for n, i := range items {
		if n == at {
			out = append(out, note)
		}
		out = append(out, style.item(i, n == len(items)-1))
	}
	if at == len(items) {
		out = append(out, note)
	}
	return compact(append(out, style.close(s, words)))
}

// compact leaves out the pieces that a style does not write.
func compact(pieces []string) []string {
	return slices.DeleteFunc(pieces, func(p string) bool { return p == "" })
}
