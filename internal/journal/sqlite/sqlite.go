// Package sqlite keeps a journal in one SQLite file, inside the process that
// writes it: nothing to install, nothing to connect to.
//
// One goroutine writes. Whatever has queued while it was writing is committed
// together, so that many callers share one fsync; a lone caller waits for
// nobody. Readers have connections of their own, and neither wait for the
// writer nor hold it up.
//
// An append is durable when Append returns: the write-ahead log is fsynced in
// every commit (synchronous=FULL).
//
// The package knows what package journal says and how SQLite stores it. It
// knows nothing of what the events mean.
package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// Options are how to open a journal. The zero value is what an operator wants.
type Options struct {
	// Clock tells the time of each append. Nil means time.Now.
	Clock func() time.Time

	// Shared leaves out the lock of the file, so that several handles may claim
	// the journal one after another, each fencing the one before. It is for
	// tests of fencing: without it the second Claim is refused before it gets
	// that far.
	Shared bool
}

// Journal is a handle on a journal in an SQLite file. Open returns one.
type Journal struct {
	path   string
	reads  *reader
	writes *writer
	tail   *tail

	closing sync.RWMutex  // held for reading while a request is put into the writer's queue
	closed  chan struct{} // closed by the first Close
}

var _ journal.Journal = (*Journal)(nil)

// Open opens the journal in the file at path, creates it if there is none, and
// brings its schema up to date.
//
// It refuses a file that a newer Edict has written, a file that is not a
// journal or is damaged (journal.ErrCorrupt), and a file that is empty or missing
// although a journal was once claimed there: to begin anew would be to forget
// what has been done, and to do it again.
//
// A handle can read at once. It must Claim before it can append. Any number of
// processes may have the file open, and one of them may have claimed it.
func Open(ctx context.Context, path string, opts Options) (*Journal, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	j, err := open(ctx, absolute, opts)
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return j, nil
}

func open(ctx context.Context, path string, opts Options) (*Journal, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if err := prepare(ctx, path, opts.Shared); err != nil {
		return nil, err
	}
	reads, err := newReader(ctx, path)
	if err != nil {
		return nil, err
	}
	last, err := reads.last(ctx)
	if err != nil {
		return nil, closeAfter(reads.close, err)
	}
	tail := newTail(last)
	writes, err := newWriter(ctx, path, opts, tail)
	if err != nil {
		return nil, closeAfter(reads.close, err)
	}
	return &Journal{path: path, reads: reads, writes: writes, tail: tail, closed: make(chan struct{})}, nil
}

// Shards implements journal.Journal: one process writes a file, so one shard does.
func (j *Journal) Shards() int { return 1 }

// Shard implements journal.Journal.
func (j *Journal) Shard(context.Context, string) (int, error) { return 0, nil }

// Claim implements journal.Journal. It takes the lock of the file first, and
// returns an error that wraps ErrLocked if another process, or another handle
// of this one, holds it. The lock is held until Close, or the process's end.
func (j *Journal) Claim(ctx context.Context, shard int) (int64, error) {
	if shard != 0 {
		return 0, fmt.Errorf("claim journal %s: it has one shard, and none with number %d", j.path, shard)
	}
	var epoch int64
	err := j.submit(ctx, &request{call: func() (err error) {
		epoch, err = j.writes.claim()
		return err
	}})
	if err != nil {
		return 0, fmt.Errorf("claim journal %s: %w", j.path, err)
	}
	return epoch, nil
}

// Append implements journal.Journal. The batch's bytes must not be changed
// afterwards, even if the context has ended: the writer may still read them.
//
// A Late batch is like any other: the lock lets no second writer in while this
// one lives, so that there is none to be late for.
//
// A batch that got ErrUnavailable because its fsync failed can still be in the
// journal if the machine then loses power; append again under the same key.
func (j *Journal) Append(ctx context.Context, batch journal.Batch) ([]journal.Record, error) {
	if err := batch.Validate(); err != nil {
		return nil, fmt.Errorf("append to %s: %w", batch.Stream, err)
	}
	r := &request{batch: batch}
	if err := j.submit(ctx, r); err != nil {
		if isRefusal(err) {
			return nil, err // it names the stream itself
		}
		return nil, fmt.Errorf("append to %s: %w", batch.Stream, err)
	}
	return r.records, nil
}

// Check implements journal.Journal.
func (j *Journal) Check(ctx context.Context) error {
	if err := j.submit(ctx, &request{call: j.writes.probe}); err != nil {
		return fmt.Errorf("check journal %s: %w", j.path, err)
	}
	return nil
}

// Close implements journal.Journal. Appends that have been accepted are
// committed first; whoever waits in Wait gets ErrClosed. A second Close does
// nothing.
func (j *Journal) Close() error {
	j.closing.Lock()
	defer j.closing.Unlock()
	if j.isClosed() {
		return nil
	}
	close(j.closed)
	// The write connection goes last: it empties the write-ahead log into the
	// file and removes it, which a connection that only reads does not.
	err := j.reads.close()
	if writeErr := j.writes.close(); err == nil {
		err = writeErr
	}
	if err != nil {
		return fmt.Errorf("close journal %s: %w", j.path, err)
	}
	return nil
}

func (j *Journal) isClosed() bool {
	select {
	case <-j.closed:
		return true
	default:
		return false
	}
}

// submit hands a request to the writer, and waits for the answer or for the
// end of the context.
func (j *Journal) submit(ctx context.Context, r *request) error {
	r.ctx, r.done = ctx, make(chan struct{})
	if err := j.enqueue(ctx, r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueue holds the lock while it waits for a place, so that Close cannot
// close the queue under it. The writer empties the queue meanwhile.
func (j *Journal) enqueue(ctx context.Context, r *request) error {
	j.closing.RLock()
	defer j.closing.RUnlock()
	if j.isClosed() {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case j.writes.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
