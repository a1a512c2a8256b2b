package retrieval

// drawn is how many of the best items proximity is looked at in.
const drawn = 200

// draw raises the scores of items in which the question's terms stand close together: BM25TP of S. Büttcher, C. Clarke,
// B. Lushman, "Term proximity scoring for ad-hoc retrieval on very large text collections", SIGIR 2006. Two different
// terms of the question with none between them give each other their rarity over the square of their distance, and what a
// term got counts like occurrences. Only the best items are looked at; as a score can only rise, they stay ahead.
func (x *Index) draw(scores []float64, terms []weighted) {
	rarity := map[int]float64{}
	for _, w := range terms {
		rarity[w.term] = x.rarity(w.term)
	}
	for _, hit := range best(scores, drawn) {
		got := x.pull(hit.Item, rarity)
		for _, w := range terms { // not the map, whose order changes the last digits of the sum
			if got[w.term] > 0 {
				scores[hit.Item] += min(1, rarity[w.term]) * frequency(got[w.term], x.length.of[hit.Item], x.length.mean)
			}
		}
	}
}

// pull returns what the terms in an item give each other.
func (x *Index) pull(item int, rarity map[int]float64) map[int]float64 {
	got := map[int]float64{}
	last := -1
	for at, t := range x.words[item] {
		if _, asked := rarity[t]; !asked {
			continue
		}
		if last >= 0 && x.words[item][last] != t {
			distance := float64(at - last)
			got[t] += rarity[x.words[item][last]] / (distance * distance)
			got[x.words[item][last]] += rarity[t] / (distance * distance)
		}
		last = at
	}
	return got
}
