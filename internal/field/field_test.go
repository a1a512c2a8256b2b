package field

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// deployment is an object as an API server's client decodes it.
func deployment(t testing.TB) map[string]any {
	t.Helper()
	var out map[string]any
	err := json.Unmarshal([]byte(`{
		"kind": "Deployment", "metadata": {"name": "web", "labels": {"tier": "front", "app.kubernetes.io/name": "web"}},
		"spec": {"replicas": 3, "paused": false, "template": {"spec": {"containers": [
			{"name": "web", "image": "shop/web:1.4", "ports": [{"containerPort": 80}]},
			{"name": "proxy", "image": "shop/proxy:2"}]}}},
		"status": {"readyReplicas": 2, "conditions": [
			{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "False", "message": "<&> \"x\"\n"}], "empty": [], "none": null}
	}`), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func jsonPath(text string) agent.ObservedField {
	return agent.ObservedField{Name: "it", JSONPath: text}
}
func celOf(text string) agent.ObservedField { return agent.ObservedField{Name: "it", CEL: text} }

func read(t testing.TB, object map[string]any, f agent.ObservedField) (string, error) {
	t.Helper()
	s, err := Compile([]agent.ObservedField{f})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Read(t.Context(), object)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(raw), `{"it":`), "}"), nil
}

