package agent

import (
	"slices"
	"time"
)

// Stage is a step of a command's life that a person may want to see.
type Stage string

// The stages, in the order in which a command passes them.
const (
	StageAccepted     Stage = "Accepted"
	StageApproved     Stage = "Approved"
	StageContextBuilt Stage = "ContextBuilt"
	StageDecided      Stage = "Decided"
	StageExecuted     Stage = "Executed"
)

// Mark says when a stage was last passed, or that it was not passed, and where the journal tells more.
type Mark struct {
	Stage    Stage
	Passed   bool
	Reason   string
	Message  string
	Sequence int64
	Time     time.Time
}

// OpenAttempt is an attempt that was started and not closed.
type OpenAttempt struct {
	Number   int
	Step     int // 0: an effect
	Deadline time.Time
}

// Step is one decision of an ask, and what it issued.
type Step struct {
	Decision Decision
	Issued   []Child
}

// Child is a command that an ask issued, as the ask sees it.
type Child struct {
	IssuedCommand
	Accepted bool
	Outcome  ChoiceOutcome // zero Phase until it ended
}

// Command is one command folded from its events.
type Command struct {
	Key, Name    string
	Origin       string // uid of the Kubernetes object that brought it; empty if that was not recorded
	Intent       Intent
	Effect       EffectClass
	Conversation string
	IssuedBy     *Issue
	AcceptedAt   time.Time
	Timeout      time.Duration
	Deadline     time.Time // Timeout after it was accepted, or reopened
	Retry        Retry

	Version  int   // events folded so far; the next batch about the command is numbered by it
	Sequence int64 // of the last event folded
	Seen     int64 // of the last event about it, or of the end of a command that it issued: what its next context must have seen

	Phase      Phase
	Reason     string // why it ended as it did; empty when it succeeded
	Message    string
	Result     string // what an effect's receiver answered
	Response   string // what an ask was answered
	FinishedAt time.Time

	Marks    []Mark
	Steps    []Step
	Attempts int          // started so far
	Attempt  *OpenAttempt // nil: none is open
	Failures int          // failed attempts in a row at the same effect or step
	RetryAt  time.Time    // not before
	Cancel   string       // why it is to be stopped; empty: it is not
	Usage    Usage
	Embedded string // of an ask: the model whose vector of its question is in the stream; empty: none is

	CancelOverruled bool // a person had it run again after it was to be stopped: that wish is spent
	detached        bool // it runs again for itself: the ask that issued it is over
}

// Clone returns a copy that shares nothing that a fold changes.
func (c *Command) Clone() *Command {
	out := *c
	out.Marks = slices.Clone(c.Marks)
	out.Steps = slices.Clone(c.Steps)
	for i := range out.Steps {
		out.Steps[i].Issued = slices.Clone(c.Steps[i].Issued)
	}
	if c.Attempt != nil {
		attempt := *c.Attempt
		out.Attempt = &attempt
	}
	return &out
}

// Fold returns the command that the records are about, nil if they do not accept
// one. What became of the commands that it issued is not told by its own records.
func Fold(records []Recorded) *Command {
	var c *Command
	for _, r := range records {
		if accepted, ok := r.Event.(CommandAccepted); ok && c == nil {
			c = newCommand(r, accepted)
			continue
		}
		if c != nil {
			c.apply(r)
		}
	}
	return c
}

func newCommand(r Recorded, e CommandAccepted) *Command {
	c := &Command{
		Key: r.Subject, Name: e.Name, Origin: e.Origin, Intent: e.Intent, Effect: e.Effect, Conversation: e.Conversation, IssuedBy: e.IssuedBy,
		AcceptedAt: r.Time, Timeout: e.Timeout, Deadline: r.Time.Add(e.Timeout), Retry: e.Retry, Version: 1, Sequence: r.Sequence, Seen: r.Sequence, Phase: Running,
	}
	by := "applied to the API"
	if e.IssuedBy != nil {
		by = "issued by a decision"
	}
	c.mark(r, Mark{Stage: StageAccepted, Passed: true, Reason: "Accepted", Message: "The command was " + by + " and is in the journal."})
	return c
}

