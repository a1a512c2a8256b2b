package projection

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/edict-dev/edict/internal/journal"
)

// share is the shards that a store was told to project.
type share struct {
	mu      sync.Mutex
	all     bool
	shards  map[int]bool
	changed chan struct{} // closed, and replaced, at each change
}

func newShare() *share { return &share{all: true, changed: make(chan struct{})} }

// Project says which shards Follow projects from now on, also while it runs; nil
// means all, which is the default. Two stores may project the same shard for a
// while: each record is applied once. In PostgreSQL a store also takes up a shard
// that nobody has projected for some seconds, until another store does.
func (s *Store) Project(shards []int) {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.share.all = shards == nil
	s.share.shards = map[int]bool{}
	for _, shard := range shards {
		s.share.shards[shard] = true
	}
	close(s.share.changed)
	s.share.changed = make(chan struct{})
}

// get returns which shards the store was told to project, and what is closed at
// the next change. Nobody changes the map.
func (s *share) get() (all bool, shards map[int]bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all, s.shards, s.changed
}

// mine reports whether a shard is this store's to project at the moment.
func (c *course) mine(shard int) bool { return c.all || c.shards[shard] || c.adopted[shard] }

// course is what Follow goes by. It belongs to who holds Store.following.
type course struct {
	checkpoints []checkpoint // by shard
	all         bool
	shards      map[int]bool
	changed     <-chan struct{}

	// The shards that nobody else projects, and how it was found out: the
	// checkpoints at the last patrol, and who of them was behind the journal.
	adopted map[int]bool
	seen    []checkpoint
	overdue map[int]bool

	ahead *reading // nil: nothing is read ahead
}

// patrol looks for shards that nobody projects: that at two looks in turn were
// behind the journal, and stood still. Between them lies Store.patrolEvery.
func (s *Store) patrol(ctx context.Context) error {
	if err := s.restore(ctx); err != nil {
		return err
	}
	c := &s.course
	seen := c.seen
	c.seen = slices.Clone(c.checkpoints)
	still := func(shard int) bool { return shard < len(seen) && seen[shard] == c.checkpoints[shard] }
	records, err := s.log.ReadAll(ctx, behind(c.checkpoints, func(shard int) bool { return !c.mine(shard) && still(shard) }), s.options.Batch)
	if err != nil {
		return fmt.Errorf("look for shards that nobody projects: %w", err)
	}
	overdue := map[int]bool{}
	for _, r := range records {
		if c.overdue[r.Shard] {
			c.adopted[r.Shard] = true
		}
		overdue[r.Shard] = true
	}
	c.overdue = overdue
	return nil
}

// restore reads the checkpoints. A shard that another store has moved is given
// back, if it was only adopted. What is known of heads is forgotten if it may be
// too much: when a checkpoint went back, or one of this store's is not where it
// left it.
func (s *Store) restore(ctx context.Context) error {
	rows, err := s.db.query(ctx, selectCheckpoints, schemaVersion)
	found, err := collect(rows, err, scanCheckpoint)
	if err != nil {
		return fmt.Errorf("read the checkpoints: %w", err)
	}
	if len(found) != s.log.Shards() { // also none, in tables of another version
		return errReplaced
	}
	c := &s.course
	doubtful := false
	for i, before := range c.checkpoints {
		now := found[i]
		doubtful = doubtful || now.position < before.position || c.mine(i) && now != before
		if now != before {
			delete(c.adopted, i)
		}
	}
	c.checkpoints = found
	if doubtful {
		s.heads.forget()
	}
	return nil
}

// assign takes over what Project said. Other stores may have moved shards that
// were not this store's.
func (s *Store) assign(ctx context.Context) error {
	c := &s.course
	all, shards, changed := s.share.get()
	if changed == c.changed {
		return nil
	}
	if err := s.restore(ctx); err != nil {
		return err
	}
	c.all, c.shards, c.changed = all, shards, changed
	maps.DeleteFunc(c.adopted, func(shard int, _ bool) bool { return c.all || c.shards[shard] })
	return nil
}

// cursor is where Follow reads the journal.
func (c *course) cursor() journal.Cursor { return behind(c.checkpoints, c.mine) }
