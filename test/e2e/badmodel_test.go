package e2e

import (
	"strings"
	"testing"
	"time"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/process"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// TestBadModel puts agents before models that misbehave, each in its own way.
func TestBadModel(t *testing.T) {
	t.Parallel()
	op := theSuite(t).sharedOperator(t)
	failed := func(reason, says string) verdict { return verdict{edictv1.CommandFailed, reason, says} }
	succeeded := verdict{phase: edictv1.CommandSucceeded, says: "responded"}
	const repaired = "was told so once"
	save := issue("save_memory", map[string]any{"kind": "fact", "content": "The sky is blue."})
	for _, c := range []struct {
		name     string
		wrong    scriptedmodel.Misbehaviour
		decision scriptedmodel.Decision // zero: a response
		want     verdict
		requests int
		apart    time.Duration // at least, between the first two
	}{
		{name: "prose", wrong: scriptedmodel.Misbehaviour{Prose: "Sure! I have booked everything."}, want: failed("DecisionInvalid", repaired), requests: 2},
		{name: "prose once", wrong: scriptedmodel.Misbehaviour{Prose: "Sure!", Times: 1}, want: succeeded, requests: 2},
		{name: "broken JSON", wrong: scriptedmodel.Misbehaviour{Raw: `{"rationale":"because","response":"He`}, want: failed("DecisionInvalid", repaired), requests: 2},
		{name: "off the menu", decision: issue("fly_to_the_moon", nil), want: failed("DecisionInvalid", "Add the operation to spec.operations"), requests: 2},
		{name: "arguments that do not fit", decision: issue("save_memory", map[string]any{"kind": 7}), want: failed("DecisionInvalid", repaired), requests: 2},
		{name: "a thousand commands", decision: save, wrong: scriptedmodel.Misbehaviour{Commands: 1000}, want: failed("DecisionInvalid", "Raise spec.limits.maxCommands"), requests: 2},
		{name: "ten megabytes", wrong: scriptedmodel.Misbehaviour{Bytes: 10 << 20}, want: failed("ModelAnswerTooLarge", "lower spec.model.maxOutputTokens"), requests: 1},
		{name: "no completion", wrong: scriptedmodel.Misbehaviour{Body: "<html>It works!</html>"}, want: failed("ModelAnswerUnreadable", "spec.model.baseURL"), requests: 1},
		{name: "no choices", wrong: scriptedmodel.Misbehaviour{NoChoices: true}, want: failed("DecisionInvalid", repaired), requests: 2},
		{name: "cut off", wrong: scriptedmodel.Misbehaviour{FinishReason: "length"}, want: failed("DecisionInvalid", "spec.model.maxOutputTokens"), requests: 2},
		{name: "429 once", wrong: scriptedmodel.Misbehaviour{Status: 429, RetryAfter: "2", Times: 1}, want: succeeded, requests: 2, apart: 2 * time.Second},
		{name: "429", wrong: scriptedmodel.Misbehaviour{Status: 429, RetryAfter: "1"}, want: failed("ModelRateLimited", "takes no more requests for now"), requests: 2, apart: time.Second},
		{name: "500 once", wrong: scriptedmodel.Misbehaviour{Status: 500, Times: 1}, want: succeeded, requests: 2},
		{name: "500", wrong: scriptedmodel.Misbehaviour{Status: 500}, want: failed("ModelUnavailable", "is not available"), requests: 2},
		{name: "401", wrong: scriptedmodel.Misbehaviour{Status: 401}, want: failed("ModelUnauthorized", "set spec.model.apiKeySecretRef"), requests: 1},
		{name: "404", wrong: scriptedmodel.Misbehaviour{Status: 404}, want: failed("ModelNotFound", "check spec.model.name"), requests: 1},
		{name: "400", wrong: scriptedmodel.Misbehaviour{Status: 400}, want: failed("ModelRejected", "set spec.model.decisionMode"), requests: 1},
		{name: "nothing", wrong: scriptedmodel.Misbehaviour{Hang: true}, want: failed("ModelTimeout", "raise spec.model.timeout"), requests: 2},
		{name: "nothing once", wrong: scriptedmodel.Misbehaviour{Hang: true, Times: 1}, want: succeeded, requests: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, op)
			if c.decision.Commands == nil {
				c.decision = scriptedmodel.Respond("Hello.")
			}
			m := newModel(t, scriptedmodel.Rule{Then: c.decision, Misbehave: &c.wrong})
			a := newAgent("concierge", m.url, saveMemoryOperation())
			if c.wrong.Hang {
				a.Spec.Model.Timeout = duration(time.Second)
			}
			w.create(a)
			w.ready("concierge")
			w.create(newAsk("hello", "concierge", "ada", "Hello"))
			ask := w.ends("hello", c.want)
			if n := len(ask.Status.Issued); n > 0 {
				t.Errorf("%d commands were issued", n)
			}
			requests := m.requests("hello")
			if len(requests) != c.requests {
				t.Fatalf("the model was asked %d times, want %d", len(requests), c.requests)
			}
			if c.apart > 0 && requests[1].at.Sub(requests[0].at) < c.apart {
				t.Errorf("the model was asked again after %s, and wanted to be left alone for %s", requests[1].at.Sub(requests[0].at), c.apart)
			}
		})
	}
}

// TestUnreachableModel names model servers that nobody can or may reach.
func TestUnreachableModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	closed, err := process.FreeAddresses(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url  string
		want verdict
	}{
		"nobody":   {"http://" + closed[0] + "/v1", verdict{edictv1.CommandFailed, "ModelUnreachable", "check spec.model.baseURL"}},
		"metadata": {"http://169.254.169.254/v1", verdict{edictv1.CommandFailed, "ModelAddressDenied", "allow the address"}},
	} {
		w.create(newAgent(name, c.url), newAsk("ask-"+name, name, "ada", "Hello"))
		w.ends("ask-"+name, c.want)
	}
}

// TestDecisionModes asks one question in each of the three modes, of a model that issues a command before it answers.
func TestDecisionModes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	m := newModel(t,
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1}, Then: issue("save_memory", map[string]any{"kind": "fact", "content": "The sky is blue."})},
		scriptedmodel.Rule{Then: scriptedmodel.Respond("I noted it.")})
	for _, mode := range []edictv1.DecisionMode{edictv1.DecisionModeJSONSchema, edictv1.DecisionModeTools, edictv1.DecisionModeJSONObject} {
		name := strings.ToLower(string(mode))
		a := newAgent(name, m.url, saveMemoryOperation())
		a.Spec.Model.DecisionMode = mode
		w.create(a, newAsk("ask-"+name, name, "ada", "Remember that the sky is blue."))
		ask := w.ends("ask-"+name, verdict{phase: edictv1.CommandSucceeded})
		if ask.Status.Response != "I noted it." || len(ask.Status.Issued) != 1 || ask.Status.Tokens == 0 {
			t.Errorf("in mode %s: response %q, issued %v, %d tokens", mode, ask.Status.Response, ask.Status.Issued, ask.Status.Tokens)
		}
		w.ends("ask-"+name+"-1-0", verdict{phase: edictv1.CommandSucceeded})
	}
}
