package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// misfit says that arguments do not fit an operation, as a sentence for people;
// because goes on from "do not fit the operation x: ".
type misfit struct{ operation, because string }

func (m *misfit) Error() string {
	return fmt.Sprintf("The arguments do not fit the operation %s: %s.", m.operation, m.because)
}

// explain says which argument does not fit a schema, and which rule of the schema
// it breaks. It reads the validator's error, which is "validating PATH: " for
// each schema on the way in and then "KEYWORD: …", and takes the rule from the
// schema itself: the rest of the error quotes values, and those may be a model's.
func explain(err error, schema any) string {
	rest, place, at := err.Error(), argumentPath{}, ""
	for {
		path, inner, ok := cutValidating(rest)
		if !ok {
			break
		}
		if !strings.HasPrefix(path, "/") {
			path = "" // the top, or its $id
		}
		place.descend(at, path)
		rest, at = inner, path
	}
	rule, ok := lookUp(schema, at).(map[string]any)
	if !ok {
		rule = map[string]any{}
	}
	return place.String() + " " + broken(rest, rule)
}

func cutValidating(text string) (path, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "validating ")
	if !ok {
		return "", "", false
	}
	return strings.Cut(text, ": ")
}

// keyword is what a validator's sentence begins with.
var keyword = regexp.MustCompile(`^([A-Za-z]+)(?:\["[^"]*"\])?: `)

// broken says which rule the value breaks.
func broken(sentence string, rule map[string]any) string {
	if list, ok := strings.CutPrefix(sentence, "unexpected additional properties "); ok {
		return "may not have " + quotedNames(list)
	}
	match := keyword.FindStringSubmatch(sentence)
	if match == nil {
		return "breaks a rule of its schema"
	}
	if match[1] == "required" { // names from the schema
		_, missing, _ := strings.Cut(sentence, "missing properties: ")
		return "lacks " + quotedNames(missing)
	}
	value, ok := rule[match[1]]
	if !ok {
		return "breaks a rule of its schema"
	}
	text, _ := json.Marshal(value)
	switch match[1] {
	case "anyOf", "oneOf", "allOf", "not", "contains":
		return "breaks the schema's rule " + match[1]
	}
	return fmt.Sprintf("breaks the schema's rule %s %s", match[1], bound(string(text), 120))
}

// quotedNames makes `"a", "b"` of the validator's `["a" "b"]`, and leaves out
// what is not simply a name, because a model may have written it.
func quotedNames(list string) string {
	const most = 10
	var names []string
	list = strings.TrimSuffix(strings.TrimPrefix(list, "["), "]")
	for list != "" && len(names) < most {
		quoted, err := strconv.QuotedPrefix(list)
		if err != nil {
			break
		}
		list = strings.TrimLeft(list[len(quoted):], " ,")
		if name, err := strconv.Unquote(quoted); err == nil && simple.MatchString(name) {
			names = append(names, quoted)
		}
	}
	if len(names) == 0 {
		return "an argument of such a name"
	}
	return strings.Join(names, ", ")
}

// argumentPath is the way to an argument, as far as the schema names it.
type argumentPath struct{ text string }

// descend follows the validator from one place of the schema to the next. Where
// it follows a reference the next is not under the last, and no argument is passed.
func (p *argumentPath) descend(from, to string) {
	below, ok := strings.CutPrefix(to, from+"/")
	if !ok {
		return
	}
	segments := strings.Split(below, "/")
	for i := 0; i < len(segments); i++ {
		switch segments[i] {
		case "properties":
			if i++; i < len(segments) {
				p.text = strings.TrimPrefix(p.text+"."+unescape(segments[i]), ".")
			}
		case "items", "prefixItems", "additionalItems":
			p.text += "[]"
		case "patternProperties", "additionalProperties":
			p.text = strings.TrimPrefix(p.text+".*", ".")
		}
	}
}

func (p *argumentPath) String() string {
	if p.text == "" {
		return "the object"
	}
	return "argument " + strconv.Quote(bound(p.text, 100))
}

// lookUp follows a JSON pointer (RFC 6901). It returns nil where that leads nowhere.
func lookUp(v any, pointer string) any {
	if pointer == "" {
		return v
	}
	for _, segment := range strings.Split(pointer[1:], "/") {
		switch in := v.(type) {
		case map[string]any:
			v = in[unescape(segment)]
		case []any:
			i, err := strconv.Atoi(segment)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func unescape(segment string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(segment)
}
