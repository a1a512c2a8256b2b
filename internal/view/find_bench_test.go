package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
)

// saved is a reader of memories, of which each sequence saved one.
type saved []projection.Passage

func (s saved) Passages(_ context.Context, _ string, after, upTo int64) ([]projection.Passage, error) {
	return slices.Clone(s[after:upTo]), nil
}

func (saved) Embedded(context.Context, string, int64, int64) ([]projection.Embedded, error) {
	return nil, nil
}

func (saved) Blob(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }

// BenchmarkFind asks 100,000 memories ten words, each time after one more was saved, and reports the median and the 99th
// percentile. "first" is the search that indexes all of them, with what one memory takes beside its text.
func BenchmarkFind(b *testing.B) {
	const memories = 100_000
	random := rand.New(rand.NewPCG(1, 2))
	words := rand.NewZipf(random, 1.1, 2, 50_000)
	say := func(n int) string {
		var s strings.Builder
		for range n {
			fmt.Fprintf(&s, "w%d ", words.Uint64())
		}
		return s.String()
	}
	var all saved
	for sequence := range int64(2 * memories) {
		all = append(all, projection.Passage{Shelf: projection.Memories, Sequence: sequence + 1, Since: sequence + 1,
			Time: minute(sequence), Text: say(20), Name: fmt.Sprint(sequence), Within: "fact", Importance: 5})
	}
	f := NewFinder(all, all, 0)
	s := Search{AsOf: memories, Shelf: projection.Memories, Ranking: Relevance, Limit: 20}
	b.Run("first", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			f = nil
			runtime.GC()
			runtime.ReadMemStats(&before)
			f = NewFinder(all, all, 0)
			search(b, f, s)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/memories, "bytes/memory")
	})
	search(b, f, s) // where only the others are run
	for _, ranking := range []Ranking{Relevance, Recency, Blended} {
		b.Run(string(ranking), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				s.AsOf, s.Ranking, s.Question = min(s.AsOf+1, int64(len(all))), ranking, say(8)+"last week"
				began := time.Now()
				search(b, f, s)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			for name, part := range map[string]int{"p50-ms": 50, "p99-ms": 99} {
				b.ReportMetric(float64(took[len(took)*part/100].Microseconds())/1000, name)
			}
		})
	}
}

// remembered is a reader of memories that a model has made vectors of, but for the last ones.
type remembered struct {
	saved
	embedded int64
}

func (r remembered) Embedded(_ context.Context, _ string, after, upTo int64) (all []projection.Embedded, err error) {
	for from := after; from < min(upTo, r.embedded); from += 250 {
		e := projection.Embedded{Sequence: from + 1, Model: "meaning-1", Dimensions: 8}
		for _, p := range r.saved[from:min(from+250, upTo, r.embedded)] {
			e.Texts = append(e.Texts, agent.TextDigest(p.Embeddable()))
		}
		all = append(all, e)
	}
	return all, nil
}

// Blob returns vectors enough for one row.
func (r remembered) Blob(context.Context, string) ([]byte, error) {
	return bytes.Repeat([]byte{1}, 250*8*4), nil
}

// BenchmarkUnembedded asks what has no vector of 100,000 memories that all have one, each time after one more was saved.
func BenchmarkUnembedded(b *testing.B) {
	const memories = 100_000
	r := remembered{embedded: memories}
	for sequence := range int64(memories + 10_000) {
		r.saved = append(r.saved, memory(sequence+1, "fact", fmt.Sprint("boat ", sequence)))
	}
	f := NewFinder(r, r, 0)
	ask := func(asOf int64) int {
		texts, err := f.Unembedded(b.Context(), stream, "meaning-1", asOf, 512)
		if err != nil {
			b.Fatal(err)
		}
		return len(texts)
	}
	if missing := ask(memories); missing != 0 {
		b.Fatalf("%d memories have no vector", missing)
	}
	asOf := int64(memories)
	for b.Loop() {
		asOf = min(asOf+1, int64(len(r.saved)))
		if missing := ask(asOf); missing == 0 {
			b.Fatal("the memory that was just saved has no vector")
		}
	}
}
