package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/edict-dev/edict/internal/journal"
)

const columns = `e.shard, e.position, s.name, e.sequence, e.time, e.epoch, e.type, e.version, e.subject, e.data, e.previous`

// ReadAll implements journal.Journal. Positions have no gap, so what there is to
// read follows from the counters; a record that is missing is ErrCorrupt.
func (j *Journal) ReadAll(ctx context.Context, after journal.Cursor, limit int) ([]journal.Record, error) {
	records, err := j.readAll(ctx, after, limit)
	if err != nil {
		return nil, j.readError(err, "read all streams")
	}
	return records, nil
}

func (j *Journal) readAll(ctx context.Context, after journal.Cursor, limit int) ([]journal.Record, error) {
	last, err := counters(ctx, j.reads)
	if err != nil {
		return nil, err
	}
	pages := share(last, after, limit, rand.IntN(shardCount))
	if len(pages) == 0 {
		return nil, nil
	}
	var shards []int32
	var firsts, lasts []int64
	want := 0
	for _, p := range pages {
		shards, firsts, lasts = append(shards, int32(p.shard)), append(firsts, p.first), append(lasts, p.last)
		want += int(p.last - p.first + 1)
	}
	records, err := j.records(ctx, want, `SELECT `+columns+`
		FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS page (shard, first, last)
		CROSS JOIN LATERAL (SELECT * FROM journal.events
			WHERE shard = page.shard AND position BETWEEN page.first AND page.last ORDER BY position) e
		LEFT JOIN journal.streams s ON s.id = e.stream ORDER BY e.shard, e.position`, shards, firsts, lasts)
	if err == nil && len(records) != want {
		err = fmt.Errorf("%w: %s", journal.ErrCorrupt, missing(pages, records))
	}
	return records, err
}

// page is a range of positions of a shard, both inclusive.
type page struct {
	shard       int
	first, last int64
}

// share divides a limit among the shards that end behind the cursor. None gets
// more than its part while another wants it. Where there are more shards than
// the limit, start says which one is served first.
func share(last, after journal.Cursor, limit, start int) []page {
	var pages []page
	for i := range last {
		shard := (start + i) % len(last)
		if at := after.Position(shard); last[shard] > at {
			pages = append(pages, page{shard: shard, first: at + 1, last: at})
		}
	}
	pages = pages[:max(0, min(len(pages), limit))]
	for limit > 0 {
		var wanting []*page
		for i := range pages {
			if p := &pages[i]; p.last < last[p.shard] {
				wanting = append(wanting, p)
			}
		}
		if len(wanting) == 0 {
			break
		}
		part := int64(max(1, limit/len(wanting)))
		for _, p := range wanting {
			more := min(part, last[p.shard]-p.last, int64(limit))
			p.last += more
			limit -= int(more)
		}
	}
	return pages
}

// missing names the first record of the pages that is not there.
func missing(pages []page, records []journal.Record) string {
	type at struct {
		shard    int
		position int64
	}
	there := map[at]bool{}
	for _, r := range records {
		there[at{r.Shard, r.Position}] = true
	}
	for _, p := range pages {
		for position := p.first; position <= p.last; position++ {
			if !there[at{p.shard, position}] {
				return fmt.Sprintf("shard %d has no record at position %d", p.shard, position)
			}
		}
	}
	return "there are more records than positions"
}

// ReadStream implements journal.Journal.
func (j *Journal) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	records, err := j.records(ctx, limit, `SELECT `+columns+` FROM journal.streams s JOIN journal.events e ON e.stream = s.id
		WHERE s.name = $1 AND e.sequence >= $2 ORDER BY e.sequence LIMIT $3`, stream, from, max(0, limit))
	if err != nil {
		return nil, j.readError(err, "read %s from sequence %d", stream, from)
	}
	return records, nil
}

// ReadSubject implements journal.Journal.
func (j *Journal) ReadSubject(ctx context.Context, stream, subject string) ([]journal.Record, error) {
	records, err := j.records(ctx, 0, `SELECT `+columns+` FROM journal.streams s JOIN journal.events e ON e.stream = s.id
		WHERE s.name = $1 AND e.subject = $2 ORDER BY e.sequence`, stream, subject)
	if err != nil {
		return nil, j.readError(err, "read %s about %q", stream, subject)
	}
	return records, nil
}

