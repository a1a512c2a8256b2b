package view

import (
	"slices"

	"github.com/edict-dev/edict/internal/tokens"
)

// The packer shares a budget among blocks by marginal value. An item is worth its
// block's weight, divided by its rank in the block, and costs its tokens; the one
// that is worth most for a token is taken next. So of items of one length blocks
// take tokens in proportion to their weights, a short item comes before a long
// one, and what one block does not use goes to the others. Within a block nothing
// comes before what is ranked higher.

// node bounds what a block, or a view with all its blocks, takes.
type node struct {
	parent     *node // nil: the budget of the whole
	name       string
	least      int // what it gets before weights count
	most, used int // tokens
}

// room is what may still be taken.
func (n *node) room() int {
	room := n.most - n.used
	for n = n.parent; n != nil; n = n.parent {
		room = min(room, n.most-n.used)
	}
	return room
}

func (n *node) charge(tokens int) {
	for ; n != nil; n = n.parent {
		n.used += tokens
	}
}

func (n *node) in(outer *node) bool {
	for ; n != nil; n = n.parent {
		if n == outer {
			return true
		}
	}
	return false
}

// fate is what becomes of an item.
type fate int8

const (
	left fate = iota // out, unless there is room
	shown
	elsewhere // another block shows the same
)

// packing is a section of which some items are chosen.
type packing struct {
	*section
	counter *tokens.Counter
	limit   int // bytes that a template may write, and more tokens than any budget
	fixed   int // all but the items and the note
	note    int // what says that something was left out
	costs   []int
	fates   []fate
	told    []bool // which turns of a conversation other blocks know that it shows
	out     int    // items that are left out so far
	next    int    // the unit that is looked at next
	tokens  int    // of all that is chosen, with the note unless nothing is left out
	share   int    // what it would take if all blocks took by weight
	held    int    // of tokens, for the next item, of which a part will be shown
	closed  bool   // nothing more is taken
}

// begin counts what the section takes when it is empty. If its items take no more
// than saying that they are left out, they are shown.
func (p *packing) begin() {
	p.costs, p.fates, p.told = make([]int, len(p.items)), make([]fate, len(p.items)), make([]bool, len(p.items))
	p.next, p.out = 0, len(p.items)
	p.fixed = p.takes(nil, "")
	if len(p.items) > 0 {
		if len(p.summaries) == 0 && p.template == nil && p.block.Turns == nil { // whose items other blocks may all show
			p.fixed -= p.counter.Count(p.style().none())
		}
		p.note = max(p.takes(nil, p.words(1)), p.takes(nil, p.words(len(p.items)))) - p.fixed
	}
	p.tokens = p.fixed + p.note
	if p.template != nil {
		p.node.charge(p.tokens)
		return
	}
	all := 0
	for i := range p.items {
		if all += p.cost(i); all > p.note {
			p.node.charge(p.tokens)
			return
		}
	}
	for i := range p.fates {
		p.fates[i] = shown
	}
	p.tokens, p.next, p.out = p.fixed+all, len(p.units), 0
	p.node.charge(p.tokens)
}

// written returns what stands in the text if these items are chosen; not ok if
// that is more than any budget.
func (p *packing) written(items []item, words string) (pieces []string, ok bool) {
	if p.template == nil {
		return p.pieces(items, words), true
	}
	text, err := p.template.render(p.block.Name, slices.Concat(p.summaries, items), p.limit)
	if err != nil {
		return nil, false
	}
	if words != "" {
		words = lines{}.note(words)
	}
	if p.order == oldestFirst {
		return []string{lines{}.open(p.section) + words + text}, true
	}
	return []string{lines{}.open(p.section) + text + words}, true
}

// takes returns how many tokens the section takes with these items.
func (p *packing) takes(items []item, words string) (tokens int) {
	pieces, ok := p.written(items, words)
	if !ok {
		return p.limit
	}
	for _, piece := range pieces {
		tokens += p.counter.Count(piece)
	}
	return tokens
}

// price returns what an item adds, in tokens: of a template's output, what a second
// of its kind adds, because the first may bring words that are written once.
func (p *packing) price(i item) int {
	if p.template != nil {
		two := p.takes([]item{i, i}, "")
		if two == p.limit {
			return two
		}
		return max(1, two-p.takes([]item{i}, ""))
	}
	style := p.style()
	return max(p.counter.Count(style.item(i, false)), p.counter.Count(style.item(i, true)))
}

func (p *packing) cost(i int) int {
	if p.costs[i] == 0 {
		p.costs[i] = p.price(p.items[i])
	}
	return p.costs[i]
}

// size returns how many items of the next unit are not shown yet, and what they take.
func (p *packing) size() (open, tokens int) {
	for _, i := range p.units[p.next].items {
		if p.fates[i] == left {
			open++
			tokens += p.cost(i)
		}
	}
	return open, tokens
}

// extra returns what the next unit adds: with the last of its items nothing is
// left out any more that would have to be said.
func (p *packing) extra() int {
	open, tokens := p.size()
	if open == p.out && p.template == nil {
		return tokens - p.note
	}
	return tokens
}

// worth returns what a token is worth that the next unit takes.
func (p *packing) worth() float64 {
	_, tokens := p.size()
	if tokens > p.share {
		tokens = p.share
	}
	return p.weight / float64(p.next+1) / float64(max(tokens, 1))
}

// take shows the next unit.
func (p *packing) take() {
	extra := p.extra()
	for _, i := range p.units[p.next].items {
		if p.fates[i] == left {
			p.fates[i] = shown
			p.out--
		}
	}
	p.next++
	p.add(extra)
}

func (p *packing) add(tokens int) {
	p.tokens += tokens
	p.node.charge(tokens)
}

// hide takes an item out that another block shows.
func (p *packing) hide(i int) {
	switch p.fates[i] {
	case shown:
		p.add(-p.cost(i))
	case left:
		p.out--
	}
	p.fates[i] = elsewhere
}

// release gives back what was held for the item that is cut.
func (p *packing) release() {
	p.add(-p.held)
	p.held = 0
}

// hold keeps up to that many tokens for the next item, of which a part will be
// shown; nothing if that would be next to nothing.
func (p *packing) hold(tokens int) bool {
	tokens = min(tokens, p.node.room())
	if tokens < leastPart+partMark {
		return false
	}
	p.held = tokens
	p.add(tokens)
	return true
}

// narrow leaves the neighbours out of the next unit; it says whether there were any.
func (p *packing) narrow() bool {
	u := p.units[p.next]
	if len(u.items) == 1 {
		return false
	}
	p.units = slices.Clone(p.units)
	p.units[p.next] = unit{items: []int{u.found}, found: u.found}
	return true
}
