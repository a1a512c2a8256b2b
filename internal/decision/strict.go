package decision

import "slices"

// The limits of a schema in the strict mode, as OpenAI documents them
// (Structured Outputs, "Supported schemas"). Of the levels of objects the
// decision and its command take two.
const (
	maxStrictLevels     = 10 - 2
	maxStrictProperties = 5000 - 100
	maxStrictEnums      = 1000
)

// What the strict mode takes of a schema besides type, properties, items, anyOf, $ref and $defs.
var (
	strictKeywords = []string{
		"title", "description", "enum", "const", "pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
		"exclusiveMaximum", "minItems", "maxItems",
	}
	strictFormats = []string{"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
	// unstrict keywords can let something in that the rest of the schema does not
	// mention, so leaving them out could forbid what they allow. Every other
	// keyword can only forbid; without it the model is held to less, and the
	// validation of its answer to all.
	unstrict = []string{"allOf", "else", "if", "patternProperties", "prefixItems", "dependentSchemas", "then"}
)

// stricter puts schemas in the form of the strict mode: every object closed,
// every property required, an optional one nullable instead. The zero value is
// ready; it remembers whether all it was given could be put so.
type stricter struct {
	impossible        bool
	properties, enums int
}

func (s *stricter) possible() bool {
	return !s.impossible && s.properties <= maxStrictProperties && s.enums <= maxStrictEnums
}

// arguments converts the schema of an operation's arguments, or a definition that it refers to.
func (s *stricter) arguments(node any) any { return s.convert(node, 1) }

func (s *stricter) convert(node any, level int) any {
	schema, ok := node.(map[string]any)
	if !ok || slices.ContainsFunc(unstrict, func(k string) bool { return schema[k] != nil }) {
		return s.refuse()
	}
	if ref, ok := schema["$ref"]; ok {
		return map[string]any{"$ref": ref} // it takes no neighbours
	}
	out := map[string]any{}
	for _, keyword := range strictKeywords {
		if value, ok := schema[keyword]; ok {
			out[keyword] = value
		}
	}
	if format, ok := schema["format"].(string); ok && slices.Contains(strictFormats, format) {
		out["format"] = format
	}
	if schema["anyOf"] != nil || schema["oneOf"] != nil {
		return s.alternatives(schema, out, level)
	}
	types := typesOf(schema)
	if len(types) == 0 {
		return s.refuse()
	}
	out["type"] = oneOrMany(types)
	values, _ := schema["enum"].([]any)
	s.enums += len(values)
	if slices.Contains(types, "object") {
		s.object(schema, out, level)
	}
	if slices.Contains(types, "array") {
		out["items"] = s.convert(schema["items"], level)
	}
	return out
}

func (s *stricter) refuse() any {
	s.impossible = true
	return true
}

// alternatives writes anyOf, and oneOf as anyOf: that no second branch fits is left to validation.
func (s *stricter) alternatives(schema, out map[string]any, level int) any {
	if schema["properties"] != nil || (schema["anyOf"] != nil && schema["oneOf"] != nil) {
		return s.refuse()
	}
	var branches []any
	for _, keyword := range []string{"anyOf", "oneOf"} {
		list, _ := schema[keyword].([]any)
		for _, branch := range list {
			branches = append(branches, s.convert(branch, level))
		}
	}
	either := map[string]any{"anyOf": branches}
	if out["description"] != nil {
		either["description"] = out["description"]
	}
	return either
}

func (s *stricter) object(schema, out map[string]any, level int) {
	additional, declared := schema["additionalProperties"]
	properties, _ := schema["properties"].(map[string]any)
	open := declared && additional != false
	if open || (properties == nil && !declared) || level > maxStrictLevels {
		s.refuse() // a free-form object, or one too deep
		return
	}
	required, _ := schema["required"].([]any)
	closed := make(map[string]any, len(properties))
	for name, property := range properties {
		converted := s.convert(property, level+1)
		if !slices.Contains(required, any(name)) {
			converted = nullable(converted)
		}
		closed[name] = converted
	}
	s.properties += len(properties)
	out["properties"], out["required"], out["additionalProperties"] = closed, sorted(closed), false
}

// nullable returns a strict schema that takes null as well.
func nullable(node any) any {
	schema, ok := node.(map[string]any)
	if !ok {
		return node
	}
	name, single := schema["type"].(string)
	many, _ := schema["type"].([]string)
	switch {
	case name == "null", slices.Contains(many, "null"):
		return schema
	case single && schema["enum"] == nil && schema["const"] == nil:
		schema["type"] = []string{name, "null"}
		return schema
	}
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}

// typesOf returns the types that a schema names, or that its values or its other keywords let no doubt about.
func typesOf(schema map[string]any) []string {
	switch t := schema["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var names []string
		for _, name := range t {
			if s, ok := name.(string); ok {
				names = append(names, s)
			}
		}
		return names
	}
	if values, ok := schema["enum"].([]any); ok {
		return typesOfValues(values)
	}
	if value, ok := schema["const"]; ok {
		return typesOfValues([]any{value})
	}
	switch {
	case schema["properties"] != nil:
		return []string{"object"}
	case schema["items"] != nil:
		return []string{"array"}
	}
	return nil
}

// typesOfValues returns the types of scalar values, nothing if there is another among them.
func typesOfValues(values []any) []string {
	var names []string
	for _, v := range values {
		name := ""
		switch v.(type) {
		case nil:
			name = "null"
		case bool:
			name = "boolean"
		case float64:
			name = "number"
		case string:
			name = "string"
		default:
			return nil
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func oneOrMany(names []string) any {
	if len(names) == 1 {
		return names[0]
	}
	return names
}
