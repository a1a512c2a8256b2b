package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	// commitTries is how often a group is begun again after its connection broke,
	// or it lost a deadlock, without anything having been written.
	commitTries = 4
	// settleTimeout bounds how long a writer looks for the outcome of a commit
	// whose answer was lost.
	settleTimeout = 10 * time.Second
)

// undoneError says that a transaction is known to be undone, and might do better
// another time.
type undoneError struct{ cause error }

func (e *undoneError) Error() string { return "the transaction was undone: " + e.cause.Error() }
func (e *undoneError) Unwrap() error { return e.cause }

// append decides about the batches and commits what they come to. It returns an
// error if nothing was written, or if what was written cannot be found out.
func (w *writer) append(batches []journal.Batch) (*plan, error) {
	for try := 1; ; try++ {
		p, err := w.attempt(batches)
		var undone *undoneError
		if !errors.As(err, &undone) || try == commitTries {
			return p, err
		}
		w.j.commits.Reset() // whoever cut one connection may have cut the others
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
}

// attempt is one transaction, in two round trips.
func (w *writer) attempt(batches []journal.Batch) (*plan, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	conn, err := w.j.commits.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	// A connection that is lost, or still in a transaction, is not used again.
	defer conn.Release()
	found, err := w.find(ctx, conn.Conn(), batches)
	if err != nil {
		w.j.renew(err)
		return nil, beforeWriting(err)
	}
	p := decide(w.shard, w.epoch, found, batches, w.j.clock().UnixMicro())
	if found.epoch != w.epoch && !defect.SkipFence {
		w.held.Store(0)
	}
	if len(p.records) == 0 {
		_, _ = conn.Exec(ctx, "ROLLBACK") // a transaction that nothing ends ends with its connection
		return p, nil
	}
	err = write(ctx, conn.Conn(), p)
	if err == nil {
		return p, nil
	}
	if isAnswer(err) {
		w.j.renew(err)
		return nil, beforeWriting(err)
	}
	committed, settleErr := w.settle(p)
	switch {
	case settleErr != nil:
		return nil, fmt.Errorf("the connection broke during a commit, and what became of it could not be found out: %w; then: %w", err, settleErr)
	case committed:
		return p, nil
	}
	return nil, &undoneError{err}
}

// beforeWriting says of an error without which nothing can have been written
// whether to try again.
func beforeWriting(err error) error {
	var failure *pgconn.PgError
	deadlock := errors.As(err, &failure) && failure.Code == "40P01"
	if deadlock || isLost(err) {
		return &undoneError{err}
	}
	return err
}

// find begins a transaction, locks the shard, and reads what the batches depend
// on. Each statement sees what was committed before the lock was taken, because
// that is when it begins.
func (w *writer) find(ctx context.Context, conn *pgx.Conn, batches []journal.Batch) (ledger, error) {
	found := ledger{heads: map[string]head{}, spans: map[keyOf]journal.Span{}}
	names := map[string]bool{}
	var streams, keys []string
	for _, b := range batches {
		names[b.Stream] = true
		if b.Key != "" {
			streams, keys = append(streams, b.Stream), append(keys, b.Key)
		}
	}
	trip := &pgx.Batch{}
	trip.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	trip.Queue(`SELECT epoch, last, time FROM journal.shards WHERE shard = $1 FOR UPDATE`, w.shard).
		QueryRow(func(row pgx.Row) error { return row.Scan(&found.epoch, &found.last, &found.time) })
	trip.Queue(`SELECT name, id, head, hash FROM journal.streams WHERE name = ANY($1)`, slices.Collect(maps.Keys(names))).
		Query(func(rows pgx.Rows) error {
			var name string
			var h head
			var hash []byte
			_, err := pgx.ForEachRow(rows, []any{&name, &h.id, &h.sequence, &hash}, func() (err error) {
				h.hash, err = toHash(hash)
				found.heads[name] = h
				return err
			})
			return err
		})
	if len(keys) > 0 {
		trip.Queue(`SELECT wanted.stream, wanted.key, k.first, k.last
			FROM unnest($1::text[], $2::text[]) AS wanted (stream, key)
			JOIN journal.streams s ON s.name = wanted.stream
			JOIN journal.keys k ON k.stream = s.id AND k.key = wanted.key`, streams, keys).
			Query(func(rows pgx.Rows) error {
				var k keyOf
				var span journal.Span
				_, err := pgx.ForEachRow(rows, []any{&k.stream, &k.key, &span.First, &span.Last}, func() error {
					found.spans[k] = span
					return nil
				})
				return err
			})
	}
	err := conn.SendBatch(ctx, trip).Close()
	return found, err
}

// write writes the plan and commits it.
func write(ctx context.Context, conn *pgx.Conn, p *plan) error {
	trip := &pgx.Batch{}
	trip.Queue(`UPDATE journal.shards SET last = $2, time = $3 WHERE shard = $1`, p.shard, p.last, p.time)
	p.queueStreams(trip)
	p.queueEvents(trip)
	p.queueKeys(trip)
	if len(p.blobs) > 0 {
		digests, data := make([]string, len(p.blobs)), make([][]byte, len(p.blobs))
		for i, b := range p.blobs {
			digests[i], data[i] = b.Digest, append([]byte{}, b.Data...) // no bytes are not NULL
		}
		// They are sorted: two shards that store the same texts wait for each
		// other in one direction only.
		trip.Queue(`INSERT INTO journal.blobs (digest, data) SELECT * FROM unnest($1::text[], $2::bytea[])
			ON CONFLICT DO NOTHING`, digests, data)
	}
	trip.Queue("COMMIT")
	return conn.SendBatch(ctx, trip).Close()
}

func (p *plan) queueStreams(trip *pgx.Batch) {
	var ids, heads []int64
	var names, families []string
	var hashes [][]byte
	for name, h := range p.heads {
		ids, heads = append(ids, h.id), append(heads, h.sequence)
		names, families = append(names, name), append(families, journal.Family(name))
		hashes = append(hashes, slices.Clone(h.hash[:]))
	}
	trip.Queue(`INSERT INTO journal.streams (shard, id, name, family, head, hash)
		SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[])
		ON CONFLICT (id) DO UPDATE SET head = excluded.head, hash = excluded.hash`,
		p.shard, ids, names, families, heads, hashes)
}

func (p *plan) queueKeys(trip *pgx.Batch) {
	if len(p.spans) == 0 {
		return
	}
	var streams, firsts, lasts []int64
	var keys []string
	for k, span := range p.spans {
		streams, keys = append(streams, p.heads[k.stream].id), append(keys, k.key)
		firsts, lasts = append(firsts, span.First), append(lasts, span.Last)
	}
	trip.Queue(`INSERT INTO journal.keys (stream, key, first, last)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])`, streams, keys, firsts, lasts)
}

func (p *plan) queueEvents(trip *pgx.Batch) {
	n := len(p.records)
	positions, sequences, times := make([]int64, n), make([]int64, n), make([]int64, n)
	types, subjects, data := make([]string, n), make([]string, n), make([]string, n)
	versions, previous := make([]int32, n), make([][]byte, n)
	for i := range p.records {
		r := &p.records[i]
		positions[i], sequences[i], times[i] = r.Position, r.Sequence, r.Time.UnixMicro()
		types[i], subjects[i], data[i] = r.Type, r.Subject, string(r.Data)
		versions[i], previous[i] = int32(r.Version), r.Previous[:]
	}
	trip.Queue(`INSERT INTO journal.events
		(shard, epoch, position, stream, sequence, time, type, version, subject, data, previous)
		SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
			$7::text[], $8::integer[], $9::text[], $10::text[], $11::bytea[])`,
		p.shard, p.epoch, positions, p.ids, sequences, times, types, versions, subjects, data, previous)
}

// settle finds out whether the plan was committed. The lock of the shard is
// granted only once the transaction that held it is over, one way or the other.
func (w *writer) settle(p *plan) (committed bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.j.patience)
	defer cancel()
	for {
		committed, err = w.committed(ctx, p)
		if err == nil {
			return committed, nil
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// committed looks for the plan's first record. An epoch is one handle's, and
// this handle's writer has written nothing since.
func (w *writer) committed(ctx context.Context, p *plan) (there bool, err error) {
	conn, err := w.j.commits.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	first := p.records[0]
	trip := &pgx.Batch{}
	trip.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	trip.Queue(`SELECT FROM journal.shards WHERE shard = $1 FOR UPDATE`, p.shard)
	trip.Queue(`SELECT EXISTS (SELECT FROM journal.events
		WHERE shard = $1 AND position = $2 AND epoch = $3 AND stream = $4 AND sequence = $5)`,
		p.shard, first.Position, p.epoch, p.ids[0], first.Sequence).
		QueryRow(func(row pgx.Row) error { return row.Scan(&there) })
	trip.Queue("ROLLBACK")
	err = conn.SendBatch(ctx, trip).Close()
	return there, err
}

// claim takes the shard's next epoch. Its answer, too, may be lost, and the
// attempt be carried out later: so each attempt advances the epoch that it has
// seen, and no other.
func (w *writer) claim() (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var epoch int64
	err := again(ctx, w.j.commits, func(ctx context.Context) error {
		for {
			var seen int64
			err := w.j.commits.QueryRow(ctx, `SELECT epoch FROM journal.shards WHERE shard = $1`, w.shard).Scan(&seen)
			if err != nil {
				return err
			}
			tag, err := w.j.commits.Exec(ctx, `UPDATE journal.shards SET epoch = $3 WHERE shard = $1 AND epoch = $2`, w.shard, seen, seen+1)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 1 {
				epoch = seen + 1
				return nil
			}
		}
	})
	if err != nil {
		w.j.renew(err)
		return 0, unavailable(err)
	}
	w.epoch = epoch
	w.held.Store(epoch)
	return epoch, nil
}

// toHash reads a hash as it is stored.
func toHash(stored []byte) (journal.Hash, error) {
	var h journal.Hash
	if len(stored) != len(h) {
		return h, fmt.Errorf("%w: a hash has %d bytes", journal.ErrCorrupt, len(stored))
	}
	copy(h[:], stored)
	return h, nil
}
