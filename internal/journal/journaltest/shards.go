package journaltest

import (
	"fmt"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

func testShards(t *testing.T, open Opener) {
	j := writer(t, open)
	shards := j.Shards()
	if shards < 1 {
		t.Fatalf("%d shards", shards)
	}
	for _, none := range []int{-1, shards} {
		if _, err := j.Claim(soon(t), none); err == nil {
			t.Errorf("shard %d of %d was claimed", none, shards)
		}
	}
	streams := []string{"travel/concierge", "travel/concierge@2", "travel/concierge@3@x", "travel/porter", "a/b@2", "a/b", "@"}
	recorded := map[string]int{}
	for _, stream := range streams {
		want := journal.ShardOf(stream, shards)
		equal(t, "shard of "+stream+" before it has records", shardOf(t, j, stream), want)
		for _, r := range mustAppend(t, j, anywhere(stream, events(1, 2)...)) {
			equal(t, "shard of a record of "+stream, r.Shard, want)
		}
		recorded[stream] = want
	}
	equal(t, "shard of a later life", shardOf(t, j, "a/b@9"), recorded["a/b"])
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = reader(t, open)
	equal(t, "number of shards after reopening", j.Shards(), shards)
	for _, r := range readAll(t, j) {
		equal(t, "shard of a record that was read", r.Shard, recorded[r.Stream])
		equal(t, "shard of "+r.Stream, shardOf(t, j, r.Stream), recorded[r.Stream])
	}
}

// apart returns two streams of different shards.
func apart(t *testing.T, j journal.Journal) (one, other string) {
	t.Helper()
	if j.Shards() == 1 {
		t.Skip("the store has one shard")
	}
	one = "s/0"
	for n := 1; ; n++ {
		other = fmt.Sprintf("s/%d", n)
		if shardOf(t, j, one) != shardOf(t, j, other) {
			return one, other
		}
	}
}

func testShardFencing(t *testing.T, open Opener) {
	first, second := reader(t, open), reader(t, open)
	kept, lost := apart(t, first)
	claim(t, first)
	mustAppend(t, first, anywhere(kept, event(1)))
	mustAppend(t, first, anywhere(lost, event(1)))

	if _, err := second.Claim(soon(t), shardOf(t, second, lost)); err != nil {
		t.Fatalf("claim: %v", err)
	}
	for range 2 { // a refusal in one shard is none in the other
		_, err := first.Append(soon(t), anywhere(lost, event(9)))
		fails(t, "append to the shard that was lost", err, journal.ErrFenced)
		mustAppend(t, first, anywhere(kept, event(2)))
		_, err = second.Append(soon(t), anywhere(kept, event(9)))
		fails(t, "append to a shard that was never claimed", err, journal.ErrFenced)
		mustAppend(t, second, anywhere(lost, event(2)))
		for _, j := range []journal.Journal{first, second} {
			if err := j.Check(soon(t)); err != nil {
				t.Errorf("check by the writer of a shard: %v", err)
			}
		}
	}
	sequencesAreWhole(t, readAll(t, first), 6)
}
