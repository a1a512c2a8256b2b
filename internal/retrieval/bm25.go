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

// leveled says of each text, given the lengths of all of them, how many times as often as one of mean length it has to
// say a term.
func leveled(lengths []int32) []float64 {
	sum := int64(0)
	for _, length := range lengths {
		sum += int64(length)
	}
	levels := make([]float64, len(lengths))
	if sum == 0 {
		for i := range levels {
			levels[i] = 1
		}
		return levels
	}
	share := leveling * float64(len(lengths)) / float64(sum)
	for i, length := range lengths {
		levels[i] = 1 - leveling + float64(float64(length)*share)
	}
	return levels
}

// sessionShare is what a session tells of each of its items: as much as the farthest neighbour that is read, three steps
// away, adds to a count.
const sessionShare = 1.0 / 8

// score returns the BM25 of every item that holds, by place. Where neighbours are read, a text is the item's window: the
// counts and lengths of its items, weighted and added before they saturate. That is how BM25F weighs the fields of one
// document (Robertson, Zaragoza, Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004); to add the
// scores of neighbours instead would count a term that both have twice.
func (s *Snapshot) score(terms []weighted, periods []Period) []float64 {
	scores := make([]float64, len(s.order))
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
	return scores
}

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
	levels  []float64
	whole   float64 // shares
}

func newTally(levels []float64, whole int32) *tally {
	return &tally{of: make([]int32, len(levels)), levels: levels, whole: float64(whole)}
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
		scores[t] += float64(weight * frequency(float64(c.of[t])/c.whole, c.levels[t]))
		c.of[t] = 0
	}
	c.touched = c.touched[:0]
}
