package decision

import "slices"

// The strict mode has no optional arguments: the model has to write null for one
// that it leaves out. nulls takes these out again, so that what is validated and
// carried out is what the operation's author declared.
type nulls struct{ root map[string]any }

// strip removes from value, in place, each null at a property that does not allow
// null, and reports whether there was one.
func (n nulls) strip(value any) bool { return n.under(value, []any{n.root}) }

// under strips value, to which all of the schemas may apply.
func (n nulls) under(value any, schemas []any) bool {
	schemas = n.unfold(schemas)
	changed := false
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			declared := propertiesNamed(schemas, name)
			if v == nil && len(declared) > 0 && !slices.ContainsFunc(declared, n.allowsNull) {
				delete(value, name)
				changed = true
				continue
			}
			changed = n.under(v, declared) || changed
		}
	case []any:
		var items []any
		for _, s := range schemas {
			if item, ok := s.(map[string]any)["items"].(map[string]any); ok {
				items = append(items, item)
			}
		}
		for _, v := range value {
			changed = n.under(v, items) || changed
		}
	}
	return changed
}

// unfold follows references and alternatives. Which alternative applies is not
// asked: a null stays if one of them allows it, and validation decides.
func (n nulls) unfold(schemas []any) []any {
	var all []any
	seen := map[string]bool{}
	for todo := slices.Clone(schemas); len(todo) > 0; {
		schema, ok := todo[0].(map[string]any)
		todo = todo[1:]
		if !ok {
			continue
		}
		all = append(all, schema)
		if ref, ok := schema["$ref"].(string); ok && !seen[ref] {
			seen[ref] = true
			target, _ := parameters(n).definition(ref)
			todo = append(todo, target)
		}
		for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := schema[keyword].([]any)
			todo = append(todo, list...)
		}
	}
	return all
}

func propertiesNamed(schemas []any, name string) []any {
	var found []any
	for _, s := range schemas {
		properties, _ := s.(map[string]any)["properties"].(map[string]any)
		if p, ok := properties[name]; ok {
			found = append(found, p)
		}
	}
	return found
}

// allowsNull reports whether a schema says that null is a value of it. A schema
// without any word about types allows it too.
func (n nulls) allowsNull(node any) bool {
	schema, ok := node.(map[string]any)
	if !ok {
		return node == true
	}
	if ref, ok := schema["$ref"]; ok {
		target, _ := parameters(n).definition(ref)
		return n.allowsNull(target)
	}
	if value, ok := schema["const"]; ok {
		return value == nil
	}
	if values, ok := schema["enum"].([]any); ok {
		return slices.Contains(values, nil)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if list, ok := schema[keyword].([]any); ok {
			return slices.ContainsFunc(list, n.allowsNull)
		}
	}
	switch t := schema["type"].(type) {
	case string:
		return t == "null"
	case []any:
		return slices.Contains(t, any("null"))
	}
	return true
}
