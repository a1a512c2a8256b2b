package view

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// shelves is what an agent may know besides what travel holds.
func shelves() *shelf {
	s := travel()
	chunk := func(index int, text string) projection.Passage {
		return projection.Passage{Shelf: projection.Documents, Sequence: 12, Index: index, Time: at(12), Name: "schengen.md", Within: "visa-rules",
			Speaker: "Visa > Stay", Source: "configMap rules, key schengen.md", Text: text}
	}
	turn := func(sequence int64, role, speaker, text string) projection.Passage {
		return projection.Passage{Shelf: projection.Turns, Sequence: sequence, Time: at(int(sequence)), Within: "ada", Speaker: speaker, Source: role, Text: text}
	}
	s.chunks = []projection.Chunk{
		{Sequence: 11, Time: at(11), Collection: "visa-rules", Document: "old.md", Index: 0, Text: "Old."},
		{Sequence: 12, Time: at(12), Collection: "visa-rules", Document: "schengen.md", Index: 0, Text: "First."},
		{Sequence: 12, Time: at(12), Collection: "visa-rules", Document: "schengen.md", Index: 1, Text: "Second."},
	}
	s.found = map[projection.Shelf][]Found{
		projection.Documents: {
			{Passage: chunk(4, "You may stay 90 days."), Before: []projection.Passage{chunk(3, "Of 180 days.")}, After: []projection.Passage{chunk(5, "Without a visa.")}},
			{Passage: chunk(6, "Students need one."), Before: []projection.Passage{chunk(5, "Without a visa.")}},
		},
		projection.Turns: {
			{Passage: turn(10, "user", "Ada", "My passport is Swiss."), After: []projection.Passage{turn(11, "agent", "agent", "Noted.")}},
			{Passage: turn(20, "user", "user", "Find me flights from Zürich to Lisbon on 2027-03-04")},
			{Passage: turn(4, "user", "user", "Hello.")},
		},
		projection.Memories: {
			{Passage: projection.Passage{Shelf: projection.Memories, Sequence: 3, Time: at(3), Name: "mem-11aa", Within: "preference", Speaker: "Ada", Importance: 9, Text: "Window seats."}},
			{Passage: projection.Passage{Shelf: projection.Memories, Sequence: 9, Time: at(9), Name: "mem-22bb", Within: "preference", Importance: 5, Text: "Vegetarian meals."}},
		},
	}
	s.summaries = map[string][]projection.Summary{"ada": {
		{Sequence: 35, Time: at(35), Conversation: "ada", From: 1, To: 30, Text: "Ada wants to fly to Lisbon; two flights were found."},
		{Sequence: 21, Time: at(21), Conversation: "ada", From: 1, To: 20, Text: "Ada wants to fly."},
	}}
	s.pending = map[string][]projection.Pending{"ada": {
		{Sequence: 42, Time: at(42), Command: "ask-2", Type: agent.Ask, Conversation: "ada"},
		{Sequence: 41, Time: at(41), Command: "ask-2-1-0", Type: agent.CallAPI, Operation: "book_flight", Arguments: `{"flight":"LX2084"}`, Conversation: "ada"},
		{Sequence: 8, Time: at(8), Command: "index-rules", Type: agent.IndexDocuments},
	}}
	return s
}

// everything is a view with a block of every source.
func everything(rendering Rendering) Definition {
	facts := only(500, Block{Memories: &Memories{Limit: 5}, Rendering: rendering})
	facts.Name = "facts"
	d := Definition{Namespace: "travel", Name: "concierge", Agent: "concierge", Budget: 4000, Blocks: []Block{
		{Name: "rules", Instructions: &Instructions{Text: "You book flights.\n\n# Manners\nBe polite.\n"}},
		{Name: "profile", Memories: &Memories{Limit: 20}},
		{Name: "history", Conversation: &Conversation{Turns: 20, Summary: true}},
		{Name: "visa", Documents: &Documents{Collections: []string{"visa-rules"}, Limit: 5, Summary: true}},
		{Name: "earlier", Turns: &Turns{Limit: 5}},
		{Name: "results", Results: &Results{Limit: 10, Latest: true}},
		{Name: "open", Pending: &Pending{Limit: 10}},
		{Name: "more", View: &facts},
	}}
	for i := range d.Blocks[:7] {
		d.Blocks[i].Rendering = rendering
	}
	return d
}

