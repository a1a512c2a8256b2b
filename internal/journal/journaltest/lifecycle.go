package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

func testFencing(t *testing.T, open Opener) {
	first, second := reader(t, open), reader(t, open)
	shard := shardOf(t, first, "a")
	epochs := []int64{claim(t, first)[shard]}
	mustAppend(t, first, anywhere("a", events(1, 2)...))

	epochs = append(epochs, claim(t, second)[shard])
	blob := journal.NewBlob([]byte("too late"))
	for range 2 { // the answer stays the same
		_, err := first.Append(soon(t), journal.Batch{
			Stream: "a", Expected: 2, Key: "late", Events: events(9), Blobs: []journal.Blob{blob},
		})
		fails(t, "append by the one before", err, journal.ErrFenced)
		fails(t, "check by the one before", first.Check(soon(t)), journal.ErrFenced)
	}
	if _, found, err := second.Find(soon(t), "a", "late"); found || err != nil {
		t.Errorf("key of a fenced batch: found %v, error %v", found, err)
	}
	_, err := second.Blob(soon(t), blob.Digest)
	fails(t, "text of a fenced batch", err, journal.ErrNoBlob)

	// The second goes on where the first ended.
	mustAppend(t, second, journal.Batch{Stream: "a", Expected: 2, Events: events(3)})
	// And the first may claim again, and must then know what happened meanwhile.
	epochs = append(epochs, claim(t, first)[shard])
	mustAppend(t, first, journal.Batch{Stream: "a", Expected: 3, Events: events(4)})
	_, err = second.Append(soon(t), anywhere("a", event(9)))
	fails(t, "append by the second", err, journal.ErrFenced)
	// To claim twice is to claim anew.
	epochs = append(epochs, claim(t, first)[shard])
	mustAppend(t, first, anywhere("a", event(5)))

	records := readAll(t, second)
	sequencesAreWhole(t, records, 5)
	written := make([]int64, len(records))
	for i, r := range records {
		written[i] = r.Epoch
	}
	equal(t, "epochs of the records", written, []int64{epochs[0], epochs[0], epochs[1], epochs[2], epochs[3]})
	for i, epoch := range epochs {
		if epoch < 1 || i > 0 && epoch <= epochs[i-1] {
			t.Errorf("epochs do not rise: %v", epochs)
		}
	}
}

// testTakingTurns lets two handles claim the journal in turn. Neither is told
// that it was fenced before it claims again, and must not believe what it knew.
func testTakingTurns(t *testing.T, open Opener) {
	handles := []journal.Journal{reader(t, open), reader(t, open)}
	for n := range 6 {
		j := handles[n%2]
		claim(t, j)
		mustAppend(t, j, journal.Batch{Stream: "a", Expected: int64(2 * n), Key: fmt.Sprint(n), Events: events(n, n)})
		mustAppend(t, j, anywhere(fmt.Sprintf("s/%d", n), event(n))) // a stream that the other has not seen
	}
	sequencesAreWhole(t, readAll(t, handles[0]), 18)
}

func testUnclaimed(t *testing.T, open Opener) {
	j := reader(t, open)
	_, err := j.Append(soon(t), anywhere("a", event(1)))
	fails(t, "append", err, journal.ErrFenced)
	fails(t, "check", j.Check(soon(t)), journal.ErrFenced)
	sameRecords(t, "records", readAll(t, j), nil)
}

