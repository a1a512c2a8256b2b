package agent

import (
	"fmt"
	"time"
)

// Approval is what policy says of an order.
type Approval struct {
	Allowed bool
	Effect  EffectClass
	Reason  string // CamelCase, unless allowed
	Message string // which rule let it pass, or why not and what to do
}

// Issued reports whether a decision issued the command with that key, and the
// digest of what it was issued for. It does so until the command is accepted.
func (s *State) Issued(key string) (digest string, ok bool) {
	i, ok := s.issued[key]
	return i.digest, ok
}

// Accept returns the events with which an order comes through the door. An
// internal effect is among them: its outcome and its state change are one append.
func (s *State) Accept(o Order, a Approval) []Event {
	payload := o.Intent
	accepted := CommandAccepted{Name: o.Name, Intent: payload, Effect: a.Effect, Timeout: o.Timeout, Retry: o.Retry, Origin: o.Origin}
	issue, issued := s.issued[o.Key]
	if issued {
		accepted.IssuedBy = &issue.Issue
		accepted.Conversation = issue.conversation
	}
	events := make([]Event, 0, 4)
	if payload.Type == Ask {
		ask := payload.Ask()
		accepted.Conversation = ask.Conversation
		events = append(events, accepted, MessageReceived{Conversation: ask.Conversation, Text: ask.Message, SaidBy: ask.SaidBy})
	} else {
		events = append(events, accepted)
	}
	switch {
	case issued && issue.ended:
		return append(events, CommandCancelled{Reason: "ParentEnded", Message: "The ask that issued this command ended before it began; nothing was done."})
	case !a.Allowed:
		return append(events, CommandRefused{Reason: a.Reason, Message: a.Message})
	}
	events = append(events, CommandApproved{Rule: a.Message})
	return append(events, s.internal(o)...)
}

// internal returns the whole effect of a command whose effect needs nothing but the
// journal, nothing for the others.
func (s *State) internal(o Order) []Event {
	switch o.Intent.Type {
	case SaveMemory:
		return s.remember(o)
	case ForgetMemory:
		return s.forget(o.Intent.ForgetMemory())
	case RemoveDocuments:
		p := o.Intent.RemoveDocuments()
		if s.busy(laneOfCollection(p.Collection)) {
			return nil // an indexing is under way: it has its turn after that
		}
		return s.withdraw(p)
	case Resolve:
		return s.resolve(o)
	}
	return nil
}

// FollowsOthers reports whether what Accept says of an order follows from what
// other commands did. Its events are appended only where the stream is as the
// state saw it, and decided again where it moved on. Two orders that forget the
// same memory are right in any order, and so are not among them.
func (o Order) FollowsOthers() bool {
	switch o.Intent.Type {
	case Resolve, RemoveDocuments:
		return true
	case SaveMemory:
		return o.Intent.SaveMemory().Supersedes != ""
	}
	return false
}

// ActionKind is what a command needs next.
type ActionKind int

const (
	// Rest: nothing to do before Action.At, or before another event.
	Rest ActionKind = iota
	// Record: append Action.Events, then look again.
	Record
	// Decide: build the context and ask the model.
	Decide
	// Execute: attempt the effect.
	Execute
)

// Action is the next move of a command.
type Action struct {
	Kind   ActionKind
	At     time.Time // with Rest: look again then; zero: only another event moves it
	Events []Event   // with Record
	Head   int64     // with Record: the stream's sequence that Events were decided at, and hold at; 0: they hold at any
}

// Next returns what the open command with that key needs now. The caller is the
// only one that runs this command in its process, and has no attempt under way:
// an attempt found open was made by a process that is gone, or by another
// replica, and is nobody's to judge before its deadline.
func (s *State) Next(key string, now time.Time, maxSteps int) Action {
	c, ok := s.Open[key]
	switch {
	case !ok:
		return Action{}
	case c.Attempt != nil:
		return c.foundOpen(now)
	case c.Cancel != "":
		return record(CommandCancelled{Reason: c.Cancel, Message: cancelMessage(c.Cancel)})
	case s.orphaned(c):
		return record(CommandCancelled{Reason: "ParentEnded", Message: cancelMessage("ParentEnded")})
	case !now.Before(c.Deadline):
		return record(CommandFailed{Reason: "DeadlineExceeded", Message: deadlineMessage(c)})
	case s.waits(c):
		return Action{At: c.Deadline}
	case c.Intent.Type == Ask:
		return s.nextOfAsk(c, now, maxSteps)
	case c.Intent.Type == RemoveDocuments:
		return record(s.withdraw(c.Intent.RemoveDocuments())...)
	case now.Before(c.RetryAt):
		return Action{At: earlier(c.RetryAt, c.Deadline)}
	}
	return Action{Kind: Execute}
}

// orphaned reports whether the ask that issued the command is over for good.
func (s *State) orphaned(c *Command) bool {
	if c.IssuedBy == nil || c.detached {
		return false
	}
	ask, _ := s.issuer(c.IssuedBy)
	return ask == nil
}

func (c *Command) foundOpen(now time.Time) Action {
	a := c.Attempt
	if now.Before(a.Deadline) {
		return Action{At: a.Deadline}
	}
	if a.Step == 0 && c.Effect == NonIdempotent {
		return record(OutcomeLost{Reason: "AttemptInterrupted", Message: fmt.Sprintf(
			"Attempt %d was under way when the operator stopped; whether it took effect cannot be known, and it is not repeated.%s", a.Number, toSettle)})
	}
	return record(AttemptAbandoned{Attempt: a.Number})
}

