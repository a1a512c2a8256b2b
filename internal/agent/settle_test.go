package agent

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func resolve(command string, outcome Settlement) Intent {
	return NewIntent(Resolve, ResolvePayload{Command: command, Outcome: outcome, Reason: "the receiver has it on record.", By: "ada"})
}

// lose lets a command's only attempt end as OutcomeUnknown.
func (s *story) lose(key string) {
	s.given(key, s.state.Open[key].StartAttempt(s.clock, 0, time.Second))
	s.given(key, s.state.Open[key].Executed(s.clock, Outcome{Verdict: Ambiguous, Reason: "ConnectionLost", Message: "The connection ended."})...)
}

// trip is an ask that issued that many bookings, whose outcomes are all unknown, and so is its own.
func (s *story) trip(bookings int) (ask string, issued []string) {
	s.t.Helper()
	ask = s.accept("trip", askFor("trip"), Idempotent)
	d := Decision{}
	for range bookings {
		d.Commands = append(d.Commands, Choice{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)})
	}
	s.decide(ask, d)
	for _, child := range s.state.Open[ask].Unaccepted() {
		issued = append(issued, s.accept(child.Name, call("book"), NonIdempotent))
	}
	for _, key := range issued {
		s.lose(key)
	}
	s.given(ask, s.next(ask).Events...)
	s.want("the ask's phase", s.state.Unknown[ask].Phase, OutcomeUnknown)
	return ask, issued
}

func askFor(message string) Intent { return ask("ada", message) }

// settle brings a resolve command through the door, and returns its events.
func (s *story) settle(name, command string, outcome Settlement) []Event {
	o := s.order(name, resolve(command, outcome))
	events := s.state.Accept(o, Approval{Allowed: true, Effect: Internal, Message: "allowed"})
	s.given(o.Key, events...)
	return events
}

func TestAPersonSettlesWhatCouldNotBeKnown(t *testing.T) {
	for _, tc := range []struct {
		outcome Settlement
		phase   Phase
		reason  string
		passed  bool
		message string
	}{
		{SettledSucceeded, Succeeded, "", true, "Settled as Succeeded by ada: the receiver has it on record."},
		{SettledFailed, Failed, "SettledAsFailed", false, "Settled as Failed by ada: the receiver has it on record."},
	} {
		t.Run(string(tc.outcome), func(t *testing.T) {
			s := newStory(t)
			key := s.accept("book-42", call("book"), NonIdempotent)
			s.lose(key)
			c := s.state.Unknown[key]
			s.clock = s.clock.Add(time.Hour)
			events := s.settle("settle", "book-42", tc.outcome)
			s.want("events", names(events), []string{"CommandAccepted", "CommandApproved", "OutcomeSettled", "CommandSucceeded"})
			s.want("subject", Encode("settle", events[2]).Subject, key)
			s.want("unknown", len(s.state.Unknown)+len(s.state.Open), 0)
			s.want("phase", c.Phase, tc.phase)
			s.want("reason", c.Reason, tc.reason)
			s.want("message", c.Message, tc.message)
			s.want("ended", c.FinishedAt, s.clock)
			mark := c.Marks[len(c.Marks)-1]
			s.want("mark", []any{mark.Stage, mark.Passed, mark.Message, mark.Sequence}, []any{StageExecuted, tc.passed, tc.message, c.Sequence})
		})
	}
}

func TestWhatCannotBeSettledIsRefusedWithWhatItIs(t *testing.T) {
	for _, tc := range []struct {
		name   string
		given  func(s *story)
		ref    string
		reason string
		says   []string
	}{
		{"nobody knows it", func(*story) {}, "book-42", "NothingToResolve", []string{`no command of the name or key "book-42"`}},
		{"it has not ended", func(s *story) { s.accept("book-42", call("book"), NonIdempotent) }, "book-42", "NothingToResolve", []string{`"book-42" has not ended`}},
		{"it succeeded", func(s *story) {
			s.accept("book-42", NewIntent(SaveMemory, SaveMemoryPayload{Kind: "k", Content: "c"}), Internal)
		}, "book-42", "NothingToResolve", []string{"whose outcome is unknown"}},
		{"somebody was first", func(s *story) {
			s.lose(s.accept("book-42", call("book"), NonIdempotent))
			s.settle("first", "book-42", SettledFailed)
		}, "book-42", "NothingToResolve", []string{"settled already, as Failed by ada"}},
		{"it is an ask", func(s *story) { s.trip(2) }, "trip", "NothingToResolve", []string{`"trip" is an ask`, "trip-1-0, trip-1-1"}},
		{"two have the name", func(s *story) {
			s.lose(s.accept("book-42", call("book"), NonIdempotent))
			s.lose(s.accept("book-42", call("book_other"), NonIdempotent))
		}, "book-42", "AmbiguousName", []string{"2 commands", DefaultKey("book-42", call("book")), DefaultKey("book-42", call("book_other"))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			tc.given(s)
			before := len(s.state.Unknown)
			events := s.settle("settle", tc.ref, SettledSucceeded)
			s.want("events", names(events), []string{"CommandAccepted", "CommandApproved", "CommandFailed"})
			failed := events[2].(CommandFailed)
			s.want("reason", failed.Reason, tc.reason)
			for _, text := range tc.says {
				if !strings.Contains(failed.Message, text) {
					t.Errorf("it does not say %q: %s", text, failed.Message)
				}
			}
			s.want("unknown", len(s.state.Unknown), before)
		})
	}
}

