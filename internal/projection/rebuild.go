package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Rebuild says what it came to that a stream's rows were made anew.
type Rebuild struct {
	Sequence    int64        // of the stream's last record that the compared rows tell of
	Digest      string       // of the rows that were made from the journal
	Previous    string       // of the rows that were there
	Differences []Difference // by table; none: the rows that were there are right, and stay
}

// Difference is in how many rows of a table the two differed. A row that is
// another counts once.
type Difference struct {
	Table string
	Rows  int
}

func (d Difference) String() string {
	if d.Rows == 1 {
		return "1 row of " + d.Table
	}
	return fmt.Sprintf("%d rows of %s", d.Rows, d.Table)
}

// Changed reports whether rows were replaced.
func (r Rebuild) Changed() bool { return len(r.Differences) > 0 }

// String says what differed, for people: "2 rows of memories, 1 row of messages".
func (r Rebuild) String() string {
	texts := make([]string, len(r.Differences))
	for i, d := range r.Differences {
		texts[i] = d.String()
	}
	return strings.Join(texts, ", ")
}

// Rebuild makes the rows of one stream anew from the journal, beside those that
// are there, and compares the two. If they are equal, nothing is written. If they
// differ, the new ones take the place of the old in one transaction, under the
// lock that a batch of the stream's shard takes, and under a new number; see
// Generation. Until then everybody reads the old ones, whole, and so it stays
// after a failure, or if the process ends in between: whoever wants it calls again.
//
// The digests are of the same rows the same on both databases.
//
// A stream with an event that cannot be read is left as it is: that is a fault of
// kind Corrupt. Calls wait for each other. A call ends when the store is closed.
func (s *Store) Rebuild(ctx context.Context, stream string) (Rebuild, error) {
	s.rebuilding.Lock()
	defer s.rebuilding.Unlock()
	ctx, cancel := s.untilClosed(ctx)
	defer cancel()
	made, err := s.rebuild(ctx, stream)
	switch {
	case err == nil:
		return made, nil
	case s.isClosed():
		return Rebuild{}, errClosed
	}
	return Rebuild{}, fmt.Errorf("rebuild the projection of %s: %w", stream, err)
}

func (s *Store) rebuild(ctx context.Context, stream string) (Rebuild, error) {
	first, err := s.log.ReadStream(ctx, stream, 1, 1)
	if err != nil || len(first) == 0 { // of a stream without records there is nothing to tell
		return Rebuild{}, err
	}
	fresh, err := newScratch(ctx, s.db.scratch(), stream)
	if err != nil {
		return Rebuild{}, err
	}
	defer fresh.close()
	there, position, err := s.survey(ctx, fresh.tables, first[0].Shard, stream)
	if err != nil {
		return Rebuild{}, err
	}
	if err := fresh.extend(ctx, s.log, position); err != nil {
		return Rebuild{}, err
	}
	made, err := fresh.survey(ctx)
	if err != nil {
		return Rebuild{}, err
	}
	result := Rebuild{Sequence: fresh.head.sequence, Digest: made.digest(), Previous: there.digest(), Differences: there.differences(made)}
	if !result.Changed() {
		return result, nil
	}
	if err := s.replace(ctx, fresh, first[0].Shard); err != nil {
		return Rebuild{}, err
	}
	s.heads.forget(stream)
	return result, nil
}

var (
	// holdCheckpoint locks a shard as a batch does, and moves nothing. It changes no
	// row if the tables are of another version.
	holdCheckpoint = portable(`UPDATE checkpoints SET position = position WHERE shard = $1
		AND EXISTS (SELECT 1 FROM edict_projection WHERE version = $2)`)
	selectPosition = portable(`SELECT position FROM checkpoints WHERE shard = $1`)
	dropStream     = portable(`DELETE FROM streams WHERE stream = $1`)
)

// survey looks at the rows that are there, all at one moment, and returns with
// what they are how far the stream's shard was projected then.
func (s *Store) survey(ctx context.Context, tables []table, shard int, stream string) (survey, int64, error) {
	var there survey
	var position int64
	err := s.db.snapshot(ctx, func(tx transaction) error {
		var err error
		if position, err = positionOf(tx, shard); err != nil {
			return err
		}
		heads, err := tx.heads([]string{stream})
		if err != nil {
			return err
		}
		there, err = surveyOf(ctx, tx, tables, heads[stream])
		return err
	})
	return there, position, err
}

