package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func callAPI(name, parameters string) agent.Operation {
	return agent.Operation{Name: name, Type: agent.CallAPI, Parameters: json.RawMessage(parameters)}
}

func indented(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// shaped has one of everything that the strict form changes.
const shaped = `{"type":"object","$schema":"https://json-schema.org/draft/2020-12/schema","required":["to"],"properties":{
	"to":{"type":"string","minLength":3,"maxLength":3,"pattern":"^[A-Z]{3}$","default":"LIS","examples":["LIS"]},
	"on":{"type":"string","format":"date"},"uri":{"type":"string","format":"uri","description":"Where."},
	"class":{"enum":["economy","business"]},"kind":{"const":"return"},"seats":{"type":"integer","minimum":1,"maximum":9},
	"note":{"type":["string","null"]},"bags":{"type":"array","minItems":1,"maxItems":3,"uniqueItems":true,"items":{"type":"object","properties":{"kg":{"type":"number"}}}},
	"from":{"$ref":"#/$defs/place","description":"Dropped: a reference takes no neighbours."},
	"via":{"oneOf":[{"$ref":"#/$defs/place"},{"type":"string"}],"description":"On the way."}},
	"not":{"required":["on","note"]},
	"$defs":{"place":{"type":"object","properties":{"code":{"type":"string"},"near":{"$ref":"#/$defs/place"}},"required":["code"],"additionalProperties":false}}}`

func TestTheSchemaIsAsAgreed(t *testing.T) {
	for name, p := range map[string]agent.Profile{
		"travel":    inquiry("").Profile,
		"shaped":    {Operations: []agent.Operation{callAPI("shaped", shaped), callAPI("shaped_too", shaped)}, MaxCommands: 2},
		"empty":     {MaxCommands: 4},
		"free-form": {Operations: []agent.Operation{callAPI("post", `{"type":"object","properties":{"body":{"type":"object"}}}`), callAPI("shaped", shaped)}, MaxCommands: 2},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := Schema(p)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "schema-"+name+".json", indented(t, raw))
			for range 5 {
				if again, _ := Schema(p); !bytes.Equal(again, raw) {
					t.Fatal("the same menu gave other bytes")
				}
			}
			var s jsonschema.Schema
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Resolve(nil); err != nil {
				t.Errorf("it is no schema: %v", err)
			}
		})
	}
}

// TestTheStrictFormIsStrict looks at every object of the strict form as OpenAI's server does before it takes one.
func TestTheStrictFormIsStrict(t *testing.T) {
	m, err := compile(agent.Profile{Operations: []agent.Operation{callAPI("shaped", shaped)}, MaxCommands: 2})
	if err != nil || !m.strict {
		t.Fatalf("it is not strict: %v", err)
	}
	var root any
	if err := json.Unmarshal(m.wire, &root); err != nil {
		t.Fatal(err)
	}
	walkStrict(t, "", root)
}

// strictWords are the keywords of the strict mode.
const strictWords = " type properties required additionalProperties items anyOf $ref $defs maxItems minItems const enum description title " +
	"format pattern multipleOf minimum maximum exclusiveMinimum exclusiveMaximum "

func walkStrict(t *testing.T, path string, node any) {
	t.Helper()
	schema, ok := node.(map[string]any)
	if !ok {
		t.Errorf("%s is no schema: %v", path, node)
		return
	}
	for key := range schema {
		if !strings.Contains(strictWords, " "+key+" ") {
			t.Errorf("%s has %s", path, key)
		}
	}
	if schema["type"] == nil && schema["anyOf"] == nil && schema["$ref"] == nil {
		t.Errorf("%s has no type", path)
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		required, _ := schema["required"].([]any)
		if schema["additionalProperties"] != false || len(required) != len(properties) {
			t.Errorf("%s is open: %v", path, schema)
		}
	}
	for i, child := range children(schema) {
		if child != false {
			walkStrict(t, fmt.Sprintf("%s/%d", path, i), child)
		}
	}
}

