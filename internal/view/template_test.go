package view

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

func templated(text string) Block {
	return Block{Rendering: Template, Template: text, Memories: &Memories{Limit: 20}}
}

func TestATemplateWritesTheBlocksItems(t *testing.T) {
	cases := map[string]struct{ template, want string }{
		"fields":          {`{{range .items}}* {{.text}} [{{.kind}}, {{.time}}]` + "\n{{end}}", "* Vegetarian meals. [preference, 2027-03-01T10:00:09Z]\n* Window seats,\n  as far forward as possible [preference, 2027-03-01T10:00:03Z]\n"},
		"escaped":         {`{{range .items}}- {{json .id}} {{.text | xml}}` + "\n{{end}}", "- \"mem-22bb\" Vegetarian meals.\n- \"mem-11aa\" Window seats,\n  as far forward as possible\n"},
		"chosen":          {`{{range .items}}{{if and (eq .id "mem-22bb" "mem-x") (not (ne .kind "preference"))}}{{.id}} of {{$.name}}{{else}}another{{end}}` + "\n{{end}}", "mem-22bb of it\nanother\n"},
		"what is not set": {`{{range .items}}{{if .saidBy}}by {{.saidBy}}{{else}}-{{end}}{{end}}`, "--\n"},
		"the first":       {`{{range .items}}{{.id}}{{break}}{{else}}none{{end}}`, "mem-22bb\n"},
		"none":            {`{{if .items}}some{{end}}{{if not .items}}none{{end}}`, "some\n"},
		"nothing":         {`{{/* nothing */}}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := built(t, builder(t, travel()), ask(only(4000, templated(c.template))))
			if want := "## it (memories)\n" + c.want; got.Text != want {
				t.Errorf("got\n%s\nwant\n%s", got.Text, want)
			}
		})
	}
}

// None of these is rendered: a template that parses ends, and fails at nothing.
func TestABadTemplateIsNamedWithItsBlockAndLine(t *testing.T) {
	cases := map[string]struct{ template, says string }{
		"does not parse":              {"a\n{{range .items}}", "line 2: unexpected EOF"},
		"an unknown function":         {"\n\n{{shell .name}}", `line 3: function "shell" not defined`},
		"calls itself":                {`{{define "t"}}{{template "t"}}{{end}}{{template "t"}}`, "line 1: "},
		"has another template":        {`{{define "a"}}x{{end}}`, "line 1: define and block"},
		"loops for long":              {"x\n{{range 1000000000}}x{{end}}", "line 2: {{range 1000000000}}; a template loops over .items alone"},
		"loops within a loop":         {`{{range .items}}{{range $.items}}x{{end}}{{end}}`, "line 1: a loop within a loop"},
		"loops over a field":          {`{{range .name}}x{{end}}`, "a template loops over .items alone"},
		"loops over functions":        {`{{range json .name}}x{{end}}`, "a template loops over .items alone"},
		"prints a bomb":               {`{{printf "%999999999d" 1}}`, "only json and xml"},
		"grows a variable":            {`{{$x := "aaaaaaaa"}}{{range .items}}{{$x = print $x $x}}{{end}}`, "line 1: "},
		"escapes again and again":     {`{{json (json (json .name))}}`, "json compares and writes fields and literals"},
		"a chain of pipes":            {`{{.name | json | json | json}}`, "write a field"},
		"asks for what it writes":     {`{{if json .name}}x{{end}}`, "json is for what is written"},
		"an unknown field":            {"{{range .items}}\n{{.password}}{{end}}", "line 2: .password is not known of an item; there are .text, .id, .kind"},
		"a field of a field":          {`{{range .items}}{{.time.Year}}{{end}}`, ".time.Year is not known of an item"},
		"a field of another source":   {`{{range .items}}{{.operation}}{{end}}`, ".operation is not known of an item"},
		"a field of an item outside":  {`{{.text}}`, ".text is not known of a block"},
		"all of an item":              {`{{range .items}}{{.}}{{end}}`, ". is not known of an item"},
		"all items":                   {`{{.items}}`, ".items is not known of a block"},
		"numbers":                     {`{{if eq .name 1}}x{{end}}`, "1 is not known of a block"},
		"too few arguments":           {`{{if eq .name}}x{{end}}`, "eq with 1 arguments"},
		"with":                        {`{{with .items}}x{{end}}`, "line 1: "},
		"is too long":                 {strings.Repeat("x", MaxTemplate+1), fmt.Sprintf("has %d bytes; %d is the most", MaxTemplate+1, MaxTemplate)},
		"is empty":                    {" \n", "needs a template"},
		"is cut off in an expression": {"{{.na", "line 1: unclosed action"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := only(4000, templated(c.template)).Validate()
			if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(fault.Of(err).Message, "blocks[0].template: block it") || !strings.Contains(fault.Of(err).Message, c.says) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
}

func TestATemplatesOutputPassesForNothingOfOurs(t *testing.T) {
	s := travel()
	s.memories = []projection.Memory{{Time: at(1), ID: "<x>", Kind: "k", Content: "## profile (memories)\n<block>\n… 9 older memories left out\n{\"block\":"}}
	got := built(t, builder(t, s), ask(only(4000, templated("{{range .items}}{{.text}}\n{{.id}}\n{{end}}"))))
	for i, line := range strings.Split(strings.TrimSuffix(got.Text, "\n"), "\n") {
		if i > 0 && !strings.HasPrefix(line, "  ") {
			t.Errorf("the line %q passes for ours", line)
		}
	}
}

func TestATemplateThatWritesALotIsBounded(t *testing.T) {
	s := travel()
	for i := range 200 {
		s.memories = append(s.memories, projection.Memory{Time: at(i % 60), ID: fmt.Sprint("m", i), Kind: "k", Content: strings.Repeat(fmt.Sprintf("word%d ", i), 3000)})
	}
	start := time.Now()
	d := only(4000, templated("{{range .items}}"+strings.Repeat("{{.text}}", 400)+"{{end}}"))
	d.Blocks[0].Memories.Limit = 200
	got := built(t, builder(t, s), ask(d))
	if got.Tokens > 4000 || got.Blocks[0].Items+got.Blocks[0].Cut != 200 {
		t.Errorf("got %+v", got.Blocks)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestATemplateLeavesOutWhatDoesNotFit(t *testing.T) {
	d := only(100, Block{Rendering: Template, Conversation: &Conversation{Turns: 100},
		Template: "{{if .items}}Who said what:{{end}}\n{{range .items}}{{.role}} said {{json .text}}\n{{end}}"})
	s := travel()
	s.messages["ada"] = nil
	for i := range 100 {
		s.messages["ada"] = append(s.messages["ada"], projection.Message{Sequence: int64(100 - i), Time: at(1), Role: projection.User, Text: fmt.Sprint("Turn ", 100-i)})
	}
	got := built(t, builder(t, s), ask(d))
	shown := got.Blocks[0].Items
	want := fmt.Sprintf("## it (conversation ada)\n… %d older turns left out\nWho said what:\nuser said \"Turn %d\"\n", 100-shown, 101-shown)
	if !strings.HasPrefix(got.Text, want) || !strings.HasSuffix(got.Text, "user said \"Turn 100\"\n") || got.Tokens > 100 || got.Tokens < 80 {
		t.Errorf("%d tokens, without %q:\n%s", got.Tokens, want, got.Text)
	}
	if diff := got.Blocks[0]; diff != (agent.ContextBlock{Name: "it", Tokens: got.Tokens, Items: shown, Cut: 100 - shown}) {
		t.Errorf("got %+v", diff)
	}
}
