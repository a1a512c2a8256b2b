package journaltest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// pages collects what a listing returns, a few at a time, and checks that no
// page is longer than was asked for and that a limit of 0 lists nothing.
func pages[T any](t *testing.T, limit int, list func(ctx context.Context, last *T, limit int) ([]T, error)) []T {
	t.Helper()
	if none, err := list(soon(t), nil, 0); len(none) > 0 || err != nil {
		t.Errorf("limit 0 lists %v, error %v", none, err)
	}
	var all []T
	var last *T
	for {
		page, err := list(soon(t), last, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("a page of %d has %d entries", limit, len(page))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		last = &all[len(all)-1]
	}
}

func allTips(t *testing.T, j journal.Journal, limit int) []journal.Tip {
	t.Helper()
	return pages(t, limit, func(ctx context.Context, last *journal.Tip, limit int) ([]journal.Tip, error) {
		after := ""
		if last != nil {
			after = last.Stream
		}
		return j.Tips(ctx, after, limit)
	})
}

func allKeys(t *testing.T, j journal.Journal, stream string, limit int) []journal.KeySpan {
	t.Helper()
	return pages(t, limit, func(ctx context.Context, last *journal.KeySpan, limit int) ([]journal.KeySpan, error) {
		after := int64(0)
		if last != nil {
			after = last.First
		}
		return j.Keys(ctx, stream, after, limit)
	})
}

func allDigests(t *testing.T, j journal.Journal, limit int) []string {
	t.Helper()
	return pages(t, limit, func(ctx context.Context, last *string, limit int) ([]string, error) {
		after := ""
		if last != nil {
			after = *last
		}
		return j.Digests(ctx, after, limit)
	})
}

func testTips(t *testing.T, open Opener) {
	j := writer(t, open)
	equal(t, "tips of an empty journal", allTips(t, j, 3), nil)
	// Sorted by their bytes, whatever a language thinks of them.
	names := []string{"A/b", "B", "a", "a b", "a-b", "a/b", "a@2", "ab", "b", "z", "ä", "日本", "\U0001F600"}
	shuffled := slices.Clone(names)
	slices.Reverse(shuffled)
	var want []journal.Tip
	for i, stream := range shuffled {
		mustAppend(t, j, anywhere(stream, event(i)))
		last := mustAppend(t, j, anywhere(stream, events(make([]int, i%3+1)...)...))
		r := last[len(last)-1]
		want = append(want, journal.Tip{Stream: stream, Sequence: r.Sequence, Hash: r.Hash()})
	}
	slices.Reverse(want)
	for _, handle := range []journal.Journal{j, reader(t, open)} {
		for _, limit := range []int{1, 3, 100} {
			equal(t, "tips", allTips(t, handle, limit), want)
		}
	}
	behind, err := j.Tips(soon(t), "a+", 2) // which is no stream
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "tips behind a name between", behind, want[4:6])
}

func testKeys(t *testing.T, open Opener) {
	j := writer(t, open)
	var want []journal.KeySpan
	next := int64(1)
	for n := range 9 {
		count := n%3 + 1
		batch := anywhere("a", events(make([]int, count)...)...)
		if n%4 != 1 { // some have no key
			batch.Key = fmt.Sprintf("key %d", 9-n) // whose order is not that of the batches
			want = append(want, journal.KeySpan{Key: batch.Key, Span: journal.Span{First: next, Last: next + int64(count) - 1}})
		}
		mustAppend(t, j, batch)
		mustAppend(t, j, journal.Batch{Stream: "b", Expected: journal.AnyVersion, Key: fmt.Sprint(n), Events: events(n)})
		next += int64(count)
	}
	for _, limit := range []int{1, 2, 100} {
		equal(t, "keys", allKeys(t, j, "a", limit), want)
	}
	equal(t, "keys of the other stream", len(allKeys(t, j, "b", 4)), 9)
	equal(t, "keys of no stream", allKeys(t, j, "c", 4), nil)

	// A batch that begins at the sequence is not behind it, one that begins within another is.
	within, err := j.Keys(soon(t), "a", want[1].First, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "keys behind a batch's first event", within, want[2:3])
	before, err := j.Keys(soon(t), "a", want[1].First-1, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "keys behind the event before it", before, want[1:2])
}

func testDigests(t *testing.T, open Opener) {
	j := writer(t, open)
	equal(t, "digests of an empty journal", allDigests(t, j, 3), nil)
	var want []string
	for n := range 10 {
		batch := anywhere("a", event(n))
		batch.Blobs = []journal.Blob{journal.NewBlob(fmt.Append(nil, n)), journal.NewBlob([]byte("in every batch"))}
		mustAppend(t, j, batch)
		want = append(want, batch.Blobs[0].Digest)
	}
	want = append(want, journal.Digest([]byte("in every batch")))
	slices.Sort(want)
	for _, limit := range []int{1, 4, 100} {
		equal(t, "digests", allDigests(t, j, limit), want)
	}
}
