package retrieval

import (
	"math"
	"time"
)

// halfLife is the age at which an item counts half: a week is a span that people plan and remember by. It decides how
// fast importance is outweighed by age, not which of two equally important items is first.
const halfLife = 7 * 24 * time.Hour

// Recent ranks all items by recency times importance: 2^(-age/week) · (1 + importance), so that an item of no importance
// is still found and the most important one counts double. What is dated after now counts as of now; what has no date
// ranks last, by importance. The zero now is the time of the newest item. Of the ranking, the first limit items are
// returned, or all for a limit of 0.
func (x *Index) Recent(now time.Time, limit int) []Hit {
	if now.IsZero() {
		now = x.newest
	}
	scores := make([]float64, len(x.items))
	for i, item := range x.items {
		// What is very old, or of unknown age, stays in the ranking.
		recency := 0x1p-1000
		if !item.Time.IsZero() {
			age := max(0, now.Sub(item.Time))
			recency = max(recency, math.Exp2(-float64(age)/float64(halfLife)))
		}
		scores[i] = recency * (1 + min(1, max(0, item.Importance)))
	}
	return best(scores, limit)
}
