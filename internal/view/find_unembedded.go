package view

import (
	"context"
	"slices"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// Unembedded returns texts of a stream that a model has made no vector of: of passages that hold as of a sequence, those
// first that began to hold last, each text once, and so many at most. Empty texts are left out; that a memory has expired
// is not looked at. It is for who embeds them, as of sequences that rise: what has ended by one of them, or has a vector by
// now, is not told again as of one before.
//
// It returns what the reader returns when that cannot tell yet. The first call looks at every passage; what others cost
// follows from how much has no vector, not from how much there is.
func (c *Catalog) Unembedded(ctx context.Context, stream, model string, asOf int64, limit int) ([]string, error) {
	switch {
	case stream == "" || model == "":
		return nil, fault.NewInvalid("InvalidSearch", "texts without vectors are those of a stream that a model made none of; name both")
	case asOf < 0 || limit < 1:
		return nil, fault.NewInvalid("InvalidSearch", "%d texts as of sequence %d; ask for at least 1, as of 0 or more", limit, asOf)
	}
	for {
		r, err := c.upTo(ctx, stream, asOf)
		if err != nil {
			return nil, err
		}
		if texts, there := r.unembedded(model, asOf, limit); there {
			return texts, nil
		}
	}
}

// unembedded looks, unless what it needs was given up meanwhile.
func (r *racks) unembedded(model string, asOf int64, limit int) (texts []string, there bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.broken || r.seen < asOf {
		return nil, false
	}
	m := r.knows()
	if m.missing.model != model {
		m.missing = missing{model: model, looked: map[projection.Shelf]int{}}
	}
	m.missing.look(r.of)
	return m.unembedded(asOf, limit), true
}

// missing are the passages that a model had made no vector of when they were last looked through, in the order in which
// they began to hold: of one model, as an agent has.
type missing struct {
	model   string
	looked  map[projection.Shelf]int // how many passages were taken in
	entries []entry
}

// entry is a passage on a rack.
type entry struct {
	rack *rack
	n    int
}

func (p entry) passage() projection.Passage { return p.rack.passages[p.n] }

// look takes in the passages that were added since it last did.
func (m *missing) look(of map[projection.Shelf]*rack) {
	before := len(m.entries)
	for shelf, rack := range of {
		for n := m.looked[shelf]; n < len(rack.passages); n++ {
			m.entries = append(m.entries, entry{rack, n})
		}
		m.looked[shelf] = len(rack.passages)
	}
	slices.SortFunc(m.entries[before:], func(a, b entry) int { return compare(a.passage(), b.passage()) })
}

// unembedded returns texts that are missing as of a sequence, the last first, and strikes what it comes upon that is not
// missing any more.
func (m *meaning) unembedded(asOf int64, limit int) (texts []string) {
	entries := m.missing.entries
	given := map[int32]bool{}
	next, kept := len(entries), len(entries) // what lies between them is struck
	for ; next > 0 && len(texts) < limit; next-- {
		e := entries[next-1]
		text, number := e.passage().Embeddable(), e.rack.texts[e.n]
		if agent.Blank(text) || e.rack.index.Ended(e.n, asOf) || m.has(number) {
			continue
		}
		kept--
		entries[kept] = e
		if e.passage().Since <= asOf && !given[number] {
			given[number] = true
			texts = append(texts, text)
		}
	}
	m.missing.entries = slices.Delete(entries, next, kept)
	return texts
}

// has says whether the model whose vectors are missing has made one of a text.
func (m *meaning) has(text int32) bool {
	return slices.ContainsFunc(m.spaces, func(s *space) bool { return s.model == m.missing.model && s.vectors.Has(int(text)) })
}