// records runs a query for columns. size is how many records it may return, if
// that is known.
func (j *Journal) records(ctx context.Context, size int, query string, args ...any) ([]journal.Record, error) {
	const most = 4096 // to make room for at once
	var records []journal.Record
	err := again(ctx, j.reads, func(ctx context.Context) error {
		records = make([]journal.Record, 0, max(0, min(size, most)))
		rows, err := j.reads.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRecord(rows)
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

func scanRecord(rows pgx.Rows) (journal.Record, error) {
	var r journal.Record
	var stream *string // NULL if its row is missing
	var micros int64
	var data, previous []byte
	err := rows.Scan(&r.Shard, &r.Position, &stream, &r.Sequence, &micros, &r.Epoch, &r.Type, &r.Version, &r.Subject, &data, &previous)
	if err != nil {
		return r, err
	}
	if stream == nil {
		return r, fmt.Errorf("%w: the stream of position %d in shard %d is missing", journal.ErrCorrupt, r.Position, r.Shard)
	}
	r.Stream, r.Data, r.Time = *stream, data, time.UnixMicro(micros).UTC()
	r.Previous, err = toHash(previous)
	return r, err
}

// Find implements journal.Journal.
func (j *Journal) Find(ctx context.Context, stream, key string) (journal.Span, bool, error) {
	var span journal.Span
	found, err := j.one(ctx, `SELECT k.first, k.last FROM journal.streams s JOIN journal.keys k ON k.stream = s.id
		WHERE s.name = $1 AND k.key = $2`, []any{stream, key}, &span.First, &span.Last)
	if err != nil {
		return journal.Span{}, false, j.readError(err, "find key %q of %s", key, stream)
	}
	return span, found, nil
}

// Head implements journal.Journal.
func (j *Journal) Head(ctx context.Context, stream string) (int64, error) {
	var sequence int64
	if _, err := j.one(ctx, `SELECT head FROM journal.streams WHERE name = $1`, []any{stream}, &sequence); err != nil {
		return 0, j.readError(err, "look for the head of %s", stream)
	}
	return sequence, nil
}

// Blob implements journal.Journal.
func (j *Journal) Blob(ctx context.Context, digest string) ([]byte, error) {
	var data []byte
	found, err := j.one(ctx, `SELECT data FROM journal.blobs WHERE digest = $1`, []any{digest}, &data)
	if err != nil {
		return nil, j.readError(err, "read text %s", digest)
	}
	if !found {
		return nil, fmt.Errorf("read text %s: %w", digest, journal.ErrNoBlob)
	}
	return data, nil
}

// Tips implements journal.Journal.
func (j *Journal) Tips(ctx context.Context, after string, limit int) ([]journal.Tip, error) {
	tips, err := list(ctx, j, func(row pgx.CollectableRow) (t journal.Tip, err error) {
		var hash []byte
		if err := row.Scan(&t.Stream, &t.Sequence, &hash); err != nil {
			return t, err
		}
		t.Hash, err = toHash(hash)
		return t, err
	}, `SELECT name, head, hash FROM journal.streams WHERE name > $1 ORDER BY name LIMIT $2`, after, max(0, limit))
	if err != nil {
		return nil, j.readError(err, "read where streams end")
	}
	return tips, nil
}

// Keys implements journal.Journal.
func (j *Journal) Keys(ctx context.Context, stream string, after int64, limit int) ([]journal.KeySpan, error) {
	keys, err := list(ctx, j, func(row pgx.CollectableRow) (k journal.KeySpan, err error) {
		err = row.Scan(&k.Key, &k.First, &k.Last)
		return k, err
	}, `SELECT k.key, k.first, k.last FROM journal.streams s JOIN journal.keys k ON k.stream = s.id
		WHERE s.name = $1 AND k.first > $2 ORDER BY k.first LIMIT $3`, stream, after, max(0, limit))
	if err != nil {
		return nil, j.readError(err, "read the keys of %s", stream)
	}
	return keys, nil
}

// Digests implements journal.Journal.
func (j *Journal) Digests(ctx context.Context, after string, limit int) ([]string, error) {
	digests, err := list(ctx, j, pgx.RowTo[string],
		`SELECT digest FROM journal.blobs WHERE digest > $1 ORDER BY digest LIMIT $2`, after, max(0, limit))
	if err != nil {
		return nil, j.readError(err, "read digests")
	}
	return digests, nil
}

func list[T any](ctx context.Context, j *Journal, scan pgx.RowToFunc[T], query string, args ...any) (all []T, err error) {
	err = again(ctx, j.reads, func(ctx context.Context) error {
		rows, err := j.reads.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	return all, err
}
