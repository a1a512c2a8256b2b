package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
)

func settles(name, command string, outcome edictv1.ResolveOutcome) *edictv1.Command {
	return commandNamed(name, edictv1.CommandSpec{Resolve: &edictv1.ResolveCommand{Command: command, Outcome: outcome, Reason: "the airline has it on record", By: "ada"}})
}

// lostTrip is an ask that ended as OutcomeUnknown, because the answer to its booking trip-1-0 did not come. A second
// request would be answered.
func lostTrip(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.decide = bookFirst
	h.call = func(execution.APIRequest) agent.Outcome {
		if _, called := h.outside(); called == 1 {
			return agent.Outcome{Verdict: agent.Ambiguous, Reason: "ConnectionLost", Message: "The connection ended."}
		}
		return agent.Outcome{Verdict: agent.Done, Result: `{"booking":1}`, Message: "Booked."}
	}
	h.hire(concierge())
	h.create(ask("trip"))
	h.settle()
	for name, reason := range map[string]string{"trip": "IssuedCommandUnknown", "trip-1-0": "ConnectionLost"} {
		c := h.wantPhase(name, edictv1.CommandOutcomeUnknown)
		wantCondition(t, c.Status.Conditions, edictv1.ConditionExecuted, metav1.ConditionUnknown, reason, "a command of type resolve that settles it")
	}
	return h
}

// ends looks at a command whenever the engine has news of one, until its phase is that.
func (h *house) ends(name string, phase edictv1.CommandPhase) *edictv1.Command {
	h.Helper()
	for {
		for _, c := range h.all() {
			h.must(h.lookAt(c.Name))
		}
		if c := h.command(name); c.Status.Phase == phase {
			return c
		}
		h.hear(h.all())
	}
}

// done checks that a command reads as one that succeeded, and not as one that once failed.
func (h *house) done(name string, says ...string) {
	h.Helper()
	c := h.wantPhase(name, edictv1.CommandSucceeded)
	wantCondition(h.T, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonSucceeded, says...)
	wantCondition(h.T, c.Status.Conditions, edictv1.ConditionComplete, metav1.ConditionTrue, edictv1.ReasonSucceeded)
	for _, gone := range []string{edictv1.ConditionFailed, edictv1.ConditionStalled, edictv1.ConditionReconciling} {
		if left := meta.FindStatusCondition(c.Status.Conditions, gone); left != nil {
			h.Errorf("%s of %s is %s", gone, name, explain(left))
		}
	}
	if is, says := kstatusOf(h.T, "Command", c); is != status.CurrentStatus {
		h.Errorf("kstatus reads %s as %s: %s", name, is, says)
	}
}

func TestAnUnknownOutcomeThatNobodySettlesCostsNothing(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.disk.reset()
	before := h.told("concierge")
	for _, restarts := range []bool{false, true} {
		if restarts {
			h.restart()
		}
		for _, name := range []string{"trip", "trip-1-0"} {
			if result := h.must(h.lookAt(name)); result.RequeueAfter != 0 {
				t.Errorf("%s is looked at again in %s", name, result.RequeueAfter)
			}
		}
	}
	if counts := h.disk.counts(); len(counts) > 0 {
		t.Errorf("it cost %v", counts)
	}
	if diff := cmp.Diff(before, h.told("concierge")); diff != "" {
		t.Errorf("journal (-before +after):\n%s", diff)
	}
}

func TestASettledOutcomeIsToldOnceAndItsAskGoesOn(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.create(settles("settle", "trip-1-0", edictv1.ResolveSucceeded))
	h.ends("trip", edictv1.CommandSucceeded)
	h.done("trip")
	h.done("trip-1-0", "Settled as Succeeded by ada: the airline has it on record.")
	h.done("settle", "The outcome of trip-1-0 was settled as Succeeded. The ask trip goes on.")
	c := h.command("trip-1-0")
	wantCondition(t, c.Status.Conditions, edictv1.ConditionExecuted, metav1.ConditionTrue, "SettledAsSucceeded", "by ada", fmt.Sprintf("[event %d]", c.Status.Sequence))
	if got := h.command("settle").Status.Type; got != "resolve" {
		t.Errorf("its type is %q", got)
	}
	if _, called := h.outside(); called != 1 {
		t.Errorf("%d requests reached the API", called)
	}
	notes := []string{"settle Succeeded", "trip IssuedCommandUnknown", "trip Succeeded", "trip-1-0 ConnectionLost", "trip-1-0 Succeeded"}
	if diff := cmp.Diff(notes, h.notes()); diff != "" {
		t.Errorf("Kubernetes Events (-want +got):\n%s", diff)
	}
	h.disk.reset()
	for _, c := range h.all() {
		h.must(h.lookAt(c.Name))
	}
	if counts := h.disk.counts(); len(counts) > 0 {
		t.Errorf("looked at again, it cost %v", counts)
	}
}

