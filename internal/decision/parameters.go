package decision

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

const (
	// maxSchemaDepth bounds how deeply a declared schema may nest.
	maxSchemaDepth = 64
	// maxSchemaReach bounds how many schemas one reference may apply to one value:
	// a few definitions that each refer twice to the next would keep a processor busy for hours.
	maxSchemaReach = 1000
)

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
	if err := p.checkReach(); err != nil {
		return nil, nil, err
	}
	examined, err := json.Marshal(schema) // raw may hold a key twice, and the validator's reader merges where this one takes the last
	if err != nil {
		return nil, nil, fmt.Errorf("its parameters cannot be written as JSON (%w): correct them", err)
	}
	var typed jsonschema.Schema
	if err := json.Unmarshal(examined, &typed); err != nil {
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
	if err := checkKeywords(schema); err != nil {
		return err
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

// checkKeywords refuses what is not supported, and what the validator would take
// for a keyword although it is spelled with other capitals: it would be validated
// by it and examined by nobody.
func checkKeywords(schema map[string]any) error {
	for _, key := range sorted(schema) {
		if slices.Contains(foreign, key) {
			return fmt.Errorf("its parameters use %s, which is not supported: write it without", key)
		}
		if known := spelling[folded(key)]; known != "" && known != key {
			return fmt.Errorf("its parameters use %s: write %s", key, known)
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

// spelling holds each keyword of package jsonschema by its folded form.
var spelling = func() map[string]string {
	byFold := map[string]string{}
	t := reflect.TypeFor[jsonschema.Schema]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "-" {
			byFold[folded(name)] = name
		}
	}
	for _, name := range []string{"type", "items", "dependencies"} { // which the package reads by hand
		byFold[folded(name)] = name
	}
	return byFold
}()

// folded returns a key as a reader that takes no notice of capitals sees it; ſ is an s to it.
func folded(key string) string { return strings.ToLower(strings.ToUpper(key)) }

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

// checkReach refuses definitions that apply themselves to the value they are
// applied to, which the validator would follow without end, and those that apply
// very many schemas to one value.
func (p parameters) checkReach() error {
	reach := map[string]int{} // how many schemas a reference applies to one value; -1 while it is followed
	var follow func(ref string) error
	follow = func(ref string) error {
		if reach[ref] > 0 {
			return nil
		}
		if reach[ref] < 0 {
			return fmt.Errorf("in its parameters %s leads back to itself without a property or an item between: untie it", ref)
		}
		reach[ref] = -1
		sum := 1
		target, _ := p.definition(ref)
		for _, next := range referredInPlace(target) {
			if err := follow(next); err != nil {
				return err
			}
			sum += reach[next]
		}
		if sum > maxSchemaReach {
			return fmt.Errorf("in its parameters %s stands for more than %d alternatives: simplify it", ref, maxSchemaReach)
		}
		reach[ref] = sum
		return nil
	}
	for _, key := range []string{"$defs", "definitions"} {
		definitions, _ := p.root[key].(map[string]any)
		for _, name := range sorted(definitions) {
			if err := follow("#/" + key + "/" + name); err != nil {
				return err
			}
		}
	}
	return nil
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
