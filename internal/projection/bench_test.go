package projection

import (
	"fmt"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// BenchmarkProject measures what one record costs, in batches as large as a
// rebuild has them and as small as quiet operation has them.
func BenchmarkProject(b *testing.B) {
	kinds := map[string]func(log *memoryLog, i int){
		"saveMemory": func(log *memoryLog, i int) {
			key := fmt.Sprint("key-", i)
			log.add(stream, key, accept(key, "", agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "preference", Content: "window seats"})),
				agent.CommandApproved{}, agent.MemorySaved{ID: key, Kind: "preference", Content: "window seats"}, agent.CommandSucceeded{})
		},
		"ask": func(log *memoryLog, i int) {
			key := fmt.Sprint("key-", i)
			log.add(stream, key, accept(key, "ada", agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: "hi"})),
				agent.MessageReceived{Conversation: "ada", Text: "hi"}, agent.CommandApproved{}, agent.ContextBuilt{}, agent.AttemptStarted{},
				agent.DecisionMade{}, agent.ResponseGiven{Conversation: "ada", Text: "hello"}, agent.CommandSucceeded{})
		},
		"callAPI": func(log *memoryLog, i int) {
			key := fmt.Sprint("key-", i)
			log.add(stream, key, accept(key, "ada", callIntent("book", `{"seat":"14A"}`)), agent.CommandApproved{}, agent.AttemptStarted{},
				agent.AttemptSucceeded{Attempt: 1, Result: "booked"}, agent.CommandSucceeded{})
		},
	}
	for store, at := range stores {
		for _, kind := range []string{"saveMemory", "ask", "callAPI"} {
			for _, size := range []int{4, 512} {
				b.Run(fmt.Sprintf("%s/%s/batch=%d", store, kind, size), func(b *testing.B) {
					log := newLog()
					for i := range b.N {
						kinds[kind](log, i)
					}
					s := open(b, at(b), log, Options{Batch: size})
					b.ResetTimer()
					catchUp(b, s)
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(log.count), "ns/record")
				})
			}
		}
	}
}

// BenchmarkRead measures reads of a stream with 100,000 memories, of which a tenth
// was forgotten, and a tenth has expired; with as many commands that have ended, and
// 10,000 chunks of documents.
func BenchmarkRead(b *testing.B) {
	const many = 100_000
	log := newLog()
	for i := range many {
		key := fmt.Sprint("key-", i)
		saved := agent.MemorySaved{ID: key, Kind: []string{"fact", "preference", "plan"}[i%3], Content: fmt.Sprintf("%s: the traveller said what a memory of usual length says about a trip in %d", key, i)}
		if i%10 == 5 {
			saved.TTL = time.Second
		}
		log.add(stream, key, accept(key, "ada", agent.Intent{Type: agent.SaveMemory}), saved, agent.CommandSucceeded{})
		if i%10 == 9 {
			log.add(stream, key, agent.MemoryForgotten{ID: fmt.Sprint("key-", i-3)}, part("rules", fmt.Sprint(i), 1, 1, key), agent.CommandSucceeded{})
		}
	}
	log.add(stream, "open", accept("open", "ada", callIntent("book", `{}`)))
	for store, at := range stores {
		b.Run(store, func(b *testing.B) { readsOf(b, at(b), log) })
	}
}

func readsOf(b *testing.B, where string, log *memoryLog) {
	s, end, ctx := open(b, where, log, Options{}), log.heads[stream], b.Context()
	began := time.Now()
	catchUp(b, s)
	b.Logf("%d records projected, %.0f a second", end, float64(end)/time.Since(began).Seconds())
	if isURL(where) {
		execute(b, where, sqlText{postgres: "ANALYZE"})
	}
	newestAt := func(asOf int64) Scope { return Scope{Stream: stream, AsOf: asOf, Limit: 20} }
	for _, c := range []struct {
		name string
		read func() (int, error)
	}{
		{"Memories", func() (int, error) { all, err := s.Memories(ctx, newestAt(end)); return len(all), err }},
		{"Memories/of two kinds", func() (int, error) { all, err := s.Memories(ctx, newestAt(end), "plan", "fact"); return len(all), err }},
		{"Memories/as of half", func() (int, error) { all, err := s.Memories(ctx, newestAt(end/2)); return len(all), err }},
		{"Pending", func() (int, error) { all, err := s.Pending(ctx, newestAt(end), "ada"); return len(all), err }},
		{"Pending/as of half", func() (int, error) { all, err := s.Pending(ctx, newestAt(end/2+1), "ada"); return len(all), err }},
		{"Chunks", func() (int, error) { all, err := s.Chunks(ctx, newestAt(end)); return len(all), err }},
		{"Chunks/of a collection", func() (int, error) { all, err := s.Chunks(ctx, newestAt(end), "rules"); return len(all), err }},
		{"Passages/of the last 100 records", func() (int, error) { all, err := s.Passages(ctx, stream, end-100, end); return len(all), err }},
		{"Passages/of all", func() (int, error) { all, err := s.Passages(ctx, stream, 0, end); return len(all), err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				var err error
				if rows, err = c.read(); err != nil || rows == 0 {
					b.Fatal(rows, err)
				}
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
}
