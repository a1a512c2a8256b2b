package journaltest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

func testAppend(t *testing.T, open Opener) {
	instant := time.Date(2031, 2, 3, 4, 5, 6, 789_012_345, time.FixedZone("", 3600))
	j := open(t, func() time.Time { return instant })
	t.Cleanup(func() { _ = j.Close() })
	epochs := claim(t, j)

	first := mustAppend(t, j, anywhere("travel/concierge", events(1, 2)...))
	second := mustAppend(t, j, anywhere("travel/porter", journal.Event{Type: "DoorOpened", Version: 3, Data: []byte(`{ "é": null }`)}))

	record := func(stream string, sequence int64, e journal.Event) journal.Record {
		shard := shardOf(t, j, stream)
		return journal.Record{
			Shard: shard, Stream: stream, Sequence: sequence,
			Time: instant.UTC().Truncate(time.Microsecond), Epoch: epochs[shard], Event: e,
		}
	}
	want := []journal.Record{
		record("travel/concierge", 1, event(1)),
		record("travel/concierge", 2, event(2)),
		record("travel/porter", 1, journal.Event{Type: "DoorOpened", Version: 3, Data: []byte(`{ "é": null }`)}),
	}
	got := append(append([]journal.Record{}, first...), second...)
	sequencesAreWhole(t, got, len(want))
	for i := range want { // where the store counts its positions from is its own matter
		want[i].Position = got[i].Position
	}
	want[1].Previous = want[0].Hash()
	equal(t, "appended", got, want)
	equal(t, "read back", readAll(t, j), byShard(want))
}

func testAllOrNothing(t *testing.T, open Opener) {
	j := writer(t, open)
	mustAppend(t, j, anywhere("a", event(1)))

	blob := journal.NewBlob([]byte("beside the events"))
	refused := []journal.Batch{
		{Stream: "a", Expected: 7, Key: "k", Events: events(2, 3), Blobs: []journal.Blob{blob}},
		{Stream: "new", Expected: 1, Key: "k", Events: events(2, 3), Blobs: []journal.Blob{blob}},
		{Stream: "a", Expected: journal.AnyVersion, Key: "k", Events: append(events(2), journal.Event{}), Blobs: []journal.Blob{blob}},
	}
	for _, batch := range refused {
		if _, err := j.Append(soon(t), batch); err == nil {
			t.Errorf("a batch for %s was taken", batch.Stream)
		}
		if _, found, err := j.Find(soon(t), batch.Stream, "k"); found || err != nil {
			t.Errorf("its key: found %v, error %v", found, err)
		}
	}
	_, err := j.Blob(soon(t), blob.Digest)
	fails(t, "a refused batch's text", err, journal.ErrNoBlob)
	equal(t, "records", len(readAll(t, j)), 1)

	records := mustAppend(t, j, journal.Batch{Stream: "a", Expected: 1, Key: "k", Events: events(2, 3, 4)})
	equal(t, "records of a whole batch", len(records), 3)
	sameRecords(t, "the batch read back", readAll(t, j)[1:], records)
}

func testExpectedVersion(t *testing.T, open Opener) {
	j := writer(t, open)
	at := func(expected int64, numbers ...int) error {
		_, err := j.Append(soon(t), journal.Batch{Stream: "a", Expected: expected, Events: events(numbers...)})
		return err
	}
	refusedVersion(t, at(1, 0), journal.VersionError{Stream: "a", Expected: 1, Actual: 0})
	for _, step := range []struct {
		expected int64
		numbers  []int
	}{{0, []int{1, 2}}, {2, []int{3}}, {journal.AnyVersion, []int{4}}} {
		if err := at(step.expected, step.numbers...); err != nil {
			t.Fatalf("append at version %d: %v", step.expected, err)
		}
	}
	refusedVersion(t, at(0, 9), journal.VersionError{Stream: "a", Expected: 0, Actual: 4})
	refusedVersion(t, at(3, 9), journal.VersionError{Stream: "a", Expected: 3, Actual: 4})
	refusedVersion(t, at(5, 9), journal.VersionError{Stream: "a", Expected: 5, Actual: 4})

	// The head of one stream says nothing of another's.
	mustAppend(t, j, journal.Batch{Stream: "b", Expected: 0, Events: events(1)})
	equal(t, "records", len(readAll(t, j)), 5)
}

