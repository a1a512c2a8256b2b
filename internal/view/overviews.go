package view

import (
	"context"
	"slices"

	"github.com/edict-dev/edict/internal/projection"
)

// overviewsRead is how many summaries of a collection are looked through for one that fits.
const overviewsRead = 10

// overviews reads what there is to choose from, the newest first, for each of some
// collections in their order.
func (r *reading) overviews(ctx context.Context, s *section, collections []string) error {
	for i, collection := range collections {
		if slices.Contains(collections[:i], collection) {
			continue
		}
		rows, err := r.reader.Overviews(ctx, r.scope(overviewsRead), collection)
		if err != nil {
			return err
		}
		var some []item
		for _, row := range rows {
			if i := overviewItem(row, r.clip); i.more == 0 {
				some = append(some, i)
			}
		}
		s.overviews = append(s.overviews, some)
	}
	return nil
}

func overviewItem(s projection.Summary, clip int) item {
	head := "- " + summaryRole + " of " + inline(s.Collection) + " (" + stamp(s.Time) + "):"
	i := made("passage", head, s.Text, clip, inline(s.Collection), "", "", "", stamp(s.Time), "true")
	i.sequence = s.Sequence
	return i
}

// introduce gives a section the first summary of each collection that fits into
// half of what it may take, less the minimums of others. The section is begun.
func (p *packing) introduce(reserved int) {
	room := (p.node.room() - reserved) / 2
	for _, some := range p.overviews {
		for _, i := range some {
			if took, ok := p.preface(i, room); ok {
				room -= took
				break
			}
		}
	}
	p.overviews = nil // they are offered once
}

// preface puts a summary before the items if the section then takes no more than
// that much more, and begins the section anew.
func (p *packing) preface(summary item, room int) (took int, ok bool) {
	before, told := p.tokens, len(p.summaries)
	again := func(summaries []item) {
		p.node.charge(-p.tokens)
		p.summaries = summaries
		p.begin()
	}
	again(append(slices.Clip(p.summaries), summary))
	if took = p.tokens - before; took > room {
		again(p.summaries[:told])
		return 0, false
	}
	return took, true
}

// reserved returns what all but one section are to get by their minimums, and have not got yet.
func reserved(all []*packing, but *packing) (tokens int) {
	for _, p := range all {
		if p != but && p.ahead() {
			tokens += max(0, p.block.MinTokens-p.tokens)
		}
	}
	for _, n := range viewsOf(all) {
		if !but.node.in(n) {
			tokens += max(0, n.least-n.used)
		}
	}
	return tokens
}
