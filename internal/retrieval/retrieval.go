// Package retrieval ranks items of text (turns of a conversation, memories, chunks of documents) by how likely they hold
// the answer to a question. It asks no model: the same items and the same question give the same order, on every
// machine, so that a context can be built again and compared.
//
// An Index is built from items and never changes. Rank answers a question by words and dates, Recent by age and
// importance, Fuse joins rankings, and Distinct drops what says the same again. What moved recall, and by how much, is in
// docs/retrieval.md.
//
// The package knows neither the journal nor where items are stored, and counts no tokens.
package retrieval

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Item is what can be found. The zero value of every field is allowed.
type Item struct {
	ID   string
	Text string
	// Speaker is who said it: a name or a role.
	Speaker string
	// Time is when it was said; its location is the conversation's. The zero time is unknown.
	Time time.Time
	// Conversation and Session name what an item is read within: its neighbours are the items of the same session of
	// the same conversation that stand before and after it.
	Conversation, Session string
	// Position orders the items of a session; items of equal position stay in the order given.
	Position int
	// Importance is between 0 and 1, for Recent.
	Importance float64
}

// Question is what is asked.
type Question struct {
	Text string
	// Now is what "yesterday" is counted from. The zero time stands for the time of the newest item, which for a
	// conversation is its last turn.
	Now time.Time
}

// Hit is an item that was found.
type Hit struct {
	// Item is its index among the items that New was given.
	Item int
	// Score says how well it answers; scores of different questions or rankers cannot be compared.
	Score float64
}

// Config switches what a ranking reads besides the words of an item. The zero value is plain BM25 over the item's text,
// speaker and date; it is there to measure the rest against.
type Config struct {
	// Neighbours is how many items on either side are read with an item, each step away at half the weight.
	Neighbours int
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

// maxTerms bounds the work that a question can ask for: of a longer one, the terms that tell most.
const maxTerms = 256

// Index holds analysed items. It is read only, and may be used by many goroutines at once.
type Index struct {
	config  Config
	items   []Item
	newest  time.Time
	terms   map[string]int // a term's place in the lists below
	texts   [][]posting    // by term: the items whose text has it
	names   [][]posting    // by term: the items whose speaker has it
	words   [][]int        // by item: its terms in order
	read    [][]reading    // by item: the items in whose windows it is read
	length  lengths        // by item: the terms of its window
	session []int          // by item: its session
	spoken  lengths        // by session: the terms of its items
	spans   []span         // the times that items speak of, in the order of the items
}

// posting says how often an item has a term.
type posting struct {
	item  int
	count float64
}

// New analyses items. It keeps the slice; the caller changes nothing in it afterwards.
func New(items []Item, config Config) *Index {
	x := &Index{
		config: config,
		items:  items,
		terms:  map[string]int{},
		words:  make([][]int, len(items)),
	}
	for i, item := range items {
		x.add(i, item)
		if item.Time.After(x.newest) {
			x.newest = item.Time
		}
	}
	x.measure(sessions(items))
	return x
}

// measure finds what is read together, and how long that is.
func (x *Index) measure(sessions [][]int) {
	x.read = windows(x.items, sessions, x.config)
	windowed := make([]float64, len(x.items))
	for i, readings := range x.read {
		for _, r := range readings {
			windowed[r.item] += r.weight * float64(len(x.words[i]))
		}
	}
	x.length = lengthsOf(windowed)

	x.session = make([]int, len(x.items))
	whole := make([]float64, len(sessions))
	for s, session := range sessions {
		for _, i := range session {
			x.session[i] = s
			whole[s] += float64(len(x.words[i]))
		}
	}
	x.spoken = lengthsOf(whole)
}

// add analyses one item.
func (x *Index) add(i int, item Item) {
	a := analyser{irregular: x.config.Irregular}
	words := append(a.terms(item.Text), a.terms(dateOf(item.Time))...)
	if x.config.Speakers {
		for _, name := range a.terms(item.Speaker) {
			t := x.term(name)
			x.names[t] = increment(x.names[t], i)
		}
	} else {
		words = append(words, a.terms(item.Speaker)...)
	}
	x.words[i] = make([]int, len(words))
	for w, word := range words {
		t := x.term(word)
		x.words[i][w] = t
		x.texts[t] = increment(x.texts[t], i)
	}
	if x.config.Expect {
		for _, kind := range mentions(item.Text) {
			t := x.term(kind)
			x.texts[t] = increment(x.texts[t], i)
		}
	}
	if x.config.Periods {
		for _, p := range Periods(item.Text, item.Time) {
			x.spans = append(x.spans, spanOf(p, i))
		}
		if !item.Time.IsZero() {
			x.spans = append(x.spans, spanOf(day(item.Time), i))
		}
	}
}

// term returns the place of a term, which it makes when the term is new.
func (x *Index) term(term string) int {
	t, known := x.terms[term]
	if !known {
		t = len(x.texts)
		x.terms[term] = t
		x.texts = append(x.texts, nil)
		x.names = append(x.names, nil)
	}
	return t
}

// increment counts one more occurrence in item i, which is the last one in the list or after it.
func increment(list []posting, i int) []posting {
	if n := len(list); n > 0 && list[n-1].item == i {
		list[n-1].count++
		return list
	}
	return append(list, posting{item: i, count: 1})
}

// dateOf writes a date in the words that people use for it; analysis makes the same terms of both.
func dateOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2 January 2006")
}

