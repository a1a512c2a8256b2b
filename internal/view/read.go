package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
)

// Limits of what is looked through for a block, in rows.
const (
	resultsRead = 1000 // for the latest of each operation
	pendingRead = 1000 // for those that are no asks
)

// reading is what the blocks of one context are read with.
type reading struct {
	*Builder
	stream   string
	asOf     int64
	now      time.Time // the journal's, at asOf
	question agent.Question
	clip     int // bytes of a text that a budget could hold
	budget   int
}

func (r *reading) scope(limit int) projection.Scope {
	return projection.Scope{Stream: r.stream, AsOf: r.asOf, Limit: limit}
}

// view reads the blocks of a view into sections, with all that they may show. The
// blocks of views that it shows follow the heading of such a view.
func (r *reading) view(ctx context.Context, d Definition, in place) ([]*section, error) {
	var all []*section
	weights := 0
	for _, b := range d.Blocks {
		weights += b.weight()
	}
	for i, b := range d.Blocks {
		at := in.block(i, b, weights)
		if b.View != nil {
			some, err := r.shown(ctx, b, at)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
			continue
		}
		s, err := r.block(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("read block %s: %w", b.Name, err)
		}
		at.put(s)
		all = append(all, s)
	}
	return all, nil
}

// shown reads another view that a block shows.
func (r *reading) shown(ctx context.Context, b Block, at place) ([]*section, error) {
	title := &section{block: b, title: true, label: "view " + b.View.Name}
	heading := at
	heading.node = &node{parent: at.node, name: b.Name, most: at.node.most}
	heading.put(title)
	inner := at
	inner.depth++
	inner.node = &node{parent: at.node, name: b.View.Name, most: min(at.node.most, b.View.Budget)}
	inner.nested = true
	sections, err := r.view(ctx, *b.View, inner)
	if err != nil {
		return nil, fmt.Errorf("read view %s: %w", b.View.Name, err)
	}
	title.absent = !slices.ContainsFunc(sections, func(s *section) bool { return !s.absent })
	return append([]*section{title}, sections...), nil
}

// place is where sections stand: what bounds them, and what their items are worth.
type place struct {
	owner  int
	depth  int
	node   *node
	weight float64
	nested bool
}

// block returns the place of one of the blocks that stand there together.
func (p place) block(i int, b Block, weights int) place {
	most := p.node.most
	if b.MaxTokens > 0 {
		most = min(most, b.MaxTokens)
	}
	at := p
	at.node = &node{parent: p.node, name: b.Name, least: b.MinTokens, most: most}
	if p.nested { // the blocks of a view share what the view weighs
		at.weight = p.weight * float64(b.weight()) / float64(weights)
		return at
	}
	at.owner, at.weight = i, float64(b.weight())
	return at
}

func (p place) put(s *section) {
	s.owner, s.depth, s.node, s.weight = p.owner, p.depth, p.node, p.weight
}

// block reads one block.
func (r *reading) block(ctx context.Context, b Block) (*section, error) {
	s := &section{block: b}
	var err error
	if b.Rendering == Template {
		if s.template, err = parseTemplate(b); err != nil {
			return nil, invalid("template", "%s", err)
		}
	}
	switch {
	case b.Instructions != nil:
		r.instructions(s)
	case b.Memories != nil:
		err = r.memories(ctx, s)
	case b.Conversation != nil:
		err = r.conversation(ctx, s)
	case b.Documents != nil:
		err = r.documents(ctx, s)
	case b.Turns != nil:
		err = r.turns(ctx, s)
	case b.Results != nil:
		err = r.results(ctx, s)
	case b.Observations != nil:
		err = r.observations(ctx, s)
	default:
		err = r.pending(ctx, s)
	}
	if s.units == nil {
		s.single()
	}
	return s, err
}

// called sets what a section's items are called, one of them and many.
func (s *section) called(label, adjective, one, many string) {
	s.label, s.one, s.many = label, adjective+" "+one, adjective+" "+many
}

// instructions shows what the agent's author wrote, paragraph by paragraph.
func (r *reading) instructions(s *section) {
	s.called("instructions", "further", "paragraph", "paragraphs")
	s.gapless = true
	text, _ := s.block.Instructions.Excerpt()
	for paragraph := range strings.SplitSeq(tidy(text), "\n\n") {
		if strings.TrimSpace(paragraph) != "" {
			s.items = append(s.items, made("instruction", "-", paragraph, r.clip))
		}
	}
}

func (r *reading) memories(ctx context.Context, s *section) error {
	of, ranking := s.block.Memories, s.block.ranking(r.question.Text)
	if ranking == Newest || r.finder == nil {
		s.called("memories", "older", "memory", "memories")
		s.gapless = true
		rows, err := r.reader.Memories(ctx, r.scope(of.Limit), of.Kinds...)
		for _, m := range rows {
			s.items = append(s.items, memoryItem(m, r.clip))
		}
		return err
	}
	s.called("memories", "further", "memory", "memories")
	_, err := r.find(ctx, s, Search{Shelf: projection.Memories, Within: of.Kinds, Ranking: ranking, Limit: of.Limit})
	return err
}

