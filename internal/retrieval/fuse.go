package retrieval

// fusion is the constant of reciprocal rank fusion, as its authors set it.
const fusion = 60

// Fuse joins rankings by reciprocal rank: an item's score is the sum of 1/(60+rank) over the rankings that have it
// (Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR
// 2009). Only order counts, so rankers whose scores cannot be compared can be joined, and one that found nothing changes
// nothing. Equal items come in the order of their indexes.
func Fuse(rankings ...[]Hit) []Hit {
	all := 0
	for _, ranking := range rankings {
		all += len(ranking)
	}
	scores := make(map[int]float64, all)
	for _, ranking := range rankings {
		for rank, hit := range ranking {
			scores[hit.Item] += 1 / float64(fusion+rank+1)
		}
	}
	hits := make([]Hit, 0, len(scores))
	for item, score := range scores {
		hits = append(hits, Hit{Item: item, Score: score})
	}
	sortHits(hits)
	return hits
}
