package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// kstatus is what Flux, Helm's --wait and many a CI gate go by; these tests ask the library itself.

var kstatusStart = time.Date(2027, 3, 4, 9, 0, 0, 0, time.UTC)

// kstatusOf returns what kstatus makes of an object as the API server holds it.
func kstatusOf(t *testing.T, kind string, object client.Object) (status.Status, string) {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetAPIVersion(edictv1.GroupVersion.String())
	u.SetKind(kind)
	result, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	return result.Status, result.Message
}

// commandOf is a Command of that intent as the API server returns it after its creation.
func commandOf(intent agent.Intent) *commandScope {
	object := &edictv1.Command{ObjectMeta: metav1.ObjectMeta{Namespace: "travel", Name: "c", Generation: 1}}
	object.Status.ObservedGeneration = -1
	return &commandScope{object: object, order: agent.Order{Name: "c", Key: "c/1", Intent: intent}}
}

// folded gives the scope the command that the events fold into, one second apart.
func (s *commandScope) folded(events ...agent.Event) {
	accepted := agent.CommandAccepted{Name: s.order.Name, Intent: s.order.Intent, Timeout: 5 * time.Minute, Retry: agent.Retry{MaxAttempts: 3, Backoff: time.Second}}
	records := make([]agent.Recorded, 0, len(events)+1)
	for i, e := range append([]agent.Event{accepted}, events...) {
		records = append(records, agent.Recorded{Sequence: int64(i + 1), Time: kstatusStart.Add(time.Duration(i) * time.Second), Subject: s.order.Key, Event: e})
	}
	s.receipt = execution.Receipt{Stream: "travel/concierge", Command: agent.Fold(records)}
}

var (
	kstatusAsk  = agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: "Find me flights"})
	kstatusSave = agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "preference", Content: "window seats"})
	kstatusCall = agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "book", Arguments: json.RawMessage(`{}`)})

	kstatusApproved = agent.CommandApproved{Rule: "Asks are open to whoever may create Commands."}
	kstatusStarted  = agent.AttemptStarted{Attempt: 1, Deadline: kstatusStart.Add(time.Minute)}
	kstatusDecided  = agent.DecisionMade{Attempt: 1, Step: 1, Model: "gpt-5-mini", Decision: agent.Decision{Commands: []agent.Choice{{Operation: "book"}}},
		Issued: []agent.IssuedCommand{{Name: "c-1-0", Key: "c-1-0/1", Intent: kstatusCall}}}
)

