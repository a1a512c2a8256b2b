package decision

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// maxMenus bounds the compiled menus that are kept. An agent has one; an edited agent leaves its old one behind.
const maxMenus = 256

// menu is what may be decided, compiled: the schemas to send, and the validators of what comes back.
// It is not changed once it is made.
type menu struct {
	operations  map[string]*operation
	names       []string // in the author's order
	maxCommands int
	text        string          // for the system prompt
	strict      bool            // whether wire is in the form of the strict mode
	wire        json.RawMessage // the schema of a decision for a server that enforces schemas
	open        json.RawMessage // the same with the operations' schemas as they were declared
}

// operation is one entry of a menu, compiled.
type operation struct {
	name   string
	schema map[string]any         // the arguments, as declared
	checks []*jsonschema.Resolved // all must pass: the declared schema, and the type's own
	nulls  nulls
}

// builtin is an operation that Edict itself executes.
type builtin struct{ description, parameters string }

// The operations that need no declaration of their arguments. Their bounds are
// those of the fields that the arguments become. How long a memory holds is not
// among them: a model that is off by a unit would forget without anybody's
// decision, while to forget is a command that can be seen.
var builtins = map[agent.Type]builtin{
	agent.SaveMemory: {
		description: "Remember something beyond this conversation.",
		parameters: `{"type":"object","properties":{` +
			`"kind":{"type":"string","minLength":1,"maxLength":63,"description":"What kind of thing it is, in a word, such as preference or fact; at most 63 characters."},` +
			`"content":{"type":"string","minLength":1,"maxLength":16384,"description":"What is to be remembered, so that it can be understood without this conversation; at most 16384 characters."},` +
			`"importance":{"type":"integer","minimum":1,"maximum":10,"description":"How much it matters, from 1 to 10; without it 5."},` +
			`"saidBy":{"type":"string","minLength":1,"maxLength":253,"description":"Who said it, by name, where it matters who; at most 253 characters."},` +
			`"supersedes":{"type":"string","minLength":1,"maxLength":63,"description":"The id of the memory, as a context names it, that is wrong or out of date and in whose place this one is remembered."}},` +
			`"required":["kind","content"],"additionalProperties":false}`,
	},
	agent.ForgetMemory: {
		description: "Forget a memory: it is in no context from then on.",
		parameters: `{"type":"object","properties":{` +
			`"id":{"type":"string","minLength":1,"maxLength":63,"description":"The id of the memory, as a context names it."}},` +
			`"required":["id"],"additionalProperties":false}`,
	},
	agent.CallAPI: {parameters: `{"type":"object","properties":{},"additionalProperties":false}`},
}

// CheckMenu returns a fault of kind Invalid and reason ReasonMenuInvalid if the
// parameters of an operation cannot be used, and nil if each can. Its message
// names the operation and what to change.
func CheckMenu(p agent.Profile) error {
	_, err := compile(p)
	return err
}

// Schema returns the JSON Schema of a decision as a server that enforces schemas
// is given it. Equal menus give equal bytes.
func Schema(p agent.Profile) (json.RawMessage, error) {
	m, err := compile(p)
	if err != nil {
		return nil, err
	}
	return m.wire, nil
}

func compile(p agent.Profile) (*menu, error) {
	m := &menu{operations: map[string]*operation{}, maxCommands: max(1, p.MaxCommands)}
	if len(p.Operations) == 0 {
		m.maxCommands = 0
	}
	var text strings.Builder
	for i, declared := range p.Operations {
		op, err := compileOperation(declared)
		if err == nil && m.operations[op.name] != nil {
			err = fmt.Errorf("its name is taken by an earlier one: give it another")
		}
		if err != nil {
			return nil, fault.NewInvalid(ReasonMenuInvalid,
				"The operation %s (spec.operations[%d]) cannot be on the menu: %v.", declared.Name, i, err)
		}
		m.operations[op.name] = op
		m.names = append(m.names, op.name)
		describe(&text, declared)
	}
	m.text = text.String()
	if len(m.names) == 0 {
		m.text = "(empty: there are no commands, only a response)\n"
	}
	return m, m.schemas()
}

