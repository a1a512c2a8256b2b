package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/journal"
)

// groupLimit is how many batches are committed together at most. A commit
// costs one fsync whatever is in it; more than this makes the first wait for
// the last, and saves little.
const groupLimit = 64

// writer is the goroutine that writes. Its fields belong to that goroutine,
// except the queue, and done, which is closed when it has ended.
//
// It never uses a caller's context for SQLite: a caller that gives up must not
// interrupt the transaction that it shares with others.
type writer struct {
	path   string
	shared bool
	clock  func() time.Time
	tail   *tail
	queue  chan *request
	done   chan struct{}

	db    *sql.DB
	conn  *connection // nil after one had to be thrown away
	lock  *fileLock   // nil before Claim, and always if shared
	epoch int64       // 0 before Claim, and once another has claimed
	heads *heads      // nil if not known
	group []*request  // reused from one commit to the next
}

// request is a batch to append, or a call to make between two commits.
type request struct {
	ctx   context.Context
	batch journal.Batch
	call  func() error

	// The answer; to be read once done is closed.
	done    chan struct{}
	err     error
	records []journal.Record
}

func (r *request) finish(err error) {
	r.err = err
	close(r.done)
}

func newWriter(ctx context.Context, path string, opts Options, tail *tail) (*writer, error) {
	db, err := connectToWrite(path)
	if err != nil {
		return nil, err
	}
	w := &writer{
		path: path, shared: opts.Shared, clock: opts.Clock, tail: tail, db: db,
		queue: make(chan *request, groupLimit), done: make(chan struct{}),
	}
	if err := w.connect(ctx); err != nil {
		return nil, closeAfter(db.Close, diagnose(err))
	}
	go w.run()
	return w, nil
}

// close ends the writer after what is in its queue. Nobody may be sending to
// the queue any more.
func (w *writer) close() error {
	close(w.queue)
	<-w.done
	w.disconnect()
	err := w.db.Close()
	if w.lock != nil {
		w.lock.release()
	}
	return err
}

func (w *writer) run() {
	defer close(w.done)
	for first := range w.queue {
		w.serve(first)
	}
}

// serve commits what has queued up to the next call, and then makes the call.
func (w *writer) serve(next *request) {
	w.group = w.group[:0]
	for next != nil && next.call == nil {
		w.group = append(w.group, next)
		next = nil
		if len(w.group) < groupLimit {
			next = w.queued()
		}
	}
	w.commit(w.group)
	clear(w.group) // do not keep their bytes alive
	if next != nil {
		next.finish(next.call())
	}
}

// queued returns a request that is waiting already, or nil.
func (w *writer) queued() *request {
	select {
	case r := <-w.queue:
		return r
	default:
		return nil
	}
}

// commit appends the batches of a group in one transaction. A batch that is
// refused leaves nothing behind and does not disturb the others; a failure of
// the store is everybody's.
func (w *writer) commit(group []*request) {
	group = dropAbandoned(group)
	if len(group) == 0 {
		return
	}
	err := w.transact(func(ctx context.Context, c *connection) error {
		for _, r := range group {
			if err := w.append(ctx, c, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.tail.advance(w.heads.position)
	}
	for _, r := range group {
		if err != nil {
			r.err = err // also in place of a refusal: what it was seen against is undone
		}
		close(r.done)
	}
}

// dropAbandoned answers the requests whose callers have left, in place.
func dropAbandoned(group []*request) []*request {
	kept := group[:0]
	for _, r := range group {
		if err := r.ctx.Err(); err != nil {
			r.finish(err)
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// claim takes the file's lock, unless the handle has it, and the next epoch.
func (w *writer) claim() (int64, error) {
	if w.lock == nil && !w.shared {
		held, err := w.takeLock()
		if err != nil {
			return 0, err
		}
		if err := held.sign(); err != nil {
			held.release()
			return 0, unavailable(fmt.Errorf("sign lock: %w", err))
		}
		w.lock = held
	}
	var epoch int64
	w.epoch, w.heads = 0, nil
	err := w.attempt(func(ctx context.Context, c *connection) error {
		if _, err := c.advanceEpoch.ExecContext(ctx); err != nil {
			return err
		}
		return c.epoch.QueryRowContext(ctx).Scan(&epoch)
	})
	if err != nil {
		return 0, err
	}
	w.epoch = epoch
	return epoch, nil
}

func (w *writer) takeLock() (*fileLock, error) {
	held, err := lock(w.path)
	if errors.Is(err, ErrLocked) {
		return nil, err
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("lock: %w", err))
	}
	return held, nil
}

// probe writes to the journal without appending to it.
func (w *writer) probe() error {
	return w.transact(func(ctx context.Context, c *connection) error {
		_, err := c.probe.ExecContext(ctx)
		return err
	})
}

// transact runs body in a transaction in which this handle is the writer, or
// returns ErrFenced.
func (w *writer) transact(body func(context.Context, *connection) error) error {
	if w.epoch == 0 {
		return journal.ErrFenced
	}
	err := w.attempt(func(ctx context.Context, c *connection) error {
		var epoch int64
		if err := c.epoch.QueryRowContext(ctx).Scan(&epoch); err != nil {
			return err
		}
		if epoch != w.epoch && !defect.SkipFence {
			return journal.ErrFenced
		}
		if err := w.recall(ctx, c); err != nil {
			return err
		}
		return body(ctx, c)
	})
	if errors.Is(err, journal.ErrFenced) {
		w.epoch = 0 // ask SQLite no more: the answer stays, until the next Claim
	}
	return err
}

// attempt runs body in a transaction. If anything fails, all of it is undone,
// and what the writer remembered with it; an error of SQLite's becomes
// ErrUnavailable, and the next attempt starts afresh.
func (w *writer) attempt(body func(context.Context, *connection) error) error {
	ctx := context.Background()
	if err := w.connect(ctx); err != nil {
		return unavailable(err)
	}
	if _, err := w.conn.begin.ExecContext(ctx); err != nil {
		w.disconnect() // there is nothing to undo, and the next one may do better
		return unavailable(err)
	}
	err := body(ctx, w.conn)
	if err == nil {
		_, err = w.conn.commit.ExecContext(ctx)
	}
	if err == nil {
		return nil
	}
	w.heads = nil
	if _, rollbackErr := w.conn.rollback.ExecContext(ctx); rollbackErr != nil {
		// SQLite has undone it by itself, or the connection is out of order.
		// A new connection is sure to be in no transaction.
		w.disconnect()
	}
	if errors.Is(err, journal.ErrFenced) {
		return err
	}
	return unavailable(err)
}
