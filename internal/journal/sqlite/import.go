package sqlite

import (
	"context"
	"fmt"

	"github.com/edict-dev/edict/internal/journal"
)

// How many streams, keys and digests are read from the source at once.
const namePage = 5_000

// Import implements journal.Journal. It takes the lock of the file meanwhile,
// and returns an error that wraps ErrLocked if somebody else holds it. A handle
// that had claimed the journal has to claim it again.
//
// Imported records have epoch 0.
func (j *Journal) Import(ctx context.Context, from journal.Journal) error {
	// It is over only when nothing of it runs any more: who waits for it may then
	// close the source.
	err := j.submit(context.WithoutCancel(ctx), &request{call: func() error { return j.writes.importAll(ctx, from) }})
	if err != nil {
		return fmt.Errorf("import into journal %s: %w", j.path, err)
	}
	return nil
}

// importAll runs in the writer's goroutine, which so appends nothing meanwhile.
func (w *writer) importAll(ctx context.Context, from journal.Journal) error {
	held := w.lock
	if held == nil && !w.shared {
		var err error
		if held, err = w.takeLock(); err != nil {
			return err
		}
		defer held.release()
	}
	i := importer{reading: ctx, from: from}
	err := w.attempt(i.run)
	// Whoever had an epoch has none now, and what it knew of the heads is void.
	w.epoch, w.heads = 0, nil
	if i.refusal != nil {
		return i.refusal
	}
	if err != nil {
		return err
	}
	w.tail.advance(i.heads.position)
	if held != nil {
		_ = held.sign() // what was imported is there; unsigned, the lock only guards it less against being lost
	}
	return nil
}

// importer is one Import. What it does to its own store it does with the
// transaction's context, which nobody cancels.
type importer struct {
	reading context.Context // the caller's, to read the source with
	from    journal.Journal
	heads   heads

	// refusal is why the import cannot be made, other than that this store fails.
	refusal error
}

func (i *importer) run(ctx context.Context, c *connection) error {
	for _, step := range []func(context.Context, *connection) error{i.empty, i.records, i.keys, i.texts} {
		if err := step(ctx, c); err != nil {
			return err
		}
	}
	// No handle that claimed the empty journal may go on with what it knows of it.
	_, err := c.advanceEpoch.ExecContext(ctx)
	return err
}

// refuse ends the transaction with an error that is not this store's.
func (i *importer) refuse(err error) error {
	i.refusal = err
	return err
}

func (i *importer) empty(ctx context.Context, c *connection) error {
	var count int64
	if err := c.count.QueryRowContext(ctx).Scan(&count); err != nil {
		return err
	}
	if count > 0 {
		return i.refuse(journal.ErrNotEmpty)
	}
	return nil
}

func (i *importer) records(ctx context.Context, c *connection) error {
	i.heads.streams = map[string]*head{}
	for r, err := range journal.InOrder(i.reading, i.from) {
		if err != nil {
			return i.refuse(err)
		}
		if err := i.record(ctx, c, r); err != nil {
			return err
		}
	}
	for _, h := range i.heads.streams {
		if err := c.moveTip(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func (i *importer) record(ctx context.Context, c *connection, r journal.Record) error {
	h := i.heads.streams[r.Stream]
	if h == nil {
		h = &head{}
		if err := c.create(ctx, r.Stream, h); err != nil {
			return err
		}
		i.heads.streams[r.Stream] = h
	}
	if r.Sequence != h.sequence+1 || r.Previous != h.hash {
		return i.refuse(fmt.Errorf("%w: event %d of stream %s does not follow event %d",
			journal.ErrCorrupt, r.Sequence, r.Stream, h.sequence))
	}
	r.Epoch = 0 // it was written in none of this journal's
	return i.heads.add(ctx, c, h, &r)
}

func (i *importer) keys(ctx context.Context, c *connection) error {
	for stream, h := range i.heads.streams {
		for after := int64(0); ; {
			page, err := i.from.Keys(i.reading, stream, after, namePage)
			if err != nil {
				return i.refuse(err)
			}
			if len(page) == 0 {
				break
			}
			for _, k := range page {
				if _, err := c.addKey.ExecContext(ctx, h.id, k.Key, k.First, k.Last); err != nil {
					return err
				}
				after = k.First
			}
		}
	}
	return nil
}

func (i *importer) texts(ctx context.Context, c *connection) error {
	for after := ""; ; {
		page, err := i.from.Digests(i.reading, after, namePage)
		if err != nil {
			return i.refuse(err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, digest := range page {
			text, err := i.from.Blob(i.reading, digest)
			if err != nil {
				return i.refuse(err)
			}
			if err := c.storeBlob(ctx, journal.Blob{Digest: digest, Data: text}); err != nil {
				return err
			}
			after = digest
		}
	}
}