func TestWhatAnExpressionReads(t *testing.T) {
	for _, c := range []struct {
		field agent.ObservedField
		want  string
	}{
		{jsonPath("{.status.readyReplicas}"), `2`},
		{jsonPath("{.spec.paused}"), `false`},
		{jsonPath("{.metadata.name}"), `"web"`},
		{jsonPath(`{.metadata.labels.app\.kubernetes\.io/name}`), `"web"`},
		{jsonPath("{.metadata.labels}"), `{"app.kubernetes.io/name":"web","tier":"front"}`},
		{jsonPath("{$.status.unheard.of}"), `null`},
		{jsonPath("{.status.none}"), `null`},
		{jsonPath("{.status.conditions[0].type}"), `"Available"`},
		{jsonPath("{.status.conditions[-1:].type}"), `["Progressing"]`},
		{jsonPath("{.status.conditions[7].type}"), `null`},
		{jsonPath("{.status.empty[0]}"), `null`},
		{jsonPath("{.spec.template.spec.containers[*].image}"), `["shop/web:1.4","shop/proxy:2"]`},
		{jsonPath("{.status.empty[*].type}"), `[]`},
		{jsonPath(`{.status.conditions[?(@.type=="Available")].status}`), `["True"]`},
		{jsonPath(`{.status.conditions[?(@.type=="Unheard")].status}`), `[]`},
		{jsonPath("{['metadata.name', 'kind']}"), `["web","Deployment"]`},
		{jsonPath(`{.status.conditions[?(@.type=="Progressing")].message}`), `["<&> \"x\"\n"]`},

		{celOf("self.status.readyReplicas < self.spec.replicas"), `true`},
		{celOf("int(self.spec.replicas) - int(self.status.readyReplicas)"), `1`},
		{celOf("self.spec.template.spec.containers.map(c, c.image)"), `["shop/web:1.4","shop/proxy:2"]`},
		{celOf("self.status.conditions.filter(c, c.status != 'True').map(c, c.type)"), `["Progressing"]`},
		{celOf("self.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')"), `true`},
		{celOf("{'name': self.metadata.name, 'ready': self.status.readyReplicas}"), `{"name":"web","ready":2}`},
		{celOf("has(self.status.unheard) ? 1 : 0"), `0`},
		{celOf("self.status.unheard.of"), `null`},
		{celOf("self.status.empty[0]"), `null`},
		{celOf("string(self.metadata.name) + '!'"), `"web!"`},
		{celOf("self.metadata.labels"), `{"app.kubernetes.io/name":"web","tier":"front"}`},
		{celOf("'tier' in self.metadata.labels"), `true`},
		{celOf("timestamp('2027-03-01T10:00:00Z') + duration('90s')"), `"2027-03-01T10:01:30Z"`},
		{celOf("duration('90s')"), `"1m30s"`},
		{celOf("b'ab'"), `"YWI="`},
		{celOf("null"), `null`},
		{celOf("size(self.spec.template.spec.containers)"), `2`},
	} {
		t.Run(c.field.JSONPath+c.field.CEL, func(t *testing.T) {
			got, err := read(t, deployment(t), c.field)
			if err != nil || got != c.want {
				t.Errorf("got %s and %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestFieldsAreReadTogetherByTheirNames(t *testing.T) {
	s, err := Compile([]agent.ObservedField{{Name: "ready", JSONPath: "{.status.readyReplicas}"}, {Name: "gone", CEL: "self.gone"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Read(t.Context(), deployment(t))
	if err != nil || string(raw) != `{"gone":null,"ready":2}` {
		t.Errorf("%s %v", raw, err)
	}
}

func TestAnExpressionThatCannotBeUsedIsRefusedWithTheFieldAndTheRemedy(t *testing.T) {
	long := strings.Repeat("x", MaxExpression+1)
	for _, c := range []struct {
		field agent.ObservedField
		says  []string
	}{
		{agent.ObservedField{Name: "it"}, []string{"one of jsonPath and cel"}},
		{agent.ObservedField{Name: "it", JSONPath: "{.a}", CEL: "self"}, []string{"one of jsonPath and cel"}},
		{jsonPath("{." + long + "}"), []string{"more than 1024 bytes"}},
		{jsonPath("{.status"), []string{"kubectl", "unclosed action"}},
		{jsonPath(".status"), []string{"one expression in braces", "{.status.readyReplicas}"}},
		{jsonPath("{.a} and {.b}"), []string{"one expression in braces"}},
		{jsonPath("{range .items[*]}{.a}{end}"), []string{"one expression in braces"}},
		{jsonPath("{range .items[*]}"), []string{"not a path into the object"}},
		{jsonPath("{.metadata.*}"), []string{"no order", "cel"}},
		{jsonPath("{..name}"), []string{"no order", "cel"}},
		{jsonPath(`{.items[?(@..a==1)]}`), []string{"no order"}},
		{jsonPath("{['a','a']['a','a']}"), []string{"more than one union"}},
		{jsonPath(`{"text"}`), []string{"not a path into the object"}},
		{celOf("self."), []string{"does not compile, at column"}},
		{celOf("this.status"), []string{"undeclared reference to 'this'", "column 1"}},
		{celOf("now()"), []string{"undeclared reference to 'now'"}},
		{celOf("self.a == self.b"), []string{"compares two values", "string(...)"}},
		{celOf("self.a in self.b"), []string{"compares two values"}},
		{celOf("self.a + self.b"), []string{"may add lists", "int(...)"}},
		{celOf("[1].map(a, [a] + [a] + self.l)"), []string{"may add lists"}},
	} {
		t.Run(c.field.JSONPath+c.field.CEL, func(t *testing.T) {
			_, err := Compile([]agent.ObservedField{c.field})
			checkFault(t, err, ReasonFieldInvalid, append(c.says, `field "it"`)...)
		})
	}
	for says, fields := range map[string][]agent.ObservedField{
		"1 to 32 fields, not 0":  nil,
		"1 to 32 fields, not 33": make([]agent.ObservedField, MaxFields+1),
		`called "it"`:            {jsonPath("{.a}"), jsonPath("{.b}")},
	} {
		_, err := Compile(fields)
		checkFault(t, err, ReasonFieldInvalid, says)
	}
}

func checkFault(t *testing.T, err error, reason string, says ...string) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) || fault.Of(err).Reason != reason {
		t.Fatalf("got %v, want %s", err, reason)
	}
	message := fault.Of(err).Message
	for _, text := range says {
		if !strings.Contains(message, text) {
			t.Errorf("it does not say %q: %s", text, message)
		}
	}
	if !strings.HasSuffix(message, ".") || strings.HasSuffix(message, "..") {
		t.Errorf("it is no sentence: %s", message)
	}
}

// What the object holds is of nobody's making that is known, and is in no message.
func TestAFieldThatCannotBeReadIsNamedAndItsValueIsNot(t *testing.T) {
	const secret = "hunter2hunter2"
	object := map[string]any{"password": secret, "items": []any{secret}, "nested": map[string]any{"a": []any{map[string]any{"b": secret}}}}
	for _, f := range []agent.ObservedField{
		jsonPath("{.password[0]}"), jsonPath("{.password[?(@.a==1)]}"), jsonPath("{.items[?(@ > 1)]}"), jsonPath(`{.nested.a[?(@.b < 3)]}`),
		celOf("int(self.password)"), celOf("timestamp(self.password)"), celOf("self.items.map(i, -i)"),
		celOf("self.password.matches('(')"), celOf("type(self)"), celOf("1.0 / 0.0"), celOf("1 / 0"), celOf("{1: 2}"),
	} {
		t.Run(f.JSONPath+f.CEL, func(t *testing.T) {
			got, err := read(t, object, f)
			if err == nil {
				t.Fatalf("it is %s", got)
			}
			checkFault(t, err, ReasonFieldUnreadable, `field "it"`)
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("it tells what the object holds: %v", err)
			}
		})
	}
}

func TestAFieldThatIsTooLargeIsRefused(t *testing.T) {
	object := map[string]any{"large": strings.Repeat("x", MaxValue-1), "fits": strings.Repeat("x", MaxValue-2)}
	_, err := read(t, object, jsonPath("{.large}"))
	checkFault(t, err, ReasonFieldTooLarge, `"it"`, "4097", "4096", "Select less")
	if _, err := read(t, object, jsonPath("{.fits}")); err != nil {
		t.Error(err)
	}
	var five []agent.ObservedField
	for i := range 5 {
		five = append(five, agent.ObservedField{Name: fmt.Sprint("f", i), JSONPath: "{.fits}"})
	}
	s, err := Compile(five)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(t.Context(), object)
	checkFault(t, err, ReasonFieldTooLarge, "together", "16384", "Select fewer")
}

// Expressions whose cost is far from their length end soon, and take no more memory than they may.
func TestNoExpressionRunsForLong(t *testing.T) {
	var numbers []any
	for range 5_000 {
		numbers = append(numbers, int64(1))
	}
	object := map[string]any{"items": numbers, "text": strings.Repeat("a", 100_000)}
	double := func(times int, step string) string {
		return "[self].map(a" + strings.Repeat(", "+step+").map(a", times) + ", a)"
	}
	for name, f := range map[string]agent.ObservedField{
		"a list within lists, many times over": celOf(double(40, "[a,a]")),
		"a text added to itself":               celOf("[string(self.text)].map(a" + strings.Repeat(", a+a).map(a", 60) + ", size(a))"),
		"loops in loops":                       celOf("self.items.map(a, self.items.map(b, self.items.exists(c, c == 3)))"),
		"a pattern":                            celOf("self.items.exists(i, self.text.matches('(a|b|ab)*c'))"),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got, err := read(t, object, f)
			if err == nil {
				t.Fatalf("it is %.100s", got)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestAnEvaluationCanBeCutOff(t *testing.T) {
	s, err := Compile([]agent.ObservedField{celOf("self.items.exists(i, i == 'x')")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx, map[string]any{"items": make([]any, 1000)}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzCompile holds that no expression makes anything panic, and that what compiles gives JSON of the allowed size or a fault.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{"{.status.conditions[?(@.type==\"Available\")].status}", "{['a','b']}", "{[0:1:0]}", "{.a[-1]}", "{..a}", "{.spec.template.spec.containers[*].ports[?(@.containerPort>1)]}"} {
		f.Add(text, "self.status.conditions.filter(c, c.type == 'x')")
	}
	f.Fuzz(func(t *testing.T, path, expression string) {
		for _, one := range []agent.ObservedField{jsonPath(path), celOf(expression)} {
			s, err := Compile([]agent.ObservedField{one})
			if err != nil {
				if fault.Of(err).Reason != ReasonFieldInvalid {
					t.Fatal(err)
				}
				continue
			}
			raw, err := s.Read(t.Context(), deployment(t))
			if err == nil && (!json.Valid(raw) || len(raw) > MaxTotal) || err != nil && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q %q: %s %v", path, expression, raw, err)
			}
		}
	})
}
