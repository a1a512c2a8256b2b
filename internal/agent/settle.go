package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How people settle what could not be known: a resolve command says of another
// one that it succeeded, that it failed, or that it is to run again.

// toSettle ends the message of an unknown outcome.
const toSettle = " Look at the receiver, then apply a command of type resolve that settles it as Succeeded or Failed, or lets it RunAgain."

// settlement is what the state remembers of an outcome that was settled.
type settlement struct {
	name    string // of the settled command
	key     string
	outcome Settlement
	by      string
}

// resolve returns the whole effect of a resolve command. It depends on other
// commands, so it is appended only where the stream is as this state saw it.
func (s *State) resolve(o Order) []Event {
	p := o.Intent.Resolve()
	found := s.unsettled(p.Command)
	switch {
	case len(found) == 0:
		return []Event{CommandFailed{Reason: "NothingToResolve", Message: s.nothingToResolve(bound(p.Command, 300))}}
	case len(found) > 1:
		return []Event{CommandFailed{Reason: "AmbiguousName", Message: ambiguous(bound(p.Command, 300), found)}}
	}
	c := found[0]
	events := []Event{About{Command: c.Key, Event: OutcomeSettled{Outcome: p.Outcome, Reason: p.Reason, By: p.By, Command: o.Key}}}
	message := fmt.Sprintf("The outcome of %s was settled as %s.", c.Name, p.Outcome)
	if p.Outcome == RunAgain {
		message = fmt.Sprintf("%s runs again, under the same idempotency key.", c.Name)
	}
	if ask := s.reopenedWith(c); ask != nil {
		message += fmt.Sprintf(" The ask %s goes on.", ask.Name)
		events = append(events, About{Command: ask.Key, Event: CommandReopened{Message: reopenedMessage(c, p)}})
	}
	return append(events, CommandSucceeded{Message: message})
}