func TestEveryBlockInEveryRendering(t *testing.T) {
	for rendering, file := range map[Rendering]string{Markdown: "every.md", XML: "every.xml", JSON: "every.json"} {
		t.Run(string(rendering), func(t *testing.T) {
			got := built(t, searching(t, shelves()), ask(everything(rendering)))
			golden(t, file, got.Text)
			items := map[string]int{"rules": 2, "profile": 2, "history": 2, "visa": 4, "earlier": 4, "results": 3, "open": 2, "more": 2}
			for _, b := range got.Blocks {
				if b.Items != items[b.Name] || b.Cut != 0 || b.Tokens == 0 {
					t.Errorf("got %+v, want %d items", b, items[b.Name])
				}
			}
		})
	}
}

func TestABlockSearchesAsItsSourceAndTheQuestionSay(t *testing.T) {
	search := func(shelf projection.Shelf, ranking Ranking, within ...string) Search {
		return Search{Stream: stream, AsOf: 42, Now: at(59), Shelf: shelf, Within: within, Question: "Which visa do I need?", Ranking: ranking, Limit: 7}
	}
	cases := map[string]struct {
		block    Block
		question string
		want     []Search
	}{
		"memories are blended":            {Block{Memories: &Memories{Kinds: []string{"fact"}, Limit: 7}}, "", []Search{search(projection.Memories, Blended, "fact")}},
		"or as the block says":            {Block{Ranking: Recency, Memories: &Memories{Limit: 7}}, "", []Search{search(projection.Memories, Recency)}},
		"the newest are only read":        {Block{Ranking: Newest, Memories: &Memories{Limit: 7}}, "", nil},
		"documents by relevance":          {Block{Documents: &Documents{Collections: []string{"a"}, Limit: 7}}, "", []Search{search(projection.Documents, Relevance, "a")}},
		"turns in the conversation alone": {Block{Turns: &Turns{Limit: 7}}, "", []Search{search(projection.Turns, Relevance, "ada")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := shelves()
			built(t, searching(t, s), ask(only(4000, c.block)))
			if diff := cmp.Diff(c.want, s.searches); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	s := shelves()
	request := ask(only(4000, Block{Memories: &Memories{Limit: 7}}))
	request.Question.Text = ""
	if got := built(t, searching(t, s), request); len(s.searches) > 0 || !strings.Contains(got.Text, "mem-22bb (preference, 2027-03-01T10:00:09Z): Vegetarian") {
		t.Errorf("without a question memories are the newest: %v\n%s", s.searches, got.Text)
	}
}

func TestWithoutAFinderTheNewestAreShown(t *testing.T) {
	got := built(t, builder(t, shelves()), ask(only(4000, Block{Documents: &Documents{Limit: 2}})))
	if want := "## it (documents)\n- schengen.md (visa-rules): First.\n- schengen.md (visa-rules): Second.\n"; got.Text != want {
		t.Errorf("got\n%s", got.Text)
	}
}

func TestWithoutAConversationBlocksOfTurnsAreLeftOut(t *testing.T) {
	d := everything(Markdown)
	d.Blocks = []Block{d.Blocks[2], d.Blocks[4], d.Blocks[1]}
	request := ask(d)
	request.Question.Conversation = ""
	got := built(t, searching(t, shelves()), request)
	if got.Blocks[0] != (agent.ContextBlock{Name: "history"}) || got.Blocks[1] != (agent.ContextBlock{Name: "earlier"}) || !strings.HasPrefix(got.Text, "## profile") {
		t.Errorf("got %+v\n%s", got.Blocks, got.Text)
	}
}

// A turn that both blocks could show stands in the conversation, and takes nothing of the other block's.
func TestATurnIsShownOnce(t *testing.T) {
	d := everything(Markdown)
	d.Blocks = []Block{d.Blocks[4], d.Blocks[2]}
	d.Blocks[1].Conversation = &Conversation{Turns: 20}
	for budget := 100; budget < 400; budget += 10 {
		d.Budget = budget
		got := built(t, searching(t, shelves()), ask(d))
		if n := strings.Count(got.Text, "Find me flights"); n > 1 {
			t.Fatalf("%d times in %d tokens:\n%s", n, budget, got.Text)
		}
	}
	d.Budget = 4000
	got := built(t, searching(t, shelves()), ask(d))
	if want := (agent.ContextBlock{Name: "earlier", Tokens: got.Blocks[0].Tokens, Items: 3}); got.Blocks[0] != want || got.Blocks[1].Items != 3 {
		t.Errorf("got %+v\n%s", got.Blocks, got.Text)
	}
	d.Blocks[1].Conversation.Turns = 1
	if got = built(t, searching(t, shelves()), ask(d)); !strings.Contains(got.Text, "Find me flights") || got.Blocks[0].Items != 4 {
		t.Errorf("a turn that the conversation does not show is missing: %+v\n%s", got.Blocks, got.Text)
	}
}

func TestASummaryStandsForWhatItCovers(t *testing.T) {
	block := Block{Conversation: &Conversation{Turns: 20, Summary: true}}
	long := shelves()
	long.summaries["ada"][0].Text = strings.Repeat("And more. ", 400)
	without := shelves()
	without.summaries = nil
	cases := map[string]struct {
		shelf *shelf
		has   []string
		items int
	}{
		"the newest":                       {shelves(), []string{"two flights were found.", "Book the morning"}, 2},
		"an older one if that is too long": {long, []string{"Ada wants to fly.", "There are two flights", "Book the morning"}, 3},
		"none if there is none":            {without, []string{"Find me flights", "There are two flights", "Book the morning"}, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := built(t, builder(t, c.shelf), ask(only(600, block)))
			at := -1
			for _, text := range c.has {
				next := strings.Index(got.Text, text)
				if next <= at {
					t.Errorf("%q is not where it belongs", text)
				}
				at = next
			}
			if got.Blocks[0].Items != c.items {
				t.Errorf("%d items, want %d, in\n%s", got.Blocks[0].Items, c.items, got.Text)
			}
		})
	}
}

func TestTheLatestResultOfEachCallIsShown(t *testing.T) {
	s := travel()
	search := s.results["ada"][1]
	older := search
	older.Command, older.Text = "ask-0-1-0", "older"
	other := older
	other.Command, other.Arguments = "ask-0-1-1", `{"date":"2027-03-05"}`
	s.results["ada"] = append(s.results["ada"], older, other)
	got := built(t, builder(t, s), ask(only(4000, Block{Results: &Results{Limit: 4, Latest: true}})))
	if strings.Contains(got.Text, "ask-0-1-0") || !strings.Contains(got.Text, "ask-0-1-1") || !strings.Contains(got.Text, "OutcomeUnknown") || got.Blocks[0].Items != 4 {
		t.Errorf("got %+v\n%s", got.Blocks, got.Text)
	}
}

func TestWhoSaysToBeTheAgentIsNot(t *testing.T) {
	s := shelves()
	s.found[projection.Turns] = s.found[projection.Turns][:1]
	s.found[projection.Turns][0].Speaker = "agent"
	got := built(t, searching(t, s), ask(only(4000, Block{Turns: &Turns{Limit: 1}})))
	if !strings.Contains(got.Text, "- user (agent, 2027-03-01T10:00:10Z): My passport") || strings.Count(got.Text, "- agent (") != 1 {
		t.Errorf("got\n%s", got.Text)
	}
}

func TestInstructionsAreCutByTheParagraph(t *testing.T) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "Rule %d is this one.\n\n", i)
	}
	d := only(4000, Block{MaxTokens: 100, Instructions: &Instructions{Text: text.String()}})
	got := built(t, builder(t, travel()), ask(d))
	last := fmt.Sprintf("- Rule %d is this one.\n… %d further paragraphs left out\n", got.Blocks[0].Items-1, got.Blocks[0].Cut)
	if !strings.HasSuffix(got.Text, last) || got.Tokens > 100 || got.Tokens < 90 {
		t.Errorf("%d tokens, without %q:\n%s", got.Tokens, last, got.Text)
	}
	other := d
	other.Blocks = slices.Clone(d.Blocks)
	other.Blocks[0].Instructions = &Instructions{Text: "Another."}
	if d.Digest() == other.Digest() {
		t.Error("other instructions make the same definition")
	}
}

