package retrieval

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// reading says with what weight an item is read when another one is scored.
type reading struct {
	item   int // the one that is scored
	weight float64
}

// windows returns for each item in whose windows it is read, its own at weight 1 included. A step away halves the weight,
// so that an item's own words outweigh each neighbour's and no distance has to be chosen; what is left out beyond the third
// step would weigh a sixteenth.
func windows(items []Item, sessions [][]int, config Config) [][]reading {
	read := make([][]reading, len(items))
	for _, session := range sessions {
		for at, i := range session {
			for other := max(0, at-config.Neighbours); other <= min(len(session)-1, at+config.Neighbours); other++ {
				j := session[other]
				weight := math.Pow(0.5, math.Abs(float64(at-other)))
				if config.Pairs && other == at-1 && asks(items[j].Text) {
					weight = 1
				}
				read[j] = append(read[j], reading{item: i, weight: weight})
			}
		}
	}
	return read
}

// sessions returns the items of each session in the order of their positions, sessions in the order in which they begin.
func sessions(items []Item) [][]int {
	type key struct{ conversation, session string }
	var all [][]int
	at := map[key]int{}
	for i, item := range items {
		k := key{item.Conversation, item.Session}
		s, known := at[k]
		if !known {
			s = len(all)
			at[k] = s
			all = append(all, nil)
		}
		all[s] = append(all[s], i)
	}
	for _, session := range all {
		slices.SortStableFunc(session, func(a, b int) int { return cmp.Compare(items[a].Position, items[b].Position) })
	}
	return all
}

// asks says whether a text asks something.
func asks(text string) bool { return strings.ContainsAny(text, "?？؟") }
