package postgres

import (
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/journal"
)

// ledger is what a writer's transaction finds under the lock of its shard.
type ledger struct {
	epoch int64 // of who claimed the shard last
	last  int64 // position of the shard's last record
	time  int64 // of that record, in microseconds since 1970
	heads map[string]head
	spans map[keyOf]journal.Span // the keys of the group that were used before
}

// head is where a stream ends. The zero value is a stream without records.
type head struct {
	id, sequence int64
	hash         journal.Hash
}

type keyOf struct{ stream, key string }

// plan is what a group of batches comes to: an answer to each, and the rows to
// write if there are any.
type plan struct {
	shard int
	epoch int64 // of the writer, and of every record

	answers []answer // one for each batch

	first, last int64 // positions of the records; last is first-1 if there are none
	time        int64 // of the last record
	records     []journal.Record
	ids         []int64                // of the streams, one for each record
	heads       map[string]head        // of the streams that grew
	spans       map[keyOf]journal.Span // new
	blobs       []journal.Blob         // sorted by digest, each once
}

// answer is a batch's records, or why it was refused.
type answer struct {
	records []journal.Record
	err     error
}

// decide plans the group of a writer that claimed the shard with epoch. It
// changes nothing: a batch that is refused leaves no trace, and does not disturb
// those beside it.
func decide(shard int, epoch int64, found ledger, batches []journal.Batch, now int64) *plan {
	p := &plan{
		shard: shard, epoch: epoch, answers: make([]answer, len(batches)),
		first: found.last + 1, last: found.last, time: found.time,
		heads: map[string]head{}, spans: map[keyOf]journal.Span{},
	}
	fenced := found.epoch != epoch && !defect.SkipFence
	for i, b := range batches {
		if fenced && !b.Late {
			p.answers[i].err = journal.ErrFenced
			continue
		}
		h, grown := p.heads[b.Stream]
		if !grown {
			h = found.heads[b.Stream]
		}
		if err := p.refuse(found, &b, h); err != nil {
			p.answers[i].err = err
			continue
		}
		p.answers[i].records = p.add(&b, h, now)
	}
	slices.SortFunc(p.blobs, func(a, b journal.Blob) int { return strings.Compare(a.Digest, b.Digest) })
	p.blobs = slices.CompactFunc(p.blobs, func(a, b journal.Blob) bool { return a.Digest == b.Digest })
	return p
}

// refuse returns why the batch may not be appended behind h, or nil.
func (p *plan) refuse(found ledger, b *journal.Batch, h head) error {
	if b.Key != "" {
		k := keyOf{b.Stream, b.Key}
		span, used := found.spans[k]
		if !used {
			span, used = p.spans[k]
		}
		if used {
			return &journal.DuplicateKeyError{Stream: b.Stream, Key: b.Key, Span: span}
		}
	}
	if b.Expected != journal.AnyVersion && b.Expected != h.sequence {
		return &journal.VersionError{Stream: b.Stream, Expected: b.Expected, Actual: h.sequence}
	}
	return nil
}

// add gives the batch's events their places behind h.
func (p *plan) add(b *journal.Batch, h head, now int64) []journal.Record {
	// A clock that was set back, or that another machine had set forward, must
	// not make the shard's time run backwards.
	p.time = max(p.time, now)
	if h.id == 0 {
		h.id = streamID(p.shard, p.last+1)
	}
	first := h.sequence + 1
	for _, event := range b.Events {
		p.last++
		h.sequence++
		r := journal.Record{
			Shard: p.shard, Position: p.last, Stream: b.Stream, Sequence: h.sequence,
			Time: time.UnixMicro(p.time).UTC(), Epoch: p.epoch, Previous: h.hash, Event: event,
		}
		h.hash = r.Hash()
		p.records, p.ids = append(p.records, r), append(p.ids, h.id)
	}
	p.heads[b.Stream] = h
	if b.Key != "" {
		p.spans[keyOf{b.Stream, b.Key}] = journal.Span{First: first, Last: h.sequence}
	}
	p.blobs = append(p.blobs, b.Blobs...)
	// The caller may keep and change its own.
	return slices.Clone(p.records[len(p.records)-len(b.Events):])
}

// streamID numbers a stream by its shard and the position of its first record,
// which no other stream has.
func streamID(shard int, first int64) int64 { return first*shardCount + int64(shard) }
