package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/edict-dev/edict/internal/journal"
)

// pollInterval is how often a waiting handle looks for records that another
// handle has appended, when no notice comes. Its own wake it at once.
const pollInterval = 200 * time.Millisecond

// tail tells those who wait that the journal has grown.
type tail struct {
	mu    sync.Mutex
	last  journal.Cursor // records with these positions are committed
	grown chan struct{}  // closed, and replaced, when last grows
}

func newTail() *tail {
	return &tail{last: make(journal.Cursor, shardCount), grown: make(chan struct{})}
}

// advance says that a shard now ends at position, or later.
func (t *tail) advance(shard int, position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position <= t.last[shard] {
		return
	}
	t.last[shard] = position
	close(t.grown)
	t.grown = make(chan struct{})
}

// state reports whether there is a record behind the cursor, and returns what is
// closed at the next.
func (t *tail) state(after journal.Cursor) (more bool, grown <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for shard, last := range t.last {
		if last > after.Position(shard) {
			more = true
		}
	}
	return more, t.grown
}

// Wait implements journal.Journal. Records of this handle's end the wait as
// they are committed, those of another when its notice comes, or a fraction of a
// second later.
func (j *Journal) Wait(ctx context.Context, after journal.Cursor) error {
	j.notices.listen()
	for due := time.Now(); ; {
		if j.isClosed() {
			return journal.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		more, grown := j.tail.state(after)
		if more {
			return nil
		}
		select {
		case <-grown:
		case <-j.life.Done():
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
			if err := j.tail.refresh(ctx, j.reads); err != nil {
				return j.readError(err, "wait for records")
			}
			due = time.Now().Add(pollInterval)
		}
	}
}

// refresh learns from the database where the shards end.
func (t *tail) refresh(ctx context.Context, db *pgxpool.Pool) error {
	last, err := counters(ctx, db)
	if err != nil {
		return err
	}
	for shard, position := range last {
		t.advance(shard, position)
	}
	return nil
}

// counters returns where each shard ends.
func counters(ctx context.Context, db *pgxpool.Pool) (journal.Cursor, error) {
	last := make(journal.Cursor, shardCount)
	err := again(ctx, db, func(ctx context.Context) error {
		rows, err := db.Query(ctx, `SELECT shard, last FROM journal.shards WHERE shard BETWEEN 0 AND $1`, shardCount-1)
		if err != nil {
			return err
		}
		var shard int
		var position int64
		_, err = pgx.ForEachRow(rows, []any{&shard, &position}, func() error {
			last[shard] = position
			return nil
		})
		return err
	})
	return last, err
}
