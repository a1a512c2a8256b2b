package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/edict-dev/edict/internal/agent"
)

// maxText bounds a response, a rationale and one command's arguments: each goes
// into a journal record, and arguments into a Kubernetes object, which holds
// little more than a megabyte.
const maxText = 256 << 10

// read returns the decision that a reply holds, or why it holds none. What it
// returns fits the menu: it is the one door from a model's text to commands.
func (m *menu) read(r reply) (agent.Decision, *problem) {
	if r.wrong != nil {
		return agent.Decision{}, r.wrong
	}
	object, wrong := soleObject(r.text)
	if wrong != nil {
		return agent.Decision{}, wrong
	}
	return m.decide(object)
}

// soleObject returns the JSON object in a text. Prose or a Markdown fence around
// it is forgiven, a second object is not: which of them is meant would be a guess.
func soleObject(text string) (json.RawMessage, *problem) {
	if strings.TrimSpace(text) == "" {
		return nil, &empty
	}
	var object json.RawMessage
	for rest := text; ; {
		start := strings.IndexByte(rest, '{')
		if start < 0 {
			break
		}
		rest = rest[start:]
		if inside := strings.TrimLeft(rest[1:], " \t\r\n"); inside != "" && inside[0] != '"' && inside[0] != '}' {
			rest = inside // a brace in prose
			continue
		}
		d := json.NewDecoder(strings.NewReader(rest))
		var found json.RawMessage
		if err := d.Decode(&found); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("it ends in the middle of the object")
			}
			return nil, broken(err)
		}
		if object != nil {
			return nil, &manyObjects
		}
		object = found
		rest = rest[d.InputOffset():]
	}
	if object != nil {
		return object, nil
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil, broken(errors.New("no name in quotes follows the brace"))
	}
	return nil, &prose
}

// decide reads a decision's fields by their exact names. A field too many is an error here as it is in the schema.
func (m *menu) decide(object json.RawMessage) (agent.Decision, *problem) {
	var d agent.Decision
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return d, broken(err)
	}
	for name := range fields {
		if !slices.Contains(decisionFields, name) {
			wrong := misfit("it has a field that is not in the schema")
			wrong.detail = fmt.Sprintf("The field is %q; use only %s.", name, strings.Join(decisionFields, ", "))
			return d, wrong
		}
	}
	var wrong *problem
	if d.Response, wrong = textOf(fields, "response"); wrong != nil {
		return d, wrong
	}
	if d.Rationale, wrong = textOf(fields, "rationale"); wrong != nil {
		return d, wrong
	}
	if d.Commands, wrong = m.choices(fields["commands"]); wrong != nil {
		return agent.Decision{}, wrong
	}
	if strings.TrimSpace(d.Response) == "" {
		d.Response = ""
	}
	if d.Response == "" && len(d.Commands) == 0 {
		return agent.Decision{}, &nothing
	}
	return d, nil
}

// textOf returns a field that is a string, null or absent.
func textOf(fields map[string]json.RawMessage, name string) (string, *problem) {
	var s *string
	raw, ok := fields[name]
	if !ok {
		return "", nil
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", misfit("its %s is not a string", name)
	}
	if s == nil {
		return "", nil
	}
	if len(*s) > maxText {
		return "", misfit("its %s is longer than %d bytes", name, maxText)
	}
	return *s, nil
}

func (m *menu) choices(raw json.RawMessage) ([]agent.Choice, *problem) {
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, misfit("its commands are not a list")
	}
	if len(list) > m.maxCommands {
		return nil, m.tooMany(len(list))
	}
	var chosen []agent.Choice
	for i, item := range list {
		c, wrong := m.choice(item)
		if wrong != nil {
			wrong.detail = strings.TrimSpace(fmt.Sprintf("It is commands[%d]. %s", i, wrong.detail))
			return nil, wrong
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

func (m *menu) tooMany(n int) *problem {
	if len(m.operations) == 0 {
		return &problem{
			people: "the decision has commands, and the agent's menu is empty",
			detail: "Give a response and no commands.",
			remedy: "Add to spec.operations what the agent is to be able to do, or say in the instructions that it can only answer",
		}
	}
	return &problem{
		people: fmt.Sprintf("the decision has %d commands, and at most %d are allowed", n, m.maxCommands),
		detail: "Choose the most important ones now and the others in later steps.",
		remedy: "Raise spec.limits.maxCommands if that many are wanted, or say in the instructions how many are",
	}
}

// choice reads one command. The problem is the caller's to extend.
func (m *menu) choice(item json.RawMessage) (agent.Choice, *problem) {
	var c agent.Choice
	var fields map[string]json.RawMessage
	if json.Unmarshal(item, &fields) != nil || fields == nil {
		return c, misfit("a command is not an object")
	}
	for name := range fields {
		if name != "operation" && name != "arguments" {
			wrong := misfit("a command has a field that is not in the schema")
			wrong.detail = fmt.Sprintf("The field is %q; use only operation and arguments.", name)
			return c, wrong
		}
	}
	if json.Unmarshal(fields["operation"], &c.Operation) != nil {
		return c, misfit("a command does not say its operation")
	}
	op, ok := m.operations[c.Operation]
	if !ok {
		return c, &problem{
			people: "the decision chooses an operation that is not on the agent's menu (" + m.listed() + ")",
			detail: fmt.Sprintf("It chooses %q; only what is on the menu exists.", cut(c.Operation, maxModelName)),
			remedy: "Add the operation to spec.operations if it is wanted, or say in the instructions what the agent cannot do",
		}
	}
	if len(fields["arguments"]) > maxText {
		return c, misfit("the arguments of %s are longer than %d bytes", op.name, maxText)
	}
	arguments, wrong := op.fit(fields["arguments"])
	c.Arguments = arguments
	return c, wrong
}

// fit returns arguments as they are to be carried out: an object that fits the
// operation's original schema, in canonical form, in which no key occurs twice.
func (o *operation) fit(raw json.RawMessage) (json.RawMessage, *problem) {
	if raw == nil || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		raw = json.RawMessage("{}") // validation says which arguments are missing
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // what is not looked at keeps its digits
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, broken(err)
	}
	if o.nulls.strip(value) {
		stripped, err := json.Marshal(value)
		if err != nil {
			return nil, broken(err)
		}
		raw = stripped
	}
	var plain any // the validator wants float64
	if err := json.Unmarshal(raw, &plain); err != nil {
		return nil, broken(err)
	}
	for _, check := range o.checks {
		if err := check.Validate(plain); err != nil {
			return nil, unfit(o.name, err)
		}
	}
	return agent.Canonical(raw), nil
}
