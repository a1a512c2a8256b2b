package journaltest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// library fills a journal with two streams whose records alternate.
func library(t *testing.T, j journal.Journal) (all, a []journal.Record) {
	t.Helper()
	for n := range 6 {
		stream := [...]string{"a", "b"}[n%2]
		e := event(n)
		e.Subject = [...]string{"", "x", "x/y"}[n%3]
		records := mustAppend(t, j, anywhere(stream, e, event(100+n)))
		all = append(all, records...)
		if stream == "a" {
			a = append(a, records...)
		}
	}
	return all, a
}

func testReadStream(t *testing.T, open Opener) {
	j := writer(t, open)
	_, a := library(t, j)
	for _, c := range []struct {
		from  int64
		limit int
		want  []journal.Record
	}{
		{1, 100, a}, {1, 6, a}, {1, 2, a[:2]}, {3, 100, a[2:]}, {3, 3, a[2:5]}, {6, 1, a[5:]}, {0, 1, a[:1]},
		{7, 100, nil}, {1, 0, nil},
	} {
		got, err := j.ReadStream(soon(t), "a", c.from, c.limit)
		if err != nil {
			t.Fatalf("read from %d: %v", c.from, err)
		}
		sameRecords(t, "records", got, c.want)
	}
	for _, unknown := range []string{"c", "A", "a ", ""} {
		got, err := j.ReadStream(soon(t), unknown, 1, 100)
		if len(got) != 0 || err != nil {
			t.Errorf("stream %q: %d records, error %v", unknown, len(got), err)
		}
	}
}

func testReadSubject(t *testing.T, open Opener) {
	j := writer(t, open)
	all, _ := library(t, j)
	for _, subject := range []string{"", "x", "x/y", "lottery", "X", "%"} {
		for _, stream := range []string{"a", "b", "c"} {
			var want []journal.Record
			for _, r := range all {
				if r.Stream == stream && r.Subject == subject {
					want = append(want, r)
				}
			}
			got, err := j.ReadSubject(soon(t), stream, subject)
			if err != nil {
				t.Fatalf("read subject %q of %s: %v", subject, stream, err)
			}
			sameRecords(t, "records of "+stream+" about "+subject, got, want)
		}
	}
}

func testReadAll(t *testing.T, open Opener) {
	j := writer(t, open)
	sameRecords(t, "an empty journal", readAll(t, j), nil)
	all, _ := library(t, j)
	all = byShard(all)
	sameRecords(t, "everything", readAll(t, j), all)
	for _, limit := range []int{1, 5, len(all)} {
		sameRecords(t, "page by page", byShard(readPages(t, j, limit)), all)
	}

	none, err := j.ReadAll(soon(t), nil, 0)
	if len(none) != 0 || err != nil {
		t.Errorf("limit 0: %d records, error %v", len(none), err)
	}
}

func testFind(t *testing.T, open Opener) {
	j := writer(t, open)
	mustAppend(t, j, journal.Batch{Stream: "a", Key: "one", Events: events(1)})
	mustAppend(t, j, anywhere("a", event(2)))
	mustAppend(t, j, journal.Batch{Stream: "a", Expected: 2, Key: "many", Events: events(3, 4, 5)})
	for _, c := range []struct {
		stream, key string
		want        journal.Span
		found       bool
	}{
		{"a", "one", journal.Span{First: 1, Last: 1}, true},
		{"a", "many", journal.Span{First: 3, Last: 5}, true},
		{"a", "none", journal.Span{}, false},
		{"a", "", journal.Span{}, false},
		{"b", "one", journal.Span{}, false},
	} {
		span, found, err := j.Find(soon(t), c.stream, c.key)
		if err != nil || found != c.found || span != c.want {
			t.Errorf("find %q in %s: %v, %v, %v; want %v, %v", c.key, c.stream, span, found, err, c.want, c.found)
		}
	}
}

func testHead(t *testing.T, open Opener) {
	j := writer(t, open)
	other := reader(t, open)
	head := func(stream string, want int64) {
		t.Helper()
		for _, handle := range []journal.Journal{j, other} {
			got, err := handle.Head(soon(t), stream)
			if got != want || err != nil {
				t.Errorf("head of %s: %d, error %v; want %d", stream, got, err, want)
			}
		}
	}
	head("a", 0)
	mustAppend(t, j, anywhere("a", events(1, 2, 3)...))
	mustAppend(t, j, anywhere("b", event(1)))
	head("a", 3)
	head("b", 1)
	head("c", 0)
}

func testBlobs(t *testing.T, open Opener) {
	j := writer(t, open)
	large := journal.NewBlob(bytes.Repeat([]byte("many bytes, not all of them text \x00\xff"), 40_000))
	small, empty, late := journal.NewBlob([]byte("{}")), journal.NewBlob(nil), journal.NewBlob([]byte("late"))

	_, err := j.Blob(soon(t), small.Digest)
	fails(t, "before", err, journal.ErrNoBlob)

	batch := anywhere("a", event(1))
	batch.Blobs = []journal.Blob{large, small, empty, small}
	mustAppend(t, j, batch)
	batch = anywhere("b", event(2))
	batch.Blobs = []journal.Blob{small, late}
	mustAppend(t, j, batch)

	other := reader(t, open)
	for _, want := range []journal.Blob{large, small, empty, late} {
		for _, handle := range []journal.Journal{j, other} {
			got, err := handle.Blob(soon(t), want.Digest)
			if err != nil || !bytes.Equal(got, want.Data) {
				t.Errorf("blob %s: %d bytes, error %v; want %d bytes", want.Digest, len(got), err, len(want.Data))
			}
		}
	}
	for _, missing := range []string{journal.Digest([]byte("never stored")), "", "sha256:"} {
		_, err := j.Blob(soon(t), missing)
		fails(t, "a digest that is not stored", err, journal.ErrNoBlob)
	}
}

func testWait(t *testing.T, open Opener) {
	j := writer(t, open)

	// Nothing comes: the context ends the wait.
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	fails(t, "an empty journal", j.Wait(short, nil), context.DeadlineExceeded)

	// A record comes while several wait, here and on another handle.
	other := reader(t, open)
	ended := make(chan error)
	for _, handle := range []journal.Journal{j, j, other} {
		go func() { ended <- handle.Wait(soon(t), nil) }()
	}
	record := mustAppend(t, j, anywhere("a", event(1)))[0]
	for range 3 {
		if err := <-ended; err != nil {
			t.Errorf("wait: %v", err)
		}
	}

	// It is there already: nothing to wait for, also for a handle that opens now.
	behind := journal.Cursor(nil).After([]journal.Record{record})
	before := slices.Clone(behind)
	before[record.Shard]--
	for _, handle := range []journal.Journal{j, other, reader(t, open)} {
		if err := handle.Wait(soon(t), before); err != nil {
			t.Errorf("wait for what is there: %v", err)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	fails(t, "an ended context", j.Wait(canceled, behind), context.Canceled)

	// The journal is closed under the one who waits.
	go func() { ended <- other.Wait(soon(t), behind) }()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	fails(t, "a closed journal", <-ended, journal.ErrClosed)
}