// conversation shows the newest turns; with a summary those after what it covers.
func (r *reading) conversation(ctx context.Context, s *section) error {
	of := s.block.Conversation
	name := cmp.Or(of.Name, r.question.Conversation)
	if name == "" {
		s.absent = true
		return nil
	}
	s.called("conversation "+inline(name), "older", "turn", "turns")
	s.order, s.gapless = oldestFirst, true
	covered := int64(0)
	if of.Summary {
		summaries, err := r.reader.Summaries(ctx, r.scope(MaxItems), name, "")
		if err != nil {
			return err
		}
		covered = r.summary(s, summaries)
	}
	rows, err := r.reader.Messages(ctx, r.scope(of.Turns), name)
	for _, m := range rows {
		if len(s.summaries) == 0 || m.Sequence > covered {
			s.items = append(s.items, turnItem(m, r.clip))
		}
	}
	return err
}

// summary gives the section the newest summary that takes no more than half of
// what it may, and returns the last sequence that it covers; 0 without one.
func (r *reading) summary(s *section, summaries []projection.Summary) int64 {
	half := r.budget / 2
	if s.block.MaxTokens > 0 {
		half = min(half, s.block.MaxTokens/2)
	}
	for _, row := range summaries {
		i := summaryItem(row, r.clip)
		if i.more == 0 && r.tokens.Count(s.style().item(i, false)) <= half {
			s.summaries = []item{i}
			return row.To
		}
	}
	return 0
}

func (r *reading) documents(ctx context.Context, s *section) error {
	of, ranking := s.block.Documents, s.block.ranking(r.question.Text)
	s.called("documents", "further", "passage", "passages")
	shown, err := r.passages(ctx, s, Search{Shelf: projection.Documents, Within: of.Collections, Ranking: ranking, Limit: of.Limit})
	if err != nil || !of.Summary {
		return err
	}
	if len(of.Collections) > 0 {
		shown = of.Collections
	}
	return r.overviews(ctx, s, shown)
}

// passages fills a section of documents, and returns the collections that the
// passages are of, in their order.
func (r *reading) passages(ctx context.Context, s *section, search Search) (collections []string, err error) {
	if r.finder != nil {
		found, err := r.find(ctx, s, search)
		for _, f := range found {
			collections = append(collections, f.Within)
		}
		return collections, err
	}
	rows, err := r.reader.Chunks(ctx, r.scope(search.Limit), search.Within...)
	slices.SortStableFunc(rows, func(a, b projection.Chunk) int {
		return cmp.Or(cmp.Compare(b.Sequence, a.Sequence), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Index, b.Index))
	})
	for _, c := range rows[:min(len(rows), search.Limit)] {
		s.items = append(s.items, passageItem(c, r.clip))
		collections = append(collections, c.Collection)
	}
	return collections, err
}

func (r *reading) turns(ctx context.Context, s *section) error {
	of, name := s.block.Turns, r.question.Conversation
	if name == "" {
		s.absent = true
		return nil
	}
	s.called("turns of conversation "+inline(name), "further", "turn", "turns")
	s.order = journaled
	if r.finder != nil {
		_, err := r.find(ctx, s, Search{Shelf: projection.Turns, Within: []string{name}, Ranking: s.block.ranking(r.question.Text), Limit: of.Limit})
		return err
	}
	rows, err := r.reader.Messages(ctx, r.scope(of.Limit), name)
	for _, m := range rows {
		s.items = append(s.items, turnItem(m, r.clip))
	}
	return err
}

func (r *reading) results(ctx context.Context, s *section) error {
	of := s.block.Results
	s.called("what calls came to", "older", "result", "results")
	s.order, s.gapless = oldestFirst, true
	limit := of.Limit
	if of.Latest {
		limit = resultsRead
	}
	rows, err := r.reader.Results(ctx, r.scope(limit), r.question.Conversation)
	seen := map[[2]string]bool{}
	for _, row := range rows {
		call := [2]string{row.Operation, row.Arguments}
		if of.Latest && seen[call] || len(s.items) == of.Limit {
			continue
		}
		seen[call] = true
		s.items = append(s.items, resultItem(row, r.clip))
	}
	return err
}

func (r *reading) pending(ctx context.Context, s *section) error {
	of := s.block.Pending
	s.called("commands that have not ended", "older", "command", "commands")
	s.order, s.gapless = oldestFirst, true
	rows, err := r.reader.Pending(ctx, r.scope(pendingRead), r.question.Conversation)
	for _, row := range rows {
		if row.Type != agent.Ask && len(s.items) < of.Limit {
			s.items = append(s.items, pendingItem(row))
		}
	}
	return err
}

// find fills the section with what a search comes to, each passage with its
// neighbours. A passage is in one unit alone: its own, if it was found itself.
func (r *reading) find(ctx context.Context, s *section, search Search) ([]Found, error) {
	search.Stream, search.AsOf, search.Now, search.Question = r.stream, r.asOf, r.now, r.question.Text
	found, err := r.finder.Find(ctx, search)
	if err != nil {
		return nil, err
	}
	type name struct {
		sequence int64
		index    int
	}
	nameOf := func(p projection.Passage) name { return name{p.Sequence, p.Index} }
	placed := map[name]bool{}
	for _, f := range found {
		placed[nameOf(f.Passage)] = true
	}
	s.units = make([]unit, 0, len(found))
	for _, f := range found {
		var u unit
		beside := func(some []projection.Passage) {
			for _, p := range some {
				if !placed[nameOf(p)] {
					placed[nameOf(p)] = true
					u.items = append(u.items, s.add(passedItem(p, r.clip)))
				}
			}
		}
		beside(f.Before)
		u.found = s.add(passedItem(f.Passage, r.clip))
		u.items = append(u.items, u.found)
		beside(f.After)
		s.units = append(s.units, u)
	}
	return found, nil
}

func (s *section) add(i item) int {
	s.items = append(s.items, i)
	return len(s.items) - 1
}
