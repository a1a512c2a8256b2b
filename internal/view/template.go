package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// A template is given the block's name and its items, each with its text and
// what else is known of it, all as strings:
//
//	{{range .items}}* {{.text}} ({{.time}})
//	{{end}}
//
// It may loop over the items, once in a row and not within one another, choose
// with if, and, or, not, eq and ne, and write a field as it is, as a JSON string
// (json) or as XML text (xml). That is all: without variables, other loops, calls
// and templates in one another it ends after as many steps as it has nodes for
// each item, and fails at none of them, so what parses can be rendered.

// blockTemplate is a template that was found to be such a one.
type blockTemplate struct{ parsed *template.Template }

var templateFunctions = template.FuncMap{"json": quoted, "xml": escaped}

// allowed are the functions that a template may call, with the least and the most of their arguments; 0 is no bound.
var allowed = map[string][2]int{"and": {1, 0}, "or": {1, 0}, "not": {1, 1}, "eq": {2, 0}, "ne": {2, 2}, "json": {1, 1}, "xml": {1, 1}}

// parseTemplate returns the template of a block, or an error that names the block, the line and what is wrong.
func parseTemplate(b Block) (*blockTemplate, error) {
	fail := func(line int, format string, args ...any) error {
		return fmt.Errorf("block %s, line %d: %s", b.Name, line, fmt.Sprintf(format, args...))
	}
	switch {
	case strings.TrimSpace(b.Template) == "":
		return nil, fmt.Errorf("block %s: rendering Template needs a template", b.Name)
	case len(b.Template) > MaxTemplate:
		return nil, fmt.Errorf("block %s: the template has %d bytes; %d is the most", b.Name, len(b.Template), MaxTemplate)
	}
	parsed, err := template.New("t").Option("missingkey=zero").Funcs(templateFunctions).Parse(b.Template)
	if err != nil {
		line, what, _ := strings.Cut(strings.TrimPrefix(err.Error(), "template: t:"), ": ")
		return nil, fmt.Errorf("block %s, line %s: %s", b.Name, line, what)
	}
	c := templateCheck{item: append([]string{"text"}, attributeNames[b.tag()]...), fail: fail, text: b.Template}
	if parsed.Tree == nil || len(parsed.Templates()) > 1 {
		return nil, fail(1, "define and block are not for templates of blocks; write the text once, in {{range .items}}")
	}
	if err := c.list(parsed.Root, false); err != nil {
		return nil, err
	}
	return &blockTemplate{parsed}, nil
}

var errTooLong = errors.New("the output of the template is too long")

// render returns what the template makes of the items, in at most about limit bytes.
func (t *blockTemplate) render(name string, items []item, limit int) (string, error) {
	rows := make([]map[string]string, 0, len(items))
	for _, i := range items {
		row := map[string]string{"text": indented(i.written())}
		for _, a := range i.attributes {
			row[a.name] = indented(a.value)
		}
		rows = append(rows, row)
	}
	out := &bounded{left: limit}
	if err := t.parsed.Execute(out, map[string]any{"name": name, "items": rows}); err != nil {
		return "", err
	}
	return contained(out.String()), nil
}

// bounded is a text that ends with an error when it grows too long.
type bounded struct {
	strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}

// contained returns what a template wrote with the lines indented that would pass
// for a heading, a tag or a note of ours, whoever wrote them.
func contained(text string) string {
	all := strings.Split(tidy(text), "\n")
	for i, line := range all {
		if strings.IndexAny(line, "#<>{}[]…") == 0 {
			all[i] = "  " + line
		}
	}
	if text = strings.Join(all, "\n"); text == "" {
		return ""
	}
	return text + "\n"
}

// templateCheck walks a template.
type templateCheck struct {
	item []string // fields of an item
	text string
	fail func(line int, format string, args ...any) error
}

func (c templateCheck) line(n parse.Node) int {
	return 1 + strings.Count(c.text[:min(int(n.Position()), len(c.text))], "\n")
}

func (c templateCheck) list(nodes *parse.ListNode, within bool) error {
	if nodes == nil {
		return nil
	}
	for _, n := range nodes.Nodes {
		if err := c.node(n, within); err != nil {
			return err
		}
	}
	return nil
}

func (c templateCheck) lists(a *parse.ListNode, withinA bool, b *parse.ListNode, withinB bool) error {
	if err := c.list(a, withinA); err != nil {
		return err
	}
	return c.list(b, withinB)
}

