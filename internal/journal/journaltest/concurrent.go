package journaltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// together calls do with 0 … n-1 at the same time, and returns when all have
// returned.
func together(n int, do func(i int)) {
	var ready, finished sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		finished.Go(func() {
			ready.Done()
			<-start
			do(i)
		})
	}
	ready.Wait()
	close(start)
	finished.Wait()
}

// testLostRace lets many append at the version that all have seen, several
// times: one of them may, and the others learn where the stream is now.
func testLostRace(t *testing.T, open Opener) {
	const rounds, racers = 8, 16
	j := writer(t, open)
	for round := range int64(rounds) {
		errs := make([]error, racers)
		together(racers, func(i int) {
			_, errs[i] = j.Append(soon(t), journal.Batch{Stream: "a", Expected: round, Events: events(i)})
		})
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
				continue
			}
			refusedVersion(t, err, journal.VersionError{Stream: "a", Expected: round, Actual: round + 1})
		}
		equal(t, "winners", winners, 1)
	}
	equal(t, "records", len(readAll(t, j)), rounds)
}

func testKeyRace(t *testing.T, open Opener) {
	const racers = 32
	j := writer(t, open)
	errs := make([]error, racers)
	together(racers, func(i int) {
		_, errs[i] = j.Append(soon(t), journal.Batch{Stream: "a", Expected: journal.AnyVersion, Key: "k", Events: events(i, i)})
	})
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		refusedKey(t, err, journal.DuplicateKeyError{Stream: "a", Key: "k", Span: journal.Span{First: 1, Last: 2}})
	}
	equal(t, "winners", winners, 1)
	equal(t, "records", len(readAll(t, j)), 2)
}

// testMixedGroup appends good and bad batches at the same time, so that a
// store that commits several together has both in one commit.
func testMixedGroup(t *testing.T, open Opener) {
	const callers = 48
	j := writer(t, open)
	mustAppend(t, j, journal.Batch{Stream: "a", Key: "used", Events: events(0)})
	errs := make([]error, callers)
	together(callers, func(i int) {
		stream := fmt.Sprintf("good/%d", i%5)
		batch := journal.Batch{Stream: stream, Expected: journal.AnyVersion, Key: fmt.Sprint(i), Events: events(i, i)}
		switch i % 3 {
		case 1:
			batch.Stream, batch.Key = "a", "used"
		case 2:
			batch.Expected = 1000
		}
		_, errs[i] = j.Append(soon(t), batch)
	})
	for i, err := range errs {
		if good := i%3 == 0; (err == nil) != good {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	sequencesAreWhole(t, readAll(t, j), 1+callers/3*2)
}

func testConcurrentAppends(t *testing.T, open Opener) {
	const writers, each = 8, 20
	j := writer(t, open)
	var mu sync.Mutex
	var returned []journal.Record
	together(writers, func(i int) {
		for n := range each {
			// Every stream has several writers, and batches of 1 to 3 events.
			records, err := j.Append(soon(t), anywhere(fmt.Sprintf("s/%d", i%3), events(make([]int, n%3+1)...)...))
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			mu.Lock()
			returned = append(returned, records...)
			mu.Unlock()
		}
	})
	stored := readAll(t, j)
	sequencesAreWhole(t, stored, len(returned))

	// What the callers were told is what is there.
	slices.SortFunc(returned, func(a, b journal.Record) int { return cmp.Compare(a.Position, b.Position) })
	sameRecords(t, "stored", stored, byShard(returned))
}

// sequencesAreWhole checks that there are so many records, in ascending
// positions within each shard, that each stream is in one shard, and that its
// sequences are 1, 2, 3 …, each record with the hash of the one before.
func sequencesAreWhole(t *testing.T, records []journal.Record, count int) {
	t.Helper()
	equal(t, "number of records", len(records), count)
	heads := map[string]journal.Record{}
	var read journal.Cursor
	for _, r := range records {
		if before := read.Position(r.Shard); r.Position <= before {
			t.Fatalf("position %d of shard %d comes after %d", r.Position, r.Shard, before)
		}
		read = read.After([]journal.Record{r})
		head, known := heads[r.Stream]
		if r.Sequence != head.Sequence+1 {
			t.Fatalf("stream %s has sequence %d after %d", r.Stream, r.Sequence, head.Sequence)
		}
		if known && r.Previous != head.Hash() || !known && r.Previous != (journal.Hash{}) {
			t.Fatalf("event %d of stream %s holds the hash %s, which is not that of the one before", r.Sequence, r.Stream, r.Previous)
		}
		if known && r.Shard != head.Shard {
			t.Fatalf("stream %s is in shard %d, and then in %d", r.Stream, head.Shard, r.Shard)
		}
		heads[r.Stream] = r
	}
}

func testFollower(t *testing.T, open Opener) {
	j := writer(t, open)
	follow(t, j, j)
}

// testFollowerOnAnotherHandle reads where nothing is written, as another
// process would.
func testFollowerOnAnotherHandle(t *testing.T, open Opener) {
	follow(t, writer(t, open), reader(t, open))
}

// follow appends to one handle from many goroutines while it follows another.
// A record that became visible behind the follower's position would be missing
// from what it has seen.
func follow(t *testing.T, written, read journal.Journal) {
	const writers, each, total = 12, 15, 12 * 15
	var seen []journal.Record
	var following sync.WaitGroup
	following.Go(func() {
		var err error
		seen, err = followUntil(soon(t), read, total)
		if err != nil {
			t.Errorf("follow: %v", err)
		}
	})
	together(writers, func(i int) {
		for n := range each {
			if _, err := written.Append(soon(t), anywhere(fmt.Sprintf("s/%d", i), event(n))); err != nil {
				t.Errorf("append: %v", err)
				return
			}
		}
	})
	following.Wait()
	sequencesAreWhole(t, seen, total)
	sameRecords(t, "followed", byShard(seen), readAll(t, written))
}

// followUntil follows in small pages until it has seen total records.
func followUntil(ctx context.Context, j journal.Journal, total int) ([]journal.Record, error) {
	const page = 7
	var seen []journal.Record
	var after journal.Cursor
	for len(seen) < total {
		if err := j.Wait(ctx, after); err != nil {
			return seen, err
		}
		records, err := j.ReadAll(ctx, after, page)
		if err != nil {
			return seen, err
		}
		if len(records) == 0 {
			return seen, errors.New("the wait ended, and there was nothing to read")
		}
		seen = append(seen, records...)
		after = after.After(records)
	}
	return seen, nil
}