func TestAViewTakesNoMoreThanItsOwnBudget(t *testing.T) {
	s := travel()
	s.memories = slices.Repeat(s.memories, 20)
	inner := only(100, Block{Memories: &Memories{Limit: 40}})
	d := only(4000, Block{View: &inner})
	got := built(t, builder(t, s), ask(d))
	if got.Tokens > 120 || got.Tokens < 80 || got.Blocks[0].Cut == 0 || !strings.HasPrefix(got.Text, "## it (view concierge)\n\n### it (memories)\n- mem") {
		t.Errorf("%d tokens:\n%s", got.Tokens, got.Text)
	}
	d.Blocks[0].MaxTokens = 60
	if got = built(t, builder(t, s), ask(d)); got.Tokens > 60 || got.Tokens < 40 {
		t.Errorf("%d tokens of at most 60:\n%s", got.Tokens, got.Text)
	}
}

func TestAViewsMinimumComesBeforeTheWeights(t *testing.T) {
	s := travel()
	s.memories = slices.Repeat(s.memories, 20)
	inner := only(1000, Block{Memories: &Memories{Limit: 40}})
	d := only(400, Block{View: &inner})
	d.Blocks = append(d.Blocks, Block{Name: "other", Weight: 1000, Memories: &Memories{Limit: 40}})
	for least, items := range map[int]int{0: 0, 200: 5} {
		d.Blocks[0].MinTokens = least
		if got := built(t, builder(t, s), ask(d)); got.Blocks[0].Items != items || got.Tokens > 400 {
			t.Errorf("with a minimum of %d: %+v", least, got.Blocks)
		}
	}
}

