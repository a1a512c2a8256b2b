// Package retrieval ranks items of text (turns of a conversation, memories, chunks of documents) by how likely they hold
// the answer to a question. It asks no model: the same items and the same question give the same order, on every
// machine, so that a context can be built again and compared.
//
// An Index grows: items are added to it, and some end. It is looked at as of a Moment, a sequence and a time, and the
// Snapshot that this gives tells the same, to the last bit of a score, as an index of nothing but the items that hold
// then. Rankers order what a snapshot holds: Lexical by words and dates, Recency by age and importance, Nearest by
// vectors that a model made. Fuse joins their rankings, and Distinct drops what says the same again. What moved recall,
// and by how much, is in docs/retrieval.md.
//
// The package knows neither the journal nor where items are stored, and counts no tokens.
package retrieval

import (
	"slices"
	"time"
)

// Item is what can be found. The zero value of every field is allowed.
type Item struct {
	Text string
	// Speaker is who said it: a name or a role. Of a passage of a document it is what the passage stands under.
	Speaker string
	// Time is when it was said; its location is the conversation's. The zero time is unknown.
	Time time.Time
	// Undated says that Time tells of the record and not of the text, as of a document that was read then: it is not
	// among the words, and "yesterday" in the text is not counted from it.
	Undated bool
	// Conversation and Session name what an item is read within: its neighbours are the items of the same session of
	// the same conversation that stand before and after it.
	Conversation, Session string
	// Position orders the items of a session; items of equal position stay in the order in which they were added.
	Position int
	// Importance is between 0 and 1, for Recency.
	Importance float64

	// Since and Until are the sequences from which on it holds, and from which on it does not; an Until of 0 is never.
	Since, Until int64
	// Expires is the time from which on it does not hold; the zero time is never.
	Expires time.Time
}

// Moment is what an index is looked at as of.
type Moment struct {
	// AsOf is the last sequence that is seen.
	AsOf int64
	// Now is what "yesterday", age and expiry are counted from. The zero time stands for the time of the newest item,
	// which for a conversation is its last turn.
	Now time.Time
	// Within names the conversations that are searched, and none stands for all.
	Within []string
}

// Question is what is asked.
type Question struct {
	Text string
	// Vector is the question's embedding, for Nearest.
	Vector []float32
}

// Hit is an item that was found.
type Hit struct {
	// Item is its number, as Add gave it: items are numbered from 0.
	Item int
	// Score says how well it answers; scores of different questions or rankers cannot be compared.
	Score float64
}

// Ranker puts the items of a snapshot in an order.
type Ranker interface {
	// Rank returns the items that have anything to do with the question, best first, equal ones in the order in which
	// they were added: the first limit of them, or all for a limit of 0.
	Rank(q Question, limit int) []Hit
}

// Config switches what a ranking reads besides the words of an item. The zero value is plain BM25 over the item's text,
// speaker and date; it is there to measure the rest against.
type Config struct {
	// Neighbours is how many items on either side are read with an item, each step away at half the weight; at most
	// maxNeighbours.
	Neighbours int
	// Gap is the time between two items after which another session begins, whatever they name as theirs; 0 is never.
	Gap time.Duration
	// Pairs reads an item after a question with all of that question: an answer seldom repeats what was asked.
	Pairs bool
	// Speakers keeps a speaker's name to what that speaker says; without it the name is a word of the text, which
	// neighbours read too.
	Speakers bool
	// Sessions adds an eighth of what the whole session scores, so that of two alike items the one comes first whose
	// conversation was about the question.
	Sessions bool
	// Irregular takes irregular forms for their base: "bought" for "buy".
	Irregular bool
	// Expect lets a question that asks for a time or a number find the items that mention one.
	Expect bool
	// Periods resolves the time words of the question and of the items, each against its own date, and finds the items
	// that speak of the time asked about.
	Periods bool
	// Proximity prefers items in which the question's words stand close to each other.
	Proximity bool
	// Feedback asks again with the words that tell the first hits from the rest.
	Feedback bool
}

// Default is what is measured best on conversations without being fitted to them: see docs/retrieval.md.
func Default() Config {
	return Config{Neighbours: 3, Pairs: true, Speakers: true, Sessions: true, Irregular: true, Expect: true, Periods: true}
}

// Alone is the default for items that are read by themselves, as memories are.
func Alone() Config {
	c := Default()
	c.Neighbours, c.Pairs, c.Sessions = 0, false, false
	return c
}

// maxTerms bounds the work that a question can ask for: of a longer one, the terms that tell most.
const maxTerms = 256

// best returns the items with a positive score, best first, equal ones by their numbers: the first limit of them, or all
// for a limit of 0. The scores are those of the items in order.
func best(scores []float64, order []int32, limit int) []Hit {
	first := newSelection(limit)
	for p := len(scores) - 1; p >= 0; p-- { // from the newest, as it is often the best
		if scores[p] > 0 && scores[p] >= first.floor {
			first.add(Hit{Item: int(order[p]), Score: scores[p]})
		}
	}
	return first.sorted()
}

// selection keeps the best of many hits: the first limit of them, or all for a limit of 0.
type selection struct {
	limit int
	hits  []Hit
	floor float64 // what a score has to reach to be among the first
}

// fewHits are what room is made for at once.
const fewHits = 1 << 10

func newSelection(limit int) selection {
	return selection{limit: limit, hits: make([]Hit, 0, 2*min(limit, fewHits))}
}

// add takes a hit in. There are never more than twice the limit.
func (s *selection) add(hit Hit) {
	s.hits = append(s.hits, hit)
	if s.limit > 0 && len(s.hits) == 2*s.limit {
		s.cut()
		s.floor = s.hits[s.limit-1].Score
	}
}

// cut keeps the first limit of the hits, the last of them last.
func (s *selection) cut() {
	selectFirst(s.hits, s.limit)
	s.hits = s.hits[:s.limit]
}

func (s *selection) sorted() []Hit {
	if s.limit > 0 && len(s.hits) > s.limit {
		s.cut()
	}
	sortHits(s.hits)
	return s.hits
}

// better says whether a hit comes before another one. No two items are the same, so one of two always does.
func better(a, b Hit) bool {
	return a.Score > b.Score || a.Score == b.Score && a.Item < b.Item
}

func sortHits(hits []Hit) {
	slices.SortFunc(hits, func(a, b Hit) int {
		if better(a, b) {
			return -1
		}
		return 1
	})
}

// selectFirst moves the n best hits to the front, the last of them to place n-1, and leaves the others in any order: the
// algorithm FIND of C. A. R. Hoare, Communications of the ACM 4(7), 1961.
func selectFirst(hits []Hit, n int) {
	for from, to := 0, len(hits)-1; from < to; {
		pivot := hits[from+(to-from)/2]
		i, j := from, to
		for i <= j {
			for better(hits[i], pivot) {
				i++
			}
			for better(pivot, hits[j]) {
				j--
			}
			if i <= j {
				hits[i], hits[j] = hits[j], hits[i]
				i++
				j--
			}
		}
		switch {
		case n-1 <= j:
			to = j
		case n-1 >= i:
			from = i
		default:
			return
		}
	}
}
