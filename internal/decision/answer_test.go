package decision

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
)

func travelMenu(t testing.TB) *menu {
	t.Helper()
	m, err := compile(inquiry("").Profile)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAnAnswerIsRead(t *testing.T) {
	m := travelMenu(t)
	ok := decisionJSON("Hi.")
	for _, c := range []struct{ name, text, wrong string }{
		{"an object alone", ok, ""},
		{"an object in a fence", "```json\n" + ok + "\n```", ""},
		{"an object after prose with a brace", "I fill {name} and { such }.\n" + ok, ""},
		{"an object before prose", ok + "\nThat is all.", ""},
		{"fields that are left out", `{"response":"Hi."}`, ""},
		{"nulls for what is empty", `{"response":"Hi.","rationale":null,"commands":null}`, ""},
		{"a command alone", `{"commands":[` + command("ping", "{}") + `]}`, ""},
		{"a command without arguments", `{"commands":[{"operation":"ping"}]}`, ""},
		{"a command with null arguments", `{"commands":[{"operation":"ping","arguments":null}]}`, ""},
		{"an optional argument written null", decisionJSON("", command("search_flights", `{"from":"ZRH","to":"LIS","date":"2027-03-04","seats":null}`)), ""},

		{"prose", "Hello.", "prose"},
		{"prose with a brace", "Hello {name}.", "prose"},
		{"an object with bare names", `{response: "Hi."}`, "broken JSON"},
		{"half an object", ok[:20], "broken JSON"},
		{"an object with a comma too many", `{"response":"Hi.",}`, "broken JSON"},
		{"a broken object with one inside", `{"response":"Hi.",,"commands":[` + ok + `]}`, "broken JSON"},
		{"two objects", ok + ok, "more than one"},
		{"an example and an object", `An example is {"a":1}. ` + ok, "more than one"},
		{"nothing", " \n", "empty"},
		{"an empty object", "{}", "neither a response nor a command"},
		{"blank response", `{"response":" \n"}`, "neither a response nor a command"},
		{"a field too many", `{"response":"Hi.","tool":"x"}`, "a field that is not in the schema"},
		{"a field with capitals", `{"Response":"Hi."}`, "a field that is not in the schema"},
		{"a response of another type", `{"response":{"text":"Hi."}}`, "its response is not a string"},
		{"a rationale of another type", `{"response":"Hi.","rationale":1}`, "its rationale is not a string"},
		{"a response without end", `{"response":"` + strings.Repeat("a", maxText+1) + `"}`, "longer than"},
		{"commands of another type", `{"commands":{}}`, "not a list"},
		{"a command of another type", `{"commands":["ping"]}`, "a command is not an object"},
		{"a null command", `{"commands":[null]}`, "a command is not an object"},
		{"a command without operation", `{"commands":[{"arguments":{}}]}`, "does not say its operation"},
		{"a command with a field too many", `{"commands":[{"operation":"ping","when":"now"}]}`, "a command has a field"},
		{"an operation off the menu", `{"commands":[{"operation":"rm"}]}`, "not on the agent's menu"},
		{"an operation with capitals", `{"commands":[{"operation":"Ping"}]}`, "not on the agent's menu"},
		{"too many commands", `{"commands":[` + strings.Repeat(command("ping", "{}")+",", 4) + command("ping", "{}") + `]}`, "5 commands"},
		{"arguments that are a list", decisionJSON("", command("ping", "[]")), "(type)"},
		{"arguments as text", decisionJSON("", command("ping", `"{}"`)), "(type)"},
		{"an argument too many", decisionJSON("", command("ping", `{"x":1}`)), "additionalProperties"},
		{"an empty memory", decisionJSON("", command("save_memory", `{"kind":"fact","content":""}`)), "minLength at /properties/content"},
		{"a kind without end", decisionJSON("", command("save_memory", `{"kind":"`+strings.Repeat("k", 64)+`","content":"x"}`)), "maxLength at /properties/kind"},
		{"a required argument written null", decisionJSON("", command("search_flights", `{"from":"ZRH","to":null,"date":"2027-03-04"}`)), `missing properties: ["to"]`},
		{"a number beyond numbers", decisionJSON("", command("search_flights", `{"from":"ZRH","to":"LIS","date":"2027-03-04","seats":1e999}`)), "broken JSON"},
		{"arguments without end", decisionJSON("", command("ping", `{"x":"`+strings.Repeat("a", maxText)+`"}`)), "longer than"},
		{"one good and one bad command", decisionJSON("Hi.", command("ping", "{}"), command("rm", "{}")), "not on the agent's menu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, wrong := m.read(reply{text: c.text})
			switch {
			case c.wrong == "" && wrong != nil:
				t.Errorf("it was refused: %+v", wrong)
			case c.wrong != "" && wrong == nil:
				t.Errorf("it passed: %+v", d)
			case wrong != nil && !strings.Contains(wrong.people, c.wrong):
				t.Errorf("it was refused because %q", wrong.people)
			case wrong != nil && !cmp.Equal(d.Commands, []agent.Choice(nil)):
				t.Errorf("commands got through: %+v", d)
			}
		})
	}
}

