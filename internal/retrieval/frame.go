package retrieval

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// frame is what holds at a moment, put in the order in which it is read: the items of a session stand one after the
// other. An item's place is where it stands in that order. Counts and lengths of windows are whole numbers of shares, of
// which an item's own words have whole, so that they add up the same in whatever order they are added.
type frame struct {
	changes, expiries int    // how many lie behind the moment
	within            string // the conversations of the moment
	continued         bool   // another frame has taken over its lists, and goes on behind their ends

	order   []int32 // by place: the item
	places  []int32 // by item: its place, or nowhere
	windows levels  // by place

	// Where items are read alone, none of these is there, and the order is that of the items.
	sessions []session
	of       []int32 // by place: its session
	asks     []bool  // by place: whether it asks something
	spoken   levels  // by session
}

const nowhere = -1

// session is a run of places, to is the first that is not in it.
type session struct{ from, to, thread int32 }

// maxNeighbours is how far a window can reach: a step more would weigh less than a hundredth.
const maxNeighbours = 6

// keptFrames is how many moments an index can be asked about in turn without another look at all of its items.
const keptFrames = 4

// frameAt returns the frame of a moment, from those that were made before if none of what holds has changed since.
func (x *Index) frameAt(m Moment) *frame {
	within := slices.Compact(slices.Sorted(slices.Values(m.Within)))
	wanted := frame{
		changes:  sort.Search(len(x.changes), func(i int) bool { return x.changes[i] > m.AsOf }),
		expiries: sort.Search(len(x.expiries), func(i int) bool { return x.expiries[i] > m.Now.UnixMicro() }),
		within:   fmt.Sprintf("%q", within), // no two lists are written alike
	}
	if kept := x.kept(&wanted); kept != nil {
		return kept
	}
	inside := x.inside(within)
	switch {
	case !x.alone():
		x.fill(&wanted, m, inside)
	case !x.goOn(&wanted, m, inside):
		x.append(&wanted, m, inside)
	}
	x.keep(&wanted)
	return &wanted
}

// kept returns the frame that is like the wanted one, and marks it as used.
func (x *Index) kept(wanted *frame) *frame {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	for i, f := range x.frames {
		if f.changes == wanted.changes && f.expiries == wanted.expiries && f.within == wanted.within {
			copy(x.frames[1:i+1], x.frames[:i])
			x.frames[0] = f
			return f
		}
	}
	return nil
}

func (x *Index) keep(f *frame) {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	x.frames = append([]*frame{f}, x.frames[:min(len(x.frames), keptFrames-1)]...)
}

// alone says whether items are read by themselves, whatever stands beside them.
func (x *Index) alone() bool { return x.config.Neighbours == 0 && !x.config.Sessions }

// inside says of each thread whether it is of one of these conversations.
func (x *Index) inside(within []string) []bool {
	inside := make([]bool, len(x.threads))
	for t, thread := range x.threads {
		inside[t] = len(within) == 0 || slices.Contains(within, thread.conversation)
	}
	return inside
}

// goOn makes a frame of one that was made before, if nothing has changed since but that items were added.
func (x *Index) goOn(f *frame, m Moment, inside []bool) bool {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	for _, old := range x.frames {
		if !old.continued && old.within == f.within && old.expiries == f.expiries && x.begun(old, m) == f.changes-old.changes {
			old.continued = true
			f.order, f.places, f.windows = old.order, old.places, old.windows
			x.append(f, m, inside)
			return true
		}
	}
	return false
}

// begun counts the items that a frame does not know and that have begun to hold by the moment.
func (x *Index) begun(f *frame, m Moment) (n int) {
	for i := len(f.places); i < len(x.lives); i++ {
		if x.lives[i].since <= m.AsOf {
			n++
		}
	}
	return n
}

