package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// verdict is what people are told about a command that did not succeed.
type verdict struct {
	phase  edictv1.CommandPhase
	reason string
	says   string // a part of the message: what to do
}

// ends waits until the command has ended as the verdict says, and checks that everything that people and tools look at
// says the same: phase, conditions and the Kubernetes Event.
func (w *world) ends(name string, v verdict) *edictv1.Command {
	w.Helper()
	c := w.command(name, edictv1.CommandSucceeded, edictv1.CommandFailed, edictv1.CommandCancelled, edictv1.CommandOutcomeUnknown)
	if c.Status.Phase != v.phase {
		w.Errorf("%s is %s, want %s:%s", name, c.Status.Phase, v.phase, explain(c.Status.Conditions))
		return c
	}
	want := map[string]metav1.ConditionStatus{edictv1.ConditionReady: metav1.ConditionFalse, edictv1.ConditionFailed: metav1.ConditionTrue, edictv1.ConditionStalled: metav1.ConditionTrue}
	if v.phase == edictv1.CommandSucceeded {
		v.reason = edictv1.ReasonSucceeded
		want = map[string]metav1.ConditionStatus{edictv1.ConditionReady: metav1.ConditionTrue, edictv1.ConditionComplete: metav1.ConditionTrue}
	}
	found := map[string]bool{}
	for _, condition := range c.Status.Conditions {
		status, checked := want[condition.Type]
		if !checked {
			continue
		}
		found[condition.Type] = true
		if condition.Status != status || condition.Reason != v.reason || !strings.Contains(condition.Message, v.says) {
			w.Errorf("%s has %s=%s (%s): %q, want %s (%s) and to be told %q", name,
				condition.Type, condition.Status, condition.Reason, condition.Message, status, v.reason, v.says)
		}
	}
	for kind := range want {
		if !found[kind] {
			w.Errorf("%s has no condition %s", name, kind)
		}
	}
	if journalled := c.Status.FinishedAt != nil; journalled {
		w.announced(c, v)
	}
	return c
}

// announced checks that one Kubernetes Event tells of the command's end.
func (w *world) announced(c *edictv1.Command, v verdict) {
	w.Helper()
	var list eventsv1.EventList
	if err := w.suite.client.List(w.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var told []string
	for _, e := range list.Items {
		if e.Regarding.UID == c.UID && e.ReportingController == "edict.dev/operator" {
			told = append(told, e.Reason+": "+e.Note)
		}
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], v.reason+": ") || !strings.Contains(told[0], v.says) {
		w.Errorf("Kubernetes Events tell of %s's end: %q, want one with reason %s that says %q", c.Name, told, v.reason, v.says)
	}
}

// TestBadCommands applies commands that the agent's menu does not let pass.
func TestBadCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	strict := call("book", http.MethodPost, "http://127.0.0.1:1/bookings", edictv1.EffectIdempotent)
	strict.Parameters = jsonOf(map[string]any{
		"type": "object", "required": []string{"flight"}, "additionalProperties": false,
		"properties": map[string]any{"flight": map[string]any{"type": "string"}, "seats": map[string]any{"type": "integer", "maximum": 9}},
	})
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1", strict))

	refused := func(reason, says string) verdict { return verdict{edictv1.CommandFailed, reason, says} }
	for _, c := range []struct {
		name    string
		command *edictv1.Command
		want    verdict
	}{
		{"unknown operation", newCallAPI("unknown-operation", "concierge", "fly_to_the_moon", nil), refused("OperationUnknown", "Add the operation to the agent")},
		{"argument missing", newCallAPI("argument-missing", "concierge", "book", map[string]any{}), refused("ArgumentsInvalid", "Correct the arguments and apply")},
		{"argument of another type", newCallAPI("argument-type", "concierge", "book", map[string]any{"flight": 7}), refused("ArgumentsInvalid", "Correct the arguments and apply")},
		{"argument out of bounds", newCallAPI("argument-bounds", "concierge", "book", map[string]any{"flight": "LX1", "seats": 10}), refused("ArgumentsInvalid", "Correct the arguments and apply")},
		{"argument too many", newCallAPI("argument-extra", "concierge", "book", map[string]any{"flight": "LX1", "class": "first"}), refused("ArgumentsInvalid", "Correct the arguments and apply")},
		{"unknown memory", func() *edictv1.Command {
			c := newCommand("unknown-memory", "concierge")
			c.Spec.ForgetMemory = &edictv1.ForgetMemoryCommand{ID: "mem-none"}
			return c
		}(), refused("MemoryUnknown", "contexts")},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, suite: w.suite, op: w.op, ns: w.ns}
			w.create(c.command)
			w.ends(c.command.Name, c.want)
		})
	}
}

