package retrieval

import (
	"fmt"
	"math"
)

// Vectors are the embeddings of an index's items, all of one dimension. The zero value holds none. Set changes it, and
// must not run while something is ranked by it.
type Vectors struct {
	dimension int
	of        []float32 // one after the other
	at        []int32   // by item: which one is its own, from 1; 0 for none
	lengths   []float64 // by vector
}

// Set gives an item its vector, in the place of another if it had one. It refuses one of another dimension than the
// first, and one that points nowhere: of length 0, or with what is no number in it.
func (v *Vectors) Set(item int, vector []float32) error {
	if v.dimension == 0 {
		v.dimension = len(vector)
	}
	length, err := v.measure(vector)
	if err != nil {
		if len(v.lengths) == 0 {
			v.dimension = 0
		}
		return fmt.Errorf("item %d: %w", item, err)
	}
	for len(v.at) <= item {
		v.at = append(v.at, 0)
	}
	if at := int(v.at[item]) - 1; at >= 0 {
		copy(v.of[at*v.dimension:], vector)
		v.lengths[at] = length
		return nil
	}
	v.of = append(v.of, vector...)
	v.lengths = append(v.lengths, length)
	v.at[item] = int32(len(v.lengths))
	return nil
}

// Check returns why a question's vector cannot be compared with these, or nil.
func (v *Vectors) Check(vector []float32) error {
	if len(v.lengths) == 0 {
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
	for i, number := range vector {
		if math.IsNaN(float64(number)) || math.IsInf(float64(number), 0) {
			return 0, fmt.Errorf("dimension %d of a vector is %v, which is no number", i, number)
		}
	}
	length := math.Sqrt(product(vector, vector))
	if length == 0 {
		return 0, fmt.Errorf("a vector has length 0, and points nowhere")
	}
	return length, nil
}

// product is the inner product, by two sums that are always added up in the same order.
func product(a, b []float32) float64 {
	var even, odd float64
	for i := 0; i+1 < len(a); i += 2 {
		even += float64(float64(a[i]) * float64(b[i])) // the conversion keeps a machine from fusing the two operations
		odd += float64(float64(a[i+1]) * float64(b[i+1]))
	}
	if n := len(a); n%2 == 1 {
		even += float64(float64(a[n-1]) * float64(b[n-1]))
	}
	return even + odd
}

// Nearest ranks by the cosine of the angle between the question's vector and an item's: every item is looked at. What has
// no vector, or points away from the question, is not found; nor is anything by a vector that Check refuses.
type Nearest struct {
	*Snapshot
	Vectors *Vectors
}

// Rank implements Ranker.
func (n Nearest) Rank(q Question, limit int) []Hit {
	v := n.Vectors
	if len(v.lengths) == 0 {
		return nil
	}
	length, err := v.measure(q.Vector)
	if err != nil {
		return nil
	}
	scores := make([]float64, len(n.order))
	for p, i := range n.order {
		if int(i) >= len(v.at) || v.at[i] == 0 {
			continue
		}
		at := int(v.at[i]) - 1
		scores[p] = product(v.of[at*v.dimension:][:v.dimension], q.Vector) / (length * v.lengths[at])
	}
	return best(scores, n.order, limit)
}