// Rank returns the items that have anything to do with the question, best first, equal ones in the order given: the first
// limit of them, or all for a limit of 0. A question without words that any item has finds nothing.
func (x *Index) Rank(q Question, limit int) []Hit {
	terms := x.asked(q)
	scores := x.score(terms, q)
	if x.config.Feedback {
		scores = x.score(x.expand(terms, best(scores, trusted)), q)
	}
	if x.config.Proximity {
		x.draw(scores, terms)
	}
	return best(scores, limit)
}

// weighted is a term of a question.
type weighted struct {
	term   int
	weight float64
}

// asked returns the terms of the question that items have, in the order in which the question has them.
func (x *Index) asked(q Question) []weighted {
	a := analyser{irregular: x.config.Irregular}
	text := q.Text
	if x.config.Periods {
		// A time is looked for as such, not by its words as well.
		_, rest := resolve(q.Text, x.now(q))
		text = strings.Join(rest, " ")
	}
	words := a.terms(text)
	if x.config.Expect {
		words = append(words, expects(q.Text)...)
	}
	var terms []weighted
	at := map[int]int{}
	for _, word := range words {
		t, known := x.terms[word]
		if !known {
			continue
		}
		if i, again := at[t]; again {
			terms[i].weight++
			continue
		}
		at[t] = len(terms)
		terms = append(terms, weighted{term: t, weight: 1})
	}
	return x.telling(terms)
}

// telling keeps the maxTerms terms that weigh most.
func (x *Index) telling(terms []weighted) []weighted {
	if len(terms) <= maxTerms {
		return terms
	}
	slices.SortStableFunc(terms, func(a, b weighted) int {
		return cmp.Compare(b.weight*x.rarity(b.term), a.weight*x.rarity(a.term))
	})
	return terms[:maxTerms]
}

// rarity is the inverse document frequency of a term among items, neighbours left out.
func (x *Index) rarity(t int) float64 {
	return idf(max(len(x.texts[t]), len(x.names[t])), len(x.items))
}

// best returns the items with a positive score, best first, equal ones in the order given: the first limit of them, or
// all for a limit of 0.
func best(scores []float64, limit int) []Hit {
	var hits []Hit
	floor := 0.0 // what a score has to exceed to be among the first
	for i, score := range scores {
		if score <= floor {
			continue
		}
		hits = append(hits, Hit{Item: i, Score: score})
		if limit > 0 && len(hits) >= 2*limit { // sorted seldom, and never more than twice the limit
			sortHits(hits)
			hits = hits[:limit]
			floor = hits[limit-1].Score
		}
	}
	sortHits(hits)
	if limit > 0 {
		hits = hits[:min(limit, len(hits))]
	}
	return hits
}

func sortHits(hits []Hit) {
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
}
