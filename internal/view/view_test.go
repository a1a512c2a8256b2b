package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/fault"
)

func TestValidateNamesTheField(t *testing.T) {
	cases := map[string]struct {
		change func(d *Definition)
		field  string
	}{
		"no name":                     {func(d *Definition) { d.Name = "" }, "metadata.name"},
		"no agent":                    {func(d *Definition) { d.Agent = "" }, "agentRef.name"},
		"no blocks":                   {func(d *Definition) { d.Blocks = nil }, "blocks"},
		"too many blocks":             {func(d *Definition) { d.Blocks = make([]Block, MaxBlocks+1) }, "blocks"},
		"no budget":                   {func(d *Definition) { d.Budget = 0 }, "budget.tokens"},
		"a block without a name":      {func(d *Definition) { d.Blocks[1].Name = "" }, "blocks[1].name"},
		"a name that is a heading":    {func(d *Definition) { d.Blocks[1].Name = "a\n## b" }, "blocks[1].name"},
		"a name twice":                {func(d *Definition) { d.Blocks[2].Name = "profile" }, "blocks[2].name"},
		"a negative weight":           {func(d *Definition) { d.Blocks[0].Weight = -1 }, "blocks[0].weight"},
		"a negative minimum":          {func(d *Definition) { d.Blocks[0].MinTokens = -1 }, "blocks[0].minTokens"},
		"minimums over the budget":    {func(d *Definition) { d.Blocks[0].MinTokens, d.Blocks[1].MinTokens = 3000, 1001 }, "blocks[1].minTokens"},
		"no source":                   {func(d *Definition) { d.Blocks[0].Memories = nil }, "blocks[0]"},
		"two sources":                 {func(d *Definition) { d.Blocks[0].Results = &Results{Limit: 1} }, "blocks[0]"},
		"no limit of memories":        {func(d *Definition) { d.Blocks[0].Memories.Limit = 0 }, "blocks[0].memories.limit"},
		"an empty kind":               {func(d *Definition) { d.Blocks[0].Memories.Kinds = []string{""} }, "blocks[0].memories.kinds"},
		"too many turns":              {func(d *Definition) { d.Blocks[1].Conversation.Turns = MaxItems + 1 }, "blocks[1].conversation.turns"},
		"a negative limit":            {func(d *Definition) { d.Blocks[2].Results.Limit = -1 }, "blocks[2].results.limit"},
		"too large a weight":          {func(d *Definition) { d.Blocks[0].Weight = 1001 }, "blocks[0].weight"},
		"a maximum below the minimum": {func(d *Definition) { d.Blocks[0].MinTokens, d.Blocks[0].MaxTokens = 300, 200 }, "blocks[0].maxTokens"},
		"a negative maximum":          {func(d *Definition) { d.Blocks[0].MaxTokens = -1 }, "blocks[0].maxTokens"},
		"an unknown ranking":          {func(d *Definition) { d.Blocks[0].Ranking = "Oldest" }, "blocks[0].ranking"},
		"a ranking of results":        {func(d *Definition) { d.Blocks[2].Ranking = Relevance }, "blocks[2].ranking"},
		"an unknown rendering":        {func(d *Definition) { d.Blocks[0].Rendering = "HTML" }, "blocks[0].rendering"},
		"a template for nothing":      {func(d *Definition) { d.Blocks[0].Template = "x" }, "blocks[0].template"},
		"a rendering by none":         {func(d *Definition) { d.Blocks[0].Rendering = Template }, "blocks[0].template"},
		"an empty collection": {func(d *Definition) {
			d.Blocks[0] = Block{Name: "a", Documents: &Documents{Collections: []string{""}, Limit: 1}}
		}, "blocks[0].documents.collections"},
		"no limit of documents":      {func(d *Definition) { d.Blocks[0] = Block{Name: "a", Documents: &Documents{}} }, "blocks[0].documents.limit"},
		"no limit of turns":          {func(d *Definition) { d.Blocks[0] = Block{Name: "a", Turns: &Turns{}} }, "blocks[0].turns.limit"},
		"no limit of commands":       {func(d *Definition) { d.Blocks[0] = Block{Name: "a", Pending: &Pending{}} }, "blocks[0].pending.limit"},
		"a view rendered otherwise":  {func(d *Definition) { d.Blocks[0] = showing(concierge(100)); d.Blocks[0].Rendering = XML }, "blocks[0]"},
		"a view of another agent":    {func(d *Definition) { v := concierge(100); v.Agent = "other"; d.Blocks[0] = showing(v) }, "blocks[0].view.name"},
		"a view that cannot work":    {func(d *Definition) { v := concierge(100); v.Blocks[1].Weight = -1; d.Blocks[0] = showing(v) }, "blocks[0].view"},
		"views too deep":             {func(d *Definition) { d.Blocks[0] = showing(deep(4)) }, "blocks[0].view"},
		"too many blocks in all":     {func(d *Definition) { *d = wide(*d) }, "blocks"},
		"views that are deep enough": {func(d *Definition) { d.Blocks[0] = showing(deep(3)) }, ""},
		"nothing is wrong with it":   {func(*Definition) {}, ""},
		"a minimum is the budget":    {func(d *Definition) { d.Blocks[0].MinTokens = 4000 }, ""},
		"a block of the last digit":  {func(d *Definition) { d.Blocks[0].Name = "a-1" }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := concierge(4000)
			c.change(&d)
			err := d.Validate()
			switch {
			case c.field == "" && err != nil:
				t.Errorf("got %v", err)
			case c.field != "" && (!fault.Is(err, fault.Invalid) || !strings.HasPrefix(fault.Of(err).Message, c.field+": ")):
				t.Errorf("got %v, want it to name %s", err, c.field)
			}
		})
	}
}

func TestADefinitionsDigestIsStable(t *testing.T) {
	const want = "sha256:82d44f1cca9b6e375dca796862b7fa307a7ec5b3de5aa8880fe5b67900325b68"
	d := concierge(4000)
	if got := d.Digest(); got != want {
		t.Errorf("got %s; if the definition or the format changed on purpose, write it here", got)
	}
	d.Blocks[0].Weight = 1
	if got := d.Digest(); got != want {
		t.Errorf("a weight of 1 is what no weight means, but the digest is %s", got)
	}
	d.Blocks[0].Weight = 2
	if d.Digest() == want {
		t.Error("another weight has the same digest")
	}
	if d.Blocks[1].Weight != 0 {
		t.Error("Digest changed the definition")
	}
}

// showing is a block that shows another view.
func showing(v Definition) Block { return Block{Name: "a", View: &v} }

// deep is that many views in one another.
func deep(n int) Definition {
	d := concierge(1000)
	if n > 1 {
		d.Blocks[0] = showing(deep(n - 1))
	}
	return d
}

// wide is a view of views with more blocks than there may be in all.
func wide(d Definition) Definition {
	inner := concierge(100)
	for i := range MaxBlocks - len(inner.Blocks) {
		inner.Blocks = append(inner.Blocks, Block{Name: fmt.Sprint("more-", i), Results: &Results{Limit: 1}})
	}
	for i := range 4 {
		b := showing(inner)
		b.Name = fmt.Sprint("view-", i)
		d.Blocks = append(d.Blocks, b)
	}
	return d
}
