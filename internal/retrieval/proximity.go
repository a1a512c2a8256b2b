package retrieval

// drawn is how many of the best items proximity is looked at in.
const drawn = 200

// draw raises the scores of items in which the question's terms stand close together: BM25TP of S. Büttcher, C. Clarke,
// B. Lushman, "Term proximity scoring for ad-hoc retrieval on very large text collections", SIGIR 2006. Two different
// terms of the question with none between them give each other their rarity over the square of their distance, and what a
// term got counts like occurrences. Only the best items are looked at; as a score can only rise, they stay ahead.
func (s *Snapshot) draw(scores []float64, terms []weighted) {
	rarity := map[int32]float64{}
	for _, w := range terms {
		rarity[w.term] = s.rarity(w.term)
	}
	for _, hit := range best(scores, s.order, drawn) {
		got, place := s.pull(hit.Item, rarity), s.place(int32(hit.Item))
		for _, w := range terms { // not the map, whose order changes the last digits of the sum
			if got[w.term] > 0 {
				scores[place] += float64(min(1, rarity[w.term]) * frequency(got[w.term], s.windows.of(place)))
			}
		}
	}
}

// pull returns what the terms in an item give each other.
func (s *Snapshot) pull(item int, rarity map[int32]float64) map[int32]float64 {
	got := map[int32]float64{}
	last := -1
	for at, t := range s.index.words[item] {
		if _, asked := rarity[t]; !asked {
			continue
		}
		if last >= 0 && s.index.words[item][last] != t {
			distance := float64(at - last)
			got[t] += rarity[s.index.words[item][last]] / (distance * distance)
			got[s.index.words[item][last]] += rarity[t] / (distance * distance)
		}
		last = at
	}
	return got
}
