package projection

import (
	"fmt"
	"testing"

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
