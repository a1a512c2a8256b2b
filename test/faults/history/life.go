package history

import (
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// life is what a stream says of one command.
type life struct {
	*stream

	key      string
	first    int64 // the sequence of its first event
	accepted agent.CommandAccepted

	ended    string // the type of the event that ended it; empty: it is open
	attempts int    // started so far
	open     *attempt
	steps    int  // decisions made so far
	done     bool // an attempt at an effect, or at a summary, succeeded
	given    bool // the ask has responded
	saved    bool // its memory was saved or forgotten
	running  bool // the ask has built a context, and has not ended
	unclear  bool // an attempt at a NonIdempotent effect was left open: what it did is not known
}

// attempt is one that was started and not closed.
type attempt struct {
	agent.AttemptStarted

	epoch int64
}

// take checks one event of the command, but its acceptance.
func (l *life) take(r journal.Record, event agent.Event) {
	switch e := event.(type) {
	case agent.OutcomeSettled:
		l.settled(r, e)
		return
	case agent.CommandReopened:
		l.reopened(r)
		return
	}
	if l.ended != "" {
		l.violate(r, "the command has ended with %s", l.ended)
	}
	switch e := event.(type) {
	case agent.ContextBuilt:
		l.turn(r, l)
	case agent.AttemptStarted:
		l.started(r, e)
	case agent.AttemptSucceeded:
		l.succeeded(r, e)
	case agent.AttemptFailed:
		l.close(r, e.Attempt)
	case agent.AttemptAbandoned:
		l.unclear = l.unclear || (l.open != nil && l.open.Step == 0 && l.accepted.Effect == agent.NonIdempotent)
		l.close(r, e.Attempt)
	case agent.DecisionMade:
		l.decided(r, e)
	case agent.SummaryWritten:
		l.close(r, e.Attempt)
		l.once(r, &l.done, "the summary was written before")
	case agent.ResponseGiven:
		l.once(r, &l.given, "the ask has responded before")
	case agent.DocumentIndexed:
		if l.open == nil {
			l.violate(r, "a document is recorded, and no attempt at it is open")
		}
	case agent.MemorySaved, agent.MemoryForgotten:
		l.once(r, &l.saved, "the command has changed the memory before")
	default:
		l.end(r, event)
	}
}

func (l *life) once(r journal.Record, seen *bool, again string) {
	if *seen {
		l.violate(r, "%s", again)
	}
	*seen = true
}

func (l *life) started(r journal.Record, e agent.AttemptStarted) {
	l.turn(r, l)
	if e.Attempt != l.attempts+1 {
		l.violate(r, "attempt %d follows attempt %d", e.Attempt, l.attempts)
	}
	if l.open != nil {
		l.violate(r, "attempt %d is started while attempt %d is open", e.Attempt, l.open.Attempt)
	}
	if e.Step == 0 && l.done {
		l.violate(r, "attempt %d is started after one has succeeded", e.Attempt)
	}
	if e.Step == 0 && l.accepted.Effect == agent.NonIdempotent && (l.unclear || l.open != nil) {
		l.violate(r, "the NonIdempotent effect is attempted again although nobody knows what an earlier attempt did")
	}
	if e.Step != 0 && e.Step != l.steps+1 {
		l.violate(r, "attempt %d is for decision %d, and %d were made", e.Attempt, e.Step, l.steps)
	}
	l.attempts = max(l.attempts, e.Attempt)
	l.open = &attempt{AttemptStarted: e, epoch: r.Epoch}
}

func (l *life) succeeded(r journal.Record, e agent.AttemptSucceeded) {
	l.close(r, e.Attempt)
	l.once(r, &l.done, "an attempt has succeeded before")
}

func (l *life) close(r journal.Record, number int) {
	if l.open == nil || l.open.Attempt != number {
		l.violate(r, "attempt %d is not open: it was never started, or closed before", number)
		return
	}
	l.open = nil
}

func (l *life) decided(r journal.Record, e agent.DecisionMade) {
	if l.open != nil && l.open.Step != e.Step {
		l.violate(r, "attempt %d was for decision %d, not %d", e.Attempt, l.open.Step, e.Step)
	}
	l.close(r, e.Attempt)
	if e.Step != l.steps+1 {
		l.violate(r, "decision %d follows decision %d", e.Step, l.steps)
	}
	l.steps = max(l.steps, e.Step)
	if len(e.Issued) != len(e.Decision.Commands) {
		l.violate(r, "%d commands were decided, and %d issued", len(e.Decision.Commands), len(e.Issued))
	}
	for i, child := range e.Issued {
		name := fmt.Sprintf("%s-%d-%d", l.accepted.Name, e.Step, i)
		if child.Name != name || child.Key != agent.IssuedKey(l.key, name, child.Intent) {
			l.violate(r, "command %d was issued as %s under key %s, which is not made from the ask's", i, child.Name, child.Key)
		}
		if earlier, again := l.issued[child.Key]; again {
			l.violate(r, "key %s was issued before, by step %d of %s", child.Key, earlier.Step, earlier.Command)
		}
		l.issued[child.Key] = issue{Issue: agent.Issue{Command: l.key, Step: e.Step, Index: i}, IssuedCommand: child}
	}
}

// end checks the events that end a command; the others that are left say nothing that could be wrong.
func (l *life) end(r journal.Record, event agent.Event) {
	switch event.(type) {
	case agent.OutcomeLost:
		l.open = nil
	case agent.CommandSucceeded:
		effect := l.accepted.Intent.Type == agent.CallAPI || l.accepted.Intent.Type == agent.IndexDocuments
		if effect && !l.done {
			l.violate(r, "no attempt at its effect succeeded")
		}
	case agent.CommandFailed, agent.CommandRefused, agent.CommandCancelled:
	default:
		return
	}
	if l.open != nil {
		l.violate(r, "the command ends while attempt %d is open", l.open.Attempt)
	}
	l.ended = r.Type
	l.leave(l)
}

// lost is the stored name of the only end that a person can lift.
const lost = "OutcomeLost"

func (l *life) settled(r journal.Record, e agent.OutcomeSettled) {
	if l.ended != lost {
		l.violate(r, "there is nothing to settle: the command has not ended with %s", lost)
	}
	if l.accepted.Intent.Type == agent.Ask {
		l.violate(r, "an ask is not settled; the commands that it issued are")
	}
	l.ended = r.Type
	if e.Outcome == agent.RunAgain {
		l.ended, l.unclear = "", false
	}
}

func (l *life) reopened(r journal.Record) {
	if l.ended != lost || l.accepted.Intent.Type != agent.Ask {
		l.violate(r, "only an ask that has ended with %s is reopened", lost)
	}
	l.leave(l)
	l.ended, l.given = "", false
	l.asks = append(l.asks, l)
}
