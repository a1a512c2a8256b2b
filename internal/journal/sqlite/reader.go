package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// readConnections is how many reads run side by side. A read is short, and the
// machine has few cores.
const readConnections = 4

// reader is the pool of connections that read, with its statements.
type reader struct {
	db *sql.DB

	all, stream, subject     *sql.Stmt
	head, key, blob, lastOne *sql.Stmt
	tips, keys, digests      *sql.Stmt
}

func newReader(ctx context.Context, path string) (*reader, error) {
	db, err := connectToRead(path, readConnections)
	if err != nil {
		return nil, err
	}
	r := &reader{db: db}
	if err := r.prepare(ctx); err != nil {
		return nil, closeAfter(db.Close, diagnose(err))
	}
	return r, nil
}

func (r *reader) prepare(ctx context.Context) error {
	const (
		// CROSS JOIN keeps SQLite from choosing the other table to begin with.
		columns  = `SELECT e.position, s.name, e.sequence, e.time, e.epoch, e.type, e.version, e.subject, e.data, e.previous `
		ofAll    = columns + `FROM events e CROSS JOIN streams s ON s.id = e.stream `
		ofStream = columns + `FROM streams s CROSS JOIN events e ON e.stream = s.id WHERE s.name = ? `
	)
	statements := []struct {
		into **sql.Stmt
		text string
	}{
		{&r.all, ofAll + `WHERE e.position > ? ORDER BY e.position LIMIT ?`},
		{&r.stream, ofStream + `AND e.sequence >= ? ORDER BY e.sequence LIMIT ?`},
		{&r.subject, ofStream + `AND e.subject = ? ORDER BY e.position`},
		{&r.head, `SELECT sequence FROM streams WHERE name = ?`},
		{&r.key, `SELECT first, last FROM keys WHERE stream = (SELECT id FROM streams WHERE name = ?) AND key = ?`},
		{&r.blob, `SELECT data FROM blobs WHERE digest = ?`},
		{&r.tips, `SELECT name, sequence, hash FROM streams WHERE name > ? ORDER BY name LIMIT ?`},
		{&r.keys, `SELECT key, first, last FROM keys
			WHERE stream = (SELECT id FROM streams WHERE name = ?) AND first > ? ORDER BY first LIMIT ?`},
		{&r.digests, `SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?`},
		{&r.lastOne, `SELECT coalesce(max(position), 0) FROM events`},
	}
	for _, s := range statements {
		statement, err := r.db.PrepareContext(ctx, s.text)
		if err != nil {
			return err
		}
		*s.into = statement
	}
	return nil
}

// close waits for the reads under way. The statements go with their pool.
func (r *reader) close() error { return r.db.Close() }

// last returns the position of the journal's last record, 0 if there is none.
func (r *reader) last(ctx context.Context) (int64, error) {
	var position int64
	err := r.lastOne.QueryRowContext(ctx).Scan(&position)
	return position, diagnose(err)
}

// ReadAll implements journal.Journal.
func (j *Journal) ReadAll(ctx context.Context, after journal.Cursor, limit int) ([]journal.Record, error) {
	records, err := j.read(ctx, j.reads.all, limit, after.Position(0), limit)
	if err != nil {
		return nil, j.readError(err, "read after position %d", after.Position(0))
	}
	return records, nil
}

// ReadStream implements journal.Journal.
func (j *Journal) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	records, err := j.read(ctx, j.reads.stream, limit, stream, from, limit)
	if err != nil {
		return nil, j.readError(err, "read %s from sequence %d", stream, from)
	}
	return records, nil
}

// ReadSubject implements journal.Journal.
func (j *Journal) ReadSubject(ctx context.Context, stream, subject string) ([]journal.Record, error) {
	records, err := j.read(ctx, j.reads.subject, unlimited, stream, subject)
	if err != nil {
		return nil, j.readError(err, "read %s about %q", stream, subject)
	}
	return records, nil
}

// Find implements journal.Journal.
func (j *Journal) Find(ctx context.Context, stream, key string) (journal.Span, bool, error) {
	var span journal.Span
	found, err := j.one(ctx, j.reads.key, []any{stream, key}, &span.First, &span.Last)
	if err != nil {
		return journal.Span{}, false, j.readError(err, "find key %q of %s", key, stream)
	}
	return span, found, nil
}

// Head implements journal.Journal.
func (j *Journal) Head(ctx context.Context, stream string) (int64, error) {
	var sequence int64
	if _, err := j.one(ctx, j.reads.head, []any{stream}, &sequence); err != nil {
		return 0, j.readError(err, "read head of %s", stream)
	}
	return sequence, nil
}

// Blob implements journal.Journal. A text that no longer has its digest is
// journal.ErrCorrupt: SQLite has no checksums of its own.
func (j *Journal) Blob(ctx context.Context, digest string) ([]byte, error) {
	var data []byte
	found, err := j.one(ctx, j.reads.blob, []any{digest}, &data)
	switch {
	case err != nil:
	case !found:
		err = journal.ErrNoBlob
	case journal.Digest(data) != digest:
		err = fmt.Errorf("%w: the text has changed since it was stored", journal.ErrCorrupt)
	}
	if err != nil {
		return nil, j.readError(err, "read blob %s", digest)
	}
	return data, nil
}

// one reads one row, and reports whether there is one.
func (j *Journal) one(ctx context.Context, query *sql.Stmt, args []any, into ...any) (bool, error) {
	if j.isClosed() {
		return false, journal.ErrClosed
	}
	err := query.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// unlimited is the limit of a read that has none.
const unlimited = -1

// read returns the records that a query finds.
func (j *Journal) read(ctx context.Context, query *sql.Stmt, limit int, args ...any) ([]journal.Record, error) {
	return list(ctx, j, limit, scanRecord, query, args...)
}

// scanner reads the columns of a row; it is what (*sql.Rows).Scan does.
type scanner func(into ...any) error

func scanRecord(scan scanner) (r journal.Record, err error) {
	var micros int64
	var data []byte
	err = scan(&r.Position, &r.Stream, &r.Sequence, &micros, &r.Epoch,
		&r.Type, &r.Version, &r.Subject, &data, hashColumn{&r.Previous})
	r.Time, r.Data = time.UnixMicro(micros).UTC(), data
	return r, err
}

// list returns a value for each row that a query finds. The limit is in its
// arguments too; here it tells a query for nothing, which SQLite would take for
// one without a limit.
func list[T any](ctx context.Context, j *Journal, limit int, scan func(scanner) (T, error), query *sql.Stmt, args ...any) ([]T, error) {
	if j.isClosed() {
		return nil, journal.ErrClosed
	}
	if limit <= 0 && limit != unlimited {
		return nil, nil
	}
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []T
	for rows.Next() {
		value, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		found = append(found, value)
	}
	return found, rows.Err()
}

// readError says what was being read, and tells a read that Close overtook.
func (j *Journal) readError(err error, format string, args ...any) error {
	if j.isClosed() {
		err = journal.ErrClosed
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), diagnose(err))
}
