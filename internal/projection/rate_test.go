package projection

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// commandsOf returns the events of one command of each kind in turn, as many as real ones have.
func commandsOf(i int) (key string, events []agent.Event) {
	key = fmt.Sprintf("command-%d-%x", i, i*7919)
	said := "What somebody says about a trip, in a sentence or two that are as long as people write them: number " + key + "."
	switch i % 3 {
	case 0:
		return key, []agent.Event{
			accept(key, "ada", agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: said})),
			agent.MessageReceived{Conversation: "ada", Text: said}, agent.CommandApproved{}, agent.ContextBuilt{}, agent.AttemptStarted{},
			agent.DecisionMade{Step: 1}, agent.ResponseGiven{Conversation: "ada", Text: said}, agent.CommandSucceeded{},
		}
	case 1:
		return key, []agent.Event{
			accept(key, "ada", callIntent("book", `{"seat":"14A","flight":"LX8"}`)), agent.CommandApproved{}, agent.AttemptStarted{},
			agent.AttemptSucceeded{Attempt: 1, Result: `{"booking":"` + key + `"}`}, agent.CommandSucceeded{},
		}
	}
	return key, []agent.Event{
		accept(key, "", agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "preference", Content: said})), agent.CommandApproved{},
		agent.MemorySaved{ID: key, Kind: "preference", Content: said}, agent.CommandSucceeded{},
	}
}

// BenchmarkFollow measures a projection from the beginning of a real journal beside
// merely reading the same events, one after the other and in turn.
func BenchmarkFollow(b *testing.B) {
	const commands = 12_000
	b.Run("SQLite", func(b *testing.B) {
		j, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "journal.db"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = j.Close() })
		fill(b, j, commands)
		followAndRead(b, j, inFile)
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		where := inServer(b)
		j, err := postgres.Open(b.Context(), where, postgres.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = j.Close() })
		fill(b, j, commands)
		followAndRead(b, j, inServer)
	})
}

func fill(b *testing.B, j journal.Journal, commands int) {
	b.Helper()
	shard, err := j.Shard(b.Context(), stream)
	if err == nil {
		_, err = j.Claim(b.Context(), shard)
	}
	if err != nil {
		b.Fatal(err)
	}
	var batch journal.Batch
	for i := range commands {
		key, events := commandsOf(i)
		for _, e := range events {
			batch.Events = append(batch.Events, journal.Event(agent.Encode(key, e)))
		}
		if i%50 < 49 && i < commands-1 {
			continue
		}
		batch.Stream, batch.Key = stream, fmt.Sprint("batch-", i)
		if _, err := j.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		batch = journal.Batch{Expected: batch.Expected + int64(len(batch.Events))}
	}
}

func followAndRead(b *testing.B, j journal.Journal, at location) {
	var reading, following time.Duration
	events := 0
	for b.Loop() {
		began := time.Now()
		cursor := make(journal.Cursor, j.Shards())
		events = 0
		for {
			records, err := j.ReadAll(b.Context(), cursor, 512)
			if err != nil {
				b.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			events += len(records)
			for _, r := range records {
				cursor[r.Shard] = r.Position
			}
		}
		reading += time.Since(began)
		s := open(b, at(b), j, Options{})
		began = time.Now()
		catchUp(b, s)
		following += time.Since(began)
	}
	b.ReportMetric(float64(events*b.N)/reading.Seconds(), "read/s")
	b.ReportMetric(float64(events*b.N)/following.Seconds(), "projected/s")
	b.ReportMetric(reading.Seconds()/following.Seconds(), "ratio")
}
