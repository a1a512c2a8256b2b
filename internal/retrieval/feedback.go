package retrieval

import (
	"cmp"
	"slices"
)

// What pseudo-relevance feedback reads and adds, as in S. Robertson, S. Walker et al., "Okapi at TREC-3", 1994, scaled to
// items of a sentence or two: the first ten hits are taken for relevant, ten terms are added at a third of the weight of
// the question's own.
const (
	trusted     = 10
	added       = 10
	addedWeight = 1.0 / 3
)

// expand adds the terms that tell the first hits from the rest, by Robertson's offer weight: the number of those hits
// that have the term, times its relevance weight, equal ones in the order in which the hits have them. Terms that only
// one of them has are left out.
func (s *Snapshot) expand(terms []weighted, first []Hit) []weighted {
	known := map[int32]bool{}
	for _, w := range terms {
		known[w.term] = true
	}
	relevant := map[int32]int{}
	var found []int32
	for _, hit := range first {
		seen := map[int32]bool{}
		for _, t := range s.index.words[hit.Item] {
			if !seen[t] && !known[t] {
				if relevant[t]++; relevant[t] == 1 {
					found = append(found, t)
				}
			}
			seen[t] = true
		}
	}
	type offer struct {
		term   int32
		weight float64
	}
	var offers []offer
	for _, t := range found {
		if r := relevant[t]; r > 1 {
			weight := relevance(r, len(first), s.holding(s.index.texts[t]), len(s.order))
			offers = append(offers, offer{t, float64(r) * weight})
		}
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(b.weight, a.weight) })
	expanded := slices.Clone(terms)
	for _, o := range offers[:min(added, len(offers))] {
		expanded = append(expanded, weighted{term: o.term, weight: addedWeight})
	}
	return expanded
}

// relevance is the weight of Robertson and Spärck Jones (1976) for a term that r of R relevant texts have, and n of all N.
func relevance(r, relevant, n, all int) float64 {
	with, without := float64(r)+0.5, float64(relevant-r)+0.5
	otherWith, otherWithout := float64(n-r)+0.5, float64(all-n-relevant+r)+0.5
	return ln(with * otherWithout / (without * otherWith))
}