// TestKeyReused gives two commands one idempotency key: the same payload is the same command and runs nothing, another
// one is refused.
func TestKeyReused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1"))
	keyed := func(name, content string) *edictv1.Command {
		c := newSaveMemory(name, "concierge", "fact", content)
		c.Spec.IdempotencyKey = "the-key"
		return c
	}
	w.create(keyed("first", "The sky is blue."))
	w.ends("first", verdict{phase: edictv1.CommandSucceeded})
	before := w.streamLength("concierge")

	w.create(keyed("again", "The sky is blue."), keyed("other", "The sky is green."))
	w.ends("again", verdict{phase: edictv1.CommandSucceeded})
	w.ends("other", verdict{edictv1.CommandFailed, edictv1.ReasonIdempotencyKeyConflict, "Give this command a key of its own"})
	var other edictv1.Command
	w.condition(&other, "other", edictv1.ConditionAccepted, metav1.ConditionFalse, edictv1.ReasonIdempotencyKeyConflict)
	if after := w.streamLength("concierge"); after != before {
		t.Errorf("the stream has %d events, %d before", after, before)
	}
}

// TestRejectedByTheAPIServer applies manifests that never become objects.
func TestRejectedByTheAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	thinking := newModel(t, scriptedmodel.Rule{Misbehave: &scriptedmodel.Misbehaviour{Hang: true}})
	a := newAgent("concierge", thinking.url)
	a.Spec.Model.Timeout = duration(5 * time.Minute)
	w.create(a)
	two := newAsk("two", "concierge", "ada", "Hello")
	two.Spec.SaveMemory = &edictv1.SaveMemoryCommand{Kind: "fact", Content: "The sky is blue."}
	nameless := newAsk("no-agent", "", "ada", "Hello")
	for _, c := range []struct {
		object client.Object
		says   string
	}{
		{newCommand("none", "concierge"), "spec must have exactly one of ask, saveMemory, forgetMemory, callAPI, resolve, indexDocuments, removeDocuments, summarize and observe"},
		{two, "spec must have exactly one of ask, saveMemory, forgetMemory, callAPI, resolve, indexDocuments, removeDocuments, summarize and observe"},
		{nameless, "spec.agentRef.name"},
		{newAgent("no-model", "ftp://example.com"), "spec.model.baseURL must be an http:// or https:// URL"},
		{newAgent("password", "http://user:password@example.com/v1"), "put the key into a Secret"},
		{newAsk(strings.Repeat("n", 201), "concierge", "ada", "Hello"), "choose a shorter name"},
	} {
		err := w.tryCreate(c.object)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("create %s: %v, want to be told %q", c.object.GetName(), err, c.says)
		}
	}

	w.create(newAsk("asked", "concierge", "ada", "Hello"), newCallAPI("called", "concierge", "none", map[string]any{"a": 1}))
	const immutable = "immutable"
	w.notEdited("asked", immutable, func(c *edictv1.Command) { c.Spec.Ask.Message = "Good bye" })
	w.notEdited("asked", immutable, func(c *edictv1.Command) { c.Spec.AgentRef.Name = "another" })
	w.notEdited("asked", immutable, func(c *edictv1.Command) { c.Spec.IdempotencyKey = "key" })
	w.notEdited("asked", immutable, func(c *edictv1.Command) { c.Spec.Timeout = duration(time.Hour) })
	w.notEdited("asked", immutable, func(c *edictv1.Command) { c.Spec.Retry.MaxAttempts = 20 })
	w.notEdited("called", immutable, func(c *edictv1.Command) { c.Spec.CallAPI.Arguments = jsonOf(map[string]any{"b": 1}) })
	w.notEdited("called", immutable, func(c *edictv1.Command) { c.Spec.CallAPI.Arguments = jsonOf(map[string]any{"a": 2}) })
	w.edit("asked", func(c *edictv1.Command) { c.Spec.Cancel = true })
	w.notEdited("asked", "spec.cancel cannot be taken back", func(c *edictv1.Command) { c.Spec.Cancel = false })
	w.ends("asked", verdict{edictv1.CommandCancelled, "CancelRequested", "spec.cancel"})
}