// TestWhatTheStrictFormAllowsCanFit holds that the strict form does not lock a model out of the declared schema.
func TestWhatTheStrictFormAllowsCanFit(t *testing.T) {
	m, err := compile(agent.Profile{Operations: []agent.Operation{callAPI("shaped", shaped)}, MaxCommands: 2})
	if err != nil {
		t.Fatal(err)
	}
	written := decisionJSON("", command("shaped", `{"to":"LIS","on":null,"uri":null,"class":null,"kind":null,"seats":null,"note":null,"bags":[{"kg":null}],`+
		`"from":{"code":"ZRH","near":null},"via":null}`))
	var wire jsonschema.Schema
	if err := json.Unmarshal(m.wire, &wire); err != nil {
		t.Fatal(err)
	}
	check, err := wire.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	_ = json.Unmarshal([]byte(written), &value)
	if err := check.Validate(value); err != nil {
		t.Fatalf("the strict form does not allow it: %v", err)
	}
	d, wrong := m.read(reply{text: written})
	if wrong != nil {
		t.Fatalf("the declared schema does not: %s %s", wrong.people, wrong.detail)
	}
	if got, want := string(d.Commands[0].Arguments), `{"bags":[{}],"from":{"code":"ZRH"},"note":null,"to":"LIS"}`; got != want {
		t.Errorf("arguments are %s, want %s", got, want)
	}
}

func TestASchemaThatCannotBeStrictIsSentAsItIs(t *testing.T) {
	deep := strings.Repeat(`{"type":"object","properties":{"x":`, 12) + `{"type":"string"}` + strings.Repeat(`}}`, 12)
	for name, property := range map[string]string{
		"free-form object":               `{"type":"object"}`,
		"open object":                    `{"type":"object","properties":{},"additionalProperties":true}`,
		"typed additional":               `{"type":"object","additionalProperties":{"type":"string"}}`,
		"pattern properties":             `{"type":"object","properties":{},"patternProperties":{"^x":{"type":"string"}},"additionalProperties":false}`,
		"allOf":                          `{"allOf":[{"type":"string"}]}`,
		"if":                             `{"type":"string","if":{"minLength":1},"then":{"pattern":"a"}}`,
		"anything":                       `{}`,
		"true":                           `true`,
		"no items":                       `{"type":"array"}`,
		"a tuple":                        `{"type":"array","prefixItems":[{"type":"string"}]}`,
		"alternatives beside properties": `{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]}]}`,
		"enum of objects":                `{"enum":[{"a":1}]}`,
		"deep":                           deep,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := compile(agent.Profile{Operations: []agent.Operation{callAPI("op", `{"type":"object","properties":{"p":`+property+`}}`)}})
			if err != nil {
				t.Fatal(err)
			}
			if m.strict || !bytes.Equal(m.wire, m.open) {
				t.Errorf("it is sent as strict: %s", m.wire)
			}
		})
	}
}

