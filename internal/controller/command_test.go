package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

func TestAnotherPayloadUnderAUsedKeyIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	first, second := remember("seat", "window seats"), remember("meal", "no meat")
	first.Spec.IdempotencyKey, second.Spec.IdempotencyKey = "once", "once"
	h.create(first)
	h.settle()
	h.create(second)
	h.settle()
	c := h.wantPhase("meal", edictv1.CommandFailed)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionAccepted, metav1.ConditionFalse, edictv1.ReasonIdempotencyKeyConflict)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionFailed, metav1.ConditionTrue, edictv1.ReasonIdempotencyKeyConflict, `"once"`, `"seat"`, "key of its own")
	h.wantPhase("seat", edictv1.CommandSucceeded)
	if diff := cmp.Diff(saveStory.journal, h.told("concierge")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestTheSameManifestAppliedAgainRunsNothingAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	h.create(ask("trip"))
	h.settle()
	if err := h.api.Delete(t.Context(), h.command("trip")); err != nil {
		t.Fatal(err)
	}
	h.create(ask("trip"))
	h.settle()
	c := h.wantPhase("trip", edictv1.CommandSucceeded)
	if asked, _ := h.outside(); asked != 1 || c.Status.Response != "Done." {
		t.Errorf("the model was asked %d times, and the response is %q", asked, c.Status.Response)
	}
	if diff := cmp.Diff(askStory.journal, h.told("concierge")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestACommandOfASuspendedAgentWaitsAndGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := concierge()
	a.Spec.Suspend = true
	h.hire(a)
	h.create(remember("seat", "window seats"))
	h.must(h.lookAt("seat"))
	c := h.wantPhase("seat", edictv1.CommandPending)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonAgentSuspended, "spec.suspend")
	h.costsNothing("seat")
	h.merge(h.agent("concierge"), `{"spec":{"suspend":false}}`)
	h.settle()
	saveStory.ended(h)
}

func TestACancelledAskIsCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began := make(chan struct{})
	h.decide = hang(began)
	h.hire(concierge())
	h.create(ask("trip"))
	h.must(h.lookAt("trip"))
	await(t, began, "the model was asked")
	h.merge(h.command("trip"), `{"spec":{"cancel":true}}`)
	h.settle()
	c := h.wantPhase("trip", edictv1.CommandCancelled)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionFailed, metav1.ConditionTrue, "CancelRequested")
	if diff := cmp.Diff([]string{"trip CancelRequested"}, h.notes()); diff != "" {
		t.Errorf("Kubernetes Events (-want +got):\n%s", diff)
	}
}

// What has happened has happened: the status says that it has seen the new spec, and nothing else changes.
func TestCancellingACommandThatHasEndedChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	h.create(remember("seat", "window seats"))
	h.settle()
	h.merge(h.command("seat"), `{"spec":{"cancel":true}}`)
	h.settle()
	saveStory.ended(h)
	if c := h.command("seat"); c.Status.ObservedGeneration != c.Generation {
		t.Errorf("the status is of generation %d, the object of %d", c.Status.ObservedGeneration, c.Generation)
	}
}

func TestDeletingACommandOnItsWayStopsIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began := make(chan struct{})
	h.decide = hang(began)
	h.hire(concierge())
	trip := ask("trip")
	h.create(trip)
	h.must(h.lookAt("trip"))
	await(t, began, "the model was asked")

	// A cache that is behind is no reason to stop anything.
	h.disk.hide("trip", true)
	h.must(h.lookAt("trip"))
	h.disk.hide("trip", false)
	if !h.engine.OpenByName(h.ns, "trip") || h.has("CancelRequested") {
		t.Fatal("a command was stopped that the API server has")
	}

	if err := h.api.Delete(t.Context(), trip); err != nil {
		t.Fatal(err)
	}
	h.must(h.lookAt("trip"))
	for h.engine.OpenByName(h.ns, "trip") {
		h.hear(nil)
	}
	if !h.has("CancelRequested") || !h.has("CommandCancelled") {
		t.Errorf("the journal has %v", h.told("concierge"))
	}
	h.must(h.lookAt("trip")) // and nobody minds
}

// has reports whether the agent's stream has an event of that name.
func (h *house) has(event string) bool {
	h.Helper()
	for _, name := range h.told("concierge") {
		if name == event {
			return true
		}
	}
	return false
}

