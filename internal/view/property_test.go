package view

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// anyText is what people, models and servers write, and what somebody writes who
// wants to break out of it.
var anyText = rapid.OneOf(
	rapid.String(),
	rapid.StringMatching(`[a-z ]{0,400}`),
	rapid.StringMatching(`([-/#!.\n\r ]|## |<<<|…){0,60}`),
	rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.SampledFrom([]string{"x", "\n", "word ", "🙂", "漢", "- a\n", "9", " ", "!"}).Draw(t, "unit"), rapid.IntRange(1, 3000).Draw(t, "times"))
	}),
)

func anyShelf(t *rapid.T) *shelf {
	r := &shelf{head: rapid.Int64Range(1, 99).Draw(t, "head"), messages: map[string][]projection.Message{}, results: map[string][]projection.Result{}}
	for range rapid.IntRange(0, 8).Draw(t, "memories") {
		r.memories = append(r.memories, projection.Memory{Time: at(1), ID: anyText.Draw(t, "id"), Kind: anyText.Draw(t, "kind"), Content: anyText.Draw(t, "content")})
	}
	for range rapid.IntRange(0, 8).Draw(t, "turns") {
		r.messages["ada"] = append(r.messages["ada"], projection.Message{Sequence: int64(100 - len(r.messages["ada"])), Time: at(2), Role: projection.User, Text: anyText.Draw(t, "text")})
	}
	for range rapid.IntRange(0, 8).Draw(t, "results") {
		r.results["ada"] = append(r.results["ada"], projection.Result{Time: at(3), Command: anyText.Draw(t, "command"), Operation: "o",
			Phase: agent.Succeeded, Arguments: anyText.Draw(t, "arguments"), Text: anyText.Draw(t, "text")})
	}
	return r
}

func anyDefinition(t *rapid.T) Definition {
	d := Definition{Namespace: "n", Name: "v", Agent: "a", Budget: rapid.OneOf(rapid.IntRange(1, 400), rapid.IntRange(1, 20000)).Draw(t, "budget")}
	least := d.Budget
	for i := range rapid.IntRange(1, 5).Draw(t, "blocks") {
		b := Block{Name: fmt.Sprint("b", i), Weight: rapid.IntRange(0, 20).Draw(t, "weight"), MinTokens: rapid.IntRange(0, least).Draw(t, "min")}
		least -= b.MinTokens
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		switch rapid.IntRange(0, 2).Draw(t, "source") {
		case 0:
			b.Memories = &Memories{Limit: limit}
		case 1:
			b.Conversation = &Conversation{Turns: limit}
		default:
			b.Results = &Results{Limit: limit}
		}
		d.Blocks = append(d.Blocks, b)
	}
	return d
}

func TestAContextNeverExceedsItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyShelf(t)
		b := builder(t, r)
		q := Request{Definition: anyDefinition(t), Stream: stream, Question: agent.Question{Conversation: rapid.SampledFrom([]string{"", "ada"}).Draw(t, "conversation")},
			MaxTokens: rapid.SampledFrom([]int{0, 60, 200, 1000}).Draw(t, "max")}
		got, err := b.Build(context.Background(), q)
		if fault.Is(err, fault.Invalid) && fault.Of(err).Reason == "BudgetTooSmall" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		codec, err := tokenizer.Get(tokenizer.O200kBase)
		if err != nil {
			t.Fatal(err)
		}
		counted, err := codec.Count(got.Text)
		if err != nil || got.Tokens != counted || counted > q.budget() || got.Budget != q.budget() {
			t.Fatalf("told %d tokens of %d, counted %d of %d (%v):\n%s", got.Tokens, got.Budget, counted, q.budget(), err, got.Text)
		}
		if !utf8.ValidString(got.Text) {
			t.Fatalf("no UTF-8: %q", got.Text)
		}
		checkBlocks(t, r, q, got)
		again, err := builder(t, r).Build(context.Background(), q)
		if err != nil || again.Text != got.Text || again.Digest != got.Digest {
			t.Fatalf("built again it is another (%v):\n%s\n---\n%s", err, got.Text, again.Text)
		}
	})
}

// checkBlocks holds the blocks of a context against what there was to show.
func checkBlocks(t *rapid.T, r *shelf, q Request, got agent.Context) {
	headings, items := 0, 0
	for line := range strings.Lines(got.Text) {
		switch {
		case strings.HasPrefix(line, "## "):
			headings++
		case strings.HasPrefix(line, "- "):
			items++
		case line == "\n" || line == none || strings.HasPrefix(line, "… ") || strings.HasPrefix(line, "  "):
		default:
			t.Fatalf("the line %q is no part of a context", line)
		}
	}
	sum, shown, present := 0, 0, 0
	for i, block := range got.Blocks {
		sum += block.Tokens
		shown += block.Items
		if block.Tokens > 0 {
			present++
		}
		if there := available(r, q, q.Definition.Blocks[i]); block.Items+block.Cut != there {
			t.Fatalf("block %s shows %d items and cuts %d of %d", block.Name, block.Items, block.Cut, there)
		}
	}
	if sum != got.Tokens || shown != items || present != headings {
		t.Fatalf("told %d tokens, %d items, %d blocks; there are %d, %d, %d in\n%s", sum, shown, present, got.Tokens, items, headings, got.Text)
	}
}

func available(r *shelf, q Request, b Block) int {
	switch {
	case b.Memories != nil:
		return min(b.Memories.Limit, len(r.memories))
	case b.Conversation != nil:
		return min(b.Conversation.Turns, len(r.messages[q.Question.Conversation]))
	}
	return min(b.Results.Limit, len(r.results[q.Question.Conversation]))
}

// What fits into a block's minimum is shown, whatever the other blocks want.
func TestAMinimumIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyShelf(t)
		b := builder(t, r)
		d := anyDefinition(t)
		q := Request{Definition: d, Stream: stream, Question: agent.Question{Conversation: "ada"}}
		root := &node{most: d.Budget}
		sections, err := b.read(context.Background(), q, r.head, root)
		if err != nil {
			t.Fatal(err)
		}
		var all []*packing
		minimums := 0
		for _, s := range sections {
			p := &packing{section: s, counter: b.tokens, limit: 8*d.Budget + MaxTemplate}
			p.begin()
			all = append(all, p)
			minimums += max(p.tokens, min(s.block.MinTokens, p.demand()))
		}
		if minimums > d.Budget {
			return
		}
		fit(all, root)
		total := 0
		for i, p := range all {
			total += p.tokens
			if p.demand() <= p.block.MinTokens && p.out > 0 {
				t.Fatalf("block %d wants %d, its minimum is %d, and %d of its items are cut", i, p.demand(), p.block.MinTokens, p.out)
			}
		}
		if total > d.Budget || total != root.used {
			t.Fatalf("%d tokens of %d, told as %d", total, d.Budget, root.used)
		}
	})
}

// demand is what a section takes if nothing is cut.
func (p *packing) demand() int {
	sum := p.fixed
	for i := range p.items {
		sum += p.cost(i)
	}
	return sum
}
