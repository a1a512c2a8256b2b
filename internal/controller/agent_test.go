package controller

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// An author's 60s stays 60s and stays the author's: GitOps would see a difference that nobody made.
func TestGuardingAnAgentLeavesItsSpecAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "edict.dev/v1alpha1", "kind": "Agent", "metadata": map[string]any{"name": "concierge", "namespace": h.ns},
		"spec": map[string]any{"instructions": "You help people travel.", "model": map[string]any{
			"baseURL": "http://models.example.com/v1", "name": "scripted", "timeout": "60s"}},
	}}
	if err := h.api.Create(t.Context(), a, client.FieldOwner("author")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.must(h.lookAtAgent("concierge"))
	}
	after := &unstructured.Unstructured{}
	after.SetGroupVersionKind(a.GroupVersionKind())
	if err := h.get("concierge", after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Object["spec"], after.Object["spec"]); diff != "" {
		t.Errorf("spec (-author's +now):\n%s", diff)
	}
	if after.GetGeneration() != 1 || !cmp.Equal(after.GetFinalizers(), []string{edictv1.AgentFinalizer}) {
		t.Errorf("generation %d, finalizers %v", after.GetGeneration(), after.GetFinalizers())
	}
	for _, entry := range after.GetManagedFields() {
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			t.Fatal(err)
		}
		if _, owns := fields["f:spec"]; owns && entry.Manager != "author" {
			t.Errorf("%s owns fields of the spec: %s", entry.Manager, entry.FieldsV1.GetRawString())
		}
	}
	if diff := cmp.Diff(map[string]int{"patch Agent": 1, "status of Agent": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestAnAgentWithoutNewsCostsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	h.create(ask("trip"))
	h.settle()
	h.disk.reset()
	for range 3 {
		h.must(h.lookAtAgent("concierge"))
	}
	if diff := cmp.Diff(map[string]int{"status of Agent": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	s := h.agent("concierge").Status
	if s.Stream != h.ns+"/concierge" || s.Sequence != int64(len(askStory.journal)) || s.TokensToday != 5 || s.OpenCommands != 0 || s.LastDecisionTime == nil {
		t.Errorf("status %+v", s)
	}
}

func TestADeletedAgentEndsItsCommandsAndClosesItsStream(t *testing.T) {
	for _, c := range []struct {
		policy edictv1.ReclaimPolicy
		life   int // of the stream that the next agent of this name has
		closed bool
	}{{edictv1.ReclaimDelete, 2, true}, {edictv1.ReclaimRetain, 1, false}} {
		t.Run(fmt.Sprint(c.policy), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			began := make(chan struct{})
			h.decide = hang(began)
			a := concierge()
			a.Spec.ReclaimPolicy = c.policy
			h.hire(a)
			h.create(ask("trip"))
			h.must(h.lookAt("trip"))
			await(t, began, "the model was asked")
			h.retire("concierge")
			if got := h.has("AgentDeleted"); got != c.closed {
				t.Errorf("the stream was closed: %v", got)
			}

			// How the ask ended is told although its agent is gone.
			h.must(h.lookAt("trip"))
			ended := h.wantPhase("trip", edictv1.CommandCancelled)
			wantCondition(t, ended.Status.Conditions, edictv1.ConditionFailed, metav1.ConditionTrue, "AgentDeleted")
			if diff := cmp.Diff([]string{"trip AgentDeleted"}, h.notes()); diff != "" {
				t.Errorf("Kubernetes Events (-want +got):\n%s", diff)
			}

			h.hire(concierge())
			h.create(remember("seat", "window seats"))
			h.settle()
			if got, want := h.command("seat").Status.Stream, agent.StreamName(h.ns, "concierge", c.life); got != want {
				t.Errorf("the next agent's stream is %s, want %s", got, want)
			}
		})
	}
}

// retire deletes an agent, and looks at it until it is gone.
func (h *house) retire(name string) {
	h.Helper()
	if err := h.api.Delete(h.Context(), h.agent(name)); err != nil {
		h.Fatal(err)
	}
	for looks := 0; ; looks++ {
		h.must(h.lookAtAgent(name))
		var a edictv1.Agent
		if err := h.get(name, &a); apierrors.IsNotFound(err) {
			return
		}
		if looks == 0 {
			h.hear(h.all()) // an open command ends
		}
	}
}

func TestACommandOfAnAgentThatIsGoingWaits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	if err := h.api.Delete(t.Context(), h.agent("concierge")); err != nil {
		t.Fatal(err)
	}
	h.create(remember("seat", "window seats"))
	h.must(h.lookAt("seat"))
	c := h.wantPhase("seat", edictv1.CommandPending)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonAgentDeleting, "new agent of that name")
	if told := h.told("concierge"); len(told) > 0 {
		t.Errorf("the journal has %v", told)
	}
}
