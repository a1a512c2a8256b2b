package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// demanding returns the agent with a view, and with that freshness.
func demanding(f *edictv1.AgentFreshness) *edictv1.Agent {
	a := concierge()
	a.Spec.ContextViews = []edictv1.ContextViewReference{{Name: "concierge"}}
	a.Spec.Freshness = f
	return a
}

func TestAContextIsAsFreshAsTheAgentDemandsOrIsNotBuilt(t *testing.T) {
	t.Parallel()
	h := newHouse(t) // nothing follows the journal
	h.create(viewOf("concierge", "concierge"))
	h.hire(concierge())
	h.create(remember("seat", "window seats"))
	h.settle() // four events
	lag := func(n int64) *int64 { return &n }
	for what, c := range map[string]struct {
		demand *edictv1.AgentFreshness
		reason string // why there is none
	}{
		"nothing":                {nil, ""},
		"an empty demand":        {&edictv1.AgentFreshness{}, ""},
		"a lag that it has":      {&edictv1.AgentFreshness{MaxLag: lag(4)}, ""},
		"less lag than it has":   {&edictv1.AgentFreshness{MaxLag: lag(3)}, "ProjectionBehind"},
		"no lag":                 {&edictv1.AgentFreshness{MaxLag: lag(0)}, "ProjectionBehind"},
		"a sequence":             {&edictv1.AgentFreshness{MinSequence: 1, MaxLag: lag(100)}, "ProjectionBehind"},
		"a sequence not written": {&edictv1.AgentFreshness{MinSequence: 5}, edictv1.ReasonSequenceNotReached},
	} {
		a := h.agent("concierge")
		a.Spec.Freshness = c.demand
		if err := h.api.Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		built, err := h.views.Views.Build(ctx, execution.ContextRequest{Namespace: h.ns, View: "concierge", Stream: h.ns + "/concierge"})
		cancel()
		if c.reason == "" {
			if err != nil || built.Sequence != 0 {
				t.Errorf("%s: as of %d, %v", what, built.Sequence, err)
			}
			continue
		}
		if f := fault.Of(err); f == nil || f.Kind != fault.Wait || f.Reason != c.reason {
			t.Errorf("%s: %v, want %s", what, err, c.reason)
		}
	}
}

func TestAnAskWaitsForTheSequenceThatItsAgentDemands(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	h.create(viewOf("concierge", "concierge"))
	h.hire(demanding(&edictv1.AgentFreshness{MinSequence: 1000}))
	h.create(ask("trip"))
	c := h.until("trip", edictv1.ReasonSequenceNotReached)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonSequenceNotReached,
		"spec.freshness.minSequence", "sequence 1000", "its journal ends at 3", "lower it")
	if asked, _ := h.outside(); asked > 0 {
		t.Error("the model was asked with a context that the agent does not take")
	}
	h.merge(h.agent("concierge"), `{"spec":{"freshness":{"minSequence":2,"maxLag":0}}}`)
	h.settle()
	h.wantPhase("trip", edictv1.CommandSucceeded)
}

func TestAViewThatIsBehindSaysForHowLongAndIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t) // nothing follows the journal
	h.hire(concierge())
	h.create(remember("seat", "window seats"), viewOf("concierge", "concierge"))
	h.settle()
	h.clock.pass(90 * time.Second)
	if result := h.must(h.lookAtView("concierge")); result.RequeueAfter != slowly {
		t.Errorf("it is looked at again after %s", result.RequeueAfter)
	}
	v := h.view("concierge")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionCurrent, metav1.ConditionFalse, edictv1.ReasonBehind, "4 events behind", "the operator's log")
	if v.Status.LagSeconds < 60 || v.Status.LagSeconds > 90 {
		t.Errorf("for %d s", v.Status.LagSeconds)
	}
	h.follow()
	h.caughtUp()
	if result := h.must(h.lookAtView("concierge")); result.RequeueAfter != 0 {
		t.Errorf("it is looked at again after %s", result.RequeueAfter)
	}
	if v := h.view("concierge"); v.Status.Lag != 0 || v.Status.LagSeconds != 0 {
		t.Errorf("status %+v", v.Status)
	}
}

// A stream with an event that this version does not know is projected up to there. Its view says so, and its agent does
// not decide with what is older.
func TestAViewWhoseStreamCannotBeReadIsDegradedAndItsAgentDoesNotDecide(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	h.create(viewOf("concierge", "concierge"))
	h.hire(demanding(nil))
	h.create(remember("seat", "window seats"))
	h.settle()
	h.caughtUp()
	h.must(h.lookAtView("concierge"))
	if meta.FindStatusCondition(h.view("concierge").Status.Conditions, edictv1.ConditionDegraded) != nil {
		t.Error("a view that can be read is degraded")
	}

	_, err := h.journal.Append(t.Context(), journal.Batch{Stream: h.ns + "/concierge", Expected: journal.AnyVersion,
		Events: []journal.Event{{Type: "MoodChanged", Version: 3, Subject: "seat", Data: []byte(`{"mood":"good"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	stopped(h)
	if _, err := h.lookAtView("concierge"); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("a look says %v", err)
	}
	v := h.view("concierge")
	for kind, status := range map[string]metav1.ConditionStatus{
		edictv1.ConditionDegraded: metav1.ConditionTrue, edictv1.ConditionStalled: metav1.ConditionTrue,
		edictv1.ConditionReady: metav1.ConditionFalse, edictv1.ConditionCurrent: metav1.ConditionFalse,
	} {
		wantCondition(t, v.Status.Conditions, kind, status, edictv1.ReasonUnreadableEvent, "MoodChanged.v3 at sequence 5", "run a version of Edict that knows this event")
	}
	if v.Status.Lag != 1 {
		t.Errorf("lag %d", v.Status.Lag)
	}

	h.create(ask("trip"))
	if _, err := h.lookAt("trip"); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("a look at an ask says %v", err)
	}
	c := h.command("trip")
	wantCondition(t, c.Status.Conditions, edictv1.ConditionStalled, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	if asked, _ := h.outside(); asked > 0 || agent.Phase(c.Status.Phase).Final() {
		t.Errorf("the model was asked %d times, and the ask is %s", asked, c.Status.Phase)
	}
}

// stopped waits until the projection has met the event that it cannot read.
func stopped(h *house) {
	h.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if all, err := h.store.Stopped(h.Context()); err != nil {
			h.Fatal(err)
		} else if all[h.ns+"/concierge"] != nil {
			return
		}
	}
	h.Fatal("the projection does not stop")
}
