package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/projection"
)

// summarised is an agent that has summaries of two collections.
func summarised() *shelf {
	s := shelves()
	s.overviews = map[string][]projection.Summary{
		"visa-rules": {
			{Sequence: 40, Time: at(40), Collection: "visa-rules", To: 12, Text: "Most need no visa\nfor 90 days."},
			{Sequence: 20, Time: at(20), Collection: "visa-rules", To: 11, Text: "Short."},
		},
		"meals": {{Sequence: 30, Time: at(30), Collection: "meals", To: 9, Text: "Meals come at noon."}},
	}
	return s
}

func TestASummaryOfACollectionStandsBeforeItsPassages(t *testing.T) {
	const (
		ofVisa   = "- summary of visa-rules (2027-03-01T10:00:40Z): Most need no visa\n  for 90 days.\n"
		ofMeals  = "- summary of meals (2027-03-01T10:00:30Z): Meals come at noon.\n"
		passages = "- schengen.md, Visa > Stay (visa-rules): Of 180 days.\n"
	)
	for name, c := range map[string]struct {
		block    Documents
		question string
		begins   string
		items    int
	}{
		"of those that are named, in their order":  {Documents{Collections: []string{"meals", "visa-rules"}, Limit: 5, Summary: true}, "Which visa?", ofMeals + ofVisa + passages, 6},
		"of one that is named, once":               {Documents{Collections: []string{"meals", "meals"}, Limit: 5, Summary: true}, "Which visa?", ofMeals + passages, 5},
		"or of those that the passages are of":     {Documents{Limit: 5, Summary: true}, "Which visa?", ofVisa + passages, 5},
		"without a question":                       {Documents{Limit: 5, Summary: true}, "", ofVisa + passages, 5},
		"none of a collection without":             {Documents{Collections: []string{"hotels"}, Limit: 5, Summary: true}, "Which visa?", passages, 4},
		"none if the block does not show any":      {Documents{Collections: []string{"meals"}, Limit: 5}, "Which visa?", passages, 4},
		"none of a collection with the empty name": {Documents{Collections: []string{"visa"}, Limit: 5, Summary: true}, "", passages, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(only(600, Block{Documents: &c.block}))
			r.Question.Text = c.question
			got := built(t, searching(t, summarised()), r)
			if want := "## it (documents)\n" + c.begins; !strings.HasPrefix(got.Text, want) || got.Blocks[0].Items != c.items {
				t.Errorf("%d items, want %d, and the text to begin\n%sand it is\n%s", got.Blocks[0].Items, c.items, want, got.Text)
			}
		})
	}
}

func TestACollectionIsSummedUpWhereNothingOfItIsFound(t *testing.T) {
	s := summarised()
	s.found = nil
	block := Block{Documents: &Documents{Collections: []string{"meals"}, Limit: 5, Summary: true}}
	want := "## it (documents)\n- summary of meals (2027-03-01T10:00:30Z): Meals come at noon.\n"
	if got := built(t, searching(t, s), ask(only(600, block))); got.Text != want {
		t.Errorf("the text is\n%s", got.Text)
	}
	block.Documents.Collections = nil
	s.chunks = s.chunks[:1]
	if got := built(t, builder(t, s), ask(only(600, block))); !strings.HasPrefix(got.Text, "## it (documents)\n- summary of visa-rules ") || got.Blocks[0].Items != 2 {
		t.Errorf("of what is not searched for, the text is\n%s", got.Text)
	}
}

func TestASummaryOfACollectionInEveryRendering(t *testing.T) {
	for rendering, want := range map[Rendering]string{
		XML:      `<passage collection="meals" time="2027-03-01T10:00:30Z" summary="true">Meals come at noon.</passage>`,
		JSON:     `{"collection":"meals","time":"2027-03-01T10:00:30Z","summary":"true","text":"Meals come at noon."},`,
		Template: "Of meals: Meals come at noon.\n* Of 180 days.",
	} {
		b := Block{Rendering: rendering, Documents: &Documents{Collections: []string{"meals"}, Limit: 5, Summary: true}}
		if rendering == Template {
			b.Template = "{{range .items}}{{if .summary}}Of {{.collection}}: {{else}}* {{end}}{{.text}}\n{{end}}"
		}
		if got := built(t, searching(t, summarised()), ask(only(900, b))); !strings.Contains(got.Text, "\n"+want+"\n") || got.Blocks[0].Items != 5 {
			t.Errorf("%s: there is no\n%s\nin\n%s", rendering, want, got.Text)
		}
	}
}

func TestTheNewestSummaryThatFitsIntoHalfOfTheBlockIsShown(t *testing.T) {
	s := summarised()
	s.overviews["visa-rules"][0].Text = strings.Repeat("And more. ", 80) // some 160 tokens
	block := Block{Documents: &Documents{Collections: []string{"visa-rules", "meals"}, Limit: 5, Summary: true}}
	for budget, has := range map[int][]string{600: {"And more.", "noon"}, 250: {"Short.", "noon"}, 100: {"Short."}, 40: nil} {
		d := only(1000, block)
		d.Blocks[0].MaxTokens = budget
		got := built(t, searching(t, s), ask(d))
		for _, text := range []string{"And more.", "Short.", "noon"} {
			want := false
			for _, h := range has {
				want = want || h == text
			}
			if strings.Contains(got.Text, text) != want {
				t.Errorf("with %d tokens, %q: %v, want %v, in\n%s", budget, text, !want, want, got.Text)
			}
		}
	}
}

