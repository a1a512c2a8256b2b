package sqlite

import (
	"context"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// pollInterval is how often a waiting handle looks for records that another
// handle, or another process, has appended. Its own wake it at once.
const pollInterval = 200 * time.Millisecond

// tail tells those who wait that the journal has grown.
type tail struct {
	mu    sync.Mutex
	last  int64         // a record with this position is committed
	grown chan struct{} // closed, and replaced, when last grows
}

func newTail(last int64) *tail {
	return &tail{last: last, grown: make(chan struct{})}
}

// advance says that the journal now ends at position, or later.
func (t *tail) advance(position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position <= t.last {
		return
	}
	t.last = position
	close(t.grown)
	t.grown = make(chan struct{})
}

// state returns the last position known, and what is closed at the next.
func (t *tail) state() (int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.grown
}

// Wait implements journal.Journal. Records of this handle's end the wait as
// they are committed, those of another process a fraction of a second later.
func (j *Journal) Wait(ctx context.Context, after journal.Cursor) error {
	for {
		if j.isClosed() {
			return journal.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		last, grown := j.tail.state()
		if last > after.Position(0) {
			return nil
		}
		select {
		case <-grown:
		case <-j.closed:
		case <-ctx.Done():
		case <-time.After(pollInterval):
			if err := j.lookForMore(ctx); err != nil {
				return err
			}
		}
	}
}

func (j *Journal) lookForMore(ctx context.Context) error {
	last, err := j.reads.last(ctx)
	if err != nil {
		return j.readError(err, "wait for records")
	}
	j.tail.advance(last)
	return nil
}