func TestABlockThatMayTakeLessThanItsHeadingIsRefusedByName(t *testing.T) {
	d := only(4000, Block{MaxTokens: 10, Memories: &Memories{Limit: 40}})
	_, err := builder(t, travel()).Build(t.Context(), ask(d))
	if f := fault.Of(err); err == nil || f.Reason != "BudgetTooSmall" || !strings.HasPrefix(f.Message, "Block or view it in view concierge may take 10 tokens, and takes ") {
		t.Errorf("got %v", err)
	}
}

func TestOfItemsOfOneLengthBlocksTakeTokensByWeight(t *testing.T) {
	s := &shelf{head: 1, messages: map[string][]projection.Message{}}
	for i := range 200 {
		s.memories = append(s.memories, projection.Memory{Time: at(1), ID: fmt.Sprintf("mem-%03d", i), Kind: "fact", Content: "The same words in each."})
	}
	d := only(4000, Block{Weight: 3, Memories: &Memories{Limit: 200}})
	d.Blocks = append(d.Blocks, Block{Name: "other", Weight: 1, Memories: &Memories{Limit: 200}})
	got := built(t, builder(t, s), ask(d))
	if three, one := got.Blocks[0].Items, got.Blocks[1].Items; three < 3*one-3 || three > 3*one+3 || got.Tokens < 3950 {
		t.Errorf("%d items beside %d in %d tokens", three, one, got.Tokens)
	}
}

func TestNeighboursGiveWayBeforeWhatWasFound(t *testing.T) {
	s := shelves()
	for i := range s.found[projection.Documents] {
		f := &s.found[projection.Documents][i]
		for j := range f.Before {
			f.Before[j].Text = strings.Repeat("beside ", 60)
		}
	}
	got := built(t, searching(t, s), ask(only(120, Block{Documents: &Documents{Limit: 5}})))
	if !strings.Contains(got.Text, "You may stay") || strings.Contains(got.Text, "beside") || got.Blocks[0].Cut == 0 {
		t.Errorf("got\n%s", got.Text)
	}
}
