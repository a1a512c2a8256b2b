package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

var (
	// errMoved says that another store moved a checkpoint first: nothing of the
	// batch was applied by this one.
	errMoved = errors.New("another process has projected these records")
	// errReplaced says that the tables are no longer this program's.
	errReplaced = fault.NewConflict("ProjectionReplaced",
		"another version of Edict has made the projection anew, with a schema of its own; run one version against one database")
)

// patrolEvery is how often a store looks for shards that nobody projects.
const patrolEvery = 2 * time.Second

// Follow projects the journal from the checkpoints on until the context ends or
// the store is closed, which is no error. After any other error it may be called
// again, and goes on where it was: a batch and its checkpoints are committed
// together. Only one call runs at a time.
//
// It begins by reading the checkpoints, so that a store that was opened long ago
// goes on where another process has left the tables.
func (s *Store) Follow(ctx context.Context) error {
	if !s.following.TryLock() {
		return errors.New("the projection is followed already")
	}
	defer s.following.Unlock()
	ctx, cancel := s.untilClosed(ctx)
	defer s.course.rest()
	defer cancel()
	err := s.restore(ctx)
	for looked := time.Now(); err == nil; {
		err = s.proceed(ctx, &looked)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("project the journal: %w", err)
}

// proceed projects one batch, and rests if the journal holds no more.
func (s *Store) proceed(ctx context.Context, looked *time.Time) error {
	if s.db.shared() && time.Since(*looked) >= s.patrolEvery {
		if err := s.patrol(ctx); err != nil {
			return err
		}
		*looked = time.Now()
	}
	n, err := s.advance(ctx)
	if err != nil || n == s.options.Batch {
		return err
	}
	return s.rest(ctx)
}

// rest waits for the journal to grow, for other shards to project, or for the next patrol.
func (s *Store) rest(ctx context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := s.course.changed
	var patrol <-chan time.Time
	if s.db.shared() {
		timer := time.NewTimer(s.patrolEvery)
		defer timer.Stop()
		patrol = timer.C
	}
	go func() {
		defer cancel()
		select {
		case <-changed:
		case <-patrol:
		case <-waiting.Done():
		}
	}()
	err := s.log.Wait(waiting, s.course.cursor())
	if waiting.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// advance projects one batch, and returns how many records it had. If another
// store was first, it returns as if it had projected them itself.
func (s *Store) advance(ctx context.Context) (int, error) {
	if err := s.assign(ctx); err != nil {
		return 0, err
	}
	now := s.read(ctx)
	if now.err != nil {
		return 0, fmt.Errorf("read the journal after %v: %w", now.cursor, now.err)
	}
	if len(now.records) == 0 {
		return 0, nil
	}
	if ctx.Err() != nil { // the store may be closing
		return 0, ctx.Err()
	}
	if len(now.records) == s.options.Batch {
		s.course.ahead = s.begin(ctx, now.end())
	}
	err := s.project(now)
	if errors.Is(err, errMoved) {
		err = s.restore(ctx)
	}
	return len(now.records), err
}

// project commits one batch with its checkpoints.
func (s *Store) project(now *reading) error {
	records := now.records
	moved := moves(s.course.checkpoints, records)
	var done batch
	err := s.db.transact(func(tx transaction) error {
		for _, m := range moved { // first, because each holds its shard until the end
			if err := m.apply(tx); err != nil {
				return err
			}
		}
		known, err := headsOf(tx, streamsOf(records))
		if err != nil {
			return err
		}
		before, err := standingIn(tx, now.changes, known)
		if err != nil {
			return err
		}
		done = plan(now.changes, known, before)
		if err := tx.write(done.writes); err != nil {
			return err
		}
		failpoint.Hit(failpoint.ProjectionCommit)
		return nil
	})
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.Projected)
	for _, m := range moved {
		s.course.checkpoints[m.to.shard] = m.to
	}
	s.heads.publish(done.heads)
	s.options.OnChange(slices.Sorted(maps.Keys(done.heads)))
	return nil
}

// streamsOf returns the names of the records' streams, sorted.
func streamsOf(records []journal.Record) []string {
	names := map[string]bool{}
	for _, r := range records {
		names[r.Stream] = true
	}
	return slices.Sorted(maps.Keys(names))
}