func TestOfTwoCommandsOfANameOneIsSettledByItsKey(t *testing.T) {
	s := newStory(t)
	first, second := s.accept("book-42", call("book"), NonIdempotent), s.accept("book-42", call("book_other"), NonIdempotent)
	s.lose(first)
	s.lose(second)
	s.settle("settle", second, SettledSucceeded)
	if s.state.Unknown[first] == nil || s.state.Unknown[second] != nil {
		t.Errorf("unknown are %v", s.state.Unknown)
	}
}

func TestACommandThatRunsAgainKeepsItsKeyAndCountsOn(t *testing.T) {
	s := newStory(t)
	key := s.accept("book-42", call("book"), NonIdempotent)
	s.given(key, s.state.Open[key].StartAttempt(s.clock, 0, time.Second), CancelRequested{Reason: "CancelRequested"})
	s.given(key, OutcomeLost{Reason: "ConnectionLost", Message: "lost"})
	s.clock = s.clock.Add(time.Hour)
	s.settle("again", "book-42", RunAgain)
	c := s.state.Open[key]
	s.want("next", s.next(key).Kind, Execute)
	s.want("deadline", c.Deadline, s.clock.Add(5*time.Minute))
	s.want("attempt", c.StartAttempt(s.clock, 0, time.Second).Attempt, 2)
	s.want("the old wish to stop it", []any{c.Cancel, c.CancelOverruled}, []any{"", true})
	s.want("end", []any{c.Phase, c.Reason, c.FinishedAt.IsZero()}, []any{Running, "", true})

	s.lose(key)
	s.want("it may be unknown again", s.state.Unknown[key].Phase, OutcomeUnknown)
	s.settle("settle", "book-42", SettledFailed)
	s.want("and be settled again", c.Phase, Failed)
}

func TestTheAskGoesOnWithTheSettledOutcome(t *testing.T) {
	for _, tc := range []struct {
		outcome Settlement
		text    string
		next    ActionKind
	}{
		{SettledSucceeded, "Settled as Succeeded by ada: the receiver has it on record.", Decide},
		{SettledFailed, "Settled as Failed by ada: the receiver has it on record.", Decide},
		{RunAgain, "", Rest},
	} {
		t.Run(string(tc.outcome), func(t *testing.T) {
			s := newStory(t)
			ask, issued := s.trip(1)
			s.clock = s.clock.Add(time.Hour)
			events := s.settle("settle", "trip-1-0", tc.outcome)
			s.want("events", names(events), []string{"CommandAccepted", "CommandApproved", "OutcomeSettled", "CommandReopened", "CommandSucceeded"})
			s.want("subject", Encode("settle", events[3]).Subject, ask)
			c := s.state.Open[ask]
			s.want("told", c.Trail()[0].Outcomes[0].Text, tc.text)
			s.want("next", s.next(ask).Kind, tc.next)
			s.want("deadline", c.Deadline, s.clock.Add(5*time.Minute))
			if tc.outcome != RunAgain {
				s.want("its context has seen the settlement", c.Seen >= s.state.Sequence-1, true)
				return
			}
			s.want("the command runs", s.next(issued[0]).Kind, Execute)
			s.given(issued[0], s.state.Open[issued[0]].StartAttempt(s.clock, 0, time.Second))
			s.given(issued[0], s.state.Open[issued[0]].Executed(s.clock, Outcome{Verdict: Done, Result: "booked", Message: "ok"})...)
			s.want("and then the ask goes on", s.next(ask).Kind, Decide)
			s.want("with its result", s.state.Open[ask].Trail()[0].Outcomes[0].Text, "booked")
		})
	}
}

func TestAnAskGoesOnWhenTheLastOfItsCommandsIsSettled(t *testing.T) {
	s := newStory(t)
	ask, issued := s.trip(3)
	s.want("one", names(s.settle("one", "trip-1-0", RunAgain))[2:], []string{"OutcomeSettled", "CommandSucceeded"})
	s.want("the first runs meanwhile", s.next(issued[0]).Kind, Execute)
	s.want("two", names(s.settle("two", "trip-1-1", SettledFailed))[2:], []string{"OutcomeSettled", "CommandSucceeded"})
	s.want("three", names(s.settle("three", "trip-1-2", SettledSucceeded))[2:], []string{"OutcomeSettled", "CommandReopened", "CommandSucceeded"})
	s.want("waits for the first", s.next(ask).Kind, Rest)
	s.lose(issued[0])
	s.want("and ends with it", names(s.next(ask).Events), []string{"OutcomeLost"})
}

