package postgres

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/edict-dev/edict/internal/journal"
)

// importPage is how many streams, keys or digests are asked for at once.
const importPage = 500

// Import implements journal.Journal.
func (j *Journal) Import(ctx context.Context, from journal.Journal) error {
	if j.isClosed() {
		return fmt.Errorf("import: %w", journal.ErrClosed)
	}
	err := pgx.BeginTxFunc(ctx, j.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		i := &importer{ctx: ctx, tx: tx, from: from, heads: map[string]head{}}
		return i.run()
	})
	if err != nil {
		return j.readError(err, "import")
	}
	j.notices.tell()
	return nil
}

// importer copies a journal in one transaction.
type importer struct {
	ctx  context.Context
	tx   pgx.Tx
	from journal.Journal

	shards [shardCount]struct{ epoch, last, time int64 }
	heads  map[string]head // of the streams seen so far
}

func (i *importer) run() error {
	// It takes as long as it takes, and the other journal may be slow.
	const patience = `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`
	if _, err := i.tx.Exec(i.ctx, patience); err != nil {
		return err
	}
	for _, step := range []func() error{i.lock, i.copyEvents, i.compareTips, i.copyStreams, i.copyKeys, i.copyBlobs, i.moveShards} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// lock takes every shard, so that nobody appends meanwhile, and makes sure that
// nobody has before.
func (i *importer) lock() error {
	rows, err := i.tx.Query(i.ctx, `SELECT shard, epoch, last FROM journal.shards ORDER BY shard FOR UPDATE`)
	if err != nil {
		return err
	}
	var shard int
	var epoch, last int64
	_, err = pgx.ForEachRow(rows, []any{&shard, &epoch, &last}, func() error {
		if last > 0 {
			return journal.ErrNotEmpty
		}
		i.shards[shard].epoch = epoch
		return nil
	})
	return err
}

// copyEvents copies every record, and checks the sequences and the chain of each
// stream on the way.
func (i *importer) copyEvents() error {
	next, stop := iter.Pull2(journal.InOrder(i.ctx, i.from))
	defer stop()
	return i.copy("events",
		[]string{"shard", "position", "stream", "sequence", "time", "epoch", "type", "version", "subject", "data", "previous"},
		func() ([]any, error) {
			r, err, more := next()
			if err != nil || !more {
				return nil, err
			}
			return i.row(r)
		})
}

// copy writes rows until next returns none. The driver gives an error of next's
// to the server, and returns only what the server makes of it.
func (i *importer) copy(table string, columns []string, next func() ([]any, error)) error {
	var failure error
	_, err := i.tx.CopyFrom(i.ctx, pgx.Identifier{"journal", table}, columns, pgx.CopyFromFunc(func() (row []any, err error) {
		row, failure = next()
		return row, failure
	}))
	if failure != nil {
		return failure
	}
	return err
}

// row gives a record its place in this journal.
func (i *importer) row(r journal.Record) ([]any, error) {
	h := i.heads[r.Stream]
	if r.Sequence != h.sequence+1 || r.Previous != h.hash {
		return nil, fmt.Errorf("%w: sequence %d of %s does not follow %d", journal.ErrCorrupt, r.Sequence, r.Stream, h.sequence)
	}
	// A name that is too long for this store is told, not cut.
	if err := validate(journal.Batch{Stream: r.Stream, Events: []journal.Event{r.Event}}); err != nil {
		return nil, fmt.Errorf("sequence %d of %s: %w", r.Sequence, r.Stream, err)
	}
	number := journal.ShardOf(r.Stream, shardCount)
	shard := &i.shards[number]
	shard.last++
	shard.time = max(shard.time, r.Time.UnixMicro())
	if h.id == 0 {
		h.id = streamID(number, shard.last)
	}
	h.sequence, h.hash = r.Sequence, r.Hash()
	i.heads[r.Stream] = h
	return []any{number, shard.last, h.id, r.Sequence, r.Time.UnixMicro(), shard.epoch,
		r.Type, r.Version, r.Subject, string(r.Data), r.Previous[:]}, nil
}

// compareTips makes sure that what was read is all that the other journal says
// it has: one that is still written to, or that lost its end, is not imported.
func (i *importer) compareTips() error {
	seen := 0
	for after := ""; ; {
		tips, err := i.from.Tips(i.ctx, after, importPage)
		if err != nil {
			return err
		}
		if len(tips) == 0 {
			break
		}
		for _, tip := range tips {
			if h := i.heads[tip.Stream]; h.sequence != tip.Sequence || h.hash != tip.Hash {
				return fmt.Errorf("%w: %s ends at sequence %d, and its records at %d; is somebody still writing to it?",
					journal.ErrCorrupt, tip.Stream, tip.Sequence, h.sequence)
			}
			after = tip.Stream
		}
		seen += len(tips)
	}
	if seen != len(i.heads) {
		return fmt.Errorf("%w: it lists %d streams, and has records of %d", journal.ErrCorrupt, seen, len(i.heads))
	}
	return nil
}

func (i *importer) copyStreams() error {
	rows := make([][]any, 0, len(i.heads))
	for name, h := range i.heads {
		rows = append(rows, []any{h.id, name, journal.Family(name), journal.ShardOf(name, shardCount), h.sequence, h.hash[:]})
	}
	// What is in rows is all there is: there is no source to fail.
	_, err := i.tx.CopyFrom(i.ctx, pgx.Identifier{"journal", "streams"},
		[]string{"id", "name", "family", "shard", "head", "hash"}, pgx.CopyFromRows(rows))
	return err
}

func (i *importer) copyKeys() error {
	for stream, h := range i.heads {
		after := int64(0)
		source := &pages[journal.KeySpan]{next: func() ([]journal.KeySpan, error) {
			keys, err := i.from.Keys(i.ctx, stream, after, importPage)
			if len(keys) > 0 {
				after = keys[len(keys)-1].First
			}
			return keys, err
		}}
		err := i.copy("keys", []string{"stream", "key", "first", "last"}, func() ([]any, error) {
			k, more, err := source.take()
			if err != nil || !more {
				return nil, err
			}
			if len(k.Key) > MaxName || k.First < 1 || k.Last < k.First || k.Last > h.sequence {
				return nil, fmt.Errorf("%w: a key of %s has %d bytes and stands for sequences %d to %d of %d",
					journal.ErrCorrupt, stream, len(k.Key), k.First, k.Last, h.sequence)
			}
			return []any{h.id, k.Key, k.First, k.Last}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyBlobs copies the texts, and also those that are there already, which a
// journal without records may have.
func (i *importer) copyBlobs() error {
	for after := ""; ; {
		digests, err := i.from.Digests(i.ctx, after, importPage)
		if err != nil || len(digests) == 0 {
			return err
		}
		for _, digest := range digests {
			data, err := i.from.Blob(i.ctx, digest)
			if err != nil {
				return err
			}
			if journal.Digest(data) != digest {
				return fmt.Errorf("%w: text %s has another digest", journal.ErrCorrupt, digest)
			}
			const insert = `INSERT INTO journal.blobs (digest, data) VALUES ($1, $2) ON CONFLICT DO NOTHING`
			if _, err := i.tx.Exec(i.ctx, insert, digest, append([]byte{}, data...)); err != nil {
				return err
			}
			after = digest
		}
	}
}

func (i *importer) moveShards() error {
	for number, shard := range i.shards {
		_, err := i.tx.Exec(i.ctx, `UPDATE journal.shards SET last = $2, time = $3 WHERE shard = $1`, number, shard.last, shard.time)
		if err != nil {
			return err
		}
	}
	return nil
}

// pages hands out one by one what is asked for by the page.
type pages[T any] struct {
	next func() ([]T, error)
	page []T
}

// take returns the next, and false after the last.
func (p *pages[T]) take() (one T, ok bool, err error) {
	if len(p.page) == 0 {
		if p.page, err = p.next(); err != nil || len(p.page) == 0 {
			return one, false, err
		}
	}
	one, p.page = p.page[0], p.page[1:]
	return one, true, nil
}
