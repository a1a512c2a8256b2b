package retrieval

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// language makes texts of words as common as in a language: the n-th word 1/n as often as the first.
type language struct {
	random *rand.Rand
	words  *rand.Zipf
}

func newLanguage() *language {
	random := rand.New(rand.NewPCG(1, 2))
	return &language{random: random, words: rand.NewZipf(random, 1.1, 2, 50_000)}
}

func (l *language) say(words int) string {
	var s strings.Builder
	for range words {
		fmt.Fprintf(&s, "w%d ", l.words.Uint64())
	}
	return s.String()
}

// manyItems are of twenty words each, twenty to a session and a hundred to a day.
func (l *language) manyItems(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{Text: l.say(20), Session: strconv.Itoa(i / 20), Position: i, Since: int64(i), Importance: l.random.Float64(),
			Time: wednesday.AddDate(0, 0, i/100)}
	}
	return items
}

const many = 100_000

// BenchmarkRank asks 100,000 items ten words, two of which name a time: those of conversations, which are read with their
// neighbours, and those that are read alone, as memories are. "fresh" is after one more was added.
func BenchmarkRank(b *testing.B) {
	for name, config := range map[string]Config{"turns": Default(), "memories": Alone()} {
		l := newLanguage()
		items := l.manyItems(many)
		x := New(items, config)
		now := items[many-1].Time
		b.Run(name, func(b *testing.B) {
			measured(b, func() {
				Lexical{x.At(Moment{AsOf: many, Now: now})}.Rank(Question{Text: l.say(8) + "last week"}, 100)
			})
		})
		b.Run(name+"/fresh", func(b *testing.B) {
			measured(b, func() {
				n := x.Add(Item{Text: l.say(20), Time: now, Session: "last", Position: x.Len(), Since: int64(x.Len())})
				Lexical{x.At(Moment{AsOf: int64(n), Now: now})}.Rank(Question{Text: l.say(8) + "last week"}, 100)
			})
		})
		b.Run(name+"/recency", func(b *testing.B) {
			measured(b, func() { Recency{x.At(Moment{AsOf: many, Now: now})}.Rank(Question{}, 100) })
		})
		b.Run(name+"/long question", func(b *testing.B) {
			question := l.say(20_000)
			measured(b, func() {
				Lexical{x.At(Moment{AsOf: many, Now: now})}.Rank(Question{Text: question}, 100)
			})
		})
	}
}

// measured runs f as often as the benchmark says, and reports the median and the 99th percentile beside the mean.
func measured(b *testing.B, f func()) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		f()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for name, part := range map[string]int{"p50-ms": 50, "p99-ms": 99} {
		b.ReportMetric(float64(took[len(took)*part/100].Microseconds())/1000, name)
	}
}

// BenchmarkAdd adds items one after the other, and reports what one takes of the memory.
func BenchmarkAdd(b *testing.B) {
	l := newLanguage()
	items := l.manyItems(max(many, b.N))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := New(nil, Default())
	b.ResetTimer()
	for i := range b.N {
		x.Add(items[i])
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(x.Len()), "bytes/item")
	runtime.KeepAlive(items)
}