// unsettled returns the commands of that name or key whose outcome a person can
// settle, by key. An ask is not among them: its outcome follows its commands'.
func (s *State) unsettled(name string) []*Command {
	var found []*Command
	for _, c := range s.Unknown {
		if c.Intent.Type != Ask && (c.Name == name || c.Key == name) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *Command) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// Unsettled returns the name of the one command that a resolve command of that
// name or key would settle, empty if there is none or several.
func (s *State) Unsettled(name string) string {
	if found := s.unsettled(name); len(found) == 1 {
		return found[0].Name
	}
	return ""
}

// reopenedWith returns the ask that goes on when the command is settled: it ended
// because of it, and has no other command whose outcome is unknown.
func (s *State) reopenedWith(c *Command) *Command {
	ask, own := s.issuer(c.IssuedBy)
	if ask == nil || ask.Phase != OutcomeUnknown {
		return nil
	}
	for i := range ask.Steps {
		for j := range ask.Steps[i].Issued {
			if other := &ask.Steps[i].Issued[j]; other != own && other.Outcome.Phase == OutcomeUnknown {
				return nil
			}
		}
	}
	return ask
}

// headFor returns the sequence at which an ask's end has to be appended: a person
// may settle the unknown outcome that it follows from at the same moment.
func (s *State) headFor(events []Event) int64 {
	if _, lost := events[0].(OutcomeLost); lost {
		return s.Sequence
	}
	return 0
}

// settle folds what a person said of an unknown outcome.
func (s *State) settle(c *Command, r Recorded, e OutcomeSettled) []string {
	c.apply(r)
	if c.Phase == OutcomeUnknown {
		return nil
	}
	delete(s.Unknown, c.Key)
	s.settled = append(s.settled, settlement{name: c.Name, key: c.Key, outcome: e.Outcome, by: e.By})
	if !c.Phase.Final() {
		s.Open[c.Key] = c
		ask, _ := s.issuer(c.IssuedBy)
		c.detached = c.IssuedBy != nil && ask == nil
	}
	return append([]string{c.Key}, s.tell(c)...)
}

// reopen folds that an ask goes on: at the end of its conversation's queue, because
// a turn that has come to another stays.
func (s *State) reopen(c *Command, r Recorded) []string {
	delete(s.Unknown, c.Key)
	c.apply(r)
	s.Open[c.Key] = c
	s.join(c)
	return []string{c.Key}
}

// settle folds a settlement into the command that it is about. Of a command whose
// outcome is known it changes nothing.
func (c *Command) settle(r Recorded, e OutcomeSettled) {
	if c.Phase != OutcomeUnknown {
		return
	}
	message := settledMessage(e)
	switch e.Outcome {
	case SettledSucceeded:
		c.markExecuted(r, true, "SettledAsSucceeded", message)
		c.end(r, Succeeded, "", message)
	case SettledFailed:
		c.markExecuted(r, false, "SettledAsFailed", message)
		c.end(r, Failed, "SettledAsFailed", message)
	case RunAgain:
		c.CancelOverruled = c.CancelOverruled || c.Cancel != ""
		c.reopen(r, "RunAgain", message)
	}
}

// reopen lets a command whose outcome was unknown go on, with its whole timeout
// before it. Attempts go on counting.
func (c *Command) reopen(r Recorded, reason, message string) {
	if c.Phase != OutcomeUnknown {
		return
	}
	c.Phase, c.Reason, c.Message, c.FinishedAt = Running, "", "", time.Time{}
	c.Deadline, c.RetryAt, c.Failures, c.Cancel = r.Time.Add(c.Timeout), time.Time{}, 0, ""
	c.markExecuted(r, false, reason, message)
}

func (s *State) nothingToResolve(name string) string {
	for _, key := range s.OpenKeys() {
		if c := s.Open[key]; c.Name == name || c.Key == name {
			return fmt.Sprintf("The command %q has not ended; there is something to settle only when its phase is OutcomeUnknown.", name)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Unknown)) {
		if c := s.Unknown[key]; c.Name == name || c.Key == name {
			return fmt.Sprintf("%q is an ask. It goes on when the outcome of what it issued is settled; name that command: %s.", name, unknownOf(c))
		}
	}
	for _, before := range slices.Backward(s.settled) {
		if before.name == name || before.key == name {
			return fmt.Sprintf("The outcome of %q was settled already, as %s by %s.", name, before.outcome, bound(before.by, 200))
		}
	}
	return fmt.Sprintf("The agent has no command of the name or key %q whose outcome is unknown; the phase of each stands in its status.", name)
}

// unknownOf names the commands of an ask whose outcome is unknown.
func unknownOf(ask *Command) string {
	var names []string
	for _, step := range ask.Steps {
		for _, child := range step.Issued {
			if child.Outcome.Phase == OutcomeUnknown {
				names = append(names, child.Name)
			}
		}
	}
	return bound(strings.Join(names, ", "), 500)
}

func ambiguous(name string, found []*Command) string {
	keys := make([]string, 0, len(found))
	for _, c := range found {
		keys = append(keys, c.Key)
	}
	return fmt.Sprintf("%d commands of the name %q have an unknown outcome. Apply a resolve command that gives one of their keys for spec.resolve.command: %s.",
		len(found), name, bound(strings.Join(keys, ", "), 600))
}

func settledMessage(e OutcomeSettled) string {
	said := fmt.Sprintf("by %s: %s.", bound(e.By, 200), strings.TrimRight(e.Reason, ". \n"))
	if e.Outcome == RunAgain {
		return "Run again " + said
	}
	return fmt.Sprintf("Settled as %s %s", e.Outcome, said)
}

func reopenedMessage(c *Command, p ResolvePayload) string {
	if p.Outcome == RunAgain {
		return fmt.Sprintf("The ask waits for the command %s, which %s lets run again.", c.Name, bound(p.By, 200))
	}
	return fmt.Sprintf("The ask goes on: %s settled the outcome of the command %s as %s.", bound(p.By, 200), c.Name, p.Outcome)
}
