package projection

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// streamIn returns the name of a stream that is in a shard of the log.
func streamIn(t testing.TB, log *memoryLog, shard int) string {
	t.Helper()
	for i := range 1000 {
		if name := fmt.Sprintf("travel/agent-%d", i); journal.ShardOf(name, log.Shards()) == shard {
			return name
		}
	}
	t.Fatalf("no stream is in shard %d", shard)
	return ""
}

// following runs Follow as a process does, which calls it again after an error,
// until the test ends or the function that it returns is called.
func following(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := s.Follow(ctx); err != nil {
				t.Logf("Follow: %v", err)
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// wait waits until a store has seen all of a log.
func wait(t testing.TB, s *Store, log *memoryLog) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for name, end := range log.heads {
		if err := s.WaitFor(ctx, name, end); err != nil {
			t.Fatal(err)
		}
	}
}

// sameAsFresh tests that a store tells what one tells that saw all at once.
func sameAsFresh(t *testing.T, s *Store, at location, log *memoryLog) {
	t.Helper()
	if diff := cmp.Diff(everything(t, projected(t, at, log), log), everything(t, s, log)); diff != "" {
		t.Errorf("(-fresh +this)\n%s", diff)
	}
}

func TestAStoreProjectsTheShardsThatItIsTold(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLogOf(3)
		names := []string{streamIn(t, log, 0), streamIn(t, log, 1), streamIn(t, log, 2)}
		for _, name := range names {
			log.add(name, "1", agent.MemorySaved{ID: "m1"})
		}
		s := open(t, at(t), log, Options{})
		seen := func() (heads []int64) {
			for _, name := range names {
				n, err := s.Head(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				heads = append(heads, n)
			}
			return heads
		}
		for _, c := range []struct {
			shards []int
			want   []int64
		}{
			{[]int{}, []int64{0, 0, 0}},
			{[]int{1, 7}, []int64{0, 1, 0}},
			{[]int{1, 2}, []int64{0, 1, 1}},
			{nil, []int64{1, 1, 1}},
		} {
			s.Project(c.shards)
			catchUp(t, s)
			if diff := cmp.Diff(c.want, seen()); diff != "" {
				t.Errorf("told to project %v (-want +got)\n%s", c.shards, diff)
			}
		}
	})
}

func TestShardsMayChangeWhileAStoreFollows(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLogOf(2)
		name := streamIn(t, log, 1)
		log.add(name, "1", agent.MemorySaved{ID: "m1"})
		s := open(t, at(t), log, Options{})
		s.Project([]int{})
		following(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.WaitFor(ctx, name, 1); !fault.Is(err, fault.Wait) {
			t.Errorf("a shard of somebody else's: %v", err)
		}
		s.Project([]int{1})
		wait(t, s, log)
	})
}

// What two stores apply to the same tables they apply once: were it twice, the
// second insert of a row would fail, and a count would differ.
func TestStoresThatShareShardsProjectEachRecordOnce(t *testing.T) {
	const shards, records = 4, 600
	log := newLogOf(shards)
	where := inServer(t)
	a := open(t, where, log, Options{Batch: 5})
	b := open(t, where, log, Options{Batch: 7})
	a.Project([]int{0, 1, 2})
	b.Project([]int{1, 2, 3})
	following(t, a)
	following(t, b)
	for i := range records {
		name := streamIn(t, log, i%shards)
		key := fmt.Sprint("key-", i)
		log.add(name, key, accept(key, "ada", callIntent("book", `{}`)), agent.AttemptSucceeded{Attempt: 1, Result: key},
			agent.MemorySaved{ID: fmt.Sprint(i % 7), Content: key})
	}
	wait(t, a, log)
	wait(t, b, log)
	sameAsFresh(t, a, inServer, log)
	sameAsFresh(t, b, inFile, log)
}

func TestAShardThatNobodyProjectsIsTakenUp(t *testing.T) {
	log := newLogOf(3)
	where := inServer(t)
	s := open(t, where, log, Options{})
	s.patrolEvery = 20 * time.Millisecond
	s.Project([]int{0})
	following(t, s)
	orphan := streamIn(t, log, 2)
	for i := range 3 {
		log.add(orphan, fmt.Sprint(i), agent.MemorySaved{ID: fmt.Sprint(i)})
	}
	wait(t, s, log)

	// Who is told to project it gets it back.
	owner := open(t, where, log, Options{})
	owner.Project([]int{2})
	following(t, owner)
	for i := range 50 {
		log.add(orphan, fmt.Sprint(i), agent.MemorySaved{ID: fmt.Sprint(i)})
		time.Sleep(time.Millisecond)
	}
	wait(t, s, log)
	sameAsFresh(t, s, inServer, log)
}

func TestAShardThatMovesIsLeftToWhoMovesIt(t *testing.T) {
	log := newLogOf(2)
	where := inServer(t)
	s, other := open(t, where, log, Options{}), open(t, where, log, Options{Batch: 1})
	s.Project([]int{0})
	name := streamIn(t, log, 1)
	for i := range 5 {
		log.add(name, fmt.Sprint(i), agent.MemorySaved{ID: fmt.Sprint(i)})
	}
	for range 4 { // it is behind at each look, and is on its way
		if _, err := other.advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.patrol(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.course.mine(1) {
		t.Error("a shard that another store projects was taken up")
	}
	for range 3 {
		if err := s.patrol(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !s.course.mine(1) {
		t.Error("a shard that nobody projects any more was not taken up")
	}
	catchUp(t, other)
	if err := s.patrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.course.mine(1) {
		t.Error("a shard that is projected again was not given back")
	}
	for _, look := range []struct {
		name string
		mine bool
	}{{"before it is behind", false}, {"as soon as it is behind", false}, {"when it still is", true}} {
		if err := s.patrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.course.mine(1) != look.mine {
			t.Errorf("%s it is taken up: %v", look.name, !look.mine)
		}
		if look.name == "before it is behind" {
			log.add(name, "5", agent.MemorySaved{ID: "5"})
		}
	}
}

func TestAStandbyGoesOnWhereTheLeaderStopped(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "m1", Content: "one"})
		where := at(t)
		leader, standby := open(t, where, log, Options{}), open(t, where, log, Options{})
		stop := following(t, leader)
		log.add(stream, "2", agent.MemorySaved{ID: "m2", Content: "two"})
		log.add("travel/other", "1", agent.MemorySaved{ID: "o1"})
		wait(t, leader, log)
		stop()

		log.add(stream, "3", agent.MemorySaved{ID: "m1", Content: "three"})
		stop = following(t, standby)
		wait(t, standby, log)
		sameAsFresh(t, standby, at, log)
		stop()

		log.add("travel/other", "2", agent.MemoryForgotten{ID: "o1"})
		following(t, leader) // and back
		wait(t, leader, log)
		sameAsFresh(t, leader, at, log)
	})
}
