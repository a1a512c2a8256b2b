package query

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/view"
)

// entryCost is what an entry takes beside its text, in bytes and roughly.
const entryCost = 2 << 10

// cache keeps contexts that were built. A context is a function of what it is kept
// by, so one that was kept is as good as one built anew, and nothing ever has to
// be taken out because it changed: only for room, what was asked for last goes last.
type cache struct {
	most int // bytes

	mu    sync.Mutex
	taken int
	all   map[cacheKey]*cached
	ring  cached // holds nothing: next is what was asked for last, and previous what was not for longest
}

// cacheKey is all that a context depends on.
type cacheKey struct {
	definition string // its digest, which covers everything in it
	stream     string
	generation int64 // of the rows that it was built from; see projection.Store.Generation
	sequence   int64
	question   [sha256.Size]byte
	tokens     int
}

type cached struct {
	key            cacheKey
	context        agent.Context
	next, previous *cached
}

func (c *cached) cost() int { return entryCost + len(c.context.Text) }

func newCache(most int) *cache {
	c := &cache{most: most, all: map[cacheKey]*cached{}}
	c.ring.next, c.ring.previous = &c.ring, &c.ring
	return c
}

// first puts an entry that is in no ring to the front.
func (c *cache) first(entry *cached) {
	entry.next, entry.previous = c.ring.next, &c.ring
	entry.next.previous, entry.previous.next = entry, entry
}

func (c *cached) leave() { c.next.previous, c.previous.next = c.previous, c.next }

func keyOf(r view.Request, generation int64) cacheKey {
	conversation := sha256.Sum256([]byte(r.Question.Conversation)) // hashed first, so that no two questions read the same
	return cacheKey{
		definition: r.Definition.Digest(), stream: r.Stream, generation: generation, sequence: r.Sequence, tokens: r.MaxTokens,
		question: sha256.Sum256(append(conversation[:], r.Question.Text...)),
	}
}

func (c *cache) get(key cacheKey) (agent.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.all[key]
	if entry == nil {
		return agent.Context{}, false
	}
	entry.leave()
	c.first(entry)
	return entry.context, true
}

func (c *cache) put(key cacheKey, built agent.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := &cached{key: key, context: built}
	if c.all[key] != nil || entry.cost() > c.most {
		return
	}
	c.all[key] = entry
	c.first(entry)
	for c.taken += entry.cost(); c.taken > c.most; {
		last := c.ring.previous
		last.leave()
		delete(c.all, last.key)
		c.taken -= last.cost()
	}
}

// build returns the context that a request asks for, from the cache if it is
// there. Whoever may not read it has been refused before.
func (h *handler) build(ctx context.Context, r view.Request) (agent.Context, error) {
	if r.Sequence == 0 {
		seen, err := h.Projection.Head(ctx, r.Stream)
		if err != nil {
			return agent.Context{}, err
		}
		if seen == 0 || seen < r.Min {
			return h.Contexts.Build(ctx, r) // which waits, and is nothing to keep
		}
		r.Sequence = seen
	}
	generation, err := h.Projection.Generation(ctx, r.Stream)
	if err != nil {
		return agent.Context{}, err
	}
	key := keyOf(r, generation)
	if kept, ok := h.cache.get(key); ok {
		return kept, nil
	}
	built, err := h.Contexts.Build(ctx, r)
	if err == nil {
		h.cache.put(key, built)
	}
	return built, err
}