func TestADefinitionWithoutSummariesHasTheDigestThatItHadBefore(t *testing.T) {
	d := only(600, Block{Documents: &Documents{Collections: []string{"meals"}, Limit: 5}})
	d.Blocks = append(d.Blocks, Block{Name: "rules", Instructions: &Instructions{Text: "Be brief."}})
	if want := "sha256:a3a15d2cc3cabd6e81b6a253e572da322e9ef4406e6959efe447f07d6f52db04"; d.Digest() != want {
		t.Errorf("the digest is %s", d.Digest())
	}
	with := only(600, Block{Documents: &Documents{Collections: []string{"meals"}, Limit: 5, Summary: true}})
	if with.Digest() == only(600, Block{Documents: &Documents{Collections: []string{"meals"}, Limit: 5}}).Digest() {
		t.Error("with summaries the digest is the same")
	}
}

// A summary takes no more than half of what other blocks' minimums leave.
func TestSummariesLeaveTheOtherBlocksTheirMinimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := summarised()
		for _, of := range []string{"visa-rules", "meals"} {
			s.overviews[of][0].Text = strings.Repeat("more ", rapid.IntRange(1, 400).Draw(t, "words"))
		}
		for i := range 20 {
			s.memories = append(s.memories, projection.Memory{Time: at(1), ID: fmt.Sprint("m", i), Kind: "fact", Content: "It is remembered."})
		}
		budget := rapid.IntRange(60, 900).Draw(t, "budget")
		least := rapid.IntRange(0, budget-40).Draw(t, "least") // beside the headings
		d := only(budget, Block{Documents: &Documents{Collections: []string{"visa-rules", "meals"}, Limit: 5, Summary: true}})
		d.Blocks = append(d.Blocks, Block{Name: "known", MinTokens: least, Memories: &Memories{Limit: 20}})
		root := &node{most: budget}
		b := searching(t, s)
		sections, err := b.read(t.Context(), ask(d), 42, root)
		if err != nil {
			t.Fatal(err)
		}
		all, err := b.begin(sections, root)
		if err != nil {
			t.Fatal(err)
		}
		free := budget - root.used - max(0, least-all[1].tokens)
		all[0].introduce(reserved(all, all[0]))
		taken := 0
		for _, i := range all[0].summaries {
			taken += all[0].price(i)
		}
		if taken > 0 && taken > free/2+partMark {
			t.Fatalf("%d summaries take %d tokens of %d", len(all[0].summaries), taken, free)
		}
		fit(all, root)
		if root.used > budget {
			t.Fatalf("%d tokens of %d", root.used, budget)
		}
		if known := all[1]; known.ahead() && known.tokens+known.extra() <= least {
			t.Fatalf("the minimum is %d, and the block takes %d; %d of its items are left out", least, known.tokens, known.out)
		}
	})
}

func TestInstructionsByHeading(t *testing.T) {
	const text = "You book flights.\n\n# Refunds\nAsk first.\n\n## Hotels\n\nNever.\n\n# Manners\nBe polite.\n"
	for name, c := range map[string]struct {
		headings []string
		want     string
		items    int
	}{
		"in the order of the text":         {[]string{"manners", "Hotels"}, "- ## Hotels\n- Never.\n- # Manners\n  Be polite.\n", 3},
		"with what stands below":           {[]string{"Refunds"}, "- # Refunds\n  Ask first.\n- ## Hotels\n- Never.\n", 3},
		"nothing of one that is not there": {[]string{"Money"}, "(none)\n", 0},
		"all without any":                  {nil, "- You book flights.\n- # Refunds\n  Ask first.\n- ## Hotels\n- Never.\n- # Manners\n  Be polite.\n", 5},
	} {
		t.Run(name, func(t *testing.T) {
			got := built(t, builder(t, travel()), ask(only(600, Block{Instructions: &Instructions{Text: text, Headings: c.headings}})))
			if diff := cmp.Diff("## it (instructions)\n"+c.want, got.Text); diff != "" || got.Blocks[0].Items != c.items {
				t.Errorf("%d items (-want +got)\n%s", got.Blocks[0].Items, diff)
			}
		})
	}
	if _, missing := (Instructions{Text: text, Headings: []string{"Money", "manners"}}).Excerpt(); !cmp.Equal(missing, []string{"Money"}) {
		t.Errorf("%q are missing", missing)
	}
	if err := only(600, Block{Instructions: &Instructions{Text: text, Headings: []string{""}}}).Validate(); err == nil || !strings.Contains(err.Error(), "blocks[0].instructions.headings") {
		t.Errorf("an empty heading: %v", err)
	}
}