func TestAnEndedCommandGoesWhenItsTimeToLiveIsOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	h.create(remember("seat", "window seats"))
	h.settle()
	h.clock.pass(time.Hour)
	if result := h.must(h.lookAt("seat")); result.RequeueAfter != 0 {
		t.Errorf("without a time to live it is looked at again in %s", result.RequeueAfter)
	}
	h.merge(h.command("seat"), `{"spec":{"ttlSecondsAfterFinished":7200}}`)
	h.settle()
	if left := h.must(h.lookAt("seat")).RequeueAfter; left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("it is looked at again in %s", left)
	}
	h.clock.pass(2 * time.Hour)
	h.must(h.lookAt("seat"))
	if left := h.all(); len(left) > 0 {
		t.Errorf("%s is still there", left[0].Name)
	}
	if diff := cmp.Diff(saveStory.journal, h.told("concierge")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestALostStatusIsWrittenAgain(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("in another process=%v", restarts), func(t *testing.T) {
			t.Parallel()
			h := toolStory.begin(t)
			h.settle()
			before := h.command("trip")
			lost := before.DeepCopy()
			lost.Status = edictv1.CommandStatus{ObservedGeneration: -1}
			if err := h.api.Status().Update(t.Context(), lost); err != nil {
				t.Fatal(err)
			}
			if restarts {
				h.restart()
			}
			h.must(h.lookAt("trip"))
			if diff := cmp.Diff(before.Status, h.command("trip").Status); diff != "" {
				t.Errorf("status (-before +after):\n%s", diff)
			}
			toolStory.ended(h)
		})
	}
}

// whenReleased is a model that answers when it is released; began is closed when it was asked, which is once.
func whenReleased(began chan<- struct{}, release <-chan struct{}) func(context.Context, agent.Inquiry) (agent.Answer, error) {
	return func(context.Context, agent.Inquiry) (agent.Answer, error) {
		close(began)
		<-release
		return answer("Done."), nil
	}
}

func TestACommandThatRunsForLongIsSaidToRunOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began, release := make(chan struct{}), make(chan struct{})
	h.decide = whenReleased(began, release)
	h.hire(concierge())
	h.create(ask("trip"))
	if result := h.must(h.lookAt("trip")); result.RequeueAfter != quietFor {
		t.Errorf("it is looked at again in %s", result.RequeueAfter)
	}
	await(t, began, "the model was asked")
	h.costsNothing("trip")
	for range 3 {
		h.clock.pass(30 * quietFor)
		h.must(h.lookAt("trip"))
	}
	if diff := cmp.Diff(map[string]int{"status of Command": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes while it ran (-want +got):\n%s", diff)
	}
	c := h.wantPhase("trip", edictv1.CommandRunning)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonRunning, "Attempt 1")
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReconciling, metav1.ConditionTrue, edictv1.ReasonRunning)
	close(release)
	h.settle()
	if diff := cmp.Diff(map[string]int{"status of Command": 2, "create Event": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes in all (-want +got):\n%s", diff)
	}
	askStory.ended(h)
}

func TestAnIssuedCommandWhoseNameIsTakenIsRefusedAndItsAskGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var told agent.ChoiceOutcome
	h.decide = func(ctx context.Context, q agent.Inquiry) (agent.Answer, error) {
		if q.Step == 2 {
			told = q.Trail[0].Outcomes[0]
		}
		return bookFirst(ctx, q)
	}
	h.hire(concierge())
	h.create(remember("trip-1-0", "somebody's own"), ask("trip"))
	h.settle()
	h.wantPhase("trip", edictv1.CommandSucceeded)
	if theirs := h.wantPhase("trip-1-0", edictv1.CommandSucceeded); theirs.Spec.SaveMemory == nil || len(theirs.OwnerReferences) > 0 {
		t.Errorf("somebody's own command became %+v", theirs)
	}
	if told.Phase != agent.Failed || told.Reason != edictv1.ReasonNameTaken {
		t.Errorf("the model was told %+v", told)
	}
	if _, called := h.outside(); called > 0 {
		t.Error("the API was called")
	}
}

// An ask is looked at again as each of its commands ends; those that are there are not created again.
func TestAnAskWithSeveralToolsCreatesEachCommandOnce(t *testing.T) {
	t.Parallel()
	const tools = 5
	h := newHouse(t)
	h.decide = func(_ context.Context, q agent.Inquiry) (agent.Answer, error) {
		a := answer("All is booked.")
		if q.Step == 1 {
			for i := range tools {
				a.Decision.Commands = append(a.Decision.Commands, agent.Choice{Operation: "book", Arguments: json.RawMessage(fmt.Sprintf(`{"flight":"ED%d"}`, i))})
			}
		}
		return a, nil
	}
	h.hire(concierge())
	h.create(ask("trip"))
	h.settle()
	want := map[string]int{"create Command": tools, "status of Command": tools + 1, "create Event": tools + 1}
	if diff := cmp.Diff(want, h.disk.counts()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}