func TestAMenuThatCannotBeUsedIsRefusedByName(t *testing.T) {
	of := func(property string) string { return `{"type":"object","properties":{"p":` + property + `}}` }
	wide := `{"type":"object","$defs":{"d20":{"type":"string"}`
	for i := range 20 {
		wide += fmt.Sprintf(`,"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`, i, i+1, i+1)
	}
	for name, c := range map[string]struct{ parameters, says string }{
		"no JSON":                 {`{`, "not a JSON object"},
		"a list":                  {`[]`, "not a JSON object"},
		"null":                    {`null`, "not a JSON object"},
		"another type":            {`{"type":"string"}`, "type: object"},
		"no type":                 {`{"properties":{}}`, "type: object"},
		"a type that is none":     {of(`{"type":"strng"}`), `"strng"`},
		"a number for a type":     {of(`{"type":1}`), `"1"`},
		"a property that is none": {of(`"string"`), "where a schema belongs"},
		"a null property":         {of(`null`), "where a schema belongs"},
		"null items":              {of(`{"type":"array","items":null}`), "where a schema belongs"},
		"properties as a list":    {`{"type":"object","properties":[]}`, "not a JSON Schema"},
		"anyOf as an object":      {of(`{"anyOf":{}}`), "not a JSON Schema"},
		"a bound as text":         {of(`{"type":"string","maxLength":"3"}`), "not a JSON Schema"},
		"a pattern that is none":  {of(`{"type":"string","pattern":"("}`), "not a JSON Schema"},
		"required as text":        {`{"type":"object","required":"p"}`, "not a JSON Schema"},
		"another draft":           {`{"type":"object","$schema":"http://json-schema.org/draft-04/schema#"}`, "$schema"},
		"a remote reference":      {of(`{"$ref":"https://example.com/x"}`), "#/$defs/NAME"},
		"a reference to itself":   {of(`{"$ref":"#"}`), "#/$defs/NAME"},
		"a reference to nothing":  {of(`{"$ref":"#/$defs/nothing"}`), "#/$defs/NAME"},
		"a circle":                {`{"type":"object","properties":{"p":{"$ref":"#/$defs/a"}},"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}}`, "back to itself"},
		"very many alternatives":  {wide + `}}`, "alternatives"},
		"another spelling":        {of(`{"$Ref":"#"}`), "write $ref"},
		"another spelling's s":    {"{\"type\":\"object\",\"propertie\u017f\":{}}", "write properties"},
		"an anchor":               {of(`{"$anchor":"a"}`), "$anchor"},
		"an id inside":            {of(`{"$id":"https://example.com/x"}`), "$id"},
		"depth":                   {strings.Repeat(`{"type":"object","properties":{"x":`, 70) + `true` + strings.Repeat(`}}`, 70), "nest deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckMenu(agent.Profile{Operations: []agent.Operation{{Name: "ping", Type: agent.CallAPI}, callAPI("book", c.parameters)}})
			f := fault.Of(err)
			if err == nil || f.Kind != fault.Invalid || f.Reason != ReasonMenuInvalid {
				t.Fatalf("error is %v", err)
			}
			if !strings.Contains(f.Message, "operation book (spec.operations[1])") || !strings.Contains(f.Message, c.says) {
				t.Errorf("message is %q", f.Message)
			}
		})
	}
}

