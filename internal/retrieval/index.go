package retrieval

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"sync"
	"time"
)

// Index holds analysed items. New makes one; Add and End change it, and must not run while a snapshot of it is made or
// asked. Snapshots may be made and asked by many goroutines at once.
type Index struct {
	config  Config
	shares  []int32 // of an item in the windows that it is read in
	asking  []int32 // the same, of one that asks something
	analyse analyser

	entries []entry
	lives   []life
	inverted
	threads  []thread
	threadOf map[threadName]int32
	recent   []int32 // all items, by when they were said; those of which that is unknown first
	greatest float64 // importance

	// What holds changes at these sequences and times, both sorted: between two of them a frame stays good.
	changes  []int64
	expiries []int64

	mutex  sync.Mutex // of frames
	frames []*frame   // the last used first
	scores sync.Pool  // of *[]float64 that nobody uses
}

// entry is what is kept of an item besides its postings and its life.
type entry struct {
	text       string
	said       time.Time
	position   int
	importance float64
	thread     int32
}

// life is what all items are looked at for when a moment is.
type life struct {
	since   int64
	until   int64 // never, or a sequence
	expires int64 // never, or microseconds since 1970
	said    int64 // unknown, or microseconds since 1970
	length  int32 // terms
	asks    bool
}

const (
	never   = math.MaxInt64
	unknown = math.MinInt64
)

// thread is the items that name the same conversation and session, in their order.
type thread struct {
	conversation string
	items        []int32
}

type threadName struct{ conversation, session string }

// inverted leads from what a question can ask for to the items that have it.
type inverted struct {
	terms map[string]int32 // a term's place in the lists below
	texts [][]posting      // by term: the items whose text has it
	names [][]posting      // by term: the items whose speaker has it
	words [][]int32        // by item: its terms in order, where the configuration reads them
	spans []span           // the times that items speak of, in the order of the items
}

// posting says how often an item has a term.
type posting struct {
	item, count int32
}

// New returns an index of items. An index of a configuration that reads more neighbours than it can is one that reads as
// many as it can.
func New(items []Item, config Config) *Index {
	config.Neighbours = min(max(config.Neighbours, 0), maxNeighbours)
	x := &Index{
		config:   config,
		shares:   shares(config, false),
		asking:   shares(config, true),
		analyse:  analyser{irregular: config.Irregular, bases: map[string]string{}},
		inverted: inverted{terms: map[string]int32{}},
		threadOf: map[threadName]int32{},
	}
	for _, item := range items {
		x.Add(item)
	}
	return x
}

// Len returns how many items were added.
func (x *Index) Len() int { return len(x.entries) }

// Add analyses an item, and returns its number.
func (x *Index) Add(item Item) int {
	i := int32(len(x.entries))
	e := entry{
		text:       item.Text,
		said:       item.Time,
		position:   item.Position,
		importance: min(1, max(0, item.Importance)),
		thread:     x.threadNamed(threadName{item.Conversation, item.Session}),
	}
	l := life{since: item.Since, until: never, expires: never, said: unknown, asks: asks(item.Text)}
	if !item.Time.IsZero() {
		l.said = item.Time.UnixMicro()
	}
	if !item.Expires.IsZero() {
		l.expires = item.Expires.UnixMicro()
		x.expiries = x.noted(x.expiries, l.expires)
	}
	if item.Undated {
		item.Time = time.Time{}
	}
	l.length = x.post(i, item)
	x.entries = append(x.entries, e)
	x.lives = append(x.lives, l)
	x.place(e.thread, i)
	x.date(i)
	x.greatest = max(x.greatest, e.importance)
	x.changes = x.noted(x.changes, item.Since)
	if item.Until != 0 {
		x.End(int(i), item.Until)
	}
	return int(i)
}

// End says that an item does not hold from a sequence on. An item ends once: another end takes the place of the first.
func (x *Index) End(item int, until int64) {
	l := &x.lives[item]
	if l.until != never {
		x.frames = nil // what they show may be what was said before
	}
	l.until = until
	x.changes = x.noted(x.changes, until)
}

// Ended says whether an item has ended by a sequence; whether it has expired is not looked at.
func (x *Index) Ended(item int, asOf int64) bool { return x.lives[item].until <= asOf }

// noted adds to a sorted list of changes. One that comes before another is news of what frames have shown already: they
// are dropped.
func (x *Index) noted(list []int64, at int64) []int64 {
	n := sort.Search(len(list), func(i int) bool { return list[i] > at })
	if n < len(list) {
		x.frames = nil
	}
	return slices.Insert(list, n, at)
}

// threadNamed returns the number of a thread, which it makes when the name is new.
func (x *Index) threadNamed(name threadName) int32 {
	t, known := x.threadOf[name]
	if !known {
		t = int32(len(x.threads))
		x.threadOf[name] = t
		x.threads = append(x.threads, thread{conversation: name.conversation})
	}
	return t
}

// place puts an item among those of its thread.
func (x *Index) place(thread, i int32) {
	items := x.threads[thread].items
	n := sort.Search(len(items), func(n int) bool { return x.entries[items[n]].position > x.entries[i].position })
	x.threads[thread].items = slices.Insert(items, n, i)
}

// among returns the items of an item's thread, and where it stands among them.
func (x *Index) among(i int32) (items []int32, n int) {
	items = x.threads[x.entries[i].thread].items
	n = sort.Search(len(items), func(n int) bool {
		return cmp.Or(cmp.Compare(x.entries[items[n]].position, x.entries[i].position), cmp.Compare(items[n], i)) >= 0
	})
	return items, n
}

// date puts an item among all, by when it was said.
func (x *Index) date(i int32) {
	n := sort.Search(len(x.recent), func(n int) bool { return x.lives[x.recent[n]].said > x.lives[i].said })
	x.recent = slices.Insert(x.recent, n, i)
}

// post lists an item under its terms, and returns how many terms its text has.
func (x *Index) post(i int32, item Item) int32 {
	said := spoken(item.Text)
	words := append(x.analyse.terms(said), x.analyse.terms(spoken(dateOf(item.Time)))...)
	if x.config.Speakers {
		for _, name := range x.analyse.terms(spoken(item.Speaker)) {
			t := x.term(name)
			x.names[t] = increment(x.names[t], i)
		}
	} else {
		words = append(words, x.analyse.terms(spoken(item.Speaker))...)
	}
	placed := make([]int32, len(words))
	for w, word := range words {
		t := x.term(word)
		placed[w] = t
		x.texts[t] = increment(x.texts[t], i)
	}
	if x.config.Proximity || x.config.Feedback {
		x.words = append(x.words, placed)
	}
	if x.config.Expect {
		for _, kind := range mentions(said) {
			t := x.term(kind)
			x.texts[t] = increment(x.texts[t], i)
		}
	}
	if x.config.Periods {
		periods, _ := resolve(said, item.Time)
		for _, p := range periods {
			x.spans = append(x.spans, spanOf(p, i))
		}
		if !item.Time.IsZero() {
			x.spans = append(x.spans, spanOf(day(item.Time), i))
		}
	}
	return int32(len(words))
}

// term returns the place of a term, which it makes when the term is new.
func (x *Index) term(term string) int32 {
	t, known := x.terms[term]
	if !known {
		t = int32(len(x.texts))
		x.terms[term] = t
		x.texts = append(x.texts, nil)
		x.names = append(x.names, nil)
	}
	return t
}

// increment counts one more occurrence in item i, which is the last one in the list or after it.
func increment(list []posting, i int32) []posting {
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