func TestAReopenedAskIsTheLastOfItsConversation(t *testing.T) {
	s := newStory(t)
	ask, _ := s.trip(1)
	later := s.accept("later", askFor("later"), Idempotent)
	s.want("its turn has come", s.next(later).Kind, Decide)
	s.settle("settle", "trip-1-0", SettledSucceeded)
	s.want("and stays", s.next(later).Kind, Decide)
	s.want("the other waits", s.next(ask).Kind, Rest)
	s.decide(later, Decision{Response: "done"})
	s.want("for that", s.next(ask).Kind, Decide)
}

// The ask has not ended, because another of its commands has not: there is nothing to reopen.
func TestAnOutcomeIsSettledWhileItsAskWaitsForAnother(t *testing.T) {
	s := newStory(t)
	ask := s.accept("trip", askFor("trip"), Idempotent)
	choice := Choice{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}
	s.decide(ask, Decision{Commands: []Choice{choice, choice}})
	first, second := s.accept("trip-1-0", call("book"), NonIdempotent), s.accept("trip-1-1", call("book"), NonIdempotent)
	s.lose(first)
	s.want("events", names(s.settle("settle", first, SettledSucceeded))[2:], []string{"OutcomeSettled", "CommandSucceeded"})
	s.given(second, s.state.Open[second].StartAttempt(s.clock, 0, time.Second))
	s.given(second, s.state.Open[second].Executed(s.clock, Outcome{Verdict: Done, Message: "ok"})...)
	s.want("it goes on", s.next(ask).Kind, Decide)
}

// What the end follows from may be settled at the same moment: it holds at this head of the stream alone.
func TestTheEndOfAnAskByAnUnknownOutcomeHoldsAtItsHeadAlone(t *testing.T) {
	s := newStory(t)
	ask := s.accept("trip", askFor("trip"), Idempotent)
	s.decide(ask, Decision{Commands: []Choice{{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}})
	s.lose(s.accept("trip-1-0", call("book"), NonIdempotent))
	s.want("head", s.next(ask).Head, s.state.Sequence)
	s.settle("settle", "trip-1-0", SettledSucceeded)
	s.want("next", s.next(ask).Kind, Decide)
}

// The ask was over for another reason: what a person lets run again runs for itself.
func TestACommandOfAnEndedAskRunsAgainForItself(t *testing.T) {
	s := newStory(t)
	ask := s.accept("trip", askFor("trip"), Idempotent)
	s.decide(ask, Decision{Commands: []Choice{{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}})
	child := s.accept("trip-1-0", call("book"), NonIdempotent)
	s.given(child, s.state.Open[child].StartAttempt(s.clock, 0, time.Second))
	s.given(ask, CancelRequested{Reason: "CancelRequested"})
	s.given(ask, s.next(ask).Events...)
	s.given(child, OutcomeLost{Reason: "ConnectionLost", Message: "lost"})
	s.want("events", names(s.settle("again", "trip-1-0", RunAgain))[2:], []string{"OutcomeSettled", "CommandSucceeded"})
	s.want("next", s.next(child).Kind, Execute)
}

// No rule writes such a stream. But the version of a command counts its events, and a count that is off would stop it.
func TestWhatIsKnownIsNotSettled(t *testing.T) {
	s := newStory(t)
	key := s.accept("book-42", call("book"), NonIdempotent)
	before := s.state.Open[key].Clone()
	s.given(key, OutcomeSettled{Outcome: SettledFailed, Reason: "r", By: "ada", Command: "k"}, CommandReopened{Message: "m"})
	c := s.state.Open[key]
	s.want("phase and deadline", []any{c.Phase, c.Deadline}, []any{before.Phase, before.Deadline})
	s.want("version", c.Version, before.Version+2)
}

func TestFoldTellsOfASettlementWhatTheStateTold(t *testing.T) {
	for _, outcome := range []Settlement{SettledSucceeded, SettledFailed, RunAgain} {
		s := newStory(t)
		about := map[string][]Recorded{}
		add := func(key string, events ...Event) {
			for _, e := range events {
				stored := Encode(key, e)
				decoded, err := Decode(stored)
				if err != nil {
					t.Fatal(err)
				}
				r := Recorded{Sequence: s.state.Sequence + 1, Time: s.clock, Subject: stored.Subject, Event: decoded}
				about[r.Subject] = append(about[r.Subject], r)
				s.state.Apply(r)
			}
		}
		o := s.order("book-42", call("book"))
		add(o.Key, s.state.Accept(o, Approval{Allowed: true, Effect: NonIdempotent})...)
		add(o.Key, s.state.Open[o.Key].StartAttempt(s.clock, 0, time.Second), OutcomeLost{Reason: "ConnectionLost", Message: "lost"})
		c := s.state.Unknown[o.Key]
		settle := s.order("settle", resolve("book-42", outcome))
		add(settle.Key, s.state.Accept(settle, Approval{Allowed: true, Effect: Internal})...)
		if folded := Fold(about[o.Key]); !reflect.DeepEqual(folded, c) {
			t.Errorf("%s: got %+v, want %+v", outcome, folded, c)
		}
	}
}
