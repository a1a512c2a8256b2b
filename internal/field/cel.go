package field

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

const (
	// celCost bounds an evaluation, in CEL's own units: a step each, and one for ten bytes of a text that is gone through.
	celCost = 100_000
	// celSteps is after how many rounds of a macro an evaluation looks whether it is cut off.
	celSteps = 100
	// celValues bounds how much is read of what an expression gives: more does not fit into a field.
	celValues = MaxValue
	// celDepth bounds how deep it is.
	celDepth = 64
)

// object is the variable by which an expression knows the object.
const object = "self"

// celEnvironment is CEL's standard library over the object. It has no clock and
// nothing random; whatever is added to it must have neither, and must cost what it takes.
var celEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable(object, cel.DynType), cel.DefaultUTCTimeZone(true), cel.ParserExpressionSizeLimit(MaxExpression))
})

// program is a CEL expression.
type program struct{ compiled cel.Program }

// compileCEL returns an expression, or why it is none that can be used: the rest of
// a sentence that begins with what it is.
func compileCEL(text string) (expression, error) {
	env, err := celEnvironment()
	if err != nil {
		return nil, fmt.Errorf("cannot be compiled: %w", err)
	}
	checked, issues := env.Compile(text)
	if found := issues.Errors(); len(found) > 0 {
		return nil, fmt.Errorf("does not compile, at column %d: %s", found[0].Location.Column()+1, cut(strings.Join(strings.Fields(found[0].Message), " ")))
	}
	if err := bounded(checked.NativeRep()); err != nil {
		return nil, err
	}
	compiled, err := env.Program(checked, cel.CostLimit(celCost), cel.InterruptCheckFrequency(celSteps))
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %s", cut(err.Error()))
	}
	return program{compiled}, nil
}

var (
	errCompared = errors.New("compares two values of which neither is known to be a text, a number or a bool; write string(...), int(...) or the like around one")
	errAdded    = errors.New("may add lists; write string(...), int(...) or double(...) around what is added")
)

// bounded says whether each step of an expression takes about what CEL counts for
// it. Two kinds do not: to add lists takes nothing until somebody reads the result,
// and lists that hold a value many times over, within one another, are compared
// value by value.
func bounded(checked *ast.AST) error {
	var wrong error
	ast.PreOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || wrong != nil {
			return
		}
		switch call := e.AsCall(); call.FunctionName() {
		case operators.Add:
			// What a macro makes of a list is added to one element at a time.
			if args := call.Args(); slices.Contains(checked.GetOverloadIDs(e.ID()), overloads.AddList) && args[len(args)-1].Kind() != ast.ListKind {
				wrong = errAdded
			}
		case operators.Equals, operators.NotEquals, operators.In:
			args := call.Args()
			if len(args) == 2 && !simple(checked.GetType(args[0].ID())) && (call.FunctionName() == operators.In || !simple(checked.GetType(args[1].ID()))) {
				wrong = errCompared
			}
		}
	}))
	return wrong
}

// simple reports whether values of a type hold no others.
func simple(t *types.Type) bool {
	switch t.Kind() {
	case types.BoolKind, types.BytesKind, types.DoubleKind, types.DurationKind, types.IntKind, types.NullTypeKind,
		types.StringKind, types.TimestampKind, types.TypeKind, types.UintKind:
		return true
	}
	return false
}

func (p program) value(ctx context.Context, of map[string]any) (any, error) {
	result, _, err := p.compiled.ContextEval(ctx, map[string]any{object: of})
	switch {
	case err == nil:
		left := celValues
		return plain(result, &left, celDepth)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case strings.Contains(err.Error(), "no such key"), strings.Contains(err.Error(), "index out of bounds"):
		return nil, errMissing
	case strings.Contains(err.Error(), "cost limit exceeded"):
		return nil, errors.New("its cel takes too long; let it look at less")
	}
	return nil, errors.New("its cel fails on what the object holds; look at the types of the values, and guard what may not be there with has(...)") // the error may quote the object
}

// plain returns a value of CEL as one that encoding/json knows. It reads at most
// as many values as left says: a list may be far larger than what it was made of.
func plain(v ref.Val, left *int, depth int) (any, error) {
	if *left--; *left < 0 || depth < 0 {
		return nil, errors.New("its cel gives more than a field can hold")
	}
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return uint64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("its cel gives a number that is none, or infinite")
		}
		return float64(v), nil
	case types.String:
		return string(v), nil
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), nil
	case types.Timestamp:
		return v.Time.UTC().Format(time.RFC3339Nano), nil
	case types.Duration:
		return v.String(), nil
	case traits.Mapper:
		return plainMap(v, left, depth)
	case traits.Lister:
		return plainList(v, left, depth)
	}
	return nil, fmt.Errorf("its cel gives a value of the type %s; write string(...) around it", v.Type().TypeName())
}

func plainList(list traits.Lister, left *int, depth int) (any, error) {
	out := []any{}
	for i := list.Iterator(); i.HasNext() == types.True; {
		value, err := plain(i.Next(), left, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

func plainMap(m traits.Mapper, left *int, depth int) (any, error) {
	out := map[string]any{}
	for i := m.Iterator(); i.HasNext() == types.True; {
		key := i.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, errors.New("its cel gives a map whose keys are no texts; write string(...) around them")
		}
		value, err := plain(m.Get(key), left, depth-1)
		if err != nil {
			return nil, err
		}
		out[string(name)] = value
	}
	return out, nil
}
