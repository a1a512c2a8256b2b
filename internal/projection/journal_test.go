package projection

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
)

// As in production: the journal and its projection in one database, each process
// with its own handle on both, and with shards of its own.
func TestProcessesShareTheDatabaseOfTheJournal(t *testing.T) {
	where := inServer(t)
	var now atomic.Int64
	openJournal := func() *postgres.Journal {
		j, err := postgres.Open(t.Context(), where, postgres.Options{Clock: func() time.Time { return time.UnixMicro(now.Load()).UTC() }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		return j
	}
	writer, second := openJournal(), openJournal()
	a, b := open(t, where, writer, Options{}), open(t, where, second, Options{Batch: 3})
	var even, odd []int
	for shard := range writer.Shards() {
		if _, err := writer.Claim(t.Context(), shard); err != nil {
			t.Fatal(err)
		}
		if shard%2 == 0 {
			even = append(even, shard)
		} else {
			odd = append(odd, shard)
		}
	}
	a.Project(even)
	b.Project(append(odd, 0, 2, 4)) // it has not heard yet that these are not its own
	following(t, a)
	following(t, b)

	log := newLog() // what the journal holds, as it is told
	for i := range 60 {
		name, key := fmt.Sprintf("travel/agent-%d", i%6), fmt.Sprint("key-", i)
		log.add(name, key, agent.MessageReceived{Conversation: "ada", Text: key}, agent.ResponseGiven{Conversation: "ada", Text: key},
			agent.MemorySaved{ID: fmt.Sprint(i % 5), Content: key})
	}
	for _, r := range log.shards[0] {
		now.Store(r.Time.UnixMicro())
		if _, err := writer.Append(t.Context(), journal.Batch{Stream: r.Stream, Expected: r.Sequence - 1, Events: []journal.Event{r.Event}}); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, a, log)
	wait(t, b, log)
	sameAsFresh(t, a, inFile, log)
	sameAsFresh(t, b, inFile, log)
	if again := open(t, where, second, Options{}); again.Rebuilt() != "" {
		t.Errorf("the projection of the same journal was dropped: %s", again.Rebuilt())
	}
}
