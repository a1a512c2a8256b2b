package view

import (
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/fault"
)

func TestValidateNamesTheField(t *testing.T) {
	cases := map[string]struct {
		change func(d *Definition)
		field  string
	}{
		"no name":                   {func(d *Definition) { d.Name = "" }, "metadata.name"},
		"no agent":                  {func(d *Definition) { d.Agent = "" }, "agentRef.name"},
		"no blocks":                 {func(d *Definition) { d.Blocks = nil }, "blocks"},
		"too many blocks":           {func(d *Definition) { d.Blocks = make([]Block, MaxBlocks+1) }, "blocks"},
		"no budget":                 {func(d *Definition) { d.Budget = 0 }, "budget.tokens"},
		"a block without a name":    {func(d *Definition) { d.Blocks[1].Name = "" }, "blocks[1].name"},
		"a name that is a heading":  {func(d *Definition) { d.Blocks[1].Name = "a\n## b" }, "blocks[1].name"},
		"a name twice":              {func(d *Definition) { d.Blocks[2].Name = "profile" }, "blocks[2].name"},
		"a negative weight":         {func(d *Definition) { d.Blocks[0].Weight = -1 }, "blocks[0].weight"},
		"a negative minimum":        {func(d *Definition) { d.Blocks[0].MinTokens = -1 }, "blocks[0].minTokens"},
		"minimums over the budget":  {func(d *Definition) { d.Blocks[0].MinTokens, d.Blocks[1].MinTokens = 3000, 1001 }, "blocks[1].minTokens"},
		"no source":                 {func(d *Definition) { d.Blocks[0].Memories = nil }, "blocks[0]"},
		"two sources":               {func(d *Definition) { d.Blocks[0].Results = &Results{Limit: 1} }, "blocks[0]"},
		"no limit of memories":      {func(d *Definition) { d.Blocks[0].Memories.Limit = 0 }, "blocks[0].memories.limit"},
		"an empty kind":             {func(d *Definition) { d.Blocks[0].Memories.Kinds = []string{""} }, "blocks[0].memories.kinds"},
		"too many turns":            {func(d *Definition) { d.Blocks[1].Conversation.Turns = MaxItems + 1 }, "blocks[1].conversation.turns"},
		"a negative limit":          {func(d *Definition) { d.Blocks[2].Results.Limit = -1 }, "blocks[2].results.limit"},
		"nothing is wrong with it":  {func(*Definition) {}, ""},
		"a minimum is the budget":   {func(d *Definition) { d.Blocks[0].MinTokens = 4000 }, ""},
		"a block of the last digit": {func(d *Definition) { d.Blocks[0].Name = "a-1" }, ""},
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
	const want = "sha256:927b343901b1d367445d25923ef794a5e650f2b7063b0482840da2c21a0e9df2"
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
