package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// concierge is the agent of these tests: it may remember, and book what must never be booked twice.
func concierge() *edictv1.Agent {
	a := &edictv1.Agent{Spec: edictv1.AgentSpec{
		Instructions: "You help people travel.",
		Model:        edictv1.Model{BaseURL: "http://models.example.com/v1", Name: "scripted"},
		Operations: []edictv1.Operation{
			{Name: "save", Type: edictv1.OperationSaveMemory},
			{Name: "book", Type: edictv1.OperationCallAPI, Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"type":"object","properties":{"flight":{"type":"string"}}}`)},
				CallAPI: &edictv1.CallAPIOperation{Method: "POST", URL: "http://travel.example.com/bookings"}},
		},
	}}
	a.Name = "concierge"
	return a
}

func commandNamed(name string, spec edictv1.CommandSpec) *edictv1.Command {
	c := &edictv1.Command{Spec: spec}
	c.Name = name
	if c.Spec.AgentRef.Name == "" {
		c.Spec.AgentRef.Name = "concierge"
	}
	return c
}

func ask(name string) *edictv1.Command {
	return commandNamed(name, edictv1.CommandSpec{Ask: &edictv1.AskCommand{Conversation: "ada", Message: "Where to?"}})
}

func remember(name, content string) *edictv1.Command {
	return commandNamed(name, edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "preference", Content: content}})
}

// create creates objects in the test's namespace.
func (h *house) create(objects ...client.Object) {
	h.Helper()
	for _, o := range objects {
		o.SetNamespace(h.ns)
		if err := h.api.Create(h.Context(), o); err != nil {
			h.Fatal(err)
		}
	}
}

// hire creates an agent, and reconciles it until its stream is guarded and its status says how it is.
func (h *house) hire(a *edictv1.Agent) {
	h.Helper()
	h.create(a)
	for range 2 {
		h.must(h.lookAtAgent(a.Name))
	}
	h.disk.reset()
}

func request(namespace, name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

func (h *house) lookAtAgent(name string) (ctrl.Result, error) {
	return h.agents.Reconcile(h.Context(), request(h.ns, name))
}

func (h *house) lookAt(command string) (ctrl.Result, error) {
	return h.commands.Reconcile(h.Context(), request(h.ns, command))
}

func (h *house) lookAtView(name string) (ctrl.Result, error) {
	return h.views.Reconcile(h.Context(), request(h.ns, name))
}

// must takes what a Reconcile returned.
func (h *house) must(result ctrl.Result, err error) ctrl.Result {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
	return result
}

// get reads an object past everything.
func (h *house) get(name string, into client.Object) error {
	return h.api.Get(context.Background(), types.NamespacedName{Namespace: h.ns, Name: name}, into)
}

func (h *house) command(name string) *edictv1.Command {
	h.Helper()
	var c edictv1.Command
	if err := h.get(name, &c); err != nil {
		h.Fatal(err)
	}
	return &c
}

func (h *house) agent(name string) *edictv1.Agent {
	h.Helper()
	var a edictv1.Agent
	if err := h.get(name, &a); err != nil {
		h.Fatal(err)
	}
	return &a
}

func (h *house) secret(name string) *corev1.Secret {
	h.Helper()
	var s corev1.Secret
	if err := h.get(name, &s); err != nil {
		h.Fatal(err)
	}
	return &s
}

func (h *house) all() []edictv1.Command {
	h.Helper()
	var list edictv1.CommandList
	if err := h.api.List(h.Context(), &list, client.InNamespace(h.ns)); err != nil {
		h.Fatal(err)
	}
	return list.Items
}

// merge changes an object by a merge patch, as its author would.
func (h *house) merge(o client.Object, patch string) {
	h.Helper()
	if err := h.api.Patch(h.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		h.Fatal(err)
	}
}

// settle does what the manager would: it looks at every Command that has not ended, again at once after a failure, and
// otherwise when the engine has news. It returns the failures.
func (h *house) settle() []error {
	h.Helper()
	var failures []error
	for {
		before, again := h.all(), false
		for i := range before {
			if ended(&before[i]) {
				continue
			}
			result, err := h.lookAt(before[i].Name)
			if err != nil {
				failures = append(failures, err)
				h.pickUp()
			}
			again = again || err != nil || result.RequeueAfter > 0 && result.RequeueAfter < quietFor
		}
		after := h.all()
		if !slices.ContainsFunc(after, func(c edictv1.Command) bool { return !ended(&c) }) {
			return failures
		}
		if !again && len(after) == len(before) {
			h.hear(after)
		}
	}
}

// pickUp does what the test wants done after a failure.
func (h *house) pickUp() {
	if h.onFailure != nil {
		h.onFailure()
	}
}

// hear waits until the engine has news of a command.
func (h *house) hear(commands []edictv1.Command) {
	h.Helper()
	select {
	case <-h.news:
	case <-time.After(patience):
		for _, c := range commands {
			h.Logf("%s is %s: %+v", c.Name, c.Status.Phase, c.Status.Conditions)
		}
		h.Fatal("the commands do not end, and the engine has no news of them")
	}
}

// notes returns the Kubernetes Events of the namespace that tell of a command, as "name reason".
func (h *house) notes() []string {
	h.Helper()
	var list eventsv1.EventList
	if err := h.api.List(h.Context(), &list, client.InNamespace(h.ns)); err != nil {
		h.Fatal(err)
	}
	notes := []string{}
	for _, e := range list.Items {
		notes = append(notes, e.Regarding.Name+" "+e.Reason)
	}
	slices.Sort(notes)
	return notes
}

// told returns the stream's events by their names, and fails the test if a sequence is missing or doubled.
func (h *house) told(stream string) []string {
	h.Helper()
	records, err := h.journal.ReadStream(h.Context(), h.ns+"/"+stream, 1, 1000)
	if err != nil {
		h.Fatal(err)
	}
	types := []string{}
	for i, r := range records {
		if r.Sequence != int64(i+1) {
			h.Errorf("sequence %d at place %d", r.Sequence, i+1)
		}
		types = append(types, r.Type)
	}
	return types
}

// wantCondition checks one condition: its status and reason, and what its message says.
func wantCondition(t *testing.T, conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string, says ...string) {
	t.Helper()
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != status || c.Reason != reason {
		t.Errorf("%s is %s, want %s (%s)", kind, explain(c), status, reason)
		return
	}
	for _, text := range says {
		if !strings.Contains(c.Message, text) {
			t.Errorf("%s does not say %q: %s", kind, text, c.Message)
		}
	}
}

func explain(c *metav1.Condition) string {
	if c == nil {
		return "not there"
	}
	return fmt.Sprintf("%s (%s): %s", c.Status, c.Reason, c.Message)
}

// wantPhase checks a command's phase, and says what its conditions say if it is another.
func (h *house) wantPhase(name string, phase edictv1.CommandPhase) *edictv1.Command {
	h.Helper()
	c := h.command(name)
	if c.Status.Phase != phase {
		h.Errorf("%s is %s, not %s: %s", name, c.Status.Phase, phase, explain(meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady)))
	}
	return c
}
