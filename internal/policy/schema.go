package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edict-dev/edict/internal/agent"
)

// What a schema may cost. An agent's author writes it and the operator, which is
// everybody's, evaluates it.
const (
	maxSchemaBytes = 64 << 10
	maxSchemaDepth = 64    // of nesting; a decoder's time grows with its product with the size
	maxSchemaSize  = 2_000 // subschemas, counted as often as references lead to them
	maxSchemas     = 256   // kept compiled
)

// dialects are the values of $schema that the library evaluates, by themselves
// without the empty fragment, about which it is strict and authors are not.
var dialects = map[string]string{
	"": "",
	"https://json-schema.org/draft/2020-12/schema": "https://json-schema.org/draft/2020-12/schema",
	"https://json-schema.org/draft-07/schema":      "https://json-schema.org/draft-07/schema#",
	"http://json-schema.org/draft-07/schema":       "http://json-schema.org/draft-07/schema#",
}

// The schemas of operations that declare no parameters: nothing but what is
// declared is ever sent to an API, and memories have the fields of their payloads.
var ownSchemas = map[agent.Type]json.RawMessage{
	agent.CallAPI: json.RawMessage(`{"type":"object","additionalProperties":false}`),
	agent.SaveMemory: json.RawMessage(`{"type":"object","required":["kind","content"],"additionalProperties":false,
		"properties":{"kind":{"type":"string","minLength":1},"content":{"type":"string","minLength":1},
			"importance":{"type":"integer","minimum":1,"maximum":10},
			"saidBy":{"type":"string","minLength":1},"supersedes":{"type":"string","minLength":1}}}`),
	agent.ForgetMemory: json.RawMessage(`{"type":"object","required":["id"],"additionalProperties":false,
		"properties":{"id":{"type":"string","minLength":1}}}`),
}

// SchemaError says why an operation's parameters cannot be used. Its text is a
// sentence for the agent's author.
type SchemaError struct {
	Operation string
	Problem   string
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("The parameters of the operation %s cannot be used as a JSON Schema: %s.", e.Operation, e.Problem)
}

// CheckParameters returns nil, or a *SchemaError that says why no arguments could
// ever be authorised against the operation's parameters.
func CheckParameters(op agent.Operation) error {
	if len(op.Parameters) == 0 {
		return nil
	}
	_, err := compile(op.Name, op.Parameters)
	return err
}

// fits returns nil if the arguments fit what the operation declares, and what its
// type needs: a memory operation's parameters narrow the type's own, they do not replace them.
func fits(op agent.Operation, arguments json.RawMessage) error {
	declared := len(op.Parameters) > 0
	if !declared || op.Type != agent.CallAPI {
		if err := fitSchema(op.Name, ownSchemas[op.Type], arguments); err != nil {
			return err
		}
	}
	if !declared {
		return nil
	}
	return fitSchema(op.Name, op.Parameters, arguments)
}

func fitSchema(operation string, raw, arguments json.RawMessage) error {
	schema, err := compile(operation, raw)
	if err != nil {
		return err
	}
	instance := map[string]any{}
	if len(bytes.TrimSpace(arguments)) > 0 {
		if err := json.Unmarshal(arguments, &instance); err != nil {
			return &misfit{operation, "they are not a JSON object, or hold a number that is too large"}
		}
	}
	if instance == nil { // null, which models write where there is nothing to say
		instance = map[string]any{}
	}
	if err := schema.resolved.Validate(instance); err != nil {
		return &misfit{operation, explain(err, schema.raw)}
	}
	return nil
}

// compiled is a schema ready for use, or why there is none.
type compiled struct {
	resolved *jsonschema.Resolved
	raw      any // as read, to look keywords up in
	problem  string
}

// compiledSchemas remembers compile's answers by the schema's digest. It is not
// state: without it every answer would be the same, later.
var compiledSchemas = struct {
	sync.Mutex
	byDigest map[[sha256.Size]byte]*compiled
}{byDigest: map[[sha256.Size]byte]*compiled{}}

func compile(operation string, raw json.RawMessage) (*compiled, error) {
	digest := sha256.Sum256(raw)
	compiledSchemas.Lock()
	c := compiledSchemas.byDigest[digest]
	compiledSchemas.Unlock()
	if c == nil {
		c = newCompiled(raw)
		compiledSchemas.Lock()
		for old := range compiledSchemas.byDigest { // any one: menus are few and stay
			if len(compiledSchemas.byDigest) < maxSchemas {
				break
			}
			delete(compiledSchemas.byDigest, old)
		}
		compiledSchemas.byDigest[digest] = c
		compiledSchemas.Unlock()
	}
	if c.problem != "" {
		return nil, &SchemaError{Operation: operation, Problem: c.problem}
	}
	return c, nil
}