func testDuplicateKey(t *testing.T, open Opener) {
	j := writer(t, open)
	mustAppend(t, j, anywhere("a", event(0)))
	mustAppend(t, j, journal.Batch{Stream: "a", Expected: 1, Key: "k", Events: events(1, 2)})
	mustAppend(t, j, anywhere("a", event(3)))

	want := journal.DuplicateKeyError{Stream: "a", Key: "k", Span: journal.Span{First: 2, Last: 3}}
	// The key is looked at first: the second and third would fail for their
	// version too.
	for _, expected := range []int64{journal.AnyVersion, 1, 0, 4} {
		_, err := j.Append(soon(t), journal.Batch{Stream: "a", Expected: expected, Key: "k", Events: events(9)})
		refusedKey(t, err, want)
	}
	equal(t, "records after the refusals", len(readAll(t, j)), 4)

	// A key belongs to its stream, is compared whole, and need not be given.
	mustAppend(t, j, journal.Batch{Stream: "b", Expected: 0, Key: "k", Events: events(1)})
	for _, key := range []string{"K", "k ", "kk", ""} {
		mustAppend(t, j, journal.Batch{Stream: "a", Expected: journal.AnyVersion, Key: key, Events: events(1)})
	}
	mustAppend(t, j, anywhere("a", event(1)))
}

// testInvalid also shows that a batch is judged before the writer is: the
// handle has claimed nothing.
func testInvalid(t *testing.T, open Opener) {
	j := reader(t, open)
	one := func(e journal.Event) journal.Batch { return anywhere("a", e) }
	for name, batch := range map[string]journal.Batch{
		"no stream":            {Expected: journal.AnyVersion, Events: events(1)},
		"no events":            {Stream: "a"},
		"a version below any":  {Stream: "a", Expected: -2, Events: events(1)},
		"no type":              one(journal.Event{Version: 1, Data: []byte(`{}`)}),
		"version 0":            one(journal.Event{Type: "X", Data: []byte(`{}`)}),
		"version below 0":      one(journal.Event{Type: "X", Version: -1, Data: []byte(`{}`)}),
		"no data":              one(journal.Event{Type: "X", Version: 1}),
		"data that is no JSON": one(journal.Event{Type: "X", Version: 1, Data: []byte(`{"a":`)}),
		"data one byte over":   one(journal.Event{Type: "X", Version: 1, Data: text(journal.MaxData + 1)}),
		"a later bad event":    anywhere("a", event(1), journal.Event{Type: "X", Version: 1}),
		"another text's digest": {
			Stream: "a", Events: events(1), Blobs: []journal.Blob{{Digest: journal.Digest([]byte("one")), Data: []byte("two")}},
		},
		"no digest": {Stream: "a", Events: events(1), Blobs: []journal.Blob{{Data: []byte("two")}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := j.Append(soon(t), batch)
			fails(t, "append", err, journal.ErrInvalid)
			if err != nil && strings.Count(err.Error(), journal.ErrInvalid.Error()) != 1 {
				t.Errorf("the message does not say once what is wrong: %v", err)
			}
		})
	}
	claim(t, j)
	records := mustAppend(t, j, anywhere("a", journal.Event{Type: "X", Version: 1, Data: text(journal.MaxData)}))
	sameRecords(t, "the largest event", readAll(t, j), records)
}

func testEndedContext(t *testing.T, open Opener) {
	j := writer(t, open)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := j.Append(ended, anywhere("a", event(1)))
	fails(t, "append", err, context.Canceled)
	fails(t, "check", j.Check(ended), context.Canceled)
	_, err = j.ReadAll(ended, nil, 1)
	fails(t, "read all", err, context.Canceled)

	mustAppend(t, j, anywhere("a", event(2)))
	equal(t, "the only record's data", readAll(t, j)[0].Data, json.RawMessage(`{"n":2}`))
}

// testTime gives one handle a clock that jumps, and a second handle one that
// is behind.
func testTime(t *testing.T, open Opener) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	j := open(t, func() time.Time { return now })
	claim(t, j)
	seconds := func() (told []int) {
		for _, r := range readAll(t, j) {
			told = append(told, int(r.Time.Sub(start)/time.Second))
		}
		return told
	}
	for _, second := range []int{10, 20, 5, 15, 25} {
		now = start.Add(time.Duration(second) * time.Second)
		records := mustAppend(t, j, anywhere("a", event(second)))
		if last := readAll(t, j); !last[len(last)-1].Time.Equal(records[0].Time) {
			t.Errorf("append returned %v, and reading %v", records[0].Time, last[len(last)-1].Time)
		}
	}
	equal(t, "seconds", seconds(), []int{10, 20, 20, 20, 25})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = open(t, func() time.Time { return start })
	t.Cleanup(func() { _ = j.Close() })
	claim(t, j)
	mustAppend(t, j, anywhere("a@2", event(0))) // another stream of the same shard
	equal(t, "seconds after reopening with a slow clock", seconds(), []int{10, 20, 20, 20, 25, 25})
}
