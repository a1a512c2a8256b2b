package controller

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// maxResponse bounds the response in the status, in bytes; the journal has all of it.
const maxResponse = 4096

// mirror writes into the scope's status what the journal says, or what is in the
// way of its saying anything. It is the one place where a Command's status is made.
func (s *commandScope) mirror(err error) {
	status := &s.object.Status
	status.ObservedGeneration = s.object.Generation
	status.Type = string(s.order.Intent.Type)
	status.IdempotencyKey = s.order.Key
	if s.receipt.Stream != "" {
		status.Stream = s.receipt.Stream
	}
	if c := s.receipt.Command; c != nil {
		s.mirrorCommand(c)
	} else if status.Phase == "" {
		status.Phase = edictv1.CommandPending
	}
	if err != nil && !agent.Phase(status.Phase).Final() {
		s.mirrorFault(fault.Of(err))
	}
}

func (s *commandScope) mirrorCommand(c *agent.Command) {
	status := &s.object.Status
	status.Phase = edictv1.CommandPhase(c.Phase)
	status.Sequence = c.Sequence
	status.Attempts = int32(min(c.Attempts, 1<<30))
	status.Tokens = int64(c.Usage.Total())
	status.Response = cut(c.Response, maxResponse)
	status.Issued = nil
	for _, step := range c.Steps {
		for _, child := range step.Issued {
			if len(status.Issued) < 128 {
				status.Issued = append(status.Issued, child.Name)
			}
		}
	}
	s.set(edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved, "Everything that the command names exists.", c.AcceptedAt)
	for _, m := range c.Marks {
		s.set(string(m.Stage), markStatus(c, m), m.Reason, fmt.Sprintf("%s [event %d]", strings.TrimSuffix(m.Message, " "), m.Sequence), m.Time)
	}
	s.deduplicate(c)
	s.summarise(c)
}

// deduplicate says that another object brought the command, and this one ran
// nothing. Of a command whose origin was not recorded it claims nothing.
func (s *commandScope) deduplicate(c *agent.Command) {
	if c.Origin == "" || c.Origin == string(s.object.UID) {
		return
	}
	ran := fmt.Sprintf("An earlier object brought this command, which was accepted at %s", c.AcceptedAt.Format(time.RFC3339))
	if c.Name != s.object.Name {
		ran = fmt.Sprintf("The object %q brought this command, which was accepted at %s", c.Name, c.AcceptedAt.Format(time.RFC3339))
	}
	reason, now := edictv1.ReasonTakenOver, "has not ended; it goes on, and nothing of it is repeated."
	if c.Phase.Final() {
		reason, now = edictv1.ReasonRanBefore, fmt.Sprintf("ended at %s. Nothing was run again; this status says what came of it.", c.FinishedAt.Format(time.RFC3339))
	}
	// The journal does not record that nothing happened: since when it holds is when the object was created.
	s.set(edictv1.ConditionDeduplicated, metav1.ConditionTrue, reason,
		ran+" and "+now+" To run it again, apply it under another name, or with a spec.idempotencyKey of its own.", s.object.CreationTimestamp.Time)
}

// markStatus is Unknown for an effect of which nobody can tell, also while it is run again.
func markStatus(c *agent.Command, m agent.Mark) metav1.ConditionStatus {
	switch {
	case m.Passed:
		return metav1.ConditionTrue
	case m.Stage == agent.StageExecuted && (c.Phase == agent.OutcomeUnknown || !c.Phase.Final()):
		return metav1.ConditionUnknown
	}
	return metav1.ConditionFalse
}

// summarise sets the conditions that kstatus and people read first. Failed goes
// when an unknown outcome is settled otherwise.
func (s *commandScope) summarise(c *agent.Command) {
	if c.Phase == agent.Succeeded || !c.Phase.Final() {
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionFailed)
	}
	if !c.Phase.Final() {
		s.object.Status.FinishedAt = nil
		reason, message := progress(c)
		s.moving(metav1.ConditionUnknown, reason, message, c.AcceptedAt)
		return
	}
	finished := metav1.NewTime(c.FinishedAt.Truncate(time.Second)) // as the API server keeps it, so that it compares equal
	s.object.Status.FinishedAt = &finished
	if c.Phase == agent.Succeeded {
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionReconciling)
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionStalled)
		s.set(edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonSucceeded, c.Message, c.FinishedAt)
		s.set(edictv1.ConditionComplete, metav1.ConditionTrue, edictv1.ReasonSucceeded, c.Message, c.FinishedAt)
		return
	}
	s.failed(c.Reason, c.Message, c.FinishedAt)
}