func newCompiled(raw json.RawMessage) *compiled {
	var c compiled
	var schema jsonschema.Schema
	if len(raw) > maxSchemaBytes {
		return &compiled{problem: fmt.Sprintf("it is longer than %d KiB", maxSchemaBytes>>10)}
	}
	if err := checkDepth(raw); err != nil {
		return &compiled{problem: err.Error()}
	}
	if err := errors.Join(json.Unmarshal(raw, &schema), json.Unmarshal(raw, &c.raw)); err != nil {
		return &compiled{problem: bound(oneLine(err.Error()), 200)}
	}
	if _, isObject := c.raw.(map[string]any); !isObject || schema.Type != "object" {
		return &compiled{problem: `it has to be of the type "object", whose properties are the arguments`}
	}
	dialect, known := dialects[strings.TrimSuffix(schema.Schema, "#")]
	if !known {
		return &compiled{problem: "its $schema has to be left out, or to be draft 2020-12 or draft-07"}
	}
	schema.Schema = dialect
	if err := checkReferences(&schema); err != nil { // first: what follows takes the square of the parts' number
		return &compiled{problem: err.Error()}
	}
	resolved, err := schema.Resolve(nil) // loads nothing: a schema elsewhere is an error
	if err != nil {
		return &compiled{problem: bound(oneLine(err.Error()), 200)}
	}
	c.resolved = resolved
	return &c
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// checkDepth reads raw once, without descending into it.
func checkDepth(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	depth := 0
	for {
		token, err := d.Token()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return errors.New("it is not JSON")
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxSchemaDepth {
			return fmt.Errorf("it is nested deeper than %d", maxSchemaDepth)
		}
	}
}

// checkReferences refuses schemas whose evaluation does not end, or not soon. The
// library follows a reference that leads to itself until the stack, and with it
// the process, is gone. Therefore references lead to the schema's own definitions
// only, never in a circle, and what they multiply is counted.
func checkReferences(root *jsonschema.Schema) error {
	w := &walk{definitions: root.Defs, sizes: map[*jsonschema.Schema]int{}}
	if w.definitions == nil {
		w.definitions = root.Definitions
	}
	size, err := w.size(root, true)
	if err != nil {
		return err
	}
	if size > maxSchemaSize {
		return fmt.Errorf("with all its references followed it has more than %d parts", maxSchemaSize)
	}
	return nil
}

// walk measures schemas. A size of 0 marks one that is being measured.
type walk struct {
	definitions map[string]*jsonschema.Schema
	sizes       map[*jsonschema.Schema]int
}

func (w *walk) size(s *jsonschema.Schema, isRoot bool) (int, error) {
	if s == nil { // null; the library says where
		return 0, nil
	}
	if size, seen := w.sizes[s]; seen {
		if size == 0 {
			return 0, errors.New("its references lead in a circle")
		}
		return size, nil
	}
	if s.DynamicRef != "" || (s.ID != "" && !isRoot) {
		return 0, errors.New("$dynamicRef, and $id below the top, are not supported")
	}
	w.sizes[s] = 0
	total := 1
	below := children(s)
	if s.Ref != "" {
		target, err := w.definition(s.Ref)
		if err != nil {
			return 0, err
		}
		below = append(below, target)
	}
	for _, child := range below {
		size, err := w.size(child, false)
		if err != nil {
			return 0, err
		}
		total = min(total+size, maxSchemaSize+1) // what is too much may stay so, and not overflow
	}
	w.sizes[s] = total
	return total, nil
}

func (w *walk) definition(ref string) (*jsonschema.Schema, error) {
	for _, place := range []string{"#/$defs/", "#/definitions/"} {
		if name, ok := strings.CutPrefix(ref, place); ok && w.definitions[name] != nil {
			return w.definitions[name], nil
		}
	}
	return nil, errors.New("a $ref has to lead to an entry of the top's own $defs, as #/$defs/name")
}

// children returns the schemas directly under s, whichever keyword they stand at.
// They are found by their Go type, as the library finds them, so that no keyword
// and no spelling of one is overlooked.
func children(s *jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	fields := reflect.ValueOf(*s)
	for i := range fields.NumField() {
		switch field := fields.Field(i).Interface().(type) {
		case *jsonschema.Schema:
			if field != nil {
				all = append(all, field)
			}
		case []*jsonschema.Schema:
			all = append(all, field...)
		case map[string]*jsonschema.Schema:
			for _, child := range field {
				all = append(all, child)
			}
		}
	}
	return all
}
