package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/journal"
)

// empty is a shard that this handle has claimed with epoch 3.
func empty() ledger { return ledger{epoch: 3} }

func TestAGroupIsPlannedInOrder(t *testing.T) {
	found := ledger{epoch: 3, last: 40, time: 1000, heads: map[string]head{"a": {id: 7, sequence: 5, hash: journal.Hash{1}}}}
	batches := []journal.Batch{batch("a", "k", 2), batch("b", "", 1), batch("a", "", 1)}
	batches[2].Expected = 7 // what the first batch makes of it

	p := decide(6, 3, found, batches, 900)
	type row struct {
		stream             string
		position, sequence int64
	}
	var rows []row
	for _, r := range p.records {
		rows = append(rows, row{r.Stream, r.Position, r.Sequence})
		if r.Shard != 6 || r.Epoch != 3 || !r.Time.Equal(time.UnixMicro(1000)) {
			t.Errorf("shard %d, epoch %d, time %v: the clock was behind the shard's", r.Shard, r.Epoch, r.Time)
		}
	}
	if diff := cmp.Diff([]row{{"a", 41, 6}, {"a", 42, 7}, {"b", 43, 1}, {"a", 44, 8}}, rows, cmp.AllowUnexported(row{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{7, 7, 43*64 + 6, 7}, p.ids); diff != "" {
		t.Errorf("the streams' numbers: %s", diff)
	}
	chained(t, p.records[0], journal.Hash{1})
	chained(t, p.records[1], p.records[0].Hash())
	chained(t, p.records[2], journal.Hash{})
	chained(t, p.records[3], p.records[1].Hash())
	if p.first != 41 || p.last != 44 || p.heads["a"].sequence != 8 || p.heads["a"].hash != p.records[3].Hash() {
		t.Errorf("first %d, last %d, head %+v", p.first, p.last, p.heads["a"])
	}
	if got := p.spans[keyOf{"a", "k"}]; got != (journal.Span{First: 6, Last: 7}) {
		t.Errorf("span %v", got)
	}
	for i, n := range []int{2, 1, 1} {
		if a := p.answers[i]; a.err != nil || len(a.records) != n {
			t.Errorf("batch %d: %d records, error %v", i, len(a.records), a.err)
		}
	}
}

func chained(t *testing.T, r journal.Record, previous journal.Hash) {
	t.Helper()
	if r.Previous != previous {
		t.Errorf("sequence %d of %s holds %s, not %s", r.Sequence, r.Stream, r.Previous, previous)
	}
}

func TestARefusedBatchLeavesNoTraceInThePlan(t *testing.T) {
	found := empty()
	found.spans = map[keyOf]journal.Span{{"a", "old"}: {First: 2, Last: 3}}
	wrong := batch("b", "wrong", 1)
	wrong.Expected = 9
	wrong.Blobs = []journal.Blob{journal.NewBlob([]byte("text"))}
	p := decide(0, 3, found, []journal.Batch{batch("a", "old", 1), wrong, batch("c", "k", 1), batch("c", "k", 1)}, 1)

	var duplicate *journal.DuplicateKeyError
	if !errors.As(p.answers[0].err, &duplicate) || duplicate.Span != (journal.Span{First: 2, Last: 3}) {
		t.Errorf("a key of before: %v", p.answers[0].err)
	}
	var version *journal.VersionError
	if !errors.As(p.answers[1].err, &version) || version.Actual != 0 {
		t.Errorf("a wrong version: %v", p.answers[1].err)
	}
	if p.answers[2].err != nil {
		t.Errorf("the good one: %v", p.answers[2].err)
	}
	if !errors.As(p.answers[3].err, &duplicate) || duplicate.Span != (journal.Span{First: 1, Last: 1}) {
		t.Errorf("a key of the same group: %v", p.answers[3].err)
	}
	if len(p.records) != 1 || len(p.blobs) != 0 || len(p.heads) != 1 || len(p.spans) != 1 {
		t.Errorf("%d records, %d texts, %d heads, %d keys", len(p.records), len(p.blobs), len(p.heads), len(p.spans))
	}
}

func TestAFencedWriterAppendsOnlyWhatIsLate(t *testing.T) {
	found := empty()
	found.epoch = 4
	late := batch("a", "late", 1)
	late.Late = true
	p := decide(0, 3, found, []journal.Batch{batch("a", "", 1), late}, 1)
	if !errors.Is(p.answers[0].err, journal.ErrFenced) {
		t.Errorf("the one: %v", p.answers[0].err)
	}
	if p.answers[1].err != nil || len(p.records) != 1 || p.records[0].Epoch != 3 {
		t.Errorf("the late one: %v, %d records", p.answers[1].err, len(p.records))
	}
}

func TestTextsAreStoredOnceAndInOneOrder(t *testing.T) {
	one, two := batch("a", "", 1), batch("b", "", 1)
	x, y, z := journal.NewBlob([]byte("x")), journal.NewBlob([]byte("y")), journal.NewBlob([]byte("z"))
	one.Blobs, two.Blobs = []journal.Blob{z, x, z}, []journal.Blob{y, x}
	p := decide(0, 3, empty(), []journal.Batch{one, two}, 1)
	for i := range p.blobs {
		if i > 0 && p.blobs[i-1].Digest >= p.blobs[i].Digest {
			t.Error("they are not sorted")
		}
	}
	if len(p.blobs) != 3 {
		t.Errorf("%d texts", len(p.blobs))
	}
}

func TestALimitIsSharedFairly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "shards")
		last := journal.Cursor(rapid.SliceOfN(rapid.Int64Range(0, 30), n, n).Draw(t, "last"))
		after := journal.Cursor(rapid.SliceOfN(rapid.Int64Range(0, 30), 0, n).Draw(t, "after"))
		limit, start := rapid.IntRange(-1, 60).Draw(t, "limit"), rapid.IntRange(0, n-1).Draw(t, "start")

		wanting, total := 0, int64(0)
		for shard := range last {
			if more := last[shard] - after.Position(shard); more > 0 {
				wanting, total = wanting+1, total+more
			}
		}
		pages, got := share(last, after, limit, start), int64(0)
		for _, p := range pages {
			size := p.last - p.first + 1
			got += size
			if p.first != after.Position(p.shard)+1 || size < 1 || p.last > last[p.shard] {
				t.Fatalf("page %+v of a shard read to %d that ends at %d", p, after.Position(p.shard), last[p.shard])
			}
			// Each has at least its part, or all that it wants.
			if part := int64(limit / wanting); size < part && p.last < last[p.shard] {
				t.Fatalf("page %+v has %d records, and its part is %d", p, size, part)
			}
		}
		if want := min(total, int64(max(0, limit))); got != want {
			t.Fatalf("%d records, not %d: %+v", got, want, pages)
		}
		if want := min(wanting, max(0, limit)); len(pages) != want {
			t.Fatalf("%d shards, not %d: %+v", len(pages), want, pages)
		}
	})
}