// apply folds one later event about the command.
func (c *Command) apply(r Recorded) {
	c.Version++
	c.Sequence, c.Seen = r.Sequence, r.Sequence
	switch e := r.Event.(type) {
	case CommandApproved:
		c.mark(r, Mark{Stage: StageApproved, Passed: true, Reason: "Approved", Message: e.Rule})
	case CommandRefused:
		c.mark(r, Mark{Stage: StageApproved, Reason: e.Reason, Message: e.Message})
		c.end(r, Failed, e.Reason, e.Message)
	case ContextBuilt:
		c.mark(r, Mark{Stage: StageContextBuilt, Passed: true, Reason: "ContextBuilt", Message: contextMessage(e)})
	case AttemptStarted:
		c.Attempts = e.Attempt
		c.Attempt = &OpenAttempt{Number: e.Attempt, Step: e.Step, Deadline: e.Deadline}
	case AttemptSucceeded:
		c.closeAttempt(time.Time{})
		c.Result = e.Result
	case AttemptFailed:
		c.closeAttempt(e.RetryAt)
		c.Failures++
		c.Reason, c.Message = e.Reason, e.Message
		c.Usage = c.Usage.Plus(e.Usage)
	case AttemptAbandoned:
		c.closeAttempt(time.Time{})
	case DecisionMade:
		c.decided(r, e)
	case MemorySaved:
		c.Result = "saved as " + e.ID
	case MemoryForgotten:
		c.Result = "forgot " + e.ID
	case DocumentsRemoved:
		c.Result = withdrawnResult(e)
	case SummaryWritten:
		c.closeAttempt(time.Time{})
		c.Result = summaryResult(e)
		c.Usage = c.Usage.Plus(e.Usage)
	case TextsEmbedded:
		c.embedded(e)
	case ResponseGiven:
		c.Response = e.Text
	case CancelRequested:
		c.Cancel = e.Reason
	case CommandSucceeded:
		c.markExecuted(r, true, "Succeeded", e.Message)
		c.end(r, Succeeded, "", e.Message)
	case CommandFailed:
		c.markExecuted(r, false, e.Reason, e.Message)
		c.end(r, Failed, e.Reason, e.Message)
	case CommandCancelled:
		c.end(r, Cancelled, e.Reason, e.Message)
	case OutcomeLost:
		c.markExecuted(r, false, e.Reason, e.Message)
		c.end(r, OutcomeUnknown, e.Reason, e.Message)
	case OutcomeSettled:
		c.settle(r, e)
	case CommandReopened:
		c.reopen(r, "Reopened", e.Message)
	}
}

func (c *Command) decided(r Recorded, e DecisionMade) {
	c.closeAttempt(time.Time{})
	c.Failures = 0
	c.Reason, c.Message = "", ""
	step := Step{Decision: e.Decision}
	for _, issued := range e.Issued {
		step.Issued = append(step.Issued, Child{IssuedCommand: issued})
	}
	c.Steps = append(c.Steps, step)
	c.Usage = c.Usage.Plus(e.Usage)
	c.mark(r, Mark{Stage: StageDecided, Passed: true, Reason: "Decided", Message: decisionMessage(e)})
}

func (c *Command) closeAttempt(retryAt time.Time) {
	c.Attempt = nil
	c.RetryAt = retryAt
}

func (c *Command) end(r Recorded, p Phase, reason, message string) {
	c.Phase, c.Reason, c.Message, c.FinishedAt = p, reason, message, r.Time
	c.Attempt = nil
}

// markExecuted marks the effect's stage; an ask has no effect of its own but its response.
func (c *Command) markExecuted(r Recorded, passed bool, reason, message string) {
	c.mark(r, Mark{Stage: StageExecuted, Passed: passed, Reason: reason, Message: message})
}

func (c *Command) mark(r Recorded, m Mark) {
	m.Sequence, m.Time = r.Sequence, r.Time
	if i := slices.IndexFunc(c.Marks, func(o Mark) bool { return o.Stage == m.Stage }); i >= 0 {
		c.Marks[i] = m
		return
	}
	c.Marks = append(c.Marks, m)
}

// lastStep returns the newest decision, nil before the first.
func (c *Command) lastStep() *Step {
	if len(c.Steps) == 0 {
		return nil
	}
	return &c.Steps[len(c.Steps)-1]
}

// Waiting returns the issued commands that have not ended.
func (c *Command) Waiting() []Child {
	step := c.lastStep()
	if step == nil {
		return nil
	}
	var open []Child
	for _, child := range step.Issued {
		if child.Outcome.Phase == "" {
			open = append(open, child)
		}
	}
	return open
}

// Unaccepted returns the issued commands that did not come through the door yet:
// the objects that have to exist for the ask to go on.
func (c *Command) Unaccepted() []Child {
	return slices.DeleteFunc(c.Waiting(), func(child Child) bool { return child.Accepted })
}

// Trail returns the earlier steps as the decider is told them.
func (c *Command) Trail() []Turn {
	turns := make([]Turn, 0, len(c.Steps))
	for _, step := range c.Steps {
		turn := Turn{Decision: step.Decision}
		for _, child := range step.Issued {
			turn.Outcomes = append(turn.Outcomes, child.Outcome)
		}
		turns = append(turns, turn)
	}
	return turns
}
