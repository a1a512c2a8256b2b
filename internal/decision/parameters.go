package decision

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// maxSchemaDepth bounds how deeply a declared schema may nest.
const maxSchemaDepth = 64

// Where a JSON Schema object has schemas in it, by keyword.
var (
	schemaKeywords = []string{
		"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
		"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
	}
	listKeywords = []string{"allOf", "anyOf", "items", "oneOf", "prefixItems"}
	mapKeywords  = []string{"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
	// inPlace are the keywords whose schemas apply to the same value as the schema that holds them.
	inPlace = []string{"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"}
)

var (
	schemaTypes    = []string{"array", "boolean", "integer", "null", "number", "object", "string"}
	schemaVersions = []string{
		"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft-07/schema#",
		"https://json-schema.org/draft/2020-12/schema",
	}
	// foreign keywords would need more than one document, or a notion of where in it one is.
	foreign   = []string{"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "dependencies"}
	reference = regexp.MustCompile(`^#/(\$defs|definitions)/([A-Za-z0-9_.-]+)$`)
)

// parseParameters reads a declared schema and compiles its validator.
//
// The validator itself checks little of a schema, and follows references without
// end, so what it would overlook or fall over is refused here: words that are no
// type, and references that go in a circle or lead out of the document.
func parseParameters(raw json.RawMessage) (map[string]any, *jsonschema.Resolved, error) {
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil || schema == nil {
		return nil, nil, errors.New("its parameters are not a JSON object: write a JSON Schema with type object")
	}
	if schema["type"] != "object" {
		return nil, nil, errors.New("its parameters do not have type object: arguments have names, so write type: object and properties")
	}
	if version, ok := schema["$schema"]; ok && !slices.Contains(schemaVersions, fmt.Sprint(version)) {
		return nil, nil, errors.New("its parameters have a $schema other than draft-07 and 2020-12: remove it or write one of these")
	}
	p := parameters{root: schema}
	if err := p.check(schema, 0); err != nil {
		return nil, nil, err
	}
	if name := p.circle(); name != "" {
		return nil, nil, fmt.Errorf("in its parameters the definition %s leads back to itself without a property or an item between: untie it", name)
	}
	var typed jsonschema.Schema
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, nil, fmt.Errorf("its parameters are not a JSON Schema (%w): correct them", err)
	}
	check, err := typed.Resolve(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("its parameters are not a JSON Schema (%w): correct them", err)
	}
	return schema, check, nil
}

// parameters is a declared schema under examination.
type parameters struct{ root map[string]any }

func (p parameters) check(node any, depth int) error {
	if depth > maxSchemaDepth {
		return fmt.Errorf("its parameters nest deeper than %d schemas: flatten them", maxSchemaDepth)
	}
	if _, ok := node.(bool); ok {
		return nil
	}
	schema, ok := node.(map[string]any)
	if !ok {
		return errors.New("its parameters have something else where a schema belongs: write an object there")
	}
	for _, keyword := range foreign {
		if _, ok := schema[keyword]; ok {
			return fmt.Errorf("its parameters use %s, which is not supported: write it without", keyword)
		}
	}
	if _, ok := schema["$id"]; ok && depth > 0 {
		return errors.New("its parameters have an $id inside: remove it")
	}
	if err := checkTypes(schema["type"]); err != nil {
		return err
	}
	if err := p.checkReference(schema["$ref"]); err != nil {
		return err
	}
	for _, child := range children(schema) {
		if err := p.check(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkTypes(value any) error {
	var names []any
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		names = value
	default:
		names = []any{value}
	}
	for _, name := range names {
		if s, ok := name.(string); !ok || !slices.Contains(schemaTypes, s) {
			return fmt.Errorf("its parameters have the type %q: write one of %s", fmt.Sprint(name), strings.Join(schemaTypes, ", "))
		}
	}
	return nil
}

func (p parameters) checkReference(ref any) error {
	if ref == nil {
		return nil
	}
	if _, ok := p.definition(ref); !ok {
		return fmt.Errorf("its parameters refer to %q: only #/$defs/NAME is supported, with a definition of that name beside the outermost properties",
			fmt.Sprint(ref))
	}
	return nil
}

// definition returns what a reference refers to.
func (p parameters) definition(ref any) (any, bool) {
	s, _ := ref.(string)
	parts := reference.FindStringSubmatch(s)
	if parts == nil {
		return nil, false
	}
	definitions, _ := p.root[parts[1]].(map[string]any)
	target, ok := definitions[parts[2]]
	return target, ok
}

// children returns the schemas directly in a schema, in a fixed order. What
// stands where a schema belongs is returned whatever it is.
func children(schema map[string]any) []any {
	var all []any
	for _, keyword := range schemaKeywords {
		if child, ok := schema[keyword]; ok {
			if _, list := child.([]any); !list { // draft-07 has a list for items
				all = append(all, child)
			}
		}
	}
	for _, keyword := range listKeywords {
		list, _ := schema[keyword].([]any)
		all = append(all, list...)
	}
	for _, keyword := range mapKeywords {
		named, _ := schema[keyword].(map[string]any)
		for _, name := range sorted(named) {
			all = append(all, named[name])
		}
	}
	return all
}

// circle returns a definition that applies itself to the value it is applied to, empty if there is none.
func (p parameters) circle() string {
	const under, done = 1, 2
	state := map[string]int{}
	var visit func(ref string) bool
	visit = func(ref string) bool {
		if state[ref] != 0 {
			return state[ref] == under
		}
		state[ref] = under
		target, _ := p.definition(ref)
		for _, next := range referredInPlace(target) {
			if visit(next) {
				return true
			}
		}
		state[ref] = done
		return false
	}
	for _, key := range []string{"$defs", "definitions"} {
		definitions, _ := p.root[key].(map[string]any)
		for _, name := range sorted(definitions) {
			if ref := "#/" + key + "/" + name; visit(ref) {
				return name
			}
		}
	}
	return ""
}

// referredInPlace returns the references that a schema applies to its own value.
func referredInPlace(node any) []string {
	schema, ok := node.(map[string]any)
	if !ok {
		return nil
	}
	var refs []string
	if ref, ok := schema["$ref"].(string); ok {
		refs = append(refs, ref)
	}
	part := map[string]any{}
	for _, keyword := range inPlace {
		if value, ok := schema[keyword]; ok {
			part[keyword] = value
		}
	}
	for _, child := range children(part) {
		refs = append(refs, referredInPlace(child)...)
	}
	return refs
}
