package retrieval

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
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
		if err := v.Set(item, 0, vector); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Set(0, 5, []float32{4, 3}); err != nil { // in the place of the first from there on
		t.Fatal(err)
	}
	got := Nearest{Snapshot: x.At(Moment{AsOf: 5}), Vectors: &v}.Rank(Question{Vector: []float32{2, 0}}, 0)
	want := []Hit{{Item: 2, Score: 10 / math.Sqrt(100.25)}, {Item: 0, Score: 0.8}, {Item: 1, Score: 0.6}}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	before := Nearest{Snapshot: x.At(Moment{AsOf: 4}), Vectors: &v}.Rank(Question{Vector: []float32{2, 0}}, 1)
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
			if len(v.known) == 0 && name == "another dimension" {
				continue
			}
			if err := v.Set(7, 0, c.vector); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "text 7") {
				t.Errorf("%s: error %v does not name it", name, err)
			}
			if err := v.Check(c.vector); len(v.known) > 0 && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: as a question, error %v does not name it", name, err)
			}
			x := New(said("boat"), Config{})
			if hits := (Nearest{Snapshot: x.At(Moment{}), Vectors: &v}).Rank(Question{Vector: c.vector}, 0); hits != nil {
				t.Errorf("%s: found %v", name, hits)
			}
		}
		if err := v.Set(0, 0, []float32{1, 2, 3}); err != nil {
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
			if forward.Set(i, 0, vectors[i]) != nil || backward.Set(last, 0, vectors[last]) != nil {
				t.Fatal("a vector was refused")
			}
		}
		first := Nearest{Snapshot: s, Vectors: &forward}.Rank(question, 0)
		if diff := cmp.Diff(first, Nearest{Snapshot: s, Vectors: &backward}.Rank(question, 0)); diff != "" {
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

func TestAVectorHoldsFromItsSequenceOn(t *testing.T) {
	var v Vectors
	for _, set := range []struct {
		text   int
		since  int64
		vector []float32
	}{{1, 3, []float32{1, 0}}, {0, 5, []float32{0, 1}}, {1, 7, []float32{0, 2}}, {1, 7, []float32{2, 2}}} {
		if err := v.Set(set.text, set.since, set.vector); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		text        int
		asOf, since int64
		want        []float32
	}{{1, 2, 0, nil}, {1, 3, 3, []float32{1, 0}}, {1, 6, 3, []float32{1, 0}}, {1, 7, 7, []float32{2, 2}}, {0, 4, 0, nil}, {0, 9, 5, []float32{0, 1}}, {2, 9, 0, nil}, {-1, 9, 0, nil}} {
		if got, since := v.Of(c.text, c.asOf); !slices.Equal(got, c.want) || since != c.since {
			t.Errorf("text %d has %v as of %d, since %d; not %v since %d", c.text, got, c.asOf, since, c.want, c.since)
		}
	}
	if !v.Has(0) || !v.Has(1) || v.Has(2) {
		t.Errorf("it has vectors of texts 0 to 2: %t, %t, %t", v.Has(0), v.Has(1), v.Has(2))
	}
	x := New([]Item{{Text: "same"}, {Text: "other"}, {Text: "same"}, {Text: "unnumbered"}}, Config{})
	texts := []int32{1, 0, 1}
	got := Nearest{Snapshot: x.At(Moment{AsOf: 6}), Vectors: &v, Texts: texts}.Rank(Question{Vector: []float32{1, 1}}, 0)
	want := []Hit{{Item: 0, Score: math.Sqrt2 / 2}, {Item: 1, Score: math.Sqrt2 / 2}, {Item: 2, Score: math.Sqrt2 / 2}}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
}

func TestATurnIsComparedWithItsNeighbours(t *testing.T) {
	items := []Item{{Text: "What floats?"}, {Text: "Boats."}, {Text: "not embedded"}, {Text: "Tea."}, {Text: "Rain."}}
	items[4].Session = "another"
	var v Vectors
	for item, vector := range [][]float32{{3, 4}, {0, 1}, nil, {-1, 0}, {4, 3}} {
		if vector != nil {
			if err := v.Set(item, 0, vector); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Of the items in a session of three that have vectors, a step away counts half and two a quarter, but the answer is
	// read with all of its question.
	want := []Hit{
		{Item: 4, Score: 0.8},
		{Item: 0, Score: (0.6 + 0.0/2 - 1.0/8) / (1 + 1.0/2 + 1.0/8)},
		{Item: 1, Score: (0.6 + 0.0 - 1.0/4) / (1 + 1 + 1.0/4)},
	}
	config := Config{Neighbours: 3, Pairs: true}
	got := Nearest{Snapshot: New(items, config).At(Moment{}), Vectors: &v}.Rank(Question{Vector: []float32{1, 0}}, 0)
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	alone := Nearest{Snapshot: New(items, Config{}).At(Moment{}), Vectors: &v}.Rank(Question{Vector: []float32{1, 0}}, 0)
	if diff := cmp.Diff([]Hit{{Item: 4, Score: 0.8}, {Item: 0, Score: 0.6}}, alone, near); diff != "" {
		t.Errorf("hits without neighbours (-want +got):\n%s", diff)
	}
}

// TestManyVectorsAreRankedAsOneByOne holds what several goroutines found, to the last bit, against each product alone.
func TestManyVectorsAreRankedAsOneByOne(t *testing.T) {
	const items, dimensions = 3000, 257
	random := rand.New(rand.NewPCG(3, 4))
	var v Vectors
	question := anyVector(random, dimensions)
	var want []Hit
	for i := range items {
		if err := v.Set(i, 0, anyVector(random, dimensions)); err != nil {
			t.Fatal(err)
		}
		alone := &Snapshot{frame: &frame{order: []int32{int32(i)}}, index: New(nil, Config{})}
		want = append(want, Nearest{Snapshot: alone, Vectors: &v}.Rank(Question{Vector: question}, 0)...)
	}
	sortHits(want)
	s := New(make([]Item, items), Config{}).At(Moment{})
	for _, processors := range []int{1, 2, 7} {
		before := runtime.GOMAXPROCS(processors)
		got := Nearest{Snapshot: s, Vectors: &v}.Rank(Question{Vector: question}, 0)
		runtime.GOMAXPROCS(before)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("on %d processors (-one by one +together):\n%s", processors, diff)
		}
	}
}

func anyVector(random *rand.Rand, dimensions int) []float32 {
	vector := make([]float32, dimensions)
	for i := range vector {
		vector[i] = float32(random.NormFloat64())
	}
	return vector
}

// BenchmarkNearest compares a question with 100,000 vectors, and reports the median and the 99th percentile.
func BenchmarkNearest(b *testing.B) {
	for _, dimensions := range []int{256, 1536} {
		random := rand.New(rand.NewPCG(5, 6))
		var v Vectors
		for i := range many {
			if err := v.Set(i, 0, anyVector(random, dimensions)); err != nil {
				b.Fatal(err)
			}
		}
		s := New(make([]Item, many), Config{}).At(Moment{})
		question := Question{Vector: anyVector(random, dimensions)}
		b.Run(strconv.Itoa(dimensions), func(b *testing.B) {
			measured(b, func() { Nearest{Snapshot: s, Vectors: &v}.Rank(question, 1000) })
			b.ReportMetric(float64(v.Bytes())/many, "bytes/vector")
		})
	}
}