// compileOperation returns an error that reads on from "The operation … cannot be on the menu: ".
func compileOperation(declared agent.Operation) (*operation, error) {
	own, known := builtins[declared.Type]
	if !known {
		return nil, fmt.Errorf("an agent cannot choose the type %s", declared.Type)
	}
	raw := declared.Parameters
	if len(raw) == 0 {
		raw = json.RawMessage(own.parameters)
	}
	schema, check, err := parseParameters(raw)
	if err != nil {
		return nil, err
	}
	op := &operation{name: declared.Name, schema: schema, checks: []*jsonschema.Resolved{check}, nulls: nulls{root: schema}}
	if declared.Type == agent.CallAPI || len(declared.Parameters) == 0 {
		return op, nil
	}
	ownSchema, ownCheck, err := parseParameters(json.RawMessage(own.parameters))
	if err != nil {
		return nil, err
	}
	op.checks = append(op.checks, ownCheck)
	return op, narrows(schema, ownSchema)
}

// narrows returns an error unless schema has the properties that own requires, and
// none that own does not have: a declared schema may restrict the arguments of a
// memory operation, it cannot change what they are.
func narrows(schema, own map[string]any) error {
	declared, _ := schema["properties"].(map[string]any)
	known, _ := own["properties"].(map[string]any)
	required, _ := own["required"].([]any)
	var must, may []string
	good := true
	for _, name := range sorted(known) {
		if !slices.Contains(required, any(name)) {
			may = append(may, name)
			continue
		}
		must = append(must, name)
		good = good && declared[name] != nil
	}
	for name := range declared {
		good = good && known[name] != nil
	}
	if good {
		return nil
	}
	optional := ""
	if len(may) > 0 {
		optional = ", may have " + strings.Join(may, " and ") + ","
	}
	return fmt.Errorf("its parameters must have the properties %s%s and no others, because its type does", strings.Join(must, " and "), optional)
}

// describe writes a menu's line of the system prompt.
func describe(b *strings.Builder, op agent.Operation) {
	text := strings.TrimSpace(op.Description)
	if text == "" {
		text = builtins[op.Type].description
	}
	fmt.Fprintf(b, "- %s", op.Name)
	if effect := effects[op.Effect]; effect != "" {
		fmt.Fprintf(b, " (effect %s: %s)", op.Effect, effect)
	}
	if text != "" {
		b.WriteString(": " + strings.ReplaceAll(text, "\n", "\n  "))
	}
	b.WriteByte('\n')
}

// listed returns the menu's names for a sentence.
func (m *menu) listed() string {
	const most = 20
	if len(m.names) <= most {
		return strings.Join(m.names, ", ")
	}
	return strings.Join(m.names[:most], ", ") + " …"
}

// menus keeps compiled menus by the digest of what they are made of, because
// compiling one costs more than all the rest of an ask. The zero value is empty.
type menus struct {
	mu   sync.Mutex
	kept map[string]*menu
}

// of returns the menu of a profile. Two asks that miss at once both compile, to the same.
func (s *menus) of(p agent.Profile) (*menu, error) {
	key := menuKey(p)
	s.mu.Lock()
	m := s.kept[key]
	s.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := compile(p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]*menu{}
	}
	for old := range s.kept {
		if len(s.kept) < maxMenus {
			break
		}
		delete(s.kept, old) // any one: which are in use is not worth keeping account of
	}
	s.kept[key] = m
	return m, nil
}

func menuKey(p agent.Profile) string {
	parts := make([][]byte, 0, 1+5*len(p.Operations))
	parts = append(parts, binary.BigEndian.AppendUint64(nil, uint64(max(0, p.MaxCommands))))
	for _, op := range p.Operations {
		parts = append(parts, []byte(op.Name), []byte(op.Description), []byte(op.Type), []byte(op.Effect), op.Parameters)
	}
	return string(digest(parts...))
}

// sorted returns the keys of a JSON object in a fixed order.
func sorted(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
