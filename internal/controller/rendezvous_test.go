package controller

import (
	"fmt"
	"slices"
	"testing"
)

const testShards = 64

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("edict-controller-manager-7d4f9c%d", i))
	}
	return all
}

func TestEveryShardHasOneOwnerWhateverTheOrderOfTheMembers(t *testing.T) {
	members := names(5)
	turned := slices.Clone(members)
	slices.Reverse(turned)
	var all []int
	for _, m := range members {
		mine := shardsOf(m, members, testShards)
		if other := shardsOf(m, turned, testShards); !slices.Equal(mine, other) {
			t.Errorf("%s has %v, or %v if the members are turned around", m, mine, other)
		}
		all = append(all, mine...)
	}
	slices.Sort(all)
	if len(all) != testShards || len(slices.Compact(all)) != testShards {
		t.Errorf("the members' shards are %v", all)
	}
}

func TestOnlyTheShardsOfAMemberThatWentMove(t *testing.T) {
	members := names(5)
	for gone := range members {
		left := slices.Delete(slices.Clone(members), gone, gone+1)
		for shard := range testShards {
			before, after := ownerOf(shard, members), ownerOf(shard, left)
			if before != members[gone] && before != after {
				t.Errorf("%s went, and shard %d moved from %s to %s", members[gone], shard, before, after)
			}
			if after == members[gone] || after == "" {
				t.Errorf("shard %d is %q's", shard, after)
			}
		}
	}
}

func TestShardsAreSpreadOverTheMembers(t *testing.T) {
	for n := 1; n <= 8; n++ {
		// Over a thousand sets of members, nobody has less than a third of an even share on average over ten of them.
		for set := range 100 {
			least := 0
			members := make([]string, n)
			for round := range 10 {
				for i := range members {
					members[i] = fmt.Sprintf("manager-%d-%d-%d", set, round, i)
				}
				fewest := testShards
				for _, m := range members {
					fewest = min(fewest, len(shardsOf(m, members, testShards)))
				}
				least += fewest
			}
			if least*n < testShards*10/3 {
				t.Errorf("the least of %d members had %d.%d shards on average", n, least/10, least%10)
			}
		}
	}
}

func TestWithoutMembersNobodyOwnsAShard(t *testing.T) {
	if mine := shardsOf("me", nil, testShards); mine != nil {
		t.Errorf("got %v", mine)
	}
	if mine := shardsOf("me", []string{"you"}, testShards); mine != nil {
		t.Errorf("one that is no member has %v", mine)
	}
}