func TestAMemoryOperationMayBeNarrowedAndNotChanged(t *testing.T) {
	save := func(parameters string) agent.Profile {
		return agent.Profile{MaxCommands: 1, Operations: []agent.Operation{{Name: "save", Type: agent.SaveMemory, Parameters: json.RawMessage(parameters)}}}
	}
	for _, parameters := range []string{
		`{"type":"object","properties":{"content":{"type":"string"}}}`,
		`{"type":"object","properties":{"kind":{"type":"string"},"content":{"type":"string"},"weight":{"type":"number"}}}`,
		`{"type":"object","properties":{"kind":{"type":"string"},"content":{"type":"string"},"ttlSeconds":{"type":"integer"}}}`,
		`{"type":"object","properties":{"kind":{"type":"string"},"importance":{"type":"integer"}}}`,
	} {
		if err := CheckMenu(save(parameters)); err == nil || !strings.Contains(err.Error(), "content and kind") {
			t.Errorf("%s: error is %v", parameters, err)
		} else if !strings.Contains(err.Error(), "may have importance and saidBy and supersedes, and no others") {
			t.Errorf("%s: the error does not say what else there may be: %v", parameters, err)
		}
	}
	some := `{"type":"object","properties":{"kind":{"type":"string"},"content":{"type":"string"},"supersedes":{"type":"string"}},"required":["kind","content"]}`
	if err := CheckMenu(save(some)); err != nil {
		t.Errorf("one of the optional arguments is refused: %v", err)
	}
	m, err := compile(save(`{"type":"object","properties":{"kind":{"enum":["preference"]},"content":{"type":"string"}},"required":["kind","content"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for arguments, fits := range map[string]bool{
		`{"kind":"preference","content":"x"}`: true,
		`{"kind":"fact","content":"x"}`:       false, // the declared schema says so
		`{"kind":"preference","content":""}`:  false, // the type's own says so
	} {
		if _, wrong := m.read(reply{text: decisionJSON("", command("save", arguments))}); (wrong == nil) != fits {
			t.Errorf("%s: %+v", arguments, wrong)
		}
	}
}

// In the strict mode a model writes null for what it leaves out, and what is
// carried out has no trace of that: a command's key goes by its arguments.
func TestTheOptionalArgumentsOfAMemoryMayBeLeftOutInBothForms(t *testing.T) {
	m, err := compile(agent.Profile{MaxCommands: 1, Operations: []agent.Operation{{Name: "save", Type: agent.SaveMemory}}})
	if err != nil {
		t.Fatal(err)
	}
	if !m.strict {
		t.Fatal("a memory operation cannot be put in the strict form")
	}
	const plain = `{"content":"window","kind":"preference"}`
	for _, c := range []struct{ name, arguments, want string }{
		{"left out", plain, plain},
		{"null", `{"kind":"preference","content":"window","importance":null,"saidBy":null,"supersedes":null}`, plain},
		{"all", `{"kind":"preference","content":"window","importance":7,"saidBy":"Ada","supersedes":"mem-1"}`,
			`{"content":"window","importance":7,"kind":"preference","saidBy":"Ada","supersedes":"mem-1"}`},
		{"too important", `{"kind":"preference","content":"window","importance":11}`, ""},
		{"half important", `{"kind":"preference","content":"window","importance":4.5}`, ""},
		{"said by nobody", `{"kind":"preference","content":"window","saidBy":""}`, ""},
		{"in the place of nothing", `{"kind":"preference","content":"window","supersedes":""}`, ""},
		{"for a while", `{"kind":"preference","content":"window","ttlSeconds":60}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			decision, wrong := m.read(reply{text: decisionJSON("", command("save", c.arguments))})
			if (wrong == nil) != (c.want != "") {
				t.Fatalf("%+v", wrong)
			}
			if c.want != "" && string(decision.Commands[0].Arguments) != c.want {
				t.Errorf("got %s, want %s", decision.Commands[0].Arguments, c.want)
			}
		})
	}
}

func TestAMenuNamesEachOperationOnceAndOnlyWhatCanBeChosen(t *testing.T) {
	twice := agent.Profile{Operations: []agent.Operation{callAPI("a", ""), callAPI("a", "")}}
	if err := CheckMenu(twice); err == nil || !strings.Contains(err.Error(), "spec.operations[1]") {
		t.Errorf("error is %v", err)
	}
	ask := agent.Profile{Operations: []agent.Operation{{Name: "a", Type: agent.Ask}}}
	if err := CheckMenu(ask); err == nil || !strings.Contains(err.Error(), "the type ask") {
		t.Errorf("error is %v", err)
	}
	if err := CheckMenu(agent.Profile{}); err != nil {
		t.Errorf("an empty menu is refused: %v", err)
	}
}

// FuzzCheckMenu holds that a schema that passes can be validated by without an end other than an answer.
func FuzzCheckMenu(f *testing.F) {
	for _, seed := range []string{shaped, flightParameters, `{"type":"object","$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`, `{"type":"object","properties":{"x":{"const":null}}}`} {
		f.Add(seed, `{"to":"LIS","x":{"x":[null,1]}}`)
	}
	f.Fuzz(func(t *testing.T, parameters, arguments string) {
		m, err := compile(agent.Profile{MaxCommands: 1, Operations: []agent.Operation{callAPI("op", parameters)}})
		if err != nil {
			return
		}
		_, _ = m.operations["op"].fit(json.RawMessage(arguments))
		var wire jsonschema.Schema
		if err := json.Unmarshal(m.wire, &wire); err != nil {
			t.Fatalf("%s gave %s: %v", parameters, m.wire, err)
		}
		if _, err := wire.Resolve(nil); err != nil {
			t.Errorf("%s gave %s: %v", parameters, m.wire, err)
		}
	})
}
