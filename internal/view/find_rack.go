package view

import (
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/retrieval"
)

// rack holds the passages of one shelf, in the order in which they began to hold. A passage's place is its number in the
// index.
type rack struct {
	shelf    projection.Shelf
	index    *retrieval.Index
	passages []projection.Passage // without their end, which is in the index: a search of the past does not tell it
	texts    []int32              // by passage: the number of its text, for as many of them as have one
}

// pause is what ends a session of a conversation: longer than people pause within a day's work, and shorter than the
// night between two days.
const pause = 6 * time.Hour

func newRack(shelf projection.Shelf) *rack {
	config := retrieval.Alone()
	switch shelf {
	case projection.Turns:
		config = retrieval.Default()
		config.Gap = pause
	case projection.Documents:
		// A chunk is long enough to be read alone, but is judged with its document.
		config.Sessions = true
	}
	return &rack{shelf: shelf, index: retrieval.New(nil, config)}
}

// put adds a passage that began to hold after a sequence, or ends one that is there. It is false for what can be neither.
func (r *rack) put(p projection.Passage, after int64) bool {
	until := p.Until
	p.Until = 0
	n, there := slices.BinarySearchFunc(r.passages, p, compare)
	switch {
	case p.Since <= after: // what it says is that it ended
		if !there || until == 0 {
			return false
		}
		r.index.End(n, until)
	case there || n < len(r.passages):
		return false
	default:
		r.passages = append(r.passages, p)
		r.index.Add(r.item(p, until))
	}
	return true
}

// item is how a passage is indexed.
func (r *rack) item(p projection.Passage, until int64) retrieval.Item {
	item := retrieval.Item{
		Text:         p.Text,
		Speaker:      p.Speaker,
		Time:         p.Time,
		Conversation: p.Within,
		Importance:   float64(p.Importance) / 10,
		Since:        p.Since,
		Until:        until,
		Expires:      p.Expires,
	}
	if r.shelf == projection.Documents {
		item.Session, item.Undated = p.Name, true // it was read then, not written
	}
	return item
}

const (
	// fused is how deep the rankings go that are blended: what neither has among its first thousand is not missed.
	fused = 1000
	// looked bounds how many near-duplicates are passed over.
	looked = 5000
)

// find answers a search. The passages must not change meanwhile.
func (r *rack) find(s Search, m *meaning) []Found {
	snapshot := r.index.At(retrieval.Moment{AsOf: s.AsOf, Now: s.Now, Within: s.Within})
	rank := r.ranking(s, snapshot, m)
	var hits []retrieval.Hit
	for depth := 2 * s.Limit; ; depth *= 4 {
		all := rank(min(depth, looked))
		hits = r.index.Distinct(all, s.Limit)
		if len(hits) == s.Limit || len(all) < depth {
			break
		}
	}
	return r.found(snapshot, hits)
}

// ranking returns what ranks the first passages for a search, to a depth: one ranker, or several, fused.
func (r *rack) ranking(s Search, snapshot *retrieval.Snapshot, m *meaning) func(depth int) []retrieval.Hit {
	rankers, vector := r.rankers(s, snapshot, m)
	q := retrieval.Question{Text: s.Question, Vector: vector}
	if len(rankers) == 1 {
		return func(depth int) []retrieval.Hit { return rankers[0].Rank(q, depth) }
	}
	ranked := make([][]retrieval.Hit, len(rankers))
	for i, ranker := range rankers {
		ranked[i] = ranker.Rank(q, fused)
	}
	all := retrieval.Fuse(ranked...)
	return func(depth int) []retrieval.Hit { return all[:min(depth, len(all))] }
}

// rankers returns those of a search, and the question's vector if one of them compares by it.
func (r *rack) rankers(s Search, snapshot *retrieval.Snapshot, m *meaning) (rankers []retrieval.Ranker, vector []float32) {
	recency := retrieval.Recency{Snapshot: snapshot}
	switch {
	case s.Ranking == Newest:
		return []retrieval.Ranker{retrieval.Latest{Snapshot: snapshot}}, nil
	case s.Ranking == Recency || strings.TrimSpace(s.Question) == "":
		return []retrieval.Ranker{recency}, nil
	}
	rankers, vector = r.answering(s, snapshot, m)
	if s.Ranking == Blended {
		rankers = append(rankers, recency)
	}
	return rankers, vector
}

// answering returns those that rank by how well the question is answered: by words, by meaning, or by both.
func (r *rack) answering(s Search, snapshot *retrieval.Snapshot, m *meaning) (rankers []retrieval.Ranker, vector []float32) {
	words := retrieval.Lexical{Snapshot: snapshot}
	if s.Ranking == Lexical {
		return []retrieval.Ranker{words}, nil
	}
	vectors, vector := m.asked(s.Question, s.AsOf)
	if vector == nil {
		return []retrieval.Ranker{words}, nil
	}
	nearest := retrieval.Nearest{Snapshot: snapshot, Vectors: vectors, Texts: r.texts}
	if s.Ranking == Semantic {
		return []retrieval.Ranker{nearest}, vector
	}
	return []retrieval.Ranker{words, nearest}, vector
}

// found returns the passages of hits, each with its neighbours. One that stands between two hits is read with the better.
func (r *rack) found(snapshot *retrieval.Snapshot, hits []retrieval.Hit) []Found {
	told := map[int]bool{}
	for _, hit := range hits {
		told[hit.Item] = true
	}
	list := make([]Found, len(hits))
	for i, hit := range hits {
		list[i] = Found{Passage: r.passages[hit.Item], Score: hit.Score}
		beside := func(n int) []projection.Passage {
			if n < 0 || told[n] || !r.together(n, hit.Item) {
				return nil
			}
			told[n] = true
			return []projection.Passage{r.passages[n]}
		}
		before, after := snapshot.Beside(hit.Item)
		list[i].Before, list[i].After = beside(before), beside(after)
	}
	return list
}

// together says whether two passages that stand side by side are read together: the turns of one exchange, the chunks of
// one document. Memories have nothing to do with each other.
func (r *rack) together(a, b int) bool {
	return r.shelf != projection.Memories && r.passages[a].Name == r.passages[b].Name
}
