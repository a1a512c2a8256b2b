package view

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// fit chooses what the sections show. All are begun.
func fit(all []*packing, root *node) {
	for _, p := range all {
		p.introduce(reserved(all, p))
	}
	shares(all, root)
	f := fitting{all}
	for _, p := range all {
		f.tell(p)
	}
	for _, p := range all {
		f.greedy([]*packing{p}, func(extra int) bool { return p.tokens+extra <= p.block.MinTokens })
		if p.ahead() && p.oversized() {
			p.hold(p.block.MinTokens - p.tokens)
		}
	}
	for _, n := range viewsOf(all) {
		f.greedy(within(all, n), func(extra int) bool { return n.used+extra <= n.least })
	}
	f.rest()
	for f.settle() {
		f.rest()
	}
	for _, p := range all {
		p.cut()
	}
	for _, p := range all {
		if p.template != nil {
			p.shrink()
		}
	}
}

// shares tells each section what it would take if all took by weight, or its
// minimum, or that of a view that it is in.
func shares(all []*packing, root *node) {
	total := 0.0
	for _, p := range all {
		if p.ahead() {
			total += p.weight
		}
	}
	for _, p := range all {
		if p.ahead() {
			p.share = max(p.block.MinTokens-p.tokens, int(float64(root.room())*p.weight/total))
			for n := p.node.parent; n != nil; n = n.parent {
				p.share = max(p.share, n.least-n.used)
			}
			p.share = min(p.share, p.node.room())
		}
	}
}

// viewsOf returns the views that blocks show, the innermost first.
func viewsOf(all []*packing) []*node {
	var views []*node
	for _, p := range slices.Backward(all) {
		for n := p.node.parent; n != nil && n.parent != nil; n = n.parent {
			if n.least > 0 && !slices.Contains(views, n) {
				views = append(views, n)
			}
		}
	}
	return views
}

func within(all []*packing, n *node) []*packing {
	var some []*packing
	for _, p := range all {
		if p.node.in(n) {
			some = append(some, p)
		}
	}
	return some
}

// ahead says whether there is a unit that may still be taken.
func (p *packing) ahead() bool {
	for p.next < len(p.units) {
		if open, _ := p.size(); open > 0 {
			return !p.closed
		}
		p.next++ // all of it is shown elsewhere
	}
	return false
}

// oversized says whether the next item alone is more than the section's share.
func (p *packing) oversized() bool {
	return len(p.units[p.next].items) == 1 && p.extra() > p.share
}

// fitting is the sections of one fit.
type fitting struct{ all []*packing }

// best returns the section whose next unit is worth most for a token, the first of equals.
func best(some []*packing) *packing {
	var top *packing
	most := 0.0
	for _, p := range some {
		if worth := p.worth(); top == nil || worth > most {
			top, most = p, worth
		}
	}
	return top
}

// greedy takes units, best first, as long as they fit and may be taken.
func (f fitting) greedy(some []*packing, may func(extra int) bool) {
	some = slices.Clone(some)
	for {
		some = slices.DeleteFunc(some, func(p *packing) bool { return !p.ahead() })
		p := best(some)
		if p == nil {
			return
		}
		if extra := p.extra(); extra <= p.node.room() && may(extra) && !p.oversized() {
			f.take(p)
			continue
		}
		some = slices.DeleteFunc(some, func(o *packing) bool { return o == p })
	}
}

// rest takes units, best first, until nothing fits. Where one does not, its
// neighbours are left out; where that does not help either, the section goes on
// with the next, unless that would leave a gap.
func (f fitting) rest() {
	for {
		some := slices.DeleteFunc(slices.Clone(f.all), func(p *packing) bool { return !p.ahead() })
		p := best(some)
		if p == nil {
			return
		}
		p.release()
		switch extra := p.extra(); {
		case extra <= p.node.room() && !p.oversized():
			f.take(p)
		case p.narrow():
		case p.oversized() && p.hold(p.share), p.gapless && p.empty() && p.hold(p.share):
			p.closed = true
		case p.gapless:
			p.closed = true
		default:
			p.next++
		}
	}
}

// settle shows items whole for which tokens are held, if the others left enough.
func (f fitting) settle() (changed bool) {
	for _, p := range f.all {
		if p.held == 0 {
			continue
		}
		held := p.held
		p.release()
		switch p.closed = false; {
		case !p.ahead():
		case p.extra() <= p.node.room():
			f.take(p)
			changed = true
		default:
			p.hold(held)
			p.closed = true
		}
	}
	return changed
}

func (f fitting) take(p *packing) {
	p.take()
	f.tell(p)
}

// tell lets blocks of turns hide what a conversation shows.
func (f fitting) tell(p *packing) {
	if p.block.Conversation == nil {
		return
	}
	for i, fate := range p.fates {
		if fate != shown || p.told[i] {
			continue
		}
		p.told[i] = true
		for _, o := range f.all {
			if o.block.Turns != nil {
				o.hideTurn(p.items[i].sequence)
			}
		}
	}
}

func (p *packing) hideTurn(sequence int64) {
	for i := range p.items {
		if p.items[i].sequence == sequence {
			p.hide(i)
		}
	}
}

// empty says whether the section shows no item.
func (p *packing) empty() bool { return !slices.Contains(p.fates, shown) }

// shrink takes the last items out of a template's output until it takes no more
// than there is: what an item adds there depends on the others.
func (p *packing) shrink() {
	for {
		extra := p.takes(p.chosen()) - p.tokens
		if extra <= p.node.room() || p.empty() {
			p.add(extra)
			return
		}
		p.drop()
	}
}

// drop leaves out the last unit that is shown.
func (p *packing) drop() {
	for p.next--; p.next >= 0; p.next-- {
		dropped := false
		for _, i := range p.units[p.next].items {
			if p.fates[i] == shown {
				p.fates[i], dropped = left, true
				p.out++
			}
		}
		if dropped {
			return
		}
	}
}

const (
	partMark  = 12 // tokens of the words that say that a part is left out
	leastPart = 24 // tokens of an item that make sense
)

// cut shows a part of the next item in the tokens that are held for it, and in what is left.
func (p *packing) cut() {
	if p.held == 0 {
		return
	}
	p.release()
	if p.closed = false; !p.ahead() {
		return
	}
	i := p.units[p.next].items[0]
	part, took := p.partial(p.items[i], p.node.room())
	if took == 0 {
		return
	}
	p.items = slices.Clone(p.items)
	p.items[i], p.fates[i], p.next = part, shown, p.next+1
	p.out--
	p.add(took)
}

// partial returns an item cut to at most room tokens, and how many it takes: 0 if
// that would show next to nothing of it.
func (p *packing) partial(i item, room int) (item, int) {
	text, more := i.text, i.more
	i.text, i.more = "", 0
	n := room - partMark - p.price(i)
	for try := 0; n >= leastPart; try++ {
		i.text = strings.TrimSpace(p.counter.Prefix(text, n))
		i.more = more + utf8.RuneCountInString(text[len(i.text):])
		took := p.price(i)
		if took <= room {
			return i, took
		}
		if n -= took - room; try > 8 {
			n /= 2
		}
	}
	return i, 0
}

// chosen returns the items that are shown, and what is said of those that are not.
func (p *packing) chosen() (items []item, words string) {
	for _, i := range p.arranged(func(i int) bool { return p.fates[i] == shown }) {
		items = append(items, p.items[i])
	}
	return items, p.words(p.out)
}
