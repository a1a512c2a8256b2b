package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// streamLimit is how many streams the writer remembers the heads of. A stream
// more, and it forgets them all and looks each up again when it is needed.
const streamLimit = 10_000

// heads is where the journal and its streams end, as the writer's transaction
// sees them. Nobody else appends while the writer's epoch lasts, so they need
// not be asked for again; they are dropped whenever a transaction is undone.
type heads struct {
	position int64
	time     int64 // of the last record, in microseconds since 1970
	streams  map[string]*head
}

// head is where a stream ends: its last record's sequence and hash. Its id is 0
// while it has no records.
type head struct {
	id, sequence int64
	hash         journal.Hash
}

// recall makes sure that the heads are known.
func (w *writer) recall(ctx context.Context, c *connection) error {
	if w.heads != nil && len(w.heads.streams) < streamLimit {
		return nil
	}
	h := &heads{streams: map[string]*head{}}
	err := c.last.QueryRowContext(ctx).Scan(&h.position, &h.time)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	w.heads = h
	return nil
}

// head returns the head of a stream.
func (w *writer) head(ctx context.Context, c *connection, stream string) (*head, error) {
	if h := w.heads.streams[stream]; h != nil {
		return h, nil
	}
	h := &head{}
	err := c.stream.QueryRowContext(ctx, stream).Scan(&h.id, &h.sequence, hashColumn{&h.hash})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	w.heads.streams[stream] = h
	return h, nil
}

// append adds one batch to the transaction, or refuses it: then the refusal is
// in the request, and the transaction is as it was. The error it returns is
// the store's.
func (w *writer) append(ctx context.Context, c *connection, r *request) error {
	b := &r.batch
	h, err := w.head(ctx, c, b.Stream)
	if err != nil {
		return err
	}
	if b.Expected != journal.AnyVersion && b.Expected != h.sequence {
		return refuseVersion(ctx, c, r, h)
	}
	if h.id == 0 {
		if err := c.create(ctx, b.Stream, h); err != nil {
			return err
		}
	}
	if b.Key != "" {
		fresh, err := c.takeKey(ctx, b, h)
		if err != nil {
			return err
		}
		if !fresh {
			r.err, err = c.duplicate(ctx, b, h)
			return err
		}
	}
	return w.write(ctx, c, r, h)
}

// refuseVersion refuses a batch that expects another head, because of its key
// if that was used: the usual caller appends something a second time, and asks
// whether it is there rather than where the stream ends now.
func refuseVersion(ctx context.Context, c *connection, r *request, h *head) error {
	b := &r.batch
	if b.Key != "" {
		duplicate, err := c.duplicate(ctx, b, h)
		if err != nil || duplicate != nil {
			r.err = duplicate
			return err
		}
	}
	r.err = &journal.VersionError{Stream: b.Stream, Expected: b.Expected, Actual: h.sequence}
	return nil
}

// create gives a stream its number. Its first records, and with them its end,
// follow in the same transaction.
func (c *connection) create(ctx context.Context, stream string, h *head) error {
	result, err := c.addStream.ExecContext(ctx, stream)
	if err != nil {
		return err
	}
	h.id, err = result.LastInsertId()
	return err
}

// takeKey stores the batch's key, and reports false if it was there already.
// One statement both asks and stores, because almost every key is new.
func (c *connection) takeKey(ctx context.Context, b *journal.Batch, h *head) (bool, error) {
	result, err := c.addKey.ExecContext(ctx, h.id, b.Key, h.sequence+1, h.sequence+int64(len(b.Events)))
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// duplicate returns the refusal of a batch whose key was used before, or nil.
func (c *connection) duplicate(ctx context.Context, b *journal.Batch, h *head) (refusal, failure error) {
	var span journal.Span
	err := c.key.QueryRowContext(ctx, h.id, b.Key).Scan(&span.First, &span.Last)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &journal.DuplicateKeyError{Stream: b.Stream, Key: b.Key, Span: span}, nil
}

// write adds the batch's events and blobs, which nothing can refuse any more,
// and moves the heads on.
func (w *writer) write(ctx context.Context, c *connection, r *request, h *head) error {
	// A clock that was set back, or that another machine had set forward, must
	// not make the journal's time run backwards.
	now := max(w.clock().UnixMicro(), w.heads.time)
	r.records = make([]journal.Record, 0, len(r.batch.Events))
	for _, e := range r.batch.Events {
		record := journal.Record{
			Stream: r.batch.Stream, Sequence: h.sequence + 1, Time: time.UnixMicro(now).UTC(),
			Epoch: w.epoch, Previous: h.hash, Event: e,
		}
		if err := w.heads.add(ctx, c, h, &record); err != nil {
			return err
		}
		r.records = append(r.records, record)
	}
	if err := c.moveTip(ctx, h); err != nil {
		return err
	}
	for _, blob := range r.batch.Blobs {
		if err := c.storeBlob(ctx, blob); err != nil {
			return err
		}
	}
	return nil
}

// add stores a record at the journal's next position, and moves the heads on to
// it. The stream's end is not stored yet.
func (hs *heads) add(ctx context.Context, c *connection, h *head, r *journal.Record) error {
	r.Position = hs.position + 1
	micros := r.Time.UnixMicro()
	_, err := c.addEvent.ExecContext(ctx, r.Position, h.id, r.Sequence, micros, r.Epoch,
		r.Type, r.Version, r.Subject, string(r.Data), r.Previous[:])
	if err != nil {
		return err
	}
	hs.position, hs.time = r.Position, micros
	h.sequence, h.hash = r.Sequence, r.Hash()
	return nil
}

// moveTip stores where a stream ends now.
func (c *connection) moveTip(ctx context.Context, h *head) error {
	_, err := c.setTip.ExecContext(ctx, h.sequence, h.hash[:], h.id)
	return err
}

func (c *connection) storeBlob(ctx context.Context, blob journal.Blob) error {
	data := blob.Data
	if data == nil {
		data = []byte{} // which SQLite tells from NULL
	}
	_, err := c.addBlob.ExecContext(ctx, blob.Digest, data)
	return err
}
