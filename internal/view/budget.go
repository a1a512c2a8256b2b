package view

import (
	"strings"
	"unicode/utf8"

	"github.com/edict-dev/edict/internal/tokens"
)

// choice is how much of a section is shown.
type choice struct {
	whole   int   // the newest items, whole
	partial *item // the next one, cut to fit; nil: none
	tokens  int
}

// shown returns how many items are shown.
func (c choice) shown() int {
	if c.partial != nil {
		return c.whole + 1
	}
	return c.whole
}

func (s section) cut(c choice) int { return len(s.items) - c.shown() }

// priced is a section with what its parts take, in tokens.
type priced struct {
	section
	counter *tokens.Counter
	fixed   int   // heading, and the line that says that there is nothing
	note    int   // the line that says what was left out
	upTo    []int // upTo[n]: the n newest items together; ends with the first sum that is more than the budget
}

// price counts a section's parts. Items that no budget can hold are not counted.
func price(s section, counter *tokens.Counter, budget int) priced {
	p := priced{section: s, counter: counter, fixed: counter.Count(s.heading), upTo: []int{0}}
	if len(s.items) == 0 {
		p.fixed += counter.Count(none)
		return p
	}
	p.note = max(counter.Count(s.note(1)), counter.Count(s.note(len(s.items))))
	for sum := 0; len(p.upTo) <= len(s.items) && sum <= budget; {
		sum += counter.Count(s.items[len(p.upTo)-1].text())
		p.upTo = append(p.upTo, sum)
	}
	return p
}

// demand is what the section takes if nothing is cut; more than the budget, if it is.
func (p priced) demand() int { return p.fixed + p.upTo[len(p.upTo)-1] }

// floor is what the section takes if all is cut, or less if it has less to show.
func (p priced) floor() int { return min(p.fixed+p.note, p.demand()) }

// choose returns what is shown in room tokens, which is at least the floor: the
// newest items that fit, whole. An item that is larger than the whole room would
// hide everything before it: it is cut to what is left.
func (p priced) choose(room int) choice {
	last := len(p.upTo) - 1
	if last == len(p.items) && p.demand() <= room {
		return choice{whole: last, tokens: p.demand()}
	}
	space := room - p.fixed - p.note
	whole := 0
	for whole < last && p.upTo[whole+1] <= space {
		whole++
	}
	c := choice{whole: whole, tokens: p.fixed + p.note + p.upTo[whole]}
	if whole == last {
		return c
	}
	if size := p.upTo[whole+1] - p.upTo[whole]; size > space {
		if part, took := partial(p.counter, p.items[whole], space-p.upTo[whole]); part != nil {
			c.partial, c.tokens = part, c.tokens+took
		}
	}
	if p.cut(c) == 0 {
		c.tokens -= p.note
	}
	return c
}

// partial returns an item cut to at most room tokens, and how many it takes, or
// nil if that would show next to nothing of it.
func partial(t *tokens.Counter, i item, room int) (*item, int) {
	const marker, least = 12, 24 // what the words that say so take, and what makes no sense any more
	for n := room - marker; n >= least; {
		kept := strings.TrimSpace(t.Prefix(i.body, n))
		part := item{body: kept, more: i.more + utf8.RuneCountInString(i.body[len(kept):])}
		took := t.Count(part.text())
		if took <= room {
			return &part, took
		}
		n -= took - room
	}
	return nil, 0
}

// fit divides a budget: every section gets its floor, then its minimum, then by
// weight what it can use. What the last share of one leaves goes to the others,
// in their order. The floors are no more than the budget.
func fit(sections []priced, budget int) []choice {
	n := len(sections)
	shares, wants, weights := make([]int, n), make([]int, n), make([]int, n)
	for i, s := range sections {
		shares[i] = s.floor()
		budget -= shares[i]
		wants[i] = max(0, min(s.block.MinTokens, s.demand())-shares[i])
	}
	budget -= pour(budget, shares, wants, wants)
	for i, s := range sections {
		wants[i] = s.demand() - shares[i]
		weights[i] = s.block.weight()
	}
	budget -= pour(budget, shares, wants, weights)
	choices := make([]choice, n)
	for i, s := range sections {
		choices[i] = s.choose(shares[i])
		budget += shares[i] - choices[i].tokens
	}
	for i, s := range sections {
		if s.cut(choices[i]) == 0 && choices[i].partial == nil {
			continue
		}
		if more := s.choose(choices[i].tokens + budget); more.tokens > choices[i].tokens {
			budget -= more.tokens - choices[i].tokens
			choices[i] = more
		}
	}
	return choices
}

// pour adds budget to the shares by weight, to none more than it wants, and
// returns how much it gave: all of it, unless the wants are less.
func pour(budget int, shares, wants, weights []int) int {
	given := make([]int, len(shares))
	rest := budget
	for rest > 0 {
		total := 0
		for i := range wants {
			if given[i] < wants[i] {
				total += weights[i]
			}
		}
		if total == 0 {
			break
		}
		round := rest
		for i := range wants {
			if open := wants[i] - given[i]; open > 0 {
				// At least 1, so that each round gives something away.
				part := min(open, max(1, round*weights[i]/total), rest)
				given[i] += part
				rest -= part
			}
		}
	}
	for i := range shares {
		shares[i] += given[i]
	}
	return budget - rest
}
