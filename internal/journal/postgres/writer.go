package postgres

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/edict-dev/edict/internal/journal"
)

const (
	// groupLimit is how many batches are committed together at most: more would
	// make the first wait for the last, and save little.
	groupLimit = 64
	// groupBytes ends a group that has grown large.
	groupBytes = 4 << 20
)

// writer is the goroutine that writes to one shard. It never uses a caller's
// context for the database: a caller that gives up must not interrupt the
// transaction that it shares with others.
type writer struct {
	j     *Journal
	shard int
	queue chan *request

	epoch int64        // the writer's goroutine's own: of its last claim, 0 if there was none
	held  atomic.Int64 // the same, and 0 once another has claimed the shard
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

// size is about what the batch weighs in a statement.
func (r *request) size() int {
	n := 0
	for _, e := range r.batch.Events {
		n += len(e.Data)
	}
	for _, b := range r.batch.Blobs {
		n += len(b.Data)
	}
	return n
}

// Claim implements journal.Journal.
func (j *Journal) Claim(ctx context.Context, shard int) (int64, error) {
	if shard < 0 || shard >= shardCount {
		return 0, fmt.Errorf("claim shard %d: there are shards 0 to %d", shard, shardCount-1)
	}
	var epoch int64
	w, err := j.startWriter(shard)
	if err == nil {
		err = j.submit(ctx, w, &request{call: func() (err error) {
			epoch, err = w.claim()
			return err
		}})
	}
	if err != nil {
		return 0, fmt.Errorf("claim shard %d: %w", shard, err)
	}
	return epoch, nil
}

// startWriter returns the shard's writer, after starting it if there is none.
func (j *Journal) startWriter(shard int) (*writer, error) {
	j.closing.RLock()
	defer j.closing.RUnlock()
	if j.isClosed() {
		return nil, journal.ErrClosed
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	w := j.writers[shard]
	if w == nil {
		w = &writer{j: j, shard: shard, queue: make(chan *request, groupLimit)}
		j.writers[shard] = w
		j.working.Go(w.run)
	}
	return w, nil
}

func (w *writer) run() {
	for first := range w.queue {
		w.serve(first)
	}
}

// serve commits what has queued up to the next call, and then makes the call.
func (w *writer) serve(next *request) {
	var group []*request
	size := 0
	for next != nil && next.call == nil {
		group, size = append(group, next), size+next.size()
		next = nil
		if len(group) < groupLimit && size < groupBytes {
			next = w.queued()
		}
	}
	w.commit(w.admit(group))
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

// admit answers the requests whose callers have left, and those that are known
// to be fenced: a shard that was lost stays so until the next claim. It returns
// the others, in place.
func (w *writer) admit(group []*request) []*request {
	admitted := group[:0]
	for _, r := range group {
		if err := r.ctx.Err(); err != nil {
			r.finish(err)
			continue
		}
		if w.epoch == 0 || w.held.Load() == 0 && !r.batch.Late {
			r.finish(journal.ErrFenced)
			continue
		}
		admitted = append(admitted, r)
	}
	return admitted
}

// commit appends the batches of a group in one transaction. A batch that is
// refused leaves nothing behind and does not disturb the others; a failure of
// the store is everybody's.
func (w *writer) commit(group []*request) {
	if len(group) == 0 {
		return
	}
	batches := make([]journal.Batch, len(group))
	for i, r := range group {
		batches[i] = r.batch
	}
	p, err := w.append(batches)
	if err != nil {
		for _, r := range group {
			r.finish(unavailable(err)) // also in place of a refusal: what it was seen against is not known
		}
		return
	}
	if len(p.records) > 0 {
		w.j.tail.advance(w.shard, p.last)
		w.j.notices.tell()
	}
	for i, r := range group {
		r.records = p.answers[i].records
		r.finish(p.answers[i].err)
	}
}