// The process that was told died before it wrote the status: the next one looks at every object anyway.
func TestASettlementIsToldByTheNextProcess(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.create(settles("settle", "trip-1-0", edictv1.ResolveFailed))
	h.must(h.lookAt("settle"))
	h.restart()
	h.ends("trip", edictv1.CommandSucceeded)
	c := h.wantPhase("trip-1-0", edictv1.CommandFailed)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionFailed, metav1.ConditionTrue, "SettledAsFailed", "Settled as Failed by ada")
	wantCondition(t, c.Status.Conditions, edictv1.ConditionStalled, metav1.ConditionTrue, "SettledAsFailed")
	if is, _ := kstatusOf(t, "Command", c); is != status.FailedStatus {
		t.Errorf("kstatus reads it as %s", is)
	}
	if !slices.Contains(h.notes(), "trip-1-0 SettledAsFailed") {
		t.Errorf("Kubernetes Events %v", h.notes())
	}
}

func TestACommandRunsAgainUnderItsKey(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.create(settles("again", "trip-1-0", edictv1.ResolveRunAgain))
	h.ends("trip", edictv1.CommandSucceeded)
	h.done("trip")
	h.done("trip-1-0", "Booked.")
	h.done("again", "trip-1-0 runs again")
	if _, called := h.outside(); called != 2 {
		t.Errorf("%d requests reached the API", called)
	}
	if got := h.command("trip-1-0").Status.Attempts; got != 2 {
		t.Errorf("%d attempts", got)
	}
}

func TestWhatRunsAgainIsSaidToRun(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	h.call = func(execution.APIRequest) agent.Outcome {
		close(entered)
		<-leave
		return agent.Outcome{Verdict: agent.Done, Message: "Booked."}
	}
	h.create(settles("again", "trip-1-0", edictv1.ResolveRunAgain))
	h.must(h.lookAt("again"))
	await(t, entered, "the API was called")
	h.clock.pass(30 * quietFor)
	for _, name := range []string{"trip", "trip-1-0"} {
		if result := h.must(h.lookAt(name)); result.RequeueAfter == 0 {
			t.Errorf("%s is not looked at again", name)
		}
		c := h.wantPhase(name, edictv1.CommandRunning)
		if c.Status.FinishedAt != nil || meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionFailed) != nil {
			t.Errorf("%s is said to have ended: %+v", name, c.Status)
		}
		if is, _ := kstatusOf(t, "Command", c); is != status.InProgressStatus {
			t.Errorf("kstatus reads %s as %s", name, is)
		}
	}
	wantCondition(t, h.command("trip-1-0").Status.Conditions, edictv1.ConditionExecuted, metav1.ConditionUnknown, "RunAgain", "Run again by ada")
	close(leave)
	h.ends("trip", edictv1.CommandSucceeded)
}

func TestASecondSettlementIsRefused(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.create(settles("first", "trip-1-0", edictv1.ResolveFailed), settles("second", "trip-1-0", edictv1.ResolveSucceeded))
	h.must(h.lookAt("first"))
	h.must(h.lookAt("second"))
	h.wantPhase("first", edictv1.CommandSucceeded)
	c := h.wantPhase("second", edictv1.CommandFailed)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionFailed, metav1.ConditionTrue, "NothingToResolve", "settled already, as Failed by ada")
	h.ends("trip", edictv1.CommandSucceeded)
	h.wantPhase("trip-1-0", edictv1.CommandFailed)
}

func TestWhatHasNoObjectIsRunAgainWhenItHasOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.call = func(execution.APIRequest) agent.Outcome {
		if _, called := h.outside(); called == 1 {
			return agent.Outcome{Verdict: agent.Ambiguous, Reason: "ConnectionLost", Message: "The connection ended."}
		}
		return agent.Outcome{Verdict: agent.Done, Message: "Booked."}
	}
	book := func() *edictv1.Command {
		return commandNamed("book-42", edictv1.CommandSpec{CallAPI: &edictv1.CallAPICommand{Operation: "book"}})
	}
	h.hire(concierge())
	h.create(book())
	h.settle()
	h.wantPhase("book-42", edictv1.CommandOutcomeUnknown)
	if err := h.api.Delete(t.Context(), h.command("book-42")); err != nil {
		t.Fatal(err)
	}
	h.must(h.lookAt("book-42"))
	h.create(settles("again", "book-42", edictv1.ResolveRunAgain))
	h.must(h.lookAt("again"))
	c := h.wantPhase("again", edictv1.CommandPending)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonCommandNotFound, `"book-42"`, "Apply it again")
	h.create(book())
	h.ends("book-42", edictv1.CommandSucceeded)
	h.wantPhase("again", edictv1.CommandSucceeded)
	if _, called := h.outside(); called != 2 {
		t.Errorf("%d requests reached the API", called)
	}
}

// What is unknown belongs to the life in which it was accepted: the next agent of that name does not carry it out.
func TestAnUnknownOutcomeIsNotCarriedIntoTheNextLife(t *testing.T) {
	t.Parallel()
	h := lostTrip(t)
	h.retire("concierge")
	h.hire(concierge())
	h.restart()
	for _, name := range []string{"trip", "trip-1-0"} {
		h.must(h.lookAt(name))
		h.wantPhase(name, edictv1.CommandOutcomeUnknown)
	}
	time.Sleep(50 * time.Millisecond) // nothing is to happen, and this is how long it may take
	if asked, called := h.outside(); asked != 1 || called != 1 {
		t.Errorf("the model was asked %d times, and the API %d times", asked, called)
	}
}