// append adds the items that a frame does not know, each read alone.
func (x *Index) append(f *frame, m Moment, inside []bool) {
	now := m.Now.UnixMicro()
	lengths := &f.windows.lengths
	if f.places == nil {
		f.places, f.order = make([]int32, 0, len(x.lives)), make([]int32, 0, len(x.lives))
		*lengths = make([]int32, 0, len(x.lives))
	}
	for i := len(f.places); i < len(x.lives); i++ {
		l := &x.lives[i]
		if !l.holds(m.AsOf, now) || !inside[x.entries[i].thread] {
			f.places = append(f.places, nowhere)
			continue
		}
		f.places = append(f.places, int32(len(f.order)))
		f.order = append(f.order, int32(i))
		*lengths = append(*lengths, l.length)
		f.windows.sum += int64(l.length)
	}
	f.windows.spread()
}

// fill puts what holds in order, and measures it.
func (x *Index) fill(f *frame, m Moment, inside []bool) {
	f.order = make([]int32, 0, len(x.entries))
	f.of = make([]int32, 0, len(x.entries))
	f.places = make([]int32, len(x.entries))
	for i := range f.places {
		f.places[i] = nowhere
	}
	now := m.Now.UnixMicro()
	for t, thread := range x.threads {
		if !inside[t] {
			continue
		}
		last := int32(nowhere)
		for _, i := range thread.items {
			if !x.lives[i].holds(m.AsOf, now) {
				continue
			}
			if last == nowhere || x.apart(last, i) {
				from := int32(len(f.order))
				f.sessions = append(f.sessions, session{from: from, to: from, thread: int32(t)})
			}
			f.places[i] = int32(len(f.order))
			f.order = append(f.order, i)
			f.asks = append(f.asks, x.lives[i].asks)
			f.of = append(f.of, int32(len(f.sessions)-1))
			f.sessions[len(f.sessions)-1].to++
			last = i
		}
	}
	x.measure(f)
}

// place returns where an item stands. One that was added after the frame was made does not hold in it.
func (f *frame) place(item int32) int32 {
	if int(item) >= len(f.places) {
		return nowhere
	}
	return f.places[item]
}

// holds says whether an item holds at a sequence and a time in microseconds.
func (l *life) holds(asOf, now int64) bool {
	return l.since <= asOf && asOf < l.until && now < l.expires
}

// apart says whether two items that follow each other are of two sessions.
func (x *Index) apart(a, b int32) bool {
	from, to := x.lives[a].said, x.lives[b].said
	if x.config.Gap == 0 || from == unknown || to == unknown {
		return false
	}
	return max(from, to)-min(from, to) > x.config.Gap.Microseconds()
}

// measure finds how long windows and sessions are.
func (x *Index) measure(f *frame) {
	windows := make([]int32, len(f.order))
	sessions := make([]int32, len(f.sessions))
	for p, i := range f.order {
		length := x.lives[i].length
		sessions[f.of[p]] += length
		first, shares := x.readers(f, int32(p))
		for r, share := range shares {
			windows[int(first)+r] += share * length
		}
	}
	f.windows = leveled(windows)
	f.spoken = leveled(sessions)
}

// shares are what an item has in the windows that it is read in, from the one that it ends to the one that it begins. A
// step away halves the share, so that an item's own words outweigh each neighbour's and no distance has to be chosen;
// what is left out beyond the third step would weigh a sixteenth.
func shares(config Config, asks bool) []int32 {
	n := config.Neighbours
	list := make([]int32, 2*n+1)
	for step := range n + 1 {
		list[n-step] = whole(config) >> step
		list[n+step] = whole(config) >> step
	}
	if config.Pairs && asks && n > 0 {
		list[n+1] = whole(config)
	}
	return list
}

// whole is the share of an item in its own window.
func whole(config Config) int32 { return 1 << config.Neighbours }

// readers returns the first place in whose window a place is read, and what share it has in that and in those that follow.
func (x *Index) readers(f *frame, p int32) (first int32, shares []int32) {
	shares = x.shares
	if f.asks[p] {
		shares = x.asking
	}
	n, s := int32(x.config.Neighbours), f.sessions[f.of[p]]
	first = max(s.from, p-n)
	return first, shares[first-p+n : min(s.to, p+n+1)-p+n]
}

// asks says whether a text asks something.
func asks(text string) bool { return strings.ContainsAny(text, "?？؟") }