// edit changes a command as kubectl edit does.
func (w *world) edit(name string, change func(*edictv1.Command)) {
	w.Helper()
	if err := w.tryEdit(name, change); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tryEdit(name string, change func(*edictv1.Command)) error {
	for {
		var c edictv1.Command
		if err := w.get(name, &c); err != nil {
			return err
		}
		change(&c)
		if err := w.suite.client.Update(w.Context(), &c); !apierrors.IsConflict(err) {
			return err
		}
	}
}

func (w *world) notEdited(name, says string, change func(*edictv1.Command)) {
	w.Helper()
	if err := w.tryEdit(name, change); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), says) {
		w.Errorf("edit %s: %v, want to be told %q", name, err, says)
	}
}

// TestReferences names what does not exist. That is a condition, not a rejection, and it resolves by itself.
func TestReferences(t *testing.T) {
	t.Parallel()
	op := theSuite(t).sharedOperator(t)
	m := newModel(t, scriptedmodel.Rule{Then: scriptedmodel.Respond("Hello.")})
	withKey := func(a *edictv1.Agent) *edictv1.Agent {
		a.Spec.Model.APIKeySecretRef = &edictv1.SecretKeyReference{Name: "model-key", Key: "api-key"}
		return a
	}
	header := call("book", http.MethodPost, "http://127.0.0.1:1/bookings", edictv1.EffectIdempotent)
	header.CallAPI.HeadersFrom = []edictv1.HeaderFrom{{Name: "Authorization", SecretKeyRef: edictv1.SecretKeyReference{Name: "api", Key: "token"}}}
	for _, c := range []struct {
		name    string
		agent   *edictv1.Agent // nil: it is what is missing
		missing client.Object
		reason  string
		says    string
	}{
		{"agent", nil, newAgent("concierge", m.url), edictv1.ReasonAgentNotFound, "create it"},
		{"view", withViews(newAgent("concierge", m.url), "facts"), newView("facts", "concierge"), edictv1.ReasonViewNotFound, "create it"},
		{"model's Secret", withKey(newAgent("concierge", m.url)), newSecret("model-key", map[string]string{"api-key": "sk-1"}), edictv1.ReasonSecretNotFound, "create it"},
		{"header's Secret", newAgent("concierge", m.url, header), newSecret("api", map[string]string{"token": "t"}), edictv1.ReasonSecretNotFound, "create it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, op)
			if c.agent != nil {
				w.create(c.agent.DeepCopy())
				w.unresolved(&edictv1.Agent{}, "concierge", c.reason, c.says)
			}
			ask := newAsk("hello", "concierge", "ada", "Hello")
			w.create(ask)
			if c.name != "header's Secret" { // which an ask does not need
				w.unresolved(&edictv1.Command{}, "hello", c.reason, c.says)
			}
			w.create(c.missing)
			w.ends("hello", verdict{phase: edictv1.CommandSucceeded})
			w.condition(&edictv1.Command{}, "hello", edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
			w.ready("concierge")
			w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
		})
	}
}

// unresolved waits until the object says that something it names does not exist, in a way that tools read as
// "in progress" and people as what to do.
func (w *world) unresolved(object client.Object, name, reason, says string) {
	w.Helper()
	c := w.condition(object, name, edictv1.ConditionRefsResolved, metav1.ConditionFalse, reason)
	if !strings.Contains(c.Message, says) {
		w.Errorf("%T %s says %q, want to be told %q", object, name, c.Message, says)
	}
	conditions := explain(conditionsOf(object))
	for _, want := range []string{fmt.Sprintf("%s=True %s", edictv1.ConditionReconciling, reason), edictv1.ConditionReady + "="} {
		if !strings.Contains(conditions, want) {
			w.Errorf("%T %s has no %s:%s", object, name, want, conditions)
		}
	}
	if strings.Contains(conditions, edictv1.ConditionStalled) || strings.Contains(conditions, edictv1.ConditionReady+"=True") {
		w.Errorf("%T %s does not look as if it were waiting:%s", object, name, conditions)
	}
}
