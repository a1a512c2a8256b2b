package retrieval

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNearestRanksByTheAngle(t *testing.T) {
	x := New([]Item{{Text: "far"}, {Text: "near"}, {Text: "nearest"}, {Text: "opposite"}, {Text: "unknown"}, {Text: "gone", Until: 5}}, Config{})
	var v Vectors
	for item, vector := range [][]float32{{0, 1}, {3, 4}, {10, 0.5}, {-1, 0}, nil, {1, 0}} {
		if vector == nil {
			continue
		}
		if err := v.Set(item, vector); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Set(0, []float32{4, 3}); err != nil { // in the place of the first
		t.Fatal(err)
	}
	got := Nearest{x.At(Moment{AsOf: 5}), &v}.Rank(Question{Vector: []float32{2, 0}}, 0)
	want := []Hit{{Item: 2, Score: 10 / math.Sqrt(100.25)}, {Item: 0, Score: 0.8}, {Item: 1, Score: 0.6}}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	before := Nearest{x.At(Moment{AsOf: 4}), &v}.Rank(Question{Vector: []float32{2, 0}}, 1)
	if diff := cmp.Diff([]Hit{{Item: 5, Score: 1}}, before, near); diff != "" {
		t.Errorf("hits before item 5 ended (-want +got):\n%s", diff)
	}
}

func TestAVectorThatCannotBeComparedIsRefusedByName(t *testing.T) {
	var v Vectors
	nan, infinite := float32(math.NaN()), float32(math.Inf(-1))
	for range 2 { // before there is a vector, and after
		for name, c := range map[string]struct {
			vector []float32
			says   string
		}{
			"no dimensions":     {nil, "no dimensions"},
			"not a number":      {[]float32{1, nan, 0}, "dimension 1 of a vector is NaN"},
			"infinite":          {[]float32{infinite, 1, 0}, "dimension 0 of a vector is -Inf"},
			"of length 0":       {[]float32{0, 0, 0}, "length 0"},
			"another dimension": {[]float32{1, 0}, "2 dimensions, and those before it 3"},
		} {
			if len(v.lengths) == 0 && name == "another dimension" {
				continue
			}
			if err := v.Set(7, c.vector); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "item 7") {
				t.Errorf("%s: error %v does not name it", name, err)
			}
			if err := v.Check(c.vector); len(v.lengths) > 0 && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: as a question, error %v does not name it", name, err)
			}
			x := New(said("boat"), Config{})
			if hits := (Nearest{x.At(Moment{}), &v}).Rank(Question{Vector: c.vector}, 0); hits != nil {
				t.Errorf("%s: found %v", name, hits)
			}
		}
		if err := v.Set(0, []float32{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNearestDoesNotDependOnTheOrderOfVectors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Float32Range(0.01, 1)
		vectors := rapid.SliceOfN(rapid.SliceOfN(number, 5, 5), 1, 20).Draw(t, "vectors")
		question := Question{Vector: rapid.SliceOfN(number, 5, 5).Draw(t, "question")}
		s := New(make([]Item, len(vectors)), Config{}).At(Moment{})
		var forward, backward Vectors
		for i := range vectors {
			last := len(vectors) - 1 - i
			if forward.Set(i, vectors[i]) != nil || backward.Set(last, vectors[last]) != nil {
				t.Fatal("a vector was refused")
			}
		}
		first := Nearest{s, &forward}.Rank(question, 0)
		if diff := cmp.Diff(first, Nearest{s, &backward}.Rank(question, 0)); diff != "" {
			t.Fatalf("the order of the vectors changes the ranking:\n%s", diff)
		}
		if len(first) != len(vectors) || !slices.IsSortedFunc(first, func(a, b Hit) int {
			if a.Score < b.Score || a.Score == b.Score && a.Item > b.Item {
				return 1
			}
			return 0
		}) {
			t.Fatalf("hits %v", first)
		}
	})
}
