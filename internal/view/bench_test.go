package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// words that memories are made of: a few common ones, and many that are not.
func sentence(random *rand.Rand, n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint("word", int(float64(20_000)*random.Float64()*random.Float64()*random.Float64()))
	}
	return strings.Join(words, " ")
}

// BenchmarkBuildOverManyMemories measures a context of an agent that remembers a
// hundred thousand things: the memories that suit a question, among other blocks.
// It reports the median and the 99th percentile of single builds.
func BenchmarkBuildOverManyMemories(b *testing.B) {
	const memories, atOnce = 100_000, 500
	w := newWorld(b)
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < memories; i += atOnce {
		batch := journal.Batch{Stream: stream, Expected: journal.AnyVersion}
		for j := range atOnce {
			batch.Events = append(batch.Events, journal.Event(agent.Encode("k", agent.MemorySaved{
				ID: fmt.Sprint("mem-", i+j), Kind: "fact", Content: sentence(random, 20), Importance: 1 + random.IntN(10)})))
		}
		if _, err := w.journal.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	end := w.happen(b, 1)
	d := concierge(4000)
	d.Blocks[0].Memories.Kinds = nil
	request := Request{Definition: d, Stream: stream, Min: end}
	ask := func() {
		request.Question = agent.Question{Conversation: "ada", Text: sentence(random, 10)}
		if _, err := w.builder.Build(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
	ask() // the first one indexes
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		ask()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
