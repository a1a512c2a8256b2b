package journaltest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// collection fills a journal with streams, keys and texts, and returns it.
func collection(t *testing.T, open Opener) journal.Journal {
	t.Helper()
	instant := time.Date(2033, 4, 5, 6, 7, 8, 0, time.UTC)
	j := open(t, func() time.Time {
		instant = instant.Add(time.Millisecond + time.Microsecond)
		return instant
	})
	t.Cleanup(func() { _ = j.Close() })
	claim(t, j)
	for n := range 60 {
		batch := anywhere(fmt.Sprintf("s/%d", n%7), events(make([]int, n%4+1)...)...)
		if n%5 != 0 {
			batch.Key = fmt.Sprintf("key %d", n)
		}
		batch.Blobs = []journal.Blob{journal.NewBlob(bytes.Repeat([]byte{byte(n % 11), 0xff}, n))}
		mustAppend(t, j, batch)
	}
	mustAppend(t, j, anywhere("s/0@2", journal.Event{Type: "DoorOpened", Version: 3, Data: []byte(`{ "é": null }`)}))
	return j
}

// history is what an import keeps of a journal.
type history struct {
	Records map[string][]journal.Record // by stream, without what each store assigns itself
	Keys    map[string][]journal.KeySpan
	Texts   map[string]string
	Tips    []journal.Tip
}

func historyOf(t *testing.T, j journal.Journal) history {
	t.Helper()
	h := history{Records: map[string][]journal.Record{}, Keys: map[string][]journal.KeySpan{}, Texts: map[string]string{}, Tips: allTips(t, j, 5)}
	for _, r := range readAll(t, j) {
		r.Shard, r.Position, r.Epoch = 0, 0, 0
		h.Records[r.Stream] = append(h.Records[r.Stream], r)
	}
	for stream := range h.Records {
		h.Keys[stream] = allKeys(t, j, stream, 5)
	}
	for _, digest := range allDigests(t, j, 5) {
		text, err := j.Blob(soon(t), digest)
		if err != nil {
			t.Fatal(err)
		}
		h.Texts[digest] = string(text)
	}
	return h
}

func mustImport(t *testing.T, to, from journal.Journal) {
	t.Helper()
	if err := to.Import(soon(t), from); err != nil {
		t.Fatalf("import: %v", err)
	}
}

func testImport(t *testing.T, newStore func(tb testing.TB) Opener) {
	openTo := newStore(t)
	from, to := collection(t, newStore(t)), reader(t, openTo)
	want := historyOf(t, from)
	waiting := make(chan error)
	go func() { waiting <- to.Wait(soon(t), nil) }()

	mustImport(t, to, from)
	if err := <-waiting; err != nil {
		t.Errorf("wait for an import: %v", err)
	}
	equal(t, "what was imported", historyOf(t, to), want)
	equal(t, "the source", historyOf(t, from), want)
	count := len(readAll(t, from))
	sequencesAreWhole(t, readAll(t, to), count)
	for _, r := range readAll(t, to) {
		equal(t, "shard of "+r.Stream, r.Shard, journal.ShardOf(r.Stream, to.Shards()))
	}
	equal(t, "digest", mustVerify(t, to), mustVerify(t, from))
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}

	// The next process goes on where the other journal ended, also when its clock is behind.
	to = openTo(t, func() time.Time { return time.Unix(0, 0) })
	t.Cleanup(func() { _ = to.Close() })
	equal(t, "after reopening", historyOf(t, to), want)
	_, err := to.Append(soon(t), anywhere("s/1", event(9)))
	fails(t, "append without a claim", err, journal.ErrFenced)
	claim(t, to)
	used := want.Keys["s/1"][1]
	_, err = to.Append(soon(t), journal.Batch{Stream: "s/1", Expected: journal.AnyVersion, Key: used.Key, Events: events(9)})
	refusedKey(t, err, journal.DuplicateKeyError{Stream: "s/1", Key: used.Key, Span: used.Span})
	last := want.Records["s/1"][len(want.Records["s/1"])-1]
	_, err = to.Append(soon(t), journal.Batch{Stream: "s/1", Expected: 0, Events: events(9)})
	refusedVersion(t, err, journal.VersionError{Stream: "s/1", Expected: 0, Actual: last.Sequence})

	next := mustAppend(t, to, journal.Batch{Stream: "s/1", Expected: last.Sequence, Key: "next", Events: events(9)})[0]
	if next.Time.Before(last.Time) {
		t.Errorf("time went back from %v to %v", last.Time, next.Time)
	}
	sequencesAreWhole(t, readAll(t, to), count+1)
	mustVerify(t, to)
}

// testImportOrder imports from a store with three shards, whose times overlap,
// while somebody thinks that the journal is his and empty.
func testImportOrder(t *testing.T, newStore func(tb testing.TB) Opener) {
	openTo := newStore(t)
	early := openTo(t, func() time.Time { return time.Unix(0, 0) })
	t.Cleanup(func() { _ = early.Close() })
	claim(t, early)
	if err := early.Check(soon(t)); err != nil {
		t.Fatal(err)
	}
	from, to := newScattered(), reader(t, openTo)
	mustImport(t, to, from)

	// It may go on only as one who knows what came in.
	if _, err := early.Append(soon(t), anywhere("s/1", event(9))); err != nil && !errors.Is(err, journal.ErrFenced) {
		t.Errorf("append by who had claimed the empty journal: %v", err)
	}
	claim(t, early)
	mustAppend(t, early, anywhere("s/1", event(9)))
	mustAppend(t, early, anywhere("s/99", event(9)))

	records := readAll(t, to)
	sequencesAreWhole(t, records, len(records))
	times := map[int]time.Time{}
	for _, r := range records {
		if r.Time.Before(times[r.Shard]) {
			t.Errorf("event %d of %s goes back in time from %v to %v", r.Sequence, r.Stream, times[r.Shard], r.Time)
		}
		times[r.Shard] = r.Time
	}
	mustVerify(t, to)
}

