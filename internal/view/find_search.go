package view

import (
	"context"
	"slices"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// Find implements Finder. It returns what the reader returns when it cannot tell what the search needs; a search that
// nobody could answer is a fault of kind Invalid.
func (c *Catalog) Find(ctx context.Context, s Search) ([]Found, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	for {
		r, err := c.upTo(ctx, s.Stream, s.AsOf)
		if err != nil {
			return nil, err
		}
		if found, there := r.find(s); there {
			return found, nil
		}
	}
}

// find answers a search, unless what it needs was given up meanwhile.
func (r *racks) find(s Search) (found []Found, there bool) {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	if r.broken || r.seen < s.AsOf {
		return nil, false
	}
	return r.of[s.Shelf].find(s, r.meaning), true
}

func (s Search) validate() error {
	switch {
	case s.Stream == "":
		return fault.NewInvalid("InvalidSearch", "a search needs the stream that it is about")
	case s.AsOf < 0:
		return fault.NewInvalid("InvalidSearch", "a search as of sequence %d: sequences begin with 1, and 0 is before the first", s.AsOf)
	case s.Limit < 1:
		return fault.NewInvalid("InvalidSearch", "a search asks for %d passages; ask for at least 1", s.Limit)
	case !slices.Contains([]projection.Shelf{projection.Memories, projection.Turns, projection.Documents}, s.Shelf):
		return fault.NewInvalid("InvalidSearch", "there is no shelf %q; use memories, turns or documents", s.Shelf)
	case !slices.Contains(rankings, s.Ranking):
		return fault.NewInvalid("InvalidSearch", "there is no ranking %q; use %s", s.Ranking, oneOfRankings)
	}
	return nil
}