func TestKstatusReadsACommandRight(t *testing.T) {
	notFound := fault.NewWait(time.Second, edictv1.ReasonAgentNotFound, "There is no Agent.")
	for _, c := range []struct {
		name   string
		intent agent.Intent
		events []agent.Event // nil: it is not in the journal
		err    error         // what is in the way
		want   status.Status
		also   string // the condition that is True beside, for kubectl wait
	}{
		{"the agent is missing", kstatusAsk, nil, notFound, status.InProgressStatus, ""},
		{"the agent is suspended", kstatusAsk, nil, fault.NewWait(time.Second, edictv1.ReasonAgentSuspended, "It rests."), status.InProgressStatus, ""},
		{"another payload holds the key", kstatusAsk, nil, fault.NewInvalid(edictv1.ReasonIdempotencyKeyConflict, "It is taken."), status.FailedStatus, edictv1.ConditionFailed},
		{"the journal takes no writes", kstatusAsk, nil, journal.ErrUnavailable, status.InProgressStatus, ""},
		{"an event cannot be read", kstatusAsk, nil, fault.NewCorrupt(edictv1.ReasonUnreadableEvent, nil, "It is unknown."), status.FailedStatus, ""},

		{"accepted", kstatusAsk, []agent.Event{kstatusApproved}, nil, status.InProgressStatus, ""},
		{"an attempt is under way", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted}, nil, status.InProgressStatus, ""},
		{"an attempt failed, and another follows", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted,
			agent.AttemptFailed{Attempt: 1, Reason: "Unreachable", Message: "Nobody answers.", RetryAt: kstatusStart.Add(time.Minute)}}, nil, status.InProgressStatus, ""},
		{"issued commands have not ended", kstatusAsk, []agent.Event{kstatusApproved, kstatusStarted, kstatusDecided}, nil, status.InProgressStatus, ""},
		{"a Secret went missing on the way", kstatusCall, []agent.Event{kstatusApproved}, fault.NewWait(time.Second, edictv1.ReasonSecretNotFound, "There is no Secret."), status.InProgressStatus, ""},
		{"an unexpected failure on the way", kstatusCall, []agent.Event{kstatusApproved}, errors.New("broken pipe"), status.InProgressStatus, ""},
		{"it is to be cancelled", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted, agent.CancelRequested{Reason: "CancelRequested"}}, nil, status.InProgressStatus, ""},

		{"the ask was answered", kstatusAsk, []agent.Event{kstatusApproved, agent.ResponseGiven{Text: "Two."}, agent.CommandSucceeded{Message: "The agent responded."}}, nil, status.CurrentStatus, edictv1.ConditionComplete},
		{"the memory was saved", kstatusSave, []agent.Event{kstatusApproved, agent.MemorySaved{ID: "m"}, agent.CommandSucceeded{Message: "Remembered."}}, nil, status.CurrentStatus, edictv1.ConditionComplete},
		{"it succeeded after a failed attempt", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted, agent.AttemptFailed{Attempt: 1, Reason: "Unreachable", Message: "Nobody answers.", RetryAt: kstatusStart.Add(time.Second)},
			agent.AttemptStarted{Attempt: 2}, agent.AttemptSucceeded{Attempt: 2}, agent.CommandSucceeded{Message: "Done."}}, nil, status.CurrentStatus, edictv1.ConditionComplete},
		{"it succeeded, and something is in the way now", kstatusSave, []agent.Event{kstatusApproved, agent.CommandSucceeded{Message: "Done."}}, notFound, status.CurrentStatus, edictv1.ConditionComplete},
		{"it was refused", kstatusCall, []agent.Event{agent.CommandRefused{Reason: "OperationUnknown", Message: "It is not on the menu."}}, nil, status.FailedStatus, edictv1.ConditionFailed},
		{"it failed", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted, agent.CommandFailed{Reason: "Rejected", Message: "The API said no."}}, nil, status.FailedStatus, edictv1.ConditionFailed},
		{"it was cancelled", kstatusCall, []agent.Event{kstatusApproved, agent.CommandCancelled{Reason: "CancelRequested", Message: "It was stopped."}}, nil, status.FailedStatus, edictv1.ConditionFailed},
		{"its outcome is unknown", kstatusCall, []agent.Event{kstatusApproved, kstatusStarted, agent.OutcomeLost{Reason: "AttemptInterrupted", Message: "Nobody knows."}}, nil, status.FailedStatus, edictv1.ConditionFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := commandOf(c.intent)
			if got, _ := kstatusOf(t, "Command", s.object); got != status.InProgressStatus {
				t.Errorf("before anybody looked at it: %s", got)
			}
			if c.events != nil {
				s.folded(c.events...)
			}
			s.mirror(c.err)
			reads(t, "Command", s.object, c.want)
			holdsConditions(t, s.object.Status.Conditions, c.also)
		})
	}
}

// reads checks what kstatus makes of the object now, and that it does not take it for done once its spec has changed.
func reads(t *testing.T, kind string, object client.Object, want status.Status) {
	t.Helper()
	if got, message := kstatusOf(t, kind, object); got != want {
		t.Errorf("kstatus says %s (%s), not %s", got, message, want)
	}
	changed := object.DeepCopyObject().(client.Object)
	changed.SetGeneration(object.GetGeneration() + 1)
	if got, message := kstatusOf(t, kind, changed); got == status.CurrentStatus {
		t.Errorf("kstatus takes a changed object that nobody has looked at for done (%s)", message)
	}
}

