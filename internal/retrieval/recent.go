package retrieval

import "time"

// halfLife is the age at which an item counts half: a week is a span that people plan and remember by. It decides how
// fast importance is outweighed by age, not which of two equally important items is first.
const halfLife = 7 * 24 * time.Hour

// Recency ranks all items by recency times importance: 2^(-age/week) · (1 + importance), so that an item of no importance
// is still found and the most important one counts double. What is dated after now counts as of now; what has no date
// ranks last, by importance. It does not read the question.
type Recency struct{ *Snapshot }

// Rank implements Ranker.
func (r Recency) Rank(_ Question, limit int) []Hit {
	first := newSelection(limit)
	for n := len(r.index.recent) - 1; n >= 0; n-- {
		i := r.index.recent[n]
		if r.place(i) == nowhere {
			continue
		}
		fresh := recency(r.age(i))
		if fresh*(1+r.index.greatest) < first.floor*nearly {
			break // so is all that is older, whatever its importance
		}
		if score := fresh * (1 + r.index.entries[i].importance); score >= first.floor {
			first.add(Hit{Item: int(i), Score: score})
		}
	}
	return first.sorted()
}

// nearly leaves room for what rounding adds to the recency of an older item.
const nearly = 1 - 1e-9

// ancient is an age in microseconds beyond which all are of the same recency, so that what is very old, or of unknown age,
// stays in the ranking.
const ancient = 1000 * int64(halfLife/time.Microsecond)

// age is that of an item in microseconds.
func (s *Snapshot) age(item int32) int64 {
	said := s.index.lives[item].said
	if said == unknown {
		return ancient
	}
	return min(ancient, max(0, s.micros-said))
}

func recency(age int64) float64 { return halved(float64(age) / float64(halfLife.Microseconds())) }

// Latest ranks all items by the sequence that they hold from, the latest first. It does not read the question.
type Latest struct{ *Snapshot }

// Rank implements Ranker.
func (l Latest) Rank(_ Question, limit int) []Hit {
	scores := make([]float64, len(l.order))
	for p, i := range l.order {
		scores[p] = float64(l.index.lives[i].since + 1) // a score of 0 is no hit
	}
	return best(scores, l.order, limit)
}
