package field

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// path is a JSONPath expression, as kubectl takes them.
type path struct {
	text    string
	several bool // it may find more than one value, and gives a list
}

// parsePath returns an expression, or why it is none that can be used: the rest of
// a sentence that begins with what it is.
func parsePath(text string) (expression, error) {
	parsed, err := jsonpath.Parse("field", text)
	if err != nil {
		return nil, fmt.Errorf("%q is not what kubectl takes for one: %s", cut(text), cut(err.Error()))
	}
	nodes := parsed.Root.Nodes
	if len(nodes) != 1 || nodes[0].Type() != jsonpath.NodeList {
		return nil, fmt.Errorf("%q is not one expression in braces; write, for example, {.status.readyReplicas}", cut(text))
	}
	w := walk{}
	if err := w.list(nodes[0], false); err != nil {
		return nil, err
	}
	return path{text: text, several: w.several}, nil
}

// walk looks at the nodes of an expression. It lets pass what finds the same
// values in the same order each time, and no more of them than the object has
// times the names of one union.
type walk struct {
	several bool
	unions  int
}

var (
	errUnordered = errors.New("has a wildcard or .., and what those find has no order; name the fields, or write it in cel")
	errUnions    = errors.New("has more than one union; make fields of their own of them, or write it in cel")
	errNoPath    = errors.New("is not a path into the object; write, for example, {.status.readyReplicas}")
)

func (w *walk) list(node jsonpath.Node, within bool) error {
	list, ok := node.(*jsonpath.ListNode)
	if !ok {
		return errNoPath
	}
	for _, n := range list.Nodes {
		if err := w.node(n, within); err != nil {
			return err
		}
	}
	return nil
}

// node looks at one node; within says that it is an operand of a filter.
func (w *walk) node(n jsonpath.Node, within bool) error {
	switch n := n.(type) {
	case *jsonpath.FieldNode:
		return nil
	case *jsonpath.ArrayNode:
		w.several = w.several || !within && !n.Params[1].Derived // an index has an end that follows from it
		return nil
	case *jsonpath.WildcardNode, *jsonpath.RecursiveNode:
		return errUnordered
	case *jsonpath.UnionNode:
		return w.union(n, within)
	case *jsonpath.FilterNode:
		w.several = w.several || !within
		if err := w.list(n.Left, true); err != nil || n.Right == nil {
			return err
		}
		return w.list(n.Right, true)
	case *jsonpath.TextNode, *jsonpath.IntNode, *jsonpath.FloatNode, *jsonpath.BoolNode:
		if within {
			return nil
		}
	}
	return errNoPath
}

func (w *walk) union(n *jsonpath.UnionNode, within bool) error {
	w.several = w.several || !within
	if w.unions++; w.unions > 1 {
		return errUnions
	}
	for _, some := range n.Nodes {
		if err := w.list(some, within); err != nil {
			return err
		}
	}
	return nil
}

func (p path) value(_ context.Context, object map[string]any) (any, error) {
	evaluator := jsonpath.New("field").AllowMissingKeys(true) // which keeps a state of its own
	if err := evaluator.Parse(p.text); err != nil {
		return nil, errNoPath
	}
	results, err := evaluator.FindResults(object)
	switch {
	case err != nil && strings.Contains(err.Error(), "array index out of bounds"):
		return nil, errMissing
	case err != nil: // which may quote the object
		return nil, errors.New("its jsonPath asks for what a list has where there is none, or compares what cannot be compared; correct it, or write it in cel")
	}
	found := []any{}
	for _, group := range results {
		for _, value := range group {
			found = append(found, value.Interface())
		}
	}
	switch {
	case p.several:
		return found, nil
	case len(found) == 0:
		return nil, errMissing
	}
	return found[0], nil
}

// cut bounds what a message quotes.
func cut(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
