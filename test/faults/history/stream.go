package history

import (
	"slices"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// stream is one life of an agent.
type stream struct {
	*check

	closed bool // AgentDeleted
	lives  map[string]*life
	issued map[string]issue // commands that decisions issued, by key
	asks   []*life          // open asks, in the order in which they were accepted or reopened
	late   *journal.Record  // the record before, if it was written late
}

// issue is a command as a decision issued it.
type issue struct {
	agent.Issue
	agent.IssuedCommand
}

// take checks the event against what the stream says so far, and adds it.
func (s *stream) take(r journal.Record, event agent.Event) {
	if s.closed {
		s.violate(r, "the stream was closed before")
	}
	if _, ok := event.(agent.AgentDeleted); ok {
		s.closed = true
		return
	}
	l := s.lives[r.Subject]
	accepted, opens := event.(agent.CommandAccepted)
	switch {
	case opens && l != nil:
		s.violate(r, "the command was accepted before, at event %d", l.first)
		return
	case opens:
		s.accept(r, accepted)
		return
	case l == nil:
		s.violate(r, "the command was never accepted")
		l = &life{stream: s, key: r.Subject, first: r.Sequence}
		s.lives[r.Subject] = l
	}
	l.take(r, event)
}

func (s *stream) accept(r journal.Record, e agent.CommandAccepted) {
	l := &life{stream: s, key: r.Subject, first: r.Sequence, accepted: e}
	s.lives[r.Subject] = l
	if e.Intent.Type == agent.Ask {
		s.asks = append(s.asks, l)
	}
	i, issued := s.issued[r.Subject]
	switch {
	case !issued && e.IssuedBy == nil:
	case !issued:
		s.violate(r, "no decision issued it: it says that step %d of %s did", e.IssuedBy.Step, e.IssuedBy.Command)
	case e.IssuedBy == nil:
		s.violate(r, "it was issued by step %d of %s, and does not say so", i.Step, i.Command)
	case *e.IssuedBy != i.Issue || e.Name != i.Name || e.Intent.Digest() != i.Intent.Digest():
		s.violate(r, "it is not what step %d of %s issued under that key", i.Step, i.Command)
	}
}

// turn checks that an ask which begins to build its context is the only one of its conversation that runs, and the first
// of those that wait.
func (s *stream) turn(r journal.Record, l *life) {
	if l.accepted.Intent.Type != agent.Ask {
		return
	}
	before := true
	for _, other := range s.asks {
		if other == l {
			before = false
			continue
		}
		if other.accepted.Conversation == l.accepted.Conversation && (other.running || before) {
			s.violate(r, "it runs while %s, of the same conversation, has not ended", other.key)
		}
	}
	l.running = true
}

// leave takes an ended ask out of its conversation's queue.
func (s *stream) leave(l *life) {
	l.running = false
	s.asks = slices.DeleteFunc(s.asks, func(other *life) bool { return other == l })
}

// closes reports whether the event ends the open attempt of its command, and was written by who started that.
func (s *stream) closes(r journal.Record, event agent.Event) bool {
	l := s.lives[r.Subject]
	if l == nil || l.open == nil || l.open.epoch != r.Epoch {
		return false
	}
	switch e := event.(type) {
	case agent.AttemptSucceeded:
		return e.Attempt == l.open.Attempt
	case agent.AttemptFailed:
		return e.Attempt == l.open.Attempt
	case agent.AttemptAbandoned:
		return e.Attempt == l.open.Attempt
	case agent.DecisionMade:
		return e.Attempt == l.open.Attempt
	case agent.OutcomeLost:
		return true
	}
	return false
}

// concludes reports whether the event follows from a late one, in the same batch.
func (s *stream) concludes(r journal.Record, event agent.Event) bool {
	if s.late == nil || s.late.Subject != r.Subject || s.late.Epoch != r.Epoch || s.late.Sequence+1 != r.Sequence {
		return false
	}
	switch event.(type) {
	case agent.CommandSucceeded, agent.CommandFailed, agent.CommandCancelled, agent.ResponseGiven, agent.OutcomeLost:
		return true
	}
	return false
}
