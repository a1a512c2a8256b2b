package agent

import (
	"slices"
	"time"
)

// State is an agent's stream folded as far as the write side needs it: the open
// commands, those whose outcome a person has to settle, who waits for whom, what
// is remembered, which documents there are, and what was observed. Other ended commands leave it;
// their records stay in the journal, and Fold reads them.
type State struct {
	Sequence int64 // of the last event folded
	Closed   bool  // the agent was deleted; nothing is appended any more
	Open     map[string]*Command
	Unknown  map[string]*Command // ended as OutcomeUnknown, and not settled
	Memories map[string]struct{} // ids of what is remembered; one that has expired stays, because nothing here knows the time
	// Documents holds what the collections have, by collection and document.
	Documents map[string]map[string]Document
	// Observations holds what was last observed, by name.
	Observations map[string]Observed
	// Dimensions holds how many the stream's vectors of each embedding model have.
	Dimensions map[string]int
	// VectorBytes is what the stream's vectors take, of all models together.
	VectorBytes int64

	LastDecision time.Time
	Day          string // UTC, 2006-01-02: the day that Today counts
	Today        Usage  // of that day

	queues map[string][]string // lane → keys of the open commands in it, in the order accepted
	issued map[string]issuance // issued commands that are not accepted yet, by key

	settled []settlement // in the order in which people settled them
}

type issuance struct {
	Issue
	conversation string
	digest       string // of its intent
	ended        bool   // the ask that issued it is over
}

// NewState returns the state of an empty stream.
func NewState() *State {
	return &State{
		Open:         map[string]*Command{},
		Unknown:      map[string]*Command{},
		Memories:     map[string]struct{}{},
		Documents:    map[string]map[string]Document{},
		Observations: map[string]Observed{},
		Dimensions:   map[string]int{},
		queues:       map[string][]string{},
		issued:       map[string]issuance{},
	}
}

// Apply folds one event, and returns the keys of the commands that may move
// because of it. Events must arrive in the order of their sequences.
func (s *State) Apply(r Recorded) []string {
	s.Sequence = r.Sequence
	switch e := r.Event.(type) {
	case AgentDeleted:
		s.Closed = true
		return nil
	case CommandAccepted:
		return s.accept(r, e)
	case OutcomeSettled:
		if c := s.Unknown[r.Subject]; c != nil {
			return s.settle(c, r, e)
		}
	case CommandReopened:
		if c := s.Unknown[r.Subject]; c != nil {
			return s.reopen(c, r)
		}
	default:
		s.know(r.Event)
	}
	c, ok := s.Open[r.Subject]
	if !ok {
		return nil
	}
	c.apply(r)
	switch e := r.Event.(type) {
	case DecisionMade:
		s.spend(r.Time, e.Usage)
		s.decided(c, r.Time, e)
	case AttemptFailed:
		s.spend(r.Time, e.Usage)
	case SummaryWritten:
		s.spend(r.Time, e.Usage)
	case TextsEmbedded:
		s.spend(r.Time, e.Usage)
	}
	if c.Phase.Final() {
		return s.end(c)
	}
	return []string{c.Key}
}

func (s *State) accept(r Recorded, e CommandAccepted) []string {
	c := newCommand(r, e)
	s.Open[c.Key] = c
	s.join(c)
	delete(s.issued, c.Key)
	if _, child := s.issuer(e.IssuedBy); child != nil {
		child.Accepted = true
	}
	return []string{c.Key}
}

func (s *State) decided(c *Command, at time.Time, e DecisionMade) {
	s.LastDecision = at
	for i, issued := range e.Issued {
		s.issued[issued.Key] = issuance{Issue: Issue{Command: c.Key, Step: e.Step, Index: i}, conversation: c.Conversation, digest: issued.Intent.Digest()}
	}
}

func (s *State) spend(at time.Time, u Usage) {
	if day := at.UTC().Format(time.DateOnly); day != s.Day {
		s.Day, s.Today = day, Usage{}
	}
	s.Today = s.Today.Plus(u)
}

// end takes an ended command out, tells the ask that issued it, and lets the next
// command of its lane move.
func (s *State) end(c *Command) []string {
	delete(s.Open, c.Key)
	s.looked(c)
	if c.Phase == OutcomeUnknown {
		s.Unknown[c.Key] = c
	}
	moved := append([]string{c.Key}, s.tell(c)...)
	for _, child := range c.Waiting() {
		if child.Accepted {
			moved = append(moved, child.Key)
			continue
		}
		i := s.issued[child.Key]
		i.ended = true
		s.issued[child.Key] = i
	}
	return append(moved, s.leave(c)...)
}

// tell lets the ask that issued the command know what became of it, and returns
// the ask's key if it can move.
func (s *State) tell(c *Command) []string {
	ask, child := s.issuer(c.IssuedBy)
	if child == nil {
		return nil
	}
	child.Outcome = ChoiceOutcome{}
	if c.Phase.Final() {
		child.Outcome = ChoiceOutcome{Command: c.Name, Phase: c.Phase, Reason: c.Reason, Text: outcomeText(c)}
	}
	ask.Seen = c.Sequence
	if _, open := s.Open[ask.Key]; !open {
		return nil
	}
	return []string{ask.Key}
}

// issuer returns the ask that issued a command, and the place where it keeps what
// became of it; nil if the ask is over for good.
func (s *State) issuer(by *Issue) (*Command, *Child) {
	if by == nil {
		return nil, nil
	}
	ask := s.Open[by.Command]
	if ask == nil {
		ask = s.Unknown[by.Command]
	}
	if ask == nil || by.Step < 1 || by.Step > len(ask.Steps) || by.Index < 0 || by.Index >= len(ask.Steps[by.Step-1].Issued) {
		return nil, nil
	}
	return ask, &ask.Steps[by.Step-1].Issued[by.Index]
}

// OpenKeys returns the keys of the open commands, sorted.
func (s *State) OpenKeys() []string {
	keys := make([]string, 0, len(s.Open))
	for key := range s.Open {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// TokensOn returns what decisions cost on the day of now.
func (s *State) TokensOn(now time.Time) Usage {
	if s.Day != now.UTC().Format(time.DateOnly) {
		return Usage{}
	}
	return s.Today
}

func outcomeText(c *Command) string {
	if c.Phase == Succeeded && c.Result != "" {
		return c.Result
	}
	return c.Message
}
