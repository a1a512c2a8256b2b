package journaltest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// late is a batch for a writer whose shard another has claimed.
func late(stream, key string, made ...journal.Event) journal.Batch {
	return journal.Batch{Stream: stream, Expected: journal.AnyVersion, Key: key, Events: made, Late: true}
}

// testLate lets a writer that was fenced say what it must not keep to itself.
// A store may refuse that; what it takes is a record like any other.
func testLate(t *testing.T, open Opener) {
	first, second := reader(t, open), reader(t, open)
	claim(t, first)
	mustAppend(t, first, journal.Batch{Stream: "a", Expected: 0, Key: "opened", Events: events(1)})
	claim(t, second)
	mustAppend(t, second, anywhere("a", event(2))) // which now knows where the stream ends

	batch := late("a", "outcome", events(3, 4)...)
	blob := journal.NewBlob([]byte("what it came to"))
	batch.Blobs = []journal.Blob{blob}
	records, err := first.Append(soon(t), batch)
	span, found, findErr := second.Find(soon(t), "a", "outcome")
	if findErr != nil {
		t.Fatal(findErr)
	}
	head := int64(2)
	switch {
	case errors.Is(err, journal.ErrFenced):
		if found {
			t.Errorf("a batch that was refused is at %v", span)
		}
		_, err := second.Blob(soon(t), blob.Digest)
		fails(t, "the text of a batch that was refused", err, journal.ErrNoBlob)
	case err != nil:
		t.Fatalf("a late batch: %v", err)
	default:
		head = 4
		sameRecords(t, "the late batch read back", mustReadStream(t, second, "a", 3), records)
		equal(t, "its span", span, journal.Span{First: 3, Last: 4})
		// Once more, as a writer does that did not hear the answer.
		_, err := first.Append(soon(t), batch)
		refusedKey(t, err, journal.DuplicateKeyError{Stream: "a", Key: "outcome", Span: span})
		// It has the stream's own version.
		batch = late("a", "other", event(9))
		batch.Expected = 2
		_, err = first.Append(soon(t), batch)
		refusedVersion(t, err, journal.VersionError{Stream: "a", Expected: 2, Actual: 4})
	}

	// The writer whose shard it is goes on behind it.
	mustAppend(t, second, journal.Batch{Stream: "a", Expected: head, Key: "next", Events: events(5)})
	_, err = first.Append(soon(t), anywhere("a", event(9)))
	fails(t, "a batch that is not late", err, journal.ErrFenced)
	sequencesAreWhole(t, readAll(t, second), int(head)+1)
	mustVerify(t, second)
}

func mustReadStream(t *testing.T, j journal.Journal, stream string, from int64) []journal.Record {
	t.Helper()
	records, err := j.ReadStream(soon(t), stream, from, 1000)
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	return records
}

// testLateRace has both append to the same streams at the same time.
func testLateRace(t *testing.T, open Opener) {
	const each = 20
	first, second := reader(t, open), reader(t, open)
	claim(t, first)
	claim(t, second)
	taken := make([]int, 2)
	together(2, func(i int) {
		for n := range each {
			batch := anywhere(fmt.Sprintf("s/%d", n%3), events(n, n)...)
			j := second
			if i == 0 {
				batch, j = late(batch.Stream, fmt.Sprint(n), batch.Events...), first
			}
			_, err := j.Append(soon(t), batch)
			switch {
			case err == nil:
				taken[i]++
			case i == 0 && errors.Is(err, journal.ErrFenced):
			default:
				t.Errorf("append by handle %d: %v", i, err)
			}
		}
	})
	if taken[0] != 0 && taken[0] != each {
		t.Errorf("%d of %d late batches were taken", taken[0], each)
	}
	equal(t, "batches of the writer", taken[1], each)
	sequencesAreWhole(t, readAll(t, second), 2*(taken[0]+taken[1]))
	mustVerify(t, second)
}

func testLateRefusals(t *testing.T, open Opener) {
	j, other := writer(t, open), reader(t, open)

	// For the writer of a shard there is nothing special about a late batch.
	mustAppend(t, j, late("a", "k", events(1, 2)...))
	_, err := j.Append(soon(t), late("a", "k", event(9)))
	refusedKey(t, err, journal.DuplicateKeyError{Stream: "a", Key: "k", Span: journal.Span{First: 1, Last: 2}})

	_, err = other.Append(soon(t), late("a", "l", event(9)))
	fails(t, "a late batch of a handle that never claimed", err, journal.ErrFenced)
	equal(t, "records", len(readAll(t, j)), 2)

	// To have claimed one shard is not to have claimed another.
	one, another := apart(t, other)
	if _, err := other.Claim(soon(t), shardOf(t, other, one)); err != nil {
		t.Fatalf("claim: %v", err)
	}
	_, err = other.Append(soon(t), late(another, "l", event(9)))
	fails(t, "a late batch in a shard that was never claimed", err, journal.ErrFenced)
}