func TestAnEmptyMenuHasNoCommands(t *testing.T) {
	m, err := compile(agent.Profile{MaxCommands: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, wrong := m.read(reply{text: decisionJSON("Hi.")}); wrong != nil {
		t.Errorf("a response was refused: %+v", wrong)
	}
	if _, wrong := m.read(reply{text: decisionJSON("Hi.", command("ping", "{}"))}); wrong == nil || !strings.Contains(wrong.people, "menu is empty") {
		t.Errorf("a command passed: %+v", wrong)
	}
}

func TestArgumentsAreCanonical(t *testing.T) {
	m := travelMenu(t)
	d, wrong := m.read(reply{text: decisionJSON("", command("search_flights",
		`{"to":"XXX","to":"LIS", "seats":2.0,"from":"ZRH","date":"2027-03-04"}`))})
	if wrong != nil {
		t.Fatal(wrong.people)
	}
	if got, want := string(d.Commands[0].Arguments), `{"date":"2027-03-04","from":"ZRH","seats":2,"to":"LIS"}`; got != want {
		t.Errorf("arguments are %s, want %s", got, want)
	}
}

func TestNullsAreTakenOutOnlyWhereTheyStandForNothing(t *testing.T) {
	schema := `{"type":"object","required":["need"],"properties":{
		"need":{"type":["string","null"]},"maybe":{"type":["string","null"]},"opt":{"type":"string"},"any":{},
		"choice":{"enum":["a",null]},"fixed":{"const":"x"},"ref":{"$ref":"#/$defs/point"},
		"list":{"type":"array","items":{"$ref":"#/$defs/point"}},
		"either":{"anyOf":[{"type":"object","properties":{"a":{"type":"string"}}},{"type":"object","properties":{"b":{"type":["number","null"]}}}]}},
		"$defs":{"point":{"type":"object","properties":{"x":{"type":"number"},"next":{"$ref":"#/$defs/point"}}}}}`
	for _, c := range []struct{ name, in, out string }{
		{"nullable ones stay", `{"need":null,"maybe":null,"any":null,"choice":null}`, `{"any":null,"choice":null,"maybe":null,"need":null}`},
		{"optional ones go", `{"need":"n","opt":null,"fixed":null,"ref":null,"list":null}`, `{"need":"n"}`},
		{"unknown ones stay", `{"need":"n","other":null}`, `{"need":"n","other":null}`},
		{"through references and lists", `{"need":"n","ref":{"x":null,"next":{"x":1,"next":null}},"list":[{"x":null},{"x":2}]}`, `{"list":[{},{"x":2}],"need":"n","ref":{"next":{"x":1}}}`},
		{"an alternative that allows one keeps it", `{"need":"n","either":{"a":null,"b":null}}`, `{"either":{"b":null},"need":"n"}`},
		{"digits are kept", `{"need":"n","opt":null,"other":9007199254740993}`, `{"need":"n","other":9007199254740993}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			op, err := compileOperation(agent.Operation{Name: "op", Type: agent.CallAPI, Parameters: json.RawMessage(schema)})
			if err != nil {
				t.Fatal(err)
			}
			got, wrong := op.fit(json.RawMessage(c.in))
			if wrong != nil {
				t.Fatalf("%s %s", wrong.people, wrong.detail)
			}
			if string(got) != c.out {
				t.Errorf("got %s, want %s", got, c.out)
			}
		})
	}
}

// FuzzRead holds that whatever a model writes either is refused or fits the menu.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "Hello.", "{}", decisionJSON("Hi."), decisionJSON("", command("ping", "{}")), "```json\n" + decisionJSON("Hi.") + "\n```",
		decisionJSON("", command("search_flights", `{"from":"ZRH","to":"LIS","date":"2027-03-04","seats":null}`)),
		decisionJSON("", command("save_memory", `{"kind":"a","content":"b"}`)), `{"commands":[null]}`, strings.Repeat(`{"a":`, 100), "{{{{", "{ {",
	} {
		f.Add(seed)
	}
	m := travelMenu(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, wrong := m.read(reply{text: text})
		if wrong != nil {
			if wrong.people == "" || wrong.forModel() == "" {
				t.Error("a refusal says nothing")
			}
			return
		}
		mustFit(t, m, d)
		again, wrong := m.read(reply{text: spelled(d)})
		if wrong != nil || !cmp.Equal(d, again) {
			t.Errorf("written out and read again it is another: %+v, %+v", again, wrong)
		}
	})
}

func mustFit(t *testing.T, m *menu, d agent.Decision) {
	t.Helper()
	if d.Response == "" && len(d.Commands) == 0 {
		t.Error("an empty decision passed")
	}
	if len(d.Commands) > m.maxCommands {
		t.Errorf("%d commands passed", len(d.Commands))
	}
	for _, c := range d.Commands {
		op := m.operations[c.Operation]
		var v any
		if op == nil || json.Unmarshal(c.Arguments, &v) != nil {
			t.Fatalf("command %+v passed", c)
		}
		for _, check := range op.checks {
			if err := check.Validate(v); err != nil {
				t.Errorf("arguments %s passed: %v", c.Arguments, err)
			}
		}
	}
}
