// Package journaltest is what a store must do to be a journal: one suite that
// every implementation of journal.Journal passes, and benchmarks to compare
// them by.
//
// It knows the interface alone. What is peculiar to a store, such as what a
// full disk does to it, is tested beside the store.
package journaltest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/journal"
)

// Opener opens one more handle on the same store. The handle takes the time
// of its appends from clock, or from the machine if that is nil. It must let
// several handles claim the journal in turn. The suite closes every handle,
// some of them twice.
type Opener func(tb testing.TB, clock func() time.Time) journal.Journal

// patience bounds what must happen soon. A store that is in order takes
// milliseconds, and on a busy machine a second; reaching it is a failure.
const patience = time.Minute

// Run runs the suite. Each test gets a store of its own, empty, from newStore.
func Run(t *testing.T, newStore func(tb testing.TB) Opener) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, open Opener)
	}{
		{"append returns the records", testAppend},
		{"several events are appended together or not at all", testAllOrNothing},
		{"an expected version must be the head", testExpectedVersion},
		{"a race for one version has one winner", testLostRace},
		{"a key is used once", testDuplicateKey},
		{"a race for one key has one winner", testKeyRace},
		{"an invalid batch is refused by name", testInvalid},
		{"a refused batch does not spoil those beside it", testMixedGroup},
		{"sequences have no gap under concurrency", testConcurrentAppends},
		{"a follower sees every record once and in order", testFollower},
		{"another handle follows too", testFollowerOnAnotherHandle},
		{"streams are read from a sequence up to a limit", testReadStream},
		{"a subject is read in order", testReadSubject},
		{"all streams are read in commit order", testReadAll},
		{"a batch is found by its key", testFind},
		{"the head is the last sequence", testHead},
		{"texts are stored with their batch", testBlobs},
		{"waiting ends with a record, the context or the journal", testWait},
		{"a later claim fences the earlier writer", testFencing},
		{"writers that take turns know of each other", testTakingTurns},
		{"a handle that never claimed cannot append", testUnclaimed},
		{"check writes and appends nothing", testCheck},
		{"a context that has ended appends nothing", testEndedContext},
		{"reopening keeps everything", testReopen},
		{"a closed journal says so", testClosed},
		{"closing waits for the appends under way", testCloseWaits},
		{"time never runs backwards", testTime},
		{"each record holds the hash of the one before", testChain},
		{"a journal that grows verifies", testVerifyWhileAppending},
		{"streams have one shard for ever", testShards},
		{"a claim fences its shard alone", testShardFencing},
		{"a late batch disturbs no later writer", testLate},
		{"late batches and the writer's do not mix", testLateRace},
		{"late batches need a claim, and keys hold for them", testLateRefusals},
		{"tips are listed by name", testTips},
		{"keys are listed in order", testKeys},
		{"digests are listed in order", testDigests},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newStore(t)) })
	}
	for _, part := range []struct {
		name string
		test func(t *testing.T, newStore func(tb testing.TB) Opener)
	}{
		{"an import keeps everything", testImport},
		{"an import keeps the order of times", testImportOrder},
		{"an import needs an empty journal", testImportNotEmpty},
		{"an import is made whole or not at all", testImportAllOrNothing},
		{"a copy and its copy have one digest", testCopy},
		{"a journal that grows is not copied", testCopyWhileAppending},
		{"a damaged journal is not copied", testCopyDamaged},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newStore) })
	}
}

// reader opens a handle that has claimed nothing.
func reader(tb testing.TB, open Opener) journal.Journal {
	tb.Helper()
	j := open(tb, nil)
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return j
}

// writer opens a handle and claims the journal with it.
func writer(tb testing.TB, open Opener) journal.Journal {
	tb.Helper()
	j := reader(tb, open)
	claim(tb, j)
	return j
}

// claim claims all shards, and returns the epoch in each.
func claim(tb testing.TB, j journal.Journal) []int64 {
	tb.Helper()
	epochs := make([]int64, j.Shards())
	for shard := range epochs {
		var err error
		if epochs[shard], err = j.Claim(soon(tb), shard); err != nil {
			tb.Fatalf("claim shard %d: %v", shard, err)
		}
	}
	return epochs
}

func shardOf(tb testing.TB, j journal.Journal, stream string) int {
	tb.Helper()
	shard, err := j.Shard(soon(tb), stream)
	if err != nil {
		tb.Fatalf("shard of %s: %v", stream, err)
	}
	return shard
}

// soon is a context for what should not take long.
func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// event is a small event with a number that tells it from others.
func event(n int) journal.Event {
	return journal.Event{Type: "NumberDrawn", Version: 1, Subject: "lottery", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func events(numbers ...int) []journal.Event {
	made := make([]journal.Event, len(numbers))
	for i, n := range numbers {
		made[i] = event(n)
	}
	return made
}

// anywhere is a batch for wherever the stream ends.
func anywhere(stream string, made ...journal.Event) journal.Batch {
	return journal.Batch{Stream: stream, Expected: journal.AnyVersion, Events: made}
}

func mustAppend(tb testing.TB, j journal.Journal, batch journal.Batch) []journal.Record {
	tb.Helper()
	records, err := j.Append(soon(tb), batch)
	if err != nil {
		tb.Fatalf("append to %s: %v", batch.Stream, err)
	}
	return records
}

// readAll returns everything, as byShard sorts it.
func readAll(tb testing.TB, j journal.Journal) []journal.Record {
	tb.Helper()
	const page = 10_000
	return byShard(readPages(tb, j, page))
}

// readPages reads everything, page by page.
func readPages(tb testing.TB, j journal.Journal, limit int) []journal.Record {
	tb.Helper()
	var all []journal.Record
	for after := (journal.Cursor)(nil); ; {
		page, err := j.ReadAll(soon(tb), after, limit)
		if err != nil {
			tb.Fatalf("read all: %v", err)
		}
		if len(page) > limit {
			tb.Fatalf("a page of %d has %d records", limit, len(page))
		}
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), after.After(page)
	}
}

// byShard sorts records so that they can be compared: how a reader sees the
// shards mixed is nobody's promise. Those of one shard stay in the order that
// they came in, which is.
func byShard(records []journal.Record) []journal.Record {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b journal.Record) int { return cmp.Compare(a.Shard, b.Shard) })
	return sorted
}

// asText has payloads compared, and shown, as texts: byte by byte takes seconds
// for a large one.
var asText = gocmp.Transformer("text", func(data json.RawMessage) string { return string(data) })

// equal compares what a call returned with what it should have returned.
func equal[T any](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if diff := gocmp.Diff(want, got, asText); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sameRecords compares records; that there are none may be said in two ways.
func sameRecords(tb testing.TB, what string, got, want []journal.Record) {
	tb.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	equal(tb, what, got, want)
}

func fails(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func refusedVersion(tb testing.TB, err error, want journal.VersionError) {
	tb.Helper()
	var got *journal.VersionError
	if !errors.As(err, &got) {
		tb.Errorf("got error %v, want a version error", err)
		return
	}
	equal(tb, "version error", *got, want)
}

func refusedKey(tb testing.TB, err error, want journal.DuplicateKeyError) {
	tb.Helper()
	var got *journal.DuplicateKeyError
	if !errors.As(err, &got) {
		tb.Errorf("got error %v, want a duplicate key error", err)
		return
	}
	equal(tb, "duplicate key error", *got, want)
}

// text is a JSON string of so many bytes, its quotes included.
func text(size int) json.RawMessage {
	data := make([]byte, size)
	for i := range data {
		data[i] = 'x'
	}
	data[0], data[size-1] = '"', '"'
	return data
}
