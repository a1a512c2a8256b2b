// Package field reads what is asked for out of a Kubernetes object: values by
// JSONPath, as kubectl has it, or by CEL. What it reads follows from the object
// and the expression alone, and takes a bounded time, whoever wrote either.
//
// It does not know where the object comes from, or what becomes of the values.
package field

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// The bounds of what is read of one object.
const (
	MaxFields     = 32
	MaxExpression = 1024     // bytes of one
	MaxValue      = 4 << 10  // bytes of JSON of one field
	MaxTotal      = 16 << 10 // of all
)

// Why fields are not read, as a fault's Reason says it.
const (
	// ReasonFieldInvalid: an expression cannot be used, on whatever object.
	ReasonFieldInvalid = "FieldInvalid"
	// ReasonFieldUnreadable: an expression cannot be evaluated on this object.
	ReasonFieldUnreadable = "FieldUnreadable"
	// ReasonFieldTooLarge: a field, or all of them together, is more than is recorded.
	ReasonFieldTooLarge = "FieldTooLarge"
)

// errMissing says that the object has nothing where an expression looks. It is read as null.
var errMissing = errors.New("the object does not have it")

// expression gives a value of an object: one that encoding/json knows. Its errors
// hold nothing of the object.
type expression interface {
	value(ctx context.Context, object map[string]any) (any, error)
}

// Selection is fields that can be read.
type Selection struct {
	names       []string
	expressions []expression
}

// Compile returns the selection of some fields, or a fault of kind Invalid that names the field and what is wrong with it.
func Compile(fields []agent.ObservedField) (*Selection, error) {
	if len(fields) < 1 || len(fields) > MaxFields {
		return nil, fault.NewInvalid(ReasonFieldInvalid, "An observation has 1 to %d fields, not %d; correct its list of fields.", MaxFields, len(fields))
	}
	s := &Selection{}
	taken := map[string]bool{}
	for _, f := range fields {
		if taken[f.Name] {
			return nil, fault.NewInvalid(ReasonFieldInvalid, "Two fields are called %q; give each a name of its own.", f.Name)
		}
		taken[f.Name] = true
		compiled, err := compile(f)
		if err != nil {
			return nil, err
		}
		s.names, s.expressions = append(s.names, f.Name), append(s.expressions, compiled)
	}
	return s, nil
}

func compile(f agent.ObservedField) (expression, error) {
	wrong := func(format string, args ...any) error {
		return fault.NewInvalid(ReasonFieldInvalid, "The field %q cannot be read: "+format+".", append([]any{f.Name}, args...)...)
	}
	switch {
	case (f.JSONPath == "") == (f.CEL == ""):
		return nil, wrong("set one of jsonPath and cel")
	case len(f.JSONPath) > MaxExpression || len(f.CEL) > MaxExpression:
		return nil, wrong("its expression has more than %d bytes; shorten it", MaxExpression)
	case f.JSONPath != "":
		path, err := parsePath(f.JSONPath)
		if err != nil {
			return nil, wrong("its jsonPath %s", err)
		}
		return path, nil
	}
	program, err := compileCEL(f.CEL)
	if err != nil {
		return nil, wrong("its cel %s", err)
	}
	return program, nil
}

// Read returns the fields of an object as canonical JSON: an object with a value
// for each. What the object does not have is null. Its errors are faults of kind
// Invalid that name the field, or the context's.
func (s *Selection) Read(ctx context.Context, object map[string]any) (json.RawMessage, error) {
	values := make(map[string]json.RawMessage, len(s.names))
	for i, name := range s.names {
		value, err := s.expressions[i].value(ctx, object)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errMissing):
			value = nil
		case err != nil:
			return nil, fault.NewInvalid(ReasonFieldUnreadable, "The field %q cannot be read of this object: %s.", name, err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fault.NewInvalid(ReasonFieldUnreadable, "The field %q is nothing that JSON can hold; turn it into a string.", name)
		}
		if values[name] = agent.Canonical(raw); len(values[name]) > MaxValue {
			return nil, fault.NewInvalid(ReasonFieldTooLarge, "The field %q has %d bytes of JSON, and at most %d are recorded of a field. Select less of the object for it.",
				name, len(values[name]), MaxValue)
		}
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, fault.NewCorrupt(ReasonFieldUnreadable, err, "The fields are nothing that JSON can hold.")
	}
	if raw = agent.Canonical(raw); len(raw) > MaxTotal {
		return nil, fault.NewInvalid(ReasonFieldTooLarge, "The fields have %d bytes of JSON together, and at most %d are recorded of an object. Select fewer, or less of the object for some.",
			len(raw), MaxTotal)
	}
	return raw, nil
}
