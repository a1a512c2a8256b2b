// Package story reads a journal as stories: what it tells of each command, from its first event to its last. It judges
// none of them.
package story

import (
	"context"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Story is what the journal tells of one command.
type Story struct {
	Stream, Key string
	Events      []agent.Recorded
}

// Records returns all that a journal holds. Somebody may be writing to it meanwhile.
func Records(ctx context.Context, j journal.Journal) ([]journal.Record, error) {
	const page = 1000
	var all []journal.Record
	for at := journal.Cursor(nil); ; {
		records, err := j.ReadAll(ctx, at, page)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
		if len(records) < page {
			return all, nil
		}
		at = at.After(records)
	}
}

// Of returns the story of each command, in the order in which they were accepted, and the events that cannot be read.
func Of(records []journal.Record) (all []*Story, unreadable []string) {
	byKey := map[string]*Story{}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			unreadable = append(unreadable, fmt.Sprintf("event %d of stream %s: %v", r.Sequence, r.Stream, err))
			continue
		}
		if r.Subject == "" {
			continue // about the agent
		}
		s := byKey[r.Stream+" "+r.Subject]
		if s == nil {
			s = &Story{Stream: r.Stream, Key: r.Subject}
			byKey[r.Stream+" "+r.Subject] = s
			all = append(all, s)
		}
		s.Events = append(s.Events, agent.Recorded{Sequence: r.Sequence, Time: r.Time, Subject: r.Subject, Event: event})
	}
	return all, unreadable
}

// Command returns what became of the command.
func (s *Story) Command() *agent.Command { return agent.Fold(s.Events) }

// Count returns how many events of type E the story has.
func Count[E agent.Event](s *Story) int {
	n := 0
	for _, r := range s.Events {
		if _, ok := r.Event.(E); ok {
			n++
		}
	}
	return n
}
