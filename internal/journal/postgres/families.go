package postgres

import "sync"

// familyLimit bounds the memory that the families take. One more, and all are
// forgotten and asked for again.
const familyLimit = 100_000

// families remembers in which shard each family was recorded, which never
// changes. It is safe for concurrent use.
type families struct {
	mu     sync.RWMutex
	shards map[string]int
}

func newFamilies() *families { return &families{shards: map[string]int{}} }

func (f *families) shard(family string) (int, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	shard, known := f.shards[family]
	return shard, known
}

func (f *families) remember(family string, shard int) {
	if _, known := f.shard(family); known {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.shards) >= familyLimit {
		clear(f.shards)
	}
	f.shards[family] = shard
}
