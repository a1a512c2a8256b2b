package retrieval

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Snapshot is an index as of a moment. It is read only; what is added to the index after it was made it does not show,
// and it must not be asked while something is added.
type Snapshot struct {
	*frame
	index  *Index
	asOf   int64
	now    time.Time
	micros int64 // the same, since 1970
}

// At returns the index as of a moment.
func (x *Index) At(m Moment) *Snapshot {
	if m.Now.IsZero() {
		m.Now = x.newest(m)
	}
	return &Snapshot{frame: x.frameAt(m), index: x, asOf: m.AsOf, now: m.Now, micros: m.Now.UnixMicro()}
}

// newest returns the time of the newest item that has begun by the moment and not ended.
func (x *Index) newest(m Moment) (newest time.Time) {
	for i := range x.entries {
		e := &x.entries[i]
		l, within := &x.lives[i], len(m.Within) == 0 || slices.Contains(m.Within, x.threads[e.thread].conversation)
		if within && l.since <= m.AsOf && m.AsOf < l.until && e.said.After(newest) {
			newest = e.said
		}
	}
	return newest
}

// Len returns how many items hold.
func (s *Snapshot) Len() int { return len(s.order) }

// Beside returns the items that stand before and after an item in its conversation and session, a gap between them or
// none; -1 where nothing stands, and for an item that does not hold.
func (s *Snapshot) Beside(item int) (before, after int) {
	if s.place(int32(item)) == nowhere {
		return nowhere, nowhere
	}
	items, n := s.index.among(int32(item))
	before, after = nowhere, nowhere
	for b := n - 1; b >= 0 && before == nowhere; b-- {
		before = s.standing(items[b])
	}
	for a := n + 1; a < len(items) && after == nowhere; a++ {
		after = s.standing(items[a])
	}
	return before, after
}

// standing returns an item, if it holds.
func (s *Snapshot) standing(item int32) int {
	if s.place(item) == nowhere {
		return nowhere
	}
	return int(item)
}

// Lexical ranks by words, dates and periods, as the index is configured. A question without words that any item has
// finds nothing.
type Lexical struct{ *Snapshot }

// Rank implements Ranker.
func (l Lexical) Rank(q Question, limit int) []Hit {
	s := l.Snapshot
	terms, periods := s.asked(q)
	scores := s.score(terms, periods)
	if s.index.config.Feedback {
		terms := s.expand(terms, best(scores, s.order, trusted))
		s.index.release(scores)
		scores = s.score(terms, periods)
	}
	defer s.index.release(scores)
	if s.index.config.Proximity {
		s.draw(scores, terms)
	}
	return best(scores, s.order, limit)
}

// weighted is a term of a question.
type weighted struct {
	term   int32
	weight float64
}

// asked returns the terms of the question that items have, in the order in which the question has them, and the times
// that it names.
func (s *Snapshot) asked(q Question) ([]weighted, []Period) {
	config, said := s.index.config, spoken(q.Text)
	var periods []Period
	rest := said
	if config.Periods {
		// A time is looked for as such, not by its words as well.
		periods, rest = resolve(said, s.now)
	}
	a := analyser{irregular: config.Irregular}
	words := a.terms(rest)
	if config.Expect {
		words = append(words, expects(said)...)
	}
	var terms []weighted
	at := map[int32]int{}
	for _, word := range words {
		t, known := s.index.terms[word]
		if !known {
			continue
		}
		if i, again := at[t]; again {
			terms[i].weight++
			continue
		}
		at[t] = len(terms)
		terms = append(terms, weighted{term: t, weight: 1})
	}
	return s.telling(terms), periods
}

// telling keeps the maxTerms terms that weigh most, of those that an item has which holds.
func (s *Snapshot) telling(terms []weighted) []weighted {
	if len(terms) <= maxTerms {
		return terms
	}
	terms = slices.DeleteFunc(terms, func(w weighted) bool {
		return !s.has(s.index.texts[w.term]) && !s.has(s.index.names[w.term])
	})
	if len(terms) <= maxTerms {
		return terms
	}
	worth := map[int32]float64{}
	for _, w := range terms {
		worth[w.term] = w.weight * s.rarity(w.term)
	}
	slices.SortStableFunc(terms, func(a, b weighted) int { return cmp.Compare(worth[b.term], worth[a.term]) })
	return terms[:maxTerms]
}

// rarity is the inverse document frequency of a term among items, neighbours left out.
func (s *Snapshot) rarity(t int32) float64 {
	return idf(max(s.holding(s.index.texts[t]), s.holding(s.index.names[t])), len(s.order))
}

// has says whether an item of a list holds.
func (s *Snapshot) has(list []posting) bool {
	return slices.ContainsFunc(list, func(p posting) bool { return s.place(p.item) != nowhere })
}

// holding counts the items of a list that hold.
func (s *Snapshot) holding(list []posting) (n int) {
	if len(s.order) == len(s.places) { // all do that were there when the frame was made
		return sort.Search(len(list), func(i int) bool { return int(list[i].item) >= len(s.places) })
	}
	for _, p := range list {
		if s.place(p.item) != nowhere {
			n++
		}
	}
	return n
}
