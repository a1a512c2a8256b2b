package retrieval

import "math"

// The constants of BM25, as the literature sets them where nothing is known of the texts: S. Robertson, H. Zaragoza,
// "The Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information Retrieval 3(4), 2009.
const (
	saturation = 1.2  // k1: how soon another occurrence of a term adds nothing
	leveling   = 0.75 // b: how much a long text has to say a term more often
)

// idf is the inverse document frequency of Robertson and Spärck Jones, "Relevance weighting of search terms", JASIS 27,
// 1976, for a term that df of n texts have. The 1 within the logarithm keeps it positive for a term in most of them.
func idf(df, n int) float64 {
	return math.Log(1 + (float64(n)-float64(df)+0.5)/(float64(df)+0.5))
}

// frequency is what an occurrence count is worth in a text of a length, given the mean length of all texts; it rises from
// 0 towards saturation+1.
func frequency(count, length, mean float64) float64 {
	norm := 1.0
	if mean > 0 {
		norm = 1 - leveling + leveling*length/mean
	}
	return count * (saturation + 1) / (count + saturation*norm)
}

// lengths are how many terms texts have, and their mean.
type lengths struct {
	of   []float64
	mean float64
}

func lengthsOf(of []float64) lengths {
	l := lengths{of: of}
	for _, length := range of {
		l.mean += length
	}
	l.mean /= max(1, float64(len(of)))
	return l
}

// sessionShare is what a session tells of each of its items: as much as the farthest neighbour that is read, three steps
// away, adds to a count.
const sessionShare = 1.0 / 8

// score returns the BM25 of every item. Where neighbours are read, a text is the item's window: the counts and lengths of
// its items, weighted and added before they saturate. That is how BM25F weighs the fields of one document (Robertson,
// Zaragoza, Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004); to add the scores of neighbours
// instead would count a term that both have twice.
func (x *Index) score(terms []weighted, q Question) []float64 {
	scores := make([]float64, len(x.items))
	counts := newTally(len(x.items))
	for _, w := range terms {
		x.count(counts, x.texts[w.term])
		for _, p := range x.names[w.term] {
			counts.add(p.item, p.count)
		}
		counts.collect(scores, x.length, w.weight)
	}
	if x.config.Periods {
		for _, p := range x.askedPeriods(q) {
			x.count(counts, x.within(p))
			counts.collect(scores, x.length, 1)
		}
	}
	if x.config.Sessions {
		x.addSessions(scores, terms)
	}
	return scores
}

// count adds what the items in the list have to each window that they are read in.
func (x *Index) count(counts *tally, list []posting) {
	for _, p := range list {
		for _, r := range x.read[p.item] {
			counts.add(r.item, r.weight*p.count)
		}
	}
}

// addSessions adds to the items that have a score the share of their session's score: a passage is judged with its
// document (J. Callan, "Passage-level evidence in document retrieval", SIGIR 1994).
func (x *Index) addSessions(scores []float64, terms []weighted) {
	whole := make([]float64, len(x.spoken.of))
	counts := newTally(len(x.spoken.of))
	for _, w := range terms {
		for _, p := range x.texts[w.term] {
			counts.add(x.session[p.item], p.count)
		}
		counts.collect(whole, x.spoken, w.weight)
	}
	for i, score := range scores {
		if score > 0 {
			scores[i] += sessionShare * whole[x.session[i]]
		}
	}
}

// tally counts the occurrences of one term at a time; texts that do not have it cost nothing.
type tally struct {
	of      []float64
	touched []int
}

func newTally(texts int) *tally { return &tally{of: make([]float64, texts)} }

func (c *tally) add(text int, count float64) {
	if c.of[text] == 0 {
		c.touched = append(c.touched, text)
	}
	c.of[text] += count
}

// collect adds what the counted term scores in each text, and empties the tally for the next one.
func (c *tally) collect(scores []float64, length lengths, weight float64) {
	rarity := idf(len(c.touched), len(c.of))
	for _, i := range c.touched {
		scores[i] += weight * rarity * frequency(c.of[i], length.of[i], length.mean)
		c.of[i] = 0
	}
	c.touched = c.touched[:0]
}
