package scriptedmodel

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is a Rule whose expressions have been compiled and whose references have been checked.
type rule struct {
	Rule
	question, prompt, results *regexp.Regexp // nil matches everything
}

func compile(script Script) ([]rule, error) {
	rules := make([]rule, 0, len(script.Rules))
	for i, source := range script.Rules {
		r, err := compileRule(source)
		if err != nil {
			return nil, fmt.Errorf("rule %d %q: %w", i+1, source.Name, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func compileRule(source Rule) (rule, error) {
	r := rule{Rule: source}
	for _, e := range []struct {
		field, text string
		to          **regexp.Regexp
	}{
		{"question", source.When.Question, &r.question},
		{"prompt", source.When.Prompt, &r.prompt},
		{"results", source.When.Results, &r.results},
	} {
		if e.text == "" {
			continue
		}
		compiled, err := regexp.Compile(e.text)
		if err != nil {
			return r, fmt.Errorf("when.%s: %w", e.field, err)
		}
		*e.to = compiled
	}
	return r, r.checkReferences()
}

// captures are the groups of one match by the names that a template may use for them.
type captures map[string]string

// match returns what the rule captures of the ask, or false when the rule is not for it.
func (r *rule) match(ask Ask) (captures, bool) {
	if r.When.Step != 0 && r.When.Step != ask.Step {
		return nil, false
	}
	found := captures{"question": ask.Question, "results": ask.Results}
	for _, e := range r.sources(ask) {
		if e.expression == nil {
			continue
		}
		groups := e.expression.FindStringSubmatch(e.text)
		if groups == nil {
			return nil, false
		}
		for i, name := range e.names() {
			for _, alias := range name {
				if _, taken := found[alias]; !taken {
					found[alias] = groups[i]
				}
			}
		}
	}
	if r.When.Match != nil && !r.When.Match(ask) {
		return nil, false
	}
	return found, true
}

// source is one text of an ask and the expression that is looked for in it.
type source struct {
	prefix, text string
	expression   *regexp.Regexp
}

// sources are in the order in which a group's name that stands alone is looked up, and from the cheapest to the
// dearest to match.
func (r *rule) sources(ask Ask) []source {
	return []source{
		{"question.", ask.Question, r.question},
		{"results.", ask.Results, r.results},
		{"prompt.", ask.Prompt, r.prompt},
	}
}

// names returns what each group may be called: its number or name after the prefix, its name alone and, in the
// question, its number alone.
func (s source) names() [][]string {
	var names [][]string
	for i, name := range s.expression.SubexpNames() {
		number := strconv.Itoa(i)
		aliases := []string{s.prefix + number}
		if s.prefix == "question." {
			aliases = append(aliases, number)
		}
		if name != "" {
			aliases = append(aliases, s.prefix+name, name)
		}
		names = append(names, aliases)
	}
	return names
}

var reference = regexp.MustCompile(`\$\{([A-Za-z0-9_.]+)\}`)

// checkReferences finds the reference that no group of the rule can fill, before a test waits for its answer.
func (r *rule) checkReferences() error {
	known := []string{"question", "results"}
	for _, e := range r.sources(Ask{}) {
		if e.expression != nil {
			known = append(known, slices.Concat(e.names()...)...)
		}
	}
	var unknown []string
	r.Then.expand(func(text string) string {
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, m[1]) {
				unknown = append(unknown, m[0])
			}
		}
		return text
	})
	if len(unknown) > 0 {
		return fmt.Errorf("then refers to %s, which nothing in when captures", strings.Join(unknown, ", "))
	}
	return nil
}

// fill replaces the references in one text.
func (c captures) fill(text string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	return reference.ReplaceAllStringFunc(text, func(ref string) string { return c[ref[2:len(ref)-1]] })
}

// expand returns the decision with fill applied to each of its texts.
func (d Decision) expand(fill func(string) string) Decision {
	out := Decision{Rationale: fill(d.Rationale), Commands: make([]Command, 0, len(d.Commands))}
	if d.Response != nil {
		response := fill(*d.Response)
		out.Response = &response
	}
	for _, c := range d.Commands {
		arguments, _ := expandValue(c.Arguments, fill).(map[string]any)
		if arguments == nil {
			arguments = map[string]any{}
		}
		out.Commands = append(out.Commands, Command{Operation: fill(c.Operation), Arguments: arguments})
	}
	return out
}

func expandValue(value any, fill func(string) string) any {
	switch v := value.(type) {
	case string:
		return fill(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = expandValue(item, fill)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, expandValue(item, fill))
		}
		return out
	default:
		return value
	}
}
