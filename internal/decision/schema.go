package decision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// decisionFields are the fields of a decision, in the order in which a model is
// to write them: the reason before what it is a reason for.
var decisionFields = []string{"rationale", "response", "commands"}

// The schema of a decision. The structs fix an order of properties that a map
// would lose: servers that enforce a schema make the model write in that order,
// and an operation has to be chosen before its arguments.
type (
	object[P any] struct {
		Type                 string         `json:"type"`
		Properties           P              `json:"properties"`
		Required             []string       `json:"required"`
		AdditionalProperties bool           `json:"additionalProperties"`
		Definitions          map[string]any `json:"$defs,omitempty"`
	}
	decisionProperties struct {
		Rationale any `json:"rationale"`
		Response  any `json:"response"`
		Commands  any `json:"commands"`
	}
	commandProperties struct {
		Operation any `json:"operation"`
		Arguments any `json:"arguments"`
	}
	commandList struct {
		Type        string `json:"type"`
		Description string `json:"description"`
		Items       any    `json:"items"`
		MaxItems    int    `json:"maxItems"`
	}
	textSchema struct {
		Type        any    `json:"type"`
		Description string `json:"description"`
	}
	constant struct {
		Type  string `json:"type"`
		Const string `json:"const"`
	}
	alternatives struct {
		AnyOf []any `json:"anyOf"`
	}
	none struct{}
)

// schemas writes both forms of a decision's schema. If one operation cannot be
// put in the strict form, the whole is sent as it was declared: a server enforces
// all of a schema or nothing.
func (m *menu) schemas() error {
	open, err := m.schema(func(a any) any { return a })
	if err != nil {
		return err
	}
	s := stricter{}
	wire, err := m.schema(s.arguments)
	if err != nil {
		return err
	}
	m.open, m.wire, m.strict = open, wire, s.possible()
	if !m.strict {
		m.wire = open
	}
	return nil
}

// schema returns the schema of a decision with each operation's arguments, and each definition of them, put through form.
func (m *menu) schema(form func(any) any) (json.RawMessage, error) {
	definitions := map[string]any{}
	var branches []any
	for i, name := range m.names {
		prefix := "o" + strconv.Itoa(i) + "_" // operations may use one name for two definitions
		arguments, own := relocated(m.operations[name].schema, prefix)
		for key, definition := range own {
			definitions[key] = form(definition)
		}
		branches = append(branches, object[commandProperties]{
			Type:       "object",
			Properties: commandProperties{Operation: constant{"string", name}, Arguments: form(arguments)},
			Required:   []string{"operation", "arguments"},
		})
	}
	var items any = alternatives{branches}
	if len(branches) == 0 {
		items = object[none]{Type: "object", Required: []string{}}
	}
	raw, err := json.Marshal(object[decisionProperties]{
		Type: "object",
		Properties: decisionProperties{
			Rationale: textSchema{"string", "Why, in a sentence or two."},
			Response:  textSchema{[]string{"string", "null"}, "What the agent answers; null while an outcome is still needed."},
			Commands:  commandList{"array", "What is to be carried out now; empty if nothing is.", items, m.maxCommands},
		},
		Required:    decisionFields,
		Definitions: definitions,
	})
	if err != nil {
		return nil, fmt.Errorf("write the schema of a decision: %w", err)
	}
	return raw, nil
}

// relocated returns a declared schema so that it can stand inside another: its
// definitions apart, under names that begin with prefix, and its references to
// them changed. What identifies a document is left out.
func relocated(schema map[string]any, prefix string) (map[string]any, map[string]any) {
	moved := moveReferences(schema, prefix)
	definitions := map[string]any{}
	for _, key := range []string{"definitions", "$defs"} {
		own, _ := moved[key].(map[string]any)
		for name, definition := range own {
			definitions[prefix+name] = definition
		}
		delete(moved, key)
	}
	delete(moved, "$id")
	delete(moved, "$schema")
	return moved, definitions
}

// moveReferences returns a copy of a schema with its references changed; it looks
// where schemas are and not into values, which may look like one.
func moveReferences(schema map[string]any, prefix string) map[string]any {
	out := maps.Clone(schema)
	if ref, ok := out["$ref"].(string); ok {
		if parts := reference.FindStringSubmatch(ref); parts != nil {
			out["$ref"] = "#/$defs/" + prefix + parts[2]
		}
	}
	for _, keywords := range [][]string{schemaKeywords, listKeywords, mapKeywords} {
		for _, keyword := range keywords {
			if value, ok := schema[keyword]; ok {
				out[keyword] = moveAll(keyword, value, prefix)
			}
		}
	}
	return out
}

// moveAll moves the references of what stands at a keyword: a schema, a list of them, or a map of them.
func moveAll(keyword string, value any, prefix string) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, child := range value {
			list[i] = moveAll("", child, prefix)
		}
		return list
	case map[string]any:
		if !slices.Contains(mapKeywords, keyword) {
			return moveReferences(value, prefix)
		}
		named := make(map[string]any, len(value))
		for name, child := range value {
			named[name] = moveAll("", child, prefix)
		}
		return named
	}
	return value
}
