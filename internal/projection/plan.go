package projection

import (
	"fmt"
	"maps"
	"slices"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// place is where a change happened.
type place struct {
	stream   int64 // the stream's number
	sequence int64
	time     int64 // microseconds since 1970
}

// write is one statement of a batch.
type write struct {
	text sqlText
	args []any
	of   *journal.Record // what asks for it; nil: the batch itself
}

func (w write) failed(err error) error {
	if w.of == nil {
		return err
	}
	return fmt.Errorf("write what %s of %s at sequence %d changes: %w", w.of.Type, w.of.Stream, w.of.Sequence, err)
}

var (
	insertMessage = portable(`INSERT INTO messages (stream, conversation, sequence, time, role, text, command) VALUES ($1, $2, $3, $4, $5, $6, $7)`)
	endMessages   = portable(`UPDATE messages INDEXED BY messages_by_command SET since = $1 WHERE stream = $2 AND command = $3 AND since = 0`)
	// What was past stays so as of every sequence before, and a copy waits for the ask's next end.
	closeMessages = portable(`UPDATE messages INDEXED BY messages_by_command SET reopened = $1
		WHERE stream = $2 AND command = $3 AND since > 0 AND reopened = 0`)
	reopenMessages = portable(`INSERT INTO messages (stream, conversation, sequence, time, role, text, command)
		SELECT stream, conversation, sequence, time, role, text, command
		FROM messages INDEXED BY messages_by_command WHERE stream = $2 AND command = $3 AND reopened = $1`)
	insertMemory  = portable(`INSERT INTO memories (stream, sequence, time, id, kind, content) VALUES ($1, $2, $3, $4, $5, $6)`)
	forgetMemory  = portable(`UPDATE memories INDEXED BY memories_by_id SET forgotten = $1 WHERE stream = $2 AND id = $3 AND forgotten = 0`)
	insertCall    = portable(`INSERT INTO calls (stream, key, name, operation, arguments, conversation, issuedBy) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`)
	replaceResult = portable(`UPDATE results INDEXED BY results_by_key SET replaced = $1 WHERE stream = $2 AND key = $3 AND replaced = 0`)
	insertResult  = portable(`INSERT INTO results (stream, conversation, sequence, time, key, phase, reason, status, text)
		SELECT stream, conversation, $1, $2, key, $3, $4, $5, $6 FROM calls WHERE stream = $7 AND key = $8`)
	growStream = portable(`UPDATE streams SET sequence = $1 WHERE stream = $2`)
	insertStop = portable(`INSERT INTO stops (stream, sequence, type, version, error) VALUES ($1, $2, $3, $4, $5)`)
)

func (c messageAdded) writes(at place) []write {
	added := []write{{text: insertMessage, args: []any{at.stream, c.conversation, at.sequence, at.time, string(c.role), c.text, c.command}}}
	if c.role == User {
		return added
	}
	return append(added, write{text: endMessages, args: []any{at.sequence, at.stream, c.command}})
}

func (c askReopened) writes(at place) []write {
	args := []any{at.sequence, at.stream, c.key}
	return []write{{text: closeMessages, args: args}, {text: reopenMessages, args: args}}
}

func (c memoryAdded) writes(at place) []write {
	// An id that is saved again stands for what was saved last.
	return append(memoryForgotten{id: c.id}.writes(at),
		write{text: insertMemory, args: []any{at.stream, at.sequence, at.time, c.id, c.kind, c.content}})
}

func (c memoryForgotten) writes(at place) []write {
	return []write{{text: forgetMemory, args: []any{at.sequence, at.stream, c.id}}}
}

func (c callAccepted) writes(at place) []write {
	return []write{{text: insertCall, args: []any{at.stream, c.key, c.name, c.operation, c.arguments, c.conversation, c.issuedBy}}}
}

func (c callEnded) writes(at place) []write {
	var all []write
	if c.phase != agent.Succeeded { // an ask that succeeds ends with its response
		all = append(all, write{text: endMessages, args: []any{at.sequence, at.stream, c.key}})
	}
	return append(all,
		write{text: replaceResult, args: []any{at.sequence, at.stream, c.key}},
		write{text: insertResult, args: []any{at.sequence, at.time, string(c.phase), c.reason, c.status, c.text, at.stream, c.key}})
}

// batch is what a run of records does: the statements that write it, and the
// heads that it leaves.
type batch struct {
	heads  map[string]head // of all streams of the records
	writes []write
}

// plan returns the batch that the records are, on top of their streams' heads. It is pure.
func plan(records []journal.Record, heads map[string]head) batch {
	b := batch{heads: maps.Clone(heads)}
	for i := range records {
		b.apply(&records[i])
	}
	for _, name := range slices.Sorted(maps.Keys(b.heads)) {
		h := b.heads[name]
		b.writes = append(b.writes, write{text: growStream, args: []any{h.sequence, h.stream}})
	}
	return b
}

// apply adds one record. A record that cannot be read stops its stream, and no
// other; what comes after it in that stream is not applied.
func (b *batch) apply(record *journal.Record) {
	h := b.heads[record.Stream]
	if h.stop != nil {
		return
	}
	made, unreadable := fold(*record)
	if record.Sequence != h.sequence+1 {
		unreadable = fmt.Errorf("it follows on sequence %d", h.sequence)
	}
	var changes []write
	switch {
	case unreadable != nil:
		h.stop = &stop{sequence: record.Sequence, kind: record.Type, version: record.Version, cause: unreadable.Error()}
		changes = []write{{text: insertStop, args: []any{h.stream, h.stop.sequence, h.stop.kind, h.stop.version, h.stop.cause}}}
	default:
		h.sequence = record.Sequence
		if made != nil {
			changes = made.writes(place{stream: h.stream, sequence: record.Sequence, time: record.Time.UnixMicro()})
		}
	}
	b.heads[record.Stream] = h
	for _, w := range changes {
		w.of = record
		b.writes = append(b.writes, w)
	}
}