// node looks at one node; within says that it is in a loop over the items.
func (c templateCheck) node(n parse.Node, within bool) error {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		return nil
	case *parse.ActionNode:
		return c.action(n.Pipe, within)
	case *parse.IfNode:
		if err := c.condition(n.Pipe, within); err != nil {
			return err
		}
		return c.lists(n.List, within, n.ElseList, within)
	case *parse.RangeNode:
		if within {
			return c.fail(c.line(n), "a loop within a loop; loop over .items once, and use $ for nothing but $.name")
		}
		if n.Pipe.String() != ".items" {
			return c.fail(c.line(n), "{{range %s}}; a template loops over .items alone", n.Pipe)
		}
		return c.lists(n.List, true, n.ElseList, false)
	}
	return c.fail(c.line(n), "%s; use range .items, if, and fields", n)
}

// action looks at what is written: a field or a literal, or either of them escaped once.
func (c templateCheck) action(p *parse.PipeNode, within bool) error {
	if len(p.Decl) > 0 || len(p.Cmds) > 2 {
		return c.fail(c.line(p), "{{%s}}; write a field, as {{.text}}, {{.text | json}} or {{xml .text}}", p)
	}
	args := p.Cmds[0].Args
	if len(p.Cmds) == 2 {
		if len(args) != 1 || len(p.Cmds[1].Args) != 1 {
			return c.fail(c.line(p), "{{%s}}; write a field, as {{.text}}, {{.text | json}} or {{xml .text}}", p)
		}
		args = []parse.Node{p.Cmds[1].Args[0], args[0]}
	}
	if len(args) == 1 {
		return c.value(args[0], within)
	}
	if name, ok := args[0].(*parse.IdentifierNode); !ok || name.Ident != "json" && name.Ident != "xml" {
		return c.fail(c.line(p), "{{%s}}; only json and xml can be applied to what is written", p)
	}
	return c.call(args, within)
}

// condition looks at what an if asks.
func (c templateCheck) condition(p *parse.PipeNode, within bool) error {
	if s := p.String(); s == ".items" || s == "not .items" {
		if within {
			return c.fail(c.line(p), ".items is not a field of an item")
		}
		return nil
	}
	if len(p.Decl) > 0 || len(p.Cmds) != 1 {
		return c.fail(c.line(p), "{{if %s}}; ask for a field, or with and, or, not, eq and ne", p)
	}
	args := p.Cmds[0].Args
	if name, ok := args[0].(*parse.IdentifierNode); ok && (name.Ident == "json" || name.Ident == "xml") {
		return c.fail(c.line(p), "{{if %s}}; %s is for what is written", p, name.Ident)
	}
	if len(args) > 1 {
		return c.call(args, within)
	}
	return c.value(args[0], within)
}

// call looks at a function with its arguments.
func (c templateCheck) call(args []parse.Node, within bool) error {
	name, ok := args[0].(*parse.IdentifierNode)
	if !ok {
		return c.fail(c.line(args[0]), "%s is not a function", args[0])
	}
	bounds, ok := allowed[name.Ident]
	if n := len(args) - 1; !ok || n < bounds[0] || bounds[1] > 0 && n > bounds[1] {
		return c.fail(c.line(name), "%s with %d arguments; there are and, or, not, eq, ne, json and xml", name, n)
	}
	for _, a := range args[1:] {
		nested, ok := a.(*parse.PipeNode)
		switch {
		case !ok:
			if err := c.value(a, within); err != nil {
				return err
			}
		case name.Ident == "and" || name.Ident == "or" || name.Ident == "not":
			if err := c.condition(nested, within); err != nil {
				return err
			}
		default:
			return c.fail(c.line(a), "%s compares and writes fields and literals, not (%s)", name, nested)
		}
	}
	return nil
}

// value looks at a field or a literal.
func (c templateCheck) value(n parse.Node, within bool) error {
	switch n := n.(type) {
	case *parse.StringNode:
		return nil
	case *parse.FieldNode:
		if !within && n.String() == ".name" || within && len(n.Ident) == 1 && slices.Contains(c.item, n.Ident[0]) {
			return nil
		}
	case *parse.VariableNode:
		if n.String() == "$.name" {
			return nil
		}
	}
	if within {
		return c.fail(c.line(n), "%s is not known of an item; there are .%s, and $.name", n, strings.Join(c.item, ", ."))
	}
	return c.fail(c.line(n), "%s is not known of a block; there are .name, and .items to range over", n)
}
