package retrieval

// The constants of BM25, as the literature sets them where nothing is known of the texts: S. Robertson, H. Zaragoza,
// "The Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information Retrieval 3(4), 2009.
const (
	saturation = 1.2  // k1: how soon another occurrence of a term adds nothing
	leveling   = 0.75 // b: how much a long text has to say a term more often
)

// idf is the inverse document frequency of Robertson and Spärck Jones, "Relevance weighting of search terms", JASIS 27,
// 1976, for a term that df of n texts have. The 1 within the logarithm keeps it positive for a term in most of them.
func idf(df, n int) float64 {
	return ln(1 + (float64(n)-float64(df)+0.5)/(float64(df)+0.5))
}

// frequency is what an occurrence count is worth in a text, given how it is leveled; it rises from 0 towards
// saturation+1.
func frequency(count, level float64) float64 {
	return count * (saturation + 1) / (count + float64(saturation*level))
}

// levels say of each text how many times as often as one of mean length it has to say a term.
type levels struct {
	lengths []int32
	sum     int64
	share   float64 // of a level, that a unit of length adds
}

func leveled(lengths []int32) levels {
	l := levels{lengths: lengths}
	for _, length := range lengths {
		l.sum += int64(length)
	}
	l.spread()
	return l
}

func (l *levels) spread() {
	l.share = 0
	if l.sum > 0 {
		l.share = leveling * float64(len(l.lengths)) / float64(l.sum)
	}
}

func (l *levels) of(text int32) float64 {
	if l.sum == 0 {
		return 1
	}
	return 1 - leveling + float64(float64(l.lengths[text])*l.share)
}

// sessionShare is what a session tells of each of its items: as much as the farthest neighbour that is read, three steps
// away, adds to a count.
const sessionShare = 1.0 / 8

// score returns the BM25 of every item that holds, by place; give them back with release. Where neighbours are read, a
// text is the item's window: the counts and lengths of its items, weighted and added before they saturate. That is how
// BM25F weighs the fields of one document (Robertson, Zaragoza, Taylor, "Simple BM25 extension to multiple weighted
// fields", CIKM 2004); to add the scores of neighbours instead would count a term that both have twice.
func (s *Snapshot) score(terms []weighted, periods []Period) []float64 {
	scores := s.index.zeros(len(s.order))
	if s.index.alone() {
		s.scoreAlone(scores, terms, periods)
		return scores
	}
	s.scoreWindows(scores, terms, periods)
	return scores
}

func (s *Snapshot) scoreWindows(scores []float64, terms []weighted, periods []Period) {
	windows := newTally(s.windows, whole(s.index.config))
	for _, w := range terms {
		s.read(windows, s.index.texts[w.term])
		for _, p := range s.index.names[w.term] {
			if place := s.place(p.item); place != nowhere {
				windows.add(place, p.count*whole(s.index.config))
			}
		}
		windows.collect(scores, w.weight)
	}
	for _, p := range periods {
		s.read(windows, s.during(p))
		windows.collect(scores, 1)
	}
	if s.index.config.Sessions {
		s.addSessions(scores, terms)
	}
}

// scoreAlone is what scoreWindows comes to where an item is a text by itself: the same sums in the same order, for which no
// counts have to be kept.
func (s *Snapshot) scoreAlone(scores []float64, terms []weighted, periods []Period) {
	for _, w := range terms {
		s.collectAlone(scores, together(s.index.texts[w.term], s.index.names[w.term]), w.weight)
	}
	for _, p := range periods {
		s.collectAlone(scores, s.during(p), 1)
	}
}

func (s *Snapshot) collectAlone(scores []float64, list []posting, weight float64) {
	weight *= idf(s.holding(list), len(s.order))
	for _, p := range list {
		if place := s.place(p.item); place != nowhere {
			scores[place] += float64(weight * frequency(float64(p.count), s.windows.of(place)))
		}
	}
}

// together adds up the counts of two lists.
func together(a, b []posting) []posting {
	if len(b) == 0 {
		return a
	}
	sum := make([]posting, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].item < b[0].item:
			sum, a = append(sum, a[0]), a[1:]
		case a[0].item > b[0].item:
			sum, b = append(sum, b[0]), b[1:]
		default:
			sum = append(sum, posting{item: a[0].item, count: a[0].count + b[0].count})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(sum, a...), b...)
}

// zeros returns so many scores of 0.
func (x *Index) zeros(n int) []float64 {
	if kept, is := x.scores.Get().(*[]float64); is && cap(*kept) >= n {
		scores := (*kept)[:n]
		clear(scores)
		return scores
	}
	return make([]float64, n, n+n/8)
}

// release lets others have scores that nobody reads any more.
func (x *Index) release(scores []float64) { x.scores.Put(&scores) }

// read adds what the items in the list have to each window that they are read in.
func (s *Snapshot) read(windows *tally, list []posting) {
	for _, p := range list {
		if place := s.place(p.item); place != nowhere {
			first, shares := s.index.readers(s.frame, place)
			for r, share := range shares {
				windows.add(first+int32(r), share*p.count)
			}
		}
	}
}

// addSessions adds to the items that have a score the share of their session's score: a passage is judged with its
// document (J. Callan, "Passage-level evidence in document retrieval", SIGIR 1994).
func (s *Snapshot) addSessions(scores []float64, terms []weighted) {
	whole := make([]float64, len(s.sessions))
	sessions := newTally(s.spoken, 1)
	for _, w := range terms {
		for _, p := range s.index.texts[w.term] {
			if place := s.place(p.item); place != nowhere {
				sessions.add(s.of[place], p.count)
			}
		}
		sessions.collect(whole, w.weight)
	}
	for p, score := range scores {
		if score > 0 {
			scores[p] += float64(sessionShare * whole[s.of[p]])
		}
	}
}

// tally counts the occurrences of one term at a time; texts that do not have it cost nothing.
type tally struct {
	of      []int32 // by text, in shares
	touched []int32
	levels  levels
	whole   float64 // shares
}

func newTally(levels levels, whole int32) *tally {
	return &tally{of: make([]int32, len(levels.lengths)), levels: levels, whole: float64(whole)}
}

func (c *tally) add(text, count int32) {
	if c.of[text] == 0 {
		c.touched = append(c.touched, text)
	}
	c.of[text] += count
}

// collect adds what the counted term scores in each text, and empties the tally for the next one.
func (c *tally) collect(scores []float64, weight float64) {
	weight *= idf(len(c.touched), len(c.of))
	for _, t := range c.touched {
		scores[t] += float64(weight * frequency(float64(c.of[t])/c.whole, c.levels.of(t)))
		c.of[t] = 0
	}
	c.touched = c.touched[:0]
}