// progress says in a reason and a sentence what an open command is at.
func progress(c *agent.Command) (reason, message string) {
	waiting := c.Waiting()
	switch {
	case len(waiting) > 0:
		names := make([]string, 0, len(waiting))
		for _, child := range waiting {
			names = append(names, child.Name)
		}
		return edictv1.ReasonWaitingForCommands, "Waiting for " + cut(strings.Join(names, ", "), 500) + "."
	case c.Attempt != nil:
		return edictv1.ReasonRunning, fmt.Sprintf("Attempt %d is under way, until %s at the latest.", c.Attempt.Number, c.Attempt.Deadline.Format(time.RFC3339))
	case !c.RetryAt.IsZero():
		return edictv1.ReasonRetrying, fmt.Sprintf("Attempt %d failed (%s); the next follows at %s. %s", c.Attempts, c.Reason, c.RetryAt.Format(time.RFC3339), c.Message)
	case c.Attempts == 0 && turn(c.Intent.Type) != "":
		return edictv1.ReasonWaitingForTurn, "Accepted; it starts when " + turn(c.Intent.Type) + " have ended."
	}
	return edictv1.ReasonRunning, "The command is on its way."
}

// turn names what a command waits for that runs one at a time with others.
func turn(t agent.Type) string {
	switch t {
	case agent.Ask:
		return "the earlier asks of its conversation"
	case agent.IndexDocuments, agent.RemoveDocuments:
		return "the earlier changes of its collection"
	case agent.Summarize:
		return "the earlier summaries of the same"
	case agent.Observe:
		return "the earlier looks of the same name"
	}
	return ""
}

// mirrorFault says what is in the way of a command that has not ended.
func (s *commandScope) mirrorFault(f *fault.Error) {
	now := time.Time{} // the condition's own clock: this is not in the journal
	switch f.Kind {
	case fault.Invalid:
		s.object.Status.Phase = edictv1.CommandFailed
		if f.Reason == edictv1.ReasonIdempotencyKeyConflict {
			s.set(edictv1.ConditionAccepted, metav1.ConditionFalse, f.Reason, f.Message, now)
		}
		s.failed(f.Reason, f.Message, now)
	case fault.Conflict: // it is looked at again at once
	case fault.Corrupt:
		s.moving(metav1.ConditionFalse, f.Reason, f.Message, now)
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionReconciling)
		s.set(edictv1.ConditionStalled, metav1.ConditionTrue, f.Reason, f.Message, now)
	case fault.Wait:
		if missing(f.Reason) {
			s.set(edictv1.ConditionRefsResolved, metav1.ConditionFalse, f.Reason, f.Message, now)
		}
		s.moving(metav1.ConditionUnknown, f.Reason, f.Message, now)
	default:
		reason, message := unexpected(f.Err)
		s.moving(metav1.ConditionUnknown, reason, message, now)
	}
}

// missing reports whether the reason is that something named does not exist.
func missing(reason string) bool {
	switch reason {
	case edictv1.ReasonAgentNotFound, edictv1.ReasonCommandNotFound, edictv1.ReasonViewNotFound, edictv1.ReasonSecretNotFound, edictv1.ReasonViewOfOtherAgent:
		return true
	}
	return false
}

func (s *commandScope) moving(ready metav1.ConditionStatus, reason, message string, at time.Time) {
	meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionStalled)
	s.set(edictv1.ConditionReady, ready, reason, message, at)
	s.set(edictv1.ConditionReconciling, metav1.ConditionTrue, reason, message, at)
}

func (s *commandScope) failed(reason, message string, at time.Time) {
	meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionReconciling)
	for _, condition := range []string{edictv1.ConditionStalled, edictv1.ConditionFailed} {
		s.set(condition, metav1.ConditionTrue, reason, message, at)
	}
	s.set(edictv1.ConditionReady, metav1.ConditionFalse, reason, message, at)
}

func (s *commandScope) set(kind string, status metav1.ConditionStatus, reason, message string, at time.Time) {
	setCondition(&s.object.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.object.Generation, LastTransitionTime: metav1.NewTime(at.Truncate(time.Second)), // as the API server keeps it
	})
}

// newsworthy reports whether the status should be written now: the end always,
// what is in the way if it was not said yet, and that the command runs once it
// has run for a while. Stages passed by a running command are told with the next.
func (s *commandScope) newsworthy(written *edictv1.CommandStatus, now time.Time) bool {
	status := &s.object.Status
	if agent.Phase(status.Phase).Final() {
		return true
	}
	before, after := meta.FindStatusCondition(written.Conditions, edictv1.ConditionReady), meta.FindStatusCondition(status.Conditions, edictv1.ConditionReady)
	if after == nil {
		return false
	}
	c := s.receipt.Command
	stuck := c == nil || s.receipt.Late != nil
	if stuck {
		return before == nil || before.Reason != after.Reason || withoutNumbers(before.Message) != withoutNumbers(after.Message)
	}
	if written.Phase != status.Phase {
		return now.Sub(c.AcceptedAt) >= quietFor
	}
	return before == nil || trouble(before.Reason) // it was said that something is in the way; say that it is gone
}

// withoutNumbers returns what a message says beside its numbers: how far something has come is no news each time it is looked at.
func withoutNumbers(message string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, message)
}

// trouble reports whether a running command's reason said that something is in its way.
func trouble(reason string) bool {
	switch reason {
	case edictv1.ReasonRunning, edictv1.ReasonWaitingForTurn, edictv1.ReasonWaitingForCommands, edictv1.ReasonRetrying:
		return false
	}
	return true
}