func (s *State) nextOfAsk(c *Command, now time.Time, maxSteps int) Action {
	if len(c.Waiting()) > 0 {
		return Action{At: c.Deadline}
	}
	if step := c.lastStep(); step != nil {
		if events := c.conclude(*step, maxSteps); events != nil {
			return Action{Kind: Record, Events: events, Head: s.headFor(events)}
		}
	}
	if now.Before(c.RetryAt) {
		return Action{At: earlier(c.RetryAt, c.Deadline)}
	}
	return Action{Kind: Decide}
}

// conclude returns the events that end an ask after a step whose commands have
// all ended, nil if the model has to be asked again.
func (c *Command) conclude(step Step, maxSteps int) []Event {
	good := true
	for _, child := range step.Issued {
		if child.Outcome.Phase == OutcomeUnknown {
			return []Event{OutcomeLost{Reason: "IssuedCommandUnknown", Message: fmt.Sprintf(
				"Whether the issued command %s took effect cannot be known, so nothing is decided on top of it; this ask goes on when that is settled. %s", child.Name, child.Outcome.Text)}}
		}
		good = good && child.Outcome.Phase == Succeeded
	}
	if good && step.Decision.Response != "" {
		return c.respond(step.Decision.Response)
	}
	if len(c.Steps) >= maxSteps {
		return []Event{CommandFailed{Reason: "StepLimitReached", Message: fmt.Sprintf(
			"No response after %d decisions, the agent's limits.maxSteps; raise it, or ask for less at once.", len(c.Steps))}}
	}
	return nil
}

func (c *Command) respond(text string) []Event {
	return []Event{ResponseGiven{Conversation: c.Conversation, Text: text}, CommandSucceeded{Message: "The agent responded."}}
}

// StartAttempt returns the event that has to be durable before a call goes out;
// step is 0 for an effect, and timeout bounds the call.
func (c *Command) StartAttempt(now time.Time, step int, timeout time.Duration) AttemptStarted {
	return AttemptStarted{Attempt: c.Attempts + 1, Step: step, Deadline: earlier(now.Add(timeout), c.Deadline).UTC()}
}

// Decided returns the events that a validated answer causes; menu is what it was chosen from.
func (c *Command) Decided(made DecisionMade, menu Profile) []Event {
	for i, choice := range made.Decision.Commands {
		op, _ := menu.Operation(choice.Operation)
		intent := IntentOf(op, choice.Arguments)
		name := fmt.Sprintf("%s-%d-%d", c.Name, made.Step, i)
		made.Issued = append(made.Issued, IssuedCommand{Name: name, Key: IssuedKey(c.Key, name, intent), Intent: intent})
	}
	if len(made.Issued) == 0 {
		return append([]Event{made}, c.respond(made.Decision.Response)...)
	}
	return []Event{made}
}

// Undecided returns the events that follow when no decision could be had; the
// verdict Rejected says that asking again cannot help. Cost is what the answers
// that could not be used took.
func (c *Command) Undecided(now time.Time, o Outcome, cost Usage) []Event {
	failed := AttemptFailed{Attempt: c.Attempts, Reason: o.Reason, Message: o.Message, Usage: cost}
	if c.Cancel != "" {
		return []Event{failed} // the next look ends it as cancelled
	}
	if o.Verdict == Rejected || c.Failures+1 >= c.Retry.MaxAttempts {
		return []Event{failed, CommandFailed{Reason: o.Reason, Message: o.Message}}
	}
	failed.RetryAt = now.Add(c.Retry.After(c.Failures+1, o.RetryAfter)).UTC()
	return []Event{failed}
}

// Executed returns the events that an attempt's outcome causes.
func (c *Command) Executed(now time.Time, o Outcome) []Event {
	repeatable := o.Verdict == NotDone || (o.Verdict == Ambiguous && c.Effect != NonIdempotent)
	switch {
	case o.Verdict == Done:
		return []Event{AttemptSucceeded{Attempt: c.Attempts, Status: o.Status, Result: o.Result}, CommandSucceeded{Message: o.Message}}
	case o.Verdict == Ambiguous && !repeatable:
		return []Event{OutcomeLost{Reason: o.Reason, Message: o.Message +
			" Whether it took effect cannot be known, and it is not repeated." + toSettle}}
	case repeatable && c.Cancel != "":
		return []Event{AttemptFailed{Attempt: c.Attempts, Status: o.Status, Reason: o.Reason, Message: o.Message}} // the next look ends it as cancelled
	case repeatable && c.Failures+1 < c.Retry.MaxAttempts:
		return c.retry(now, o)
	}
	return []Event{
		AttemptFailed{Attempt: c.Attempts, Status: o.Status, Reason: o.Reason, Message: o.Message},
		CommandFailed{Reason: o.Reason, Message: fmt.Sprintf("%s It was attempted %s.", o.Message, times(c.Failures+1))},
	}
}

// ExecutedAtCost returns the events of an attempt that did not succeed, and what it cost: tokens that a model took all the same.
func (c *Command) ExecutedAtCost(now time.Time, o Outcome, cost Usage) []Event {
	events := c.Executed(now, o)
	for i, event := range events {
		if failed, ok := event.(AttemptFailed); ok {
			failed.Usage = cost
			events[i] = failed
		}
	}
	return events
}

func (c *Command) retry(now time.Time, o Outcome) []Event {
	return []Event{AttemptFailed{Attempt: c.Attempts, Status: o.Status, Reason: o.Reason, Message: o.Message,
		RetryAt: now.Add(c.Retry.After(c.Failures+1, o.RetryAfter)).UTC()}}
}

func record(events ...Event) Action { return Action{Kind: Record, Events: events} }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
