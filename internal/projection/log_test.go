package projection

import (
	"context"
	"encoding/json"
	"sort"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// memoryLog is a journal's reading half in memory, quick enough for properties.
type memoryLog struct {
	mu     sync.Mutex
	shards [][]journal.Record
	count  int
	heads  map[string]int64
	grown  chan struct{}
}

func newLog() *memoryLog { return newLogOf(1) }

func newLogOf(shards int) *memoryLog {
	return &memoryLog{shards: make([][]journal.Record, shards), heads: map[string]int64{}, grown: make(chan struct{})}
}

var epoch = time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)

// add appends events about a command, a few seconds apart.
func (l *memoryLog) add(stream, subject string, events ...agent.Event) int64 {
	for _, e := range events {
		l.raw(stream, journal.Event(agent.Encode(subject, e)))
	}
	return l.heads[stream]
}

func (l *memoryLog) raw(stream string, e journal.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads[stream]++
	l.count++
	shard := journal.ShardOf(stream, len(l.shards))
	l.shards[shard] = append(l.shards[shard], journal.Record{
		Shard: shard, Position: int64(3 * (len(l.shards[shard]) + 1)), // gap-free is not promised
		Stream: stream, Sequence: l.heads[stream], Time: epoch.Add(time.Duration(3*l.count) * time.Second), Event: e,
	})
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *memoryLog) Shards() int { return len(l.shards) }

func (l *memoryLog) Head(_ context.Context, stream string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[stream], nil
}

func (l *memoryLog) ReadStream(_ context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []journal.Record
	for _, r := range l.shards[journal.ShardOf(stream, len(l.shards))] {
		if r.Stream == stream && r.Sequence >= from && len(found) < limit {
			found = append(found, r)
		}
	}
	return found, nil
}

// ReadAll takes one record of each shard in turn, so that batches have several shards.
func (l *memoryLog) ReadAll(_ context.Context, after journal.Cursor, limit int) ([]journal.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := make([][]journal.Record, len(l.shards))
	for shard, records := range l.shards {
		position := after.Position(shard)
		rest[shard] = records[sort.Search(len(records), func(i int) bool { return records[i].Position > position }):]
	}
	var found []journal.Record
	for more := true; more; {
		more = false
		for shard := range rest {
			if len(rest[shard]) > 0 && len(found) < limit {
				found = append(found, rest[shard][0])
				rest[shard] = rest[shard][1:]
				more = true
			}
		}
	}
	return found, nil
}

func (l *memoryLog) Wait(ctx context.Context, after journal.Cursor) error {
	for {
		l.mu.Lock()
		grown := l.grown
		for shard, records := range l.shards {
			if n := len(records); n > 0 && records[n-1].Position > after.Position(shard) {
				l.mu.Unlock()
				return nil
			}
		}
		l.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func accept(name, conversation string, intent agent.Intent) agent.CommandAccepted {
	return agent.CommandAccepted{Name: name, Intent: intent, Conversation: conversation}
}

func callIntent(operation, arguments string) agent.Intent {
	return agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: operation, Arguments: json.RawMessage(arguments)})
}
