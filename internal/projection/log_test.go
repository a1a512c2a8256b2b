package projection

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// memoryLog is a journal's reading half in memory, quick enough for properties.
type memoryLog struct {
	mu      sync.Mutex
	records []journal.Record
	heads   map[string]int64
	grown   chan struct{}
}

func newLog() *memoryLog { return &memoryLog{heads: map[string]int64{}, grown: make(chan struct{})} }

var epoch = time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)

// add appends events about a command, one second apart.
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
	position := int64(3 * (len(l.records) + 1)) // gap-free is not promised
	l.records = append(l.records, journal.Record{
		Position: position, Stream: stream, Sequence: l.heads[stream], Time: epoch.Add(time.Duration(position) * time.Second), Event: e,
	})
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *memoryLog) Head(_ context.Context, stream string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[stream], nil
}

func (l *memoryLog) ReadAll(_ context.Context, after int64, limit int) ([]journal.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := min(after/3, int64(len(l.records)))
	if after%3 != 0 && first < int64(len(l.records)) && l.records[first].Position <= after {
		first++
	}
	return append([]journal.Record(nil), l.records[first:min(int(first)+limit, len(l.records))]...), nil
}

func (l *memoryLog) Wait(ctx context.Context, after int64) error {
	for {
		l.mu.Lock()
		n, grown := len(l.records), l.grown
		l.mu.Unlock()
		if n > 0 && l.records[n-1].Position > after {
			return nil
		}
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
