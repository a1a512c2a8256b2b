package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// viewOf is a view of the agent's conversation.
func viewOf(name, agent string) *edictv1.ContextView {
	v := &edictv1.ContextView{Spec: edictv1.ContextViewSpec{
		AgentRef: edictv1.AgentReference{Name: agent},
		Blocks: []edictv1.Block{
			{Name: "profile", Memories: &edictv1.MemoriesBlock{}},
			{Name: "history", Conversation: &edictv1.ConversationBlock{}},
		},
	}}
	v.Name = name
	return v
}

func TestACommandWaitsForItsAgentAndGoesOnByItself(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(remember("seat", "window seats"))
	h.must(h.lookAt("seat"))
	c := h.wantPhase("seat", edictv1.CommandPending)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonAgentNotFound, `no Agent "concierge"`, h.ns, "create it")
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonAgentNotFound)
	h.costsNothing("seat")

	h.hire(concierge())
	h.settle()
	c = h.wantPhase("seat", edictv1.CommandSucceeded)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	saveStory.ended(h)
}

// costsNothing looks at a command again, and checks that nothing is written that says nothing new.
func (h *house) costsNothing(command string) {
	h.Helper()
	h.disk.reset()
	h.must(h.lookAt(command))
	if writes := h.disk.counts(); len(writes) > 0 {
		h.Errorf("%s has no news, and it cost %v", command, writes)
	}
}

// Until its finalizer is on, an agent's deletion would not be seen: nothing may be recorded for it.
func TestACommandWaitsUntilItsAgentIsGuarded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(concierge(), remember("seat", "window seats"))
	h.must(h.lookAt("seat"))
	h.wantPhase("seat", edictv1.CommandPending)
	if told := h.told("concierge"); len(told) > 0 {
		t.Errorf("the journal has %v", told)
	}
	h.must(h.lookAtAgent("concierge"))
	h.settle()
	saveStory.ended(h)
}

func TestAMissingViewHoldsTheAgentAndItsAsksUntilItAppears(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	a := concierge()
	a.Spec.ContextViews = []edictv1.ContextViewReference{{Name: "concierge"}}
	h.hire(a)
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonViewNotFound, `no ContextView "concierge"`, "create it")
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonViewNotFound)

	h.create(ask("trip"))
	c := h.until("trip", edictv1.ReasonViewNotFound)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonViewNotFound, `no ContextView "concierge"`)
	h.costsNothing("trip")

	h.create(viewOf("concierge", "concierge"))
	h.must(h.lookAtAgent("concierge"))
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	h.settle()
	c = h.wantPhase("trip", edictv1.CommandSucceeded)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionContextBuilt, metav1.ConditionTrue, edictv1.ConditionContextBuilt)
}

// until looks at a command whenever the engine has news of it, until Ready has that reason.
func (h *house) until(command, reason string) *edictv1.Command {
	h.Helper()
	for {
		h.must(h.lookAt(command))
		c := h.command(command)
		for _, condition := range c.Status.Conditions {
			if condition.Type == edictv1.ConditionReady && condition.Reason == reason {
				return c
			}
		}
		h.hear([]edictv1.Command{*c})
	}
}

func TestAViewOfAnotherAgentIsNoViewOfThisOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := concierge()
	a.Spec.ContextViews = []edictv1.ContextViewReference{{Name: "concierge"}}
	h.create(viewOf("concierge", "stranger"))
	h.hire(a)
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonViewOfOtherAgent, `agent "stranger"`)
	h.create(ask("trip"))
	h.until("trip", edictv1.ReasonViewOfOtherAgent)
	if asked, _ := h.outside(); asked > 0 {
		t.Error("the model was asked with a stranger's memory")
	}
}

func TestAMissingSecretHoldsTheAgentAndItsAsksUntilItAppears(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := concierge()
	a.Spec.Model.APIKeySecretRef = &edictv1.SecretKeyReference{Name: "model-key", Key: "api-key"}
	h.hire(a)
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonSecretNotFound, `no Secret "model-key"`, `key "api-key"`)
	h.create(ask("trip"))
	c := h.until("trip", edictv1.ReasonSecretNotFound)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonSecretNotFound, `no Secret "model-key"`)

	h.create(secretOf("model-key", "other", "s3cr3t"))
	h.must(h.lookAtAgent("concierge"))
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonSecretNotFound, `has no key "api-key"`)

	h.merge(h.secret("model-key"), `{"stringData":{"api-key":"s3cr3t"}}`)
	h.must(h.lookAtAgent("concierge"))
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	h.settle()
	h.wantPhase("trip", edictv1.CommandSucceeded)
}

// A view that is being looked at before its agent exists follows as soon as it does.
func TestAViewWaitsForItsAgent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(viewOf("concierge", "concierge"))
	h.must(h.lookAtView("concierge"))
	var v edictv1.ContextView
	if err := h.get("concierge", &v); err != nil {
		t.Fatal(err)
	}
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonAgentNotFound, `no Agent "concierge"`)
	h.hire(concierge())
	h.must(h.lookAtView("concierge"))
	if err := h.get("concierge", &v); err != nil {
		t.Fatal(err)
	}
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	if v.Status.Stream != h.ns+"/concierge" {
		t.Errorf("the view reads %q", v.Status.Stream)
	}
}
