package projection

import (
	"fmt"
	"maps"
	"slices"

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
	growStream = portable(`UPDATE streams SET sequence = $1 WHERE stream = $2`)
	insertStop = portable(`INSERT INTO stops (stream, sequence, type, version, error) VALUES ($1, $2, $3, $4, $5)`)
)

// batch is what a run of records does: the statements that write it, and the
// heads that it leaves.
type batch struct {
	heads  map[string]head // of all streams of the records
	writes []write
	pen    *pen
}

// folded is a record with the change that it makes, or why it cannot be read.
type folded struct {
	*journal.Record
	change     change
	unreadable error
}

func foldAll(records []journal.Record) []folded {
	all := make([]folded, len(records))
	for i := range records {
		made, err := fold(records[i])
		all[i] = folded{Record: &records[i], change: made, unreadable: err}
	}
	return all
}

// plan returns the batch that the records are, on top of their streams' heads and of what stands. It is pure.
func plan(records []folded, heads map[string]head, before standing) batch {
	b := batch{heads: maps.Clone(heads), pen: newPen(before)}
	for _, r := range records {
		b.apply(r)
	}
	b.writes = b.pen.all
	for _, name := range slices.Sorted(maps.Keys(b.heads)) {
		h := b.heads[name]
		b.writes = append(b.writes, write{text: growStream, args: []any{h.sequence, h.stream}})
	}
	return b
}

// apply adds one record. A record that cannot be read stops its stream, and no
// other; what comes after it in that stream is not applied.
func (b *batch) apply(record folded) {
	h := b.heads[record.Stream]
	if h.stop != nil {
		return
	}
	unreadable := record.unreadable
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
		if record.change != nil {
			changes = record.change.writes(place{stream: h.stream, sequence: record.Sequence, time: record.Time.UnixMicro()})
		}
	}
	b.heads[record.Stream] = h
	for _, w := range changes {
		w.of = record.Record
		b.pen.put(w, subject{h.stream, record.Subject})
	}
}