// holdsConditions checks that Ready is there, and that of the two ends a command has the one that is expected, and no other.
func holdsConditions(t *testing.T, conditions []metav1.Condition, end string) {
	t.Helper()
	if meta.FindStatusCondition(conditions, edictv1.ConditionReady) == nil {
		t.Error("there is no condition Ready")
	}
	for _, kind := range []string{edictv1.ConditionComplete, edictv1.ConditionFailed} {
		if got := meta.IsStatusConditionTrue(conditions, kind); got != (kind == end) {
			t.Errorf("the condition %s is True: %v", kind, got)
		}
	}
	for _, c := range conditions {
		if c.Reason == "" || c.Message == "" || c.Status == "" || c.LastTransitionTime.IsZero() {
			t.Errorf("the API server would refuse, or nobody understand: %+v", c)
		}
	}
}

// What was in the way leaves nothing behind once it is gone: each of these statuses was written, and then the command succeeded.
func TestKstatusReadsACommandRightThatWasInTrouble(t *testing.T) {
	for _, trouble := range []error{
		fault.NewWait(time.Second, edictv1.ReasonAgentNotFound, "There is no Agent."),
		fault.NewCorrupt(edictv1.ReasonUnreadableEvent, nil, "A newer version of Edict wrote it."),
		journal.ErrUnavailable,
	} {
		t.Run(fault.Of(trouble).Reason, func(t *testing.T) {
			s := commandOf(kstatusSave)
			s.mirror(trouble)
			s.folded(kstatusApproved)
			s.mirror(nil)
			reads(t, "Command", s.object, status.InProgressStatus)
			s.folded(kstatusApproved, agent.CommandSucceeded{Message: "Remembered."})
			s.mirror(nil)
			reads(t, "Command", s.object, status.CurrentStatus)
			holdsConditions(t, s.object.Status.Conditions, edictv1.ConditionComplete)
		})
	}
}

func TestKstatusReadsAgentsAndViewsRight(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		suspended bool
		want      status.Status
	}{
		{"ready", nil, false, status.CurrentStatus},
		{"suspended", nil, true, status.CurrentStatus},
		{"a view is missing", fault.NewWait(time.Second, edictv1.ReasonViewNotFound, "There is no ContextView."), false, status.InProgressStatus},
		{"a Secret is missing", fault.NewWait(time.Second, edictv1.ReasonSecretNotFound, "There is no Secret."), false, status.InProgressStatus},
		{"the journal takes no writes", fmt.Errorf("read: %w", journal.ErrUnavailable), false, status.InProgressStatus},
		{"an unexpected failure", errors.New("broken pipe"), false, status.InProgressStatus},
		{"the spec can never work", fault.NewInvalid(edictv1.ReasonMenuInvalid, "Its parameters are no JSON Schema."), false, status.FailedStatus},
		{"an event cannot be read", fault.NewCorrupt(edictv1.ReasonUnreadableEvent, nil, "It is unknown."), false, status.FailedStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &agentScope{object: &edictv1.Agent{ObjectMeta: metav1.ObjectMeta{Namespace: "travel", Name: "concierge", Generation: 1}}}
			a.object.Spec.Suspend = c.suspended
			v := &viewScope{object: &edictv1.ContextView{ObjectMeta: metav1.ObjectMeta{Namespace: "travel", Name: "concierge", Generation: 1}}}
			a.object.Status.ObservedGeneration, v.object.Status.ObservedGeneration = -1, -1
			for _, fresh := range []struct {
				kind   string
				object client.Object
			}{{"Agent", a.object}, {"ContextView", v.object}} {
				if got, _ := kstatusOf(t, fresh.kind, fresh.object); got != status.InProgressStatus {
					t.Errorf("%s before anybody looked at it: %s", fresh.kind, got)
				}
			}
			a.conclude(c.err)
			v.conclude(c.err)
			reads(t, "Agent", a.object, c.want)
			reads(t, "ContextView", v.object, c.want)
			// And when it is mended.
			a.conclude(nil)
			v.conclude(nil)
			reads(t, "Agent", a.object, status.CurrentStatus)
			reads(t, "ContextView", v.object, status.CurrentStatus)
		})
	}
}