func testCheck(t *testing.T, open Opener) {
	j := writer(t, open)
	records := mustAppend(t, j, anywhere("a", event(1)))
	for range 3 {
		if err := j.Check(soon(t)); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	sameRecords(t, "records", readAll(t, j), records)
	next := mustAppend(t, j, anywhere("a", event(2)))
	equal(t, "the next sequence", next[0].Sequence, 2)
}

func testReopen(t *testing.T, open Opener) {
	j := writer(t, open)
	blob := journal.NewBlob([]byte("kept"))
	mustAppend(t, j, journal.Batch{Stream: "a", Key: "k", Events: events(1, 2), Blobs: []journal.Blob{blob}})
	mustAppend(t, j, anywhere("b", event(3)))
	before := readAll(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = reader(t, open)
	sameRecords(t, "records", readAll(t, j), before)
	if data, err := j.Blob(soon(t), blob.Digest); string(data) != "kept" || err != nil {
		t.Errorf("blob: %q, error %v", data, err)
	}
	span, found, err := j.Find(soon(t), "a", "k")
	if span != (journal.Span{First: 1, Last: 2}) || !found || err != nil {
		t.Errorf("find: %v, %v, %v", span, found, err)
	}

	epochs := claim(t, j)
	for _, r := range before {
		if epochs[r.Shard] <= r.Epoch {
			t.Errorf("epoch %d after %d", epochs[r.Shard], r.Epoch)
		}
	}
	_, err = j.Append(soon(t), journal.Batch{Stream: "a", Expected: 2, Key: "k", Events: events(9)})
	refusedKey(t, err, journal.DuplicateKeyError{Stream: "a", Key: "k", Span: journal.Span{First: 1, Last: 2}})
	after := mustAppend(t, j, journal.Batch{Stream: "a", Expected: 2, Events: events(4)})
	sameRecords(t, "records with the new one", readAll(t, j), byShard(append(before, after...)))
}

func testClosed(t *testing.T, open Opener) {
	j := writer(t, open)
	mustAppend(t, j, anywhere("a", event(1)))
	for range 2 { // closing twice is no error
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	for name, call := range map[string]func(context.Context) error{
		"claim":  func(ctx context.Context) error { _, err := j.Claim(ctx, 0); return err },
		"append": func(ctx context.Context) error { _, err := j.Append(ctx, anywhere("a", event(1))); return err },
		"find":   func(ctx context.Context) error { _, _, err := j.Find(ctx, "a", "k"); return err },
		"head":   func(ctx context.Context) error { _, err := j.Head(ctx, "a"); return err },
		"stream": func(ctx context.Context) error { _, err := j.ReadStream(ctx, "a", 1, 1); return err },
		"subject": func(ctx context.Context) error {
			_, err := j.ReadSubject(ctx, "a", "lottery")
			return err
		},
		"all":   func(ctx context.Context) error { _, err := j.ReadAll(ctx, nil, 1); return err },
		"wait":  func(ctx context.Context) error { return j.Wait(ctx, nil) },
		"blob":  func(ctx context.Context) error { _, err := j.Blob(ctx, journal.Digest(nil)); return err },
		"check": j.Check,
	} {
		fails(t, name, call(soon(t)), journal.ErrClosed)
	}
}

// testCloseWaits closes the journal while many append to it: each of them
// learns either that its record is there, or that the journal is closed.
func testCloseWaits(t *testing.T, open Opener) {
	const callers = 16
	j := writer(t, open)
	mustAppend(t, j, anywhere("a", event(0)))
	acknowledged := make([]int, callers)
	var appending sync.WaitGroup
	for i := range callers {
		appending.Go(func() {
			for {
				_, err := j.Append(soon(t), anywhere(fmt.Sprintf("s/%d", i), event(1)))
				if err == nil {
					acknowledged[i]++
					continue
				}
				if !errors.Is(err, journal.ErrClosed) {
					t.Errorf("append while closing: %v", err)
				}
				return
			}
		})
	}
	if _, err := followUntil(soon(t), j, 6); err != nil { // some are under way
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	appending.Wait()

	again := reader(t, open)
	for i, want := range acknowledged {
		got, err := again.Head(soon(t), fmt.Sprintf("s/%d", i))
		if int(got) != want || err != nil {
			t.Errorf("stream %d has %d records, error %v; %d were acknowledged", i, got, err, want)
		}
	}
}
