package retrieval

import (
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Vectors are embeddings of texts, all of one dimension. Texts are numbered from 0, by whoever sets them; several items
// may have the same text. The zero value holds none. Set changes it, and must not run while something is ranked by it.
type Vectors struct {
	dimension int
	known     []embedding // in the order in which they were set
	newest    []int32     // by text: which of them is its own, from 1; 0 for none
}

// embedding is the vector of a text, from a sequence on.
type embedding struct {
	vector []float32
	length float64
	since  int64
	before int32 // the one that it took the place of, as in newest
}

// Set gives a text its vector from a sequence on, in the place of another if it had one: as of an earlier sequence it has
// that one still. The sequences of one text never fall. It refuses a vector of another dimension than the first, and one
// that points nowhere: of length 0, or with what is no number in it. The vector must not be changed any more.
func (v *Vectors) Set(text int, since int64, vector []float32) error {
	if len(v.known) == 0 {
		v.dimension = len(vector)
	}
	length, err := v.measure(vector)
	if err != nil {
		return fmt.Errorf("text %d: %w", text, err)
	}
	for len(v.newest) <= text {
		v.newest = append(v.newest, 0)
	}
	v.known = append(v.known, embedding{vector: vector, length: length, since: since, before: v.newest[text]})
	v.newest[text] = int32(len(v.known))
	return nil
}

// Of returns the vector that a text has as of a sequence, and since when; nil if it has none.
func (v *Vectors) Of(text int, asOf int64) (vector []float32, since int64) {
	if e := v.at(text, asOf); e != nil {
		return e.vector, e.since
	}
	return nil, 0
}

func (v *Vectors) at(text int, asOf int64) *embedding {
	if text < 0 || text >= len(v.newest) {
		return nil
	}
	for n := v.newest[text]; n > 0; n = v.known[n-1].before {
		if e := &v.known[n-1]; e.since <= asOf {
			return e
		}
	}
	return nil
}

// Has says whether a text has a vector, whenever it was set.
func (v *Vectors) Has(text int) bool { return text < len(v.newest) && v.newest[text] > 0 }

// Bytes returns about how much memory the vectors take.
func (v *Vectors) Bytes() int { return len(v.known)*(4*v.dimension+48) + 4*len(v.newest) }

// Check returns why a question's vector cannot be compared with these, or nil.
func (v *Vectors) Check(vector []float32) error {
	if len(v.known) == 0 {
		return nil
	}
	_, err := v.measure(vector)
	return err
}

// measure returns the length of a vector.
func (v *Vectors) measure(vector []float32) (float64, error) {
	if len(vector) == 0 {
		return 0, fmt.Errorf("a vector has no dimensions")
	}
	if len(vector) != v.dimension {
		return 0, fmt.Errorf("a vector has %d dimensions, and those before it %d: embed all with one model", len(vector), v.dimension)
	}
	sum := 0.0
	for i, number := range vector {
		if math.IsNaN(float64(number)) || math.IsInf(float64(number), 0) {
			return 0, fmt.Errorf("dimension %d of a vector is %v, which is no number", i, number)
		}
		sum += float64(float64(number) * float64(number))
	}
	if sum == 0 {
		return 0, fmt.Errorf("a vector has length 0, and points nowhere")
	}
	return math.Sqrt(sum), nil
}

// product is the inner product, by eight sums that are always added up in the same order: a processor adds to one while
// another waits.
func product(a []float32, b []float64) float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	for len(a) >= 8 && len(b) >= 8 {
		x, y := (*[8]float32)(a), (*[8]float64)(b)
		s0 += float64(float64(x[0]) * y[0]) // the conversion keeps a machine from fusing the two operations
		s1 += float64(float64(x[1]) * y[1])
		s2 += float64(float64(x[2]) * y[2])
		s3 += float64(float64(x[3]) * y[3])
		s4 += float64(float64(x[4]) * y[4])
		s5 += float64(float64(x[5]) * y[5])
		s6 += float64(float64(x[6]) * y[6])
		s7 += float64(float64(x[7]) * y[7])
		a, b = a[8:], b[8:]
	}
	for i, number := range a {
		s0 += float64(float64(number) * b[i])
	}
	return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
}

// Nearest ranks by the cosine of the angle between the question's vector and an item's: every item is looked at. Where
// neighbours are read, it is the mean over the item's window, each weighted by its share, as Lexical counts words: "Yes, I
// did!" means what was asked before it. What has no vector as of the moment, or points away from the question, is not found;
// nor is anything by a vector that Check refuses.
type Nearest struct {
	*Snapshot
	Vectors *Vectors
	// Texts are the numbers of the items' texts among the vectors, by item. Without them, an item's text has its number.
	Texts []int32
}

// noVector stands for the cosine of what has none: less than any.
const noVector = -2

// Rank implements Ranker.
func (n Nearest) Rank(q Question, limit int) []Hit {
	v := n.Vectors
	if len(v.known) == 0 {
		return nil
	}
	length, err := v.measure(q.Vector)
	if err != nil {
		return nil
	}
	question := make([]float64, len(q.Vector))
	for i, number := range q.Vector {
		question[i] = float64(number)
	}
	cosines := make([]float64, len(n.order))
	inRuns(len(cosines), v.dimension, func(from, to int) {
		for p, i := range n.order[from:to] {
			cosines[from+p] = noVector
			if e := v.at(n.text(i), n.asOf); e != nil {
				cosines[from+p] = product(e.vector, question) / (length * e.length)
			}
		}
	})
	if n.index.config.Neighbours > 0 {
		cosines = n.meanOfWindows(cosines)
	}
	return best(cosines, n.order, limit)
}

// meanOfWindows returns the mean cosine of what has vectors in the window of each item that has one itself.
func (s *Snapshot) meanOfWindows(cosines []float64) []float64 {
	means, weights := make([]float64, len(cosines)), make([]float64, len(cosines))
	for p, cosine := range cosines {
		if cosine == noVector {
			continue
		}
		first, shares := s.index.readers(s.frame, int32(p))
		for r, share := range shares {
			means[int(first)+r] += float64(float64(share) * cosine)
			weights[int(first)+r] += float64(share)
		}
	}
	for p, cosine := range cosines {
		if cosine == noVector {
			means[p] = noVector
			continue
		}
		means[p] /= weights[p]
	}
	return means
}

func (n Nearest) text(item int32) int {
	if n.Texts == nil {
		return int(item)
	}
	if int(item) >= len(n.Texts) {
		return nowhere
	}
	return int(n.Texts[item])
}

// worthwhile is how many numbers are multiplied before another goroutine is.
const worthwhile = 1 << 18

// inRuns does each of so many things once, in runs on several processors if they are of many numbers. What comes of a thing
// must not depend on the runs.
func inRuns(things, numbers int, do func(from, to int)) {
	runs := min(runtime.GOMAXPROCS(0), 1+things*numbers/worthwhile)
	var all sync.WaitGroup
	for run := 1; run < runs; run++ {
		all.Go(func() { do(things*run/runs, things*(run+1)/runs) })
	}
	do(0, things/runs)
	all.Wait()
}