func testImportNotEmpty(t *testing.T, newStore func(tb testing.TB) Opener) {
	from, to := collection(t, newStore(t)), writer(t, newStore(t))
	mustAppend(t, to, journal.Batch{Stream: "a", Key: "k", Events: events(1)})
	before := historyOf(t, to)
	fails(t, "import", to.Import(soon(t), from), journal.ErrNotEmpty)
	_, err := journal.Copy(soon(t), from, to)
	fails(t, "copy", err, journal.ErrNotEmpty)
	equal(t, "the journal that was not empty", historyOf(t, to), before)

}

// failing is a source that fails at a call of each kind.
type failing struct {
	journal.Journal
	readAlls, keys, digests, blobs int // how many calls succeed
}

var errSource = errors.New("the source went away")

func count(calls *int) error {
	*calls--
	if *calls < 0 {
		return errSource
	}
	return nil
}

func (f *failing) ReadAll(ctx context.Context, after journal.Cursor, limit int) ([]journal.Record, error) {
	if err := count(&f.readAlls); err != nil {
		return nil, err
	}
	return f.Journal.ReadAll(ctx, after, min(limit, 7))
}

func (f *failing) Keys(ctx context.Context, stream string, after int64, limit int) ([]journal.KeySpan, error) {
	if err := count(&f.keys); err != nil {
		return nil, err
	}
	return f.Journal.Keys(ctx, stream, after, min(limit, 3))
}

func (f *failing) Digests(ctx context.Context, after string, limit int) ([]string, error) {
	if err := count(&f.digests); err != nil {
		return nil, err
	}
	return f.Journal.Digests(ctx, after, min(limit, 3))
}

func (f *failing) Blob(ctx context.Context, digest string) ([]byte, error) {
	if err := count(&f.blobs); err != nil {
		return nil, err
	}
	return f.Journal.Blob(ctx, digest)
}

func testImportAllOrNothing(t *testing.T, newStore func(tb testing.TB) Opener) {
	const often = 1_000_000
	from, to := collection(t, newStore(t)), reader(t, newStore(t))
	for _, source := range []failing{
		{readAlls: 0, keys: often, digests: often, blobs: often},
		{readAlls: 3, keys: often, digests: often, blobs: often},
		{readAlls: often, keys: 2, digests: often, blobs: often},
		{readAlls: often, keys: often, digests: 1, blobs: often},
		{readAlls: often, keys: often, digests: often, blobs: 4},
	} {
		source.Journal = from
		fails(t, "import from a source that fails", to.Import(soon(t), &source), errSource)
		isEmpty(t, to)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	fails(t, "import that nobody waits for", to.Import(ended, from), context.Canceled)
	isEmpty(t, to)

	mustImport(t, to, &failing{Journal: from, readAlls: often, keys: often, digests: often, blobs: often})
	equal(t, "what was imported at last", historyOf(t, to), historyOf(t, from))
}

// isEmpty checks that a journal holds nothing at all.
func isEmpty(t *testing.T, j journal.Journal) {
	t.Helper()
	if len(readAll(t, j)) > 0 || len(allTips(t, j, 10)) > 0 || len(allDigests(t, j, 10)) > 0 || len(allKeys(t, j, "s/1", 10)) > 0 {
		t.Errorf("the import left something: %v", historyOf(t, j))
	}
}

// scattered is a source with three shards whose records have times that
// overlap. It can be read, and no more.
type scattered struct {
	journal.Journal
	records []journal.Record
	tips    map[string]journal.Tip
}

func newScattered() *scattered {
	const shards, each = 3, 100
	s := &scattered{tips: map[string]journal.Tip{}}
	start := time.Unix(1_000_000_000, 0).UTC()
	for n := range shards * each { // one shard after the other, each of which begins anew in time
		shard, i := n/each, n%each
		stream := fmt.Sprintf("s/%d", shard+shards*(n%2))
		tip := s.tips[stream]
		r := journal.Record{
			Shard: shard, Position: int64(i + 1), Stream: stream, Sequence: tip.Sequence + 1,
			Time: start.Add(time.Duration(10*i+shard) * time.Second), Epoch: 7, Previous: tip.Hash, Event: event(n),
		}
		s.tips[stream] = journal.Tip{Stream: stream, Sequence: r.Sequence, Hash: r.Hash()}
		s.records = append(s.records, r)
	}
	return s
}

func (s *scattered) Shards() int { return 3 }

func (s *scattered) ReadAll(_ context.Context, after journal.Cursor, limit int) (found []journal.Record, _ error) {
	for _, r := range s.records {
		if r.Position > after.Position(r.Shard) && len(found) < limit {
			found = append(found, r)
		}
	}
	return found, nil
}

func (s *scattered) Tips(_ context.Context, after string, limit int) (found []journal.Tip, _ error) {
	for _, tip := range s.tips {
		if tip.Stream > after {
			found = append(found, tip)
		}
	}
	slices.SortFunc(found, func(a, b journal.Tip) int { return cmp.Compare(a.Stream, b.Stream) })
	return found[:min(limit, len(found))], nil
}

func (s *scattered) Keys(context.Context, string, int64, int) ([]journal.KeySpan, error) {
	return nil, nil
}

func (s *scattered) Digests(context.Context, string, int) ([]string, error) { return nil, nil }
