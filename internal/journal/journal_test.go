package journal

import (
	"encoding/json"
	"testing"
	"time"
)

// example is a record with every field set.
func example() Record {
	return Record{
		Shard: 3, Position: 4, Stream: "travel/concierge", Sequence: 5,
		Time: time.Date(2031, 2, 3, 4, 5, 6, 789_012_000, time.UTC), Epoch: 6, Previous: Hash{1, 2, 3},
		Event: Event{Type: "MemorySaved", Version: 2, Subject: "remember", Data: json.RawMessage(`{"text":"é"}`)},
	}
}

// TestHashNeverChanges: it is stored in every journal. A test that fails here
// says that the journals out there no longer verify.
func TestHashNeverChanges(t *testing.T) {
	const want = "4a630f96573d0cc0a0737383ecdbc3e547cce75e49fae0cfd72ea91a6f16d6e3"
	if got := example().Hash().String(); got != want {
		t.Errorf("the hash is %s, and was %s", got, want)
	}
}

func TestHashCoversWhatEveryStoreKeeps(t *testing.T) {
	original := example().Hash()
	for name, c := range map[string]struct {
		change  func(*Record)
		covered bool
	}{
		"stream":           {func(r *Record) { r.Stream = "travel/porter" }, true},
		"sequence":         {func(r *Record) { r.Sequence++ }, true},
		"time":             {func(r *Record) { r.Time = r.Time.Add(time.Microsecond) }, true},
		"previous":         {func(r *Record) { r.Previous[31]++ }, true},
		"type":             {func(r *Record) { r.Type = "MemorySaves" }, true},
		"version":          {func(r *Record) { r.Version++ }, true},
		"subject":          {func(r *Record) { r.Subject = "" }, true},
		"data":             {func(r *Record) { r.Data = json.RawMessage(`{"text":"e"}`) }, true},
		"a moved boundary": {func(r *Record) { r.Type, r.Subject = r.Type[:5], r.Type[5:]+r.Subject }, true},

		"shard":         {func(r *Record) { r.Shard++ }, false},
		"position":      {func(r *Record) { r.Position++ }, false},
		"epoch":         {func(r *Record) { r.Epoch++ }, false},
		"the time zone": {func(r *Record) { r.Time = r.Time.In(time.FixedZone("", 3600)) }, false},
	} {
		r := example()
		c.change(&r)
		if changed := r.Hash() != original; changed != c.covered {
			t.Errorf("%s: the hash changed: %v, want %v", name, changed, c.covered)
		}
	}
}

func TestCursorMovesBehindRecords(t *testing.T) {
	var start Cursor
	at := func(shard int, position int64) Record { return Record{Shard: shard, Position: position} }
	one := start.After([]Record{at(2, 7), at(0, 3), at(2, 9)})
	two := one.After([]Record{at(0, 4), at(2, 8)}) // which was read before
	for _, c := range []struct {
		cursor Cursor
		want   [4]int64
	}{{start, [4]int64{}}, {one, [4]int64{3, 0, 9, 0}}, {two, [4]int64{4, 0, 9, 0}}} {
		for shard, want := range c.want {
			if got := c.cursor.Position(shard); got != want {
				t.Errorf("%v is at position %d of shard %d, want %d", c.cursor, got, shard, want)
			}
		}
	}
}

func TestFamiliesShareAShard(t *testing.T) {
	for stream, want := range map[string]string{"a/b": "a/b", "a/b@2": "a/b", "a/b@2@3": "a/b", "@": "", "": ""} {
		if got := Family(stream); got != want {
			t.Errorf("the family of %q is %q, want %q", stream, got, want)
		}
		if got, want := ShardOf(stream, 64), ShardOf(want, 64); got != want {
			t.Errorf("%q is in shard %d, and its family in %d", stream, got, want)
		}
	}
}

func TestShardsAreUsedEvenly(t *testing.T) {
	const shards, streams = 64, 6400
	counts := make([]int, shards)
	for n := range streams {
		counts[ShardOf("namespace/agent-"+string(rune('a'+n%26))+time.Duration(n).String(), shards)]++
	}
	for shard, count := range counts {
		if count < streams/shards/2 || count > streams/shards*2 {
			t.Errorf("shard %d of %d has %d of %d streams", shard, shards, count, streams)
		}
	}
}
