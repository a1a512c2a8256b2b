package controller

import (
	"crypto/sha256"
	"encoding/binary"
)

// shardsOf returns the shards, of so many, that a member is to hold while these
// are the members, itself among them or not. It is rendezvous hashing: a shard is
// the member's with the highest weight for it. Every member comes to the same,
// whatever the order; when one comes or goes, the only shards that move are those
// that it gets or had.
func shardsOf(member string, members []string, shards int) []int {
	var mine []int
	for shard := range shards {
		if ownerOf(shard, members) == member {
			mine = append(mine, shard)
		}
	}
	return mine
}

// ownerOf returns the member whose shard it is, empty if there are no members.
func ownerOf(shard int, members []string) string {
	var owner string
	var highest uint64
	for _, member := range members {
		if w := weight(member, shard); owner == "" || w > highest || w == highest && member < owner {
			owner, highest = member, w
		}
	}
	return owner
}

// weight is a hash that mixes well also where names and numbers differ in their last character alone.
func weight(member string, shard int) uint64 {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(member+"\x00"), uint32(shard)))
	return binary.BigEndian.Uint64(sum[:])
}