func positionOf(tx transaction, shard int) (int64, error) {
	rows, err := tx.query(selectPosition, shard)
	positions, err := collect(rows, err, scanOne[int64])
	if err != nil {
		return 0, fmt.Errorf("read the checkpoint of shard %d: %w", shard, err)
	}
	if len(positions) == 0 {
		return 0, errReplaced
	}
	return positions[0], nil
}

// replace puts the rows of a scratch in the place of those that are there. What
// the shard was moved on by meanwhile is added first: most of it before the shard
// is held, and the rest while nobody can move it.
func (s *Store) replace(ctx context.Context, fresh *scratch, shard int) error {
	var position int64
	err := s.db.snapshot(ctx, func(tx transaction) (err error) {
		position, err = positionOf(tx, shard)
		return err
	})
	if err == nil {
		err = fresh.extend(ctx, s.log, position)
	}
	if err != nil {
		return err
	}
	return s.db.transactLong(func(tx transaction) error {
		n, err := tx.execute(holdCheckpoint, shard, schemaVersion)
		if err != nil {
			return fmt.Errorf("hold shard %d: %w", shard, err)
		}
		if n == 0 {
			return errReplaced
		}
		position, err := positionOf(tx, shard)
		if err != nil {
			return err
		}
		if err := fresh.extend(ctx, s.log, position); err != nil {
			return err
		}
		return fresh.copyTo(ctx, tx)
	})
}

// copyTo replaces the stream's rows. That it gets another number tells everybody
// who has kept something of the old ones.
func (f *scratch) copyTo(ctx context.Context, tx transaction) error {
	old, err := tx.heads([]string{f.stream})
	if err != nil {
		return err
	}
	if was := old[f.stream].stream; was > 0 {
		for _, t := range f.tables {
			if _, err := tx.execute(t.remove, was); err != nil {
				return fmt.Errorf("remove the rows of %s: %w", t.name, err)
			}
		}
		if _, err := tx.execute(dropStream, was); err != nil {
			return fmt.Errorf("remove the number of the stream: %w", err)
		}
	}
	now, err := headsOf(tx, []string{f.stream})
	if err != nil {
		return err
	}
	number := now[f.stream].stream
	for _, t := range f.tables {
		if err := f.copyTable(ctx, tx, t, number); err != nil {
			return fmt.Errorf("copy the rows of %s: %w", t.name, err)
		}
	}
	_, err = tx.execute(growStream, f.head.sequence, number)
	return err
}

// copiedAtOnce is how many rows are in memory while they are copied.
const copiedAtOnce = 512

func (f *scratch) copyTable(ctx context.Context, tx transaction, t table, number int64) error {
	var queued []write
	err := each(ctx, f.writer, t, f.head.stream, func(values []any) error {
		queued = append(queued, write{text: t.insert, args: append([]any{number}, values...)})
		if len(queued) < copiedAtOnce {
			return nil
		}
		err := tx.write(queued)
		queued = queued[:0]
		return err
	})
	if err != nil {
		return err
	}
	return tx.write(queued)
}

// each hands the values of each row of a stream, in the order of the table's key
// and without the stream's number, to a function, which may keep them.
func each(ctx context.Context, tx transaction, t table, number int64, do func(values []any) error) (err error) {
	rows, err := tx.query(t.read, number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		values, err := scanAll(rows, len(t.columns))
		if err != nil {
			return err
		}
		if err := do(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanAll(rows *sql.Rows, columns int) ([]any, error) {
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	err := rows.Scan(into...)
	return values, err
}

// Generation returns a number that is another each time that a stream's rows were
// made anew: by Rebuild, or with all tables by Open, in any process. What was kept
// of a stream's rows is good for as long as it is the same. It is 0 while nothing of the stream is projected.
func (s *Store) Generation(ctx context.Context, stream string) (int64, error) {
	h, err := s.head(ctx, stream)
	return h.stream, err
}

// untilClosed returns a context that ends with the store.
func (s *Store) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
