package agent

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

var start = time.Date(2027, 3, 4, 9, 0, 0, 0, time.UTC)

// story folds events as a journal would hand them over, and is what the tables below are told in.
type story struct {
	t     *testing.T
	state *State
	clock time.Time
}

func newStory(t *testing.T) *story { return &story{t: t, state: NewState(), clock: start} }

func (s *story) given(key string, events ...Event) *story {
	s.t.Helper()
	for _, e := range events {
		stored := Encode(key, e)
		decoded, err := Decode(stored)
		if err != nil {
			s.t.Fatalf("decode %s: %v", stored.Type, err)
		}
		s.state.Apply(Recorded{Sequence: s.state.Sequence + 1, Time: s.clock, Subject: stored.Subject, Event: decoded})
	}
	return s
}

func (s *story) order(name string, i Intent) Order {
	key := DefaultKey(name, i)
	for _, c := range s.state.Open {
		for _, child := range c.Unaccepted() {
			if child.Name == name {
				key = child.Key
			}
		}
	}
	return Order{Name: name, Key: key, Intent: i, Timeout: 5 * time.Minute, Retry: Retry{MaxAttempts: 3, Backoff: time.Second}}
}

// accept brings an order through the door and returns its key.
func (s *story) accept(name string, i Intent, effect EffectClass) string {
	o := s.order(name, i)
	s.given(o.Key, s.state.Accept(o, Approval{Allowed: true, Effect: effect, Message: "allowed"})...)
	return o.Key
}

func (s *story) next(key string) Action { return s.state.Next(key, s.clock, 3) }

func names(events []Event) []string {
	var out []string
	for _, e := range events {
		name, _ := e.stored()
		out = append(out, name)
	}
	return out
}

func (s *story) want(what string, got, want any) {
	s.t.Helper()
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func ask(conversation, message string) Intent {
	return NewIntent(Ask, AskPayload{Conversation: conversation, Message: message})
}

func call(operation string) Intent {
	return NewIntent(CallAPI, CallAPIPayload{Operation: operation, Arguments: json.RawMessage(`{"a":1}`)})
}

var menu = Profile{Operations: []Operation{
	{Name: "save", Type: SaveMemory, Effect: Internal},
	{Name: "book", Type: CallAPI, Effect: Idempotent, Call: &Call{Method: "POST"}},
}}

// decide folds a decision of an ask, and returns the keys of what it issued.
func (s *story) decide(key string, d Decision) []string {
	c := s.state.Open[key]
	attempt := c.StartAttempt(s.clock, len(c.Steps)+1, time.Second)
	s.given(key, attempt)
	events := s.state.Open[key].Decided(DecisionMade{Attempt: attempt.Attempt, Step: attempt.Step, Decision: d}, menu)
	var keys []string
	for _, issued := range events[0].(DecisionMade).Issued {
		keys = append(keys, issued.Key)
	}
	s.given(key, events...)
	return keys
}

func TestAnInternalEffectIsOneAppendWithItsOutcome(t *testing.T) {
	s := newStory(t)
	o := s.order("remember", NewIntent(SaveMemory, SaveMemoryPayload{Kind: "preference", Content: "window"}))
	events := s.state.Accept(o, Approval{Allowed: true, Effect: Internal})
	s.want("events", names(events), []string{"CommandAccepted", "CommandApproved", "MemorySaved", "CommandSucceeded"})
	s.given(o.Key, events...)
	s.want("open", len(s.state.Open), 0)

	forget := s.order("forget", NewIntent(ForgetMemory, ForgetMemoryPayload{ID: MemoryID(o.Key)}))
	events = s.state.Accept(forget, Approval{Allowed: true, Effect: Internal})
	s.want("forgetting", names(events), []string{"CommandAccepted", "CommandApproved", "MemoryForgotten", "CommandSucceeded"})
	s.given(forget.Key, events...)
	again := s.order("forget-again", NewIntent(ForgetMemory, ForgetMemoryPayload{ID: MemoryID(o.Key)}))
	s.want("forgetting twice", names(s.state.Accept(again, Approval{Allowed: true})), []string{"CommandAccepted", "CommandApproved", "CommandFailed"})
}

func TestARefusalIsAnEventAndFinal(t *testing.T) {
	s := newStory(t)
	o := s.order("book", call("unknown"))
	events := s.state.Accept(o, Approval{Reason: "OperationUnknown", Message: "no such operation"})
	s.want("events", names(events), []string{"CommandAccepted", "CommandRefused"})
	s.given(o.Key, events...)
	s.want("next", s.next(o.Key).Kind, Rest)
}

func TestAsksOfOneConversationRunInTheOrderAccepted(t *testing.T) {
	s := newStory(t)
	first, second, other := s.accept("a", ask("ada", "1"), Idempotent), s.accept("b", ask("ada", "2"), Idempotent), s.accept("c", ask("bob", "3"), Idempotent)
	s.want("first", s.next(first).Kind, Decide)
	s.want("second waits", s.next(second).Kind, Rest)
	s.want("other conversation", s.next(other).Kind, Decide)
	s.decide(first, Decision{Response: "done"})
	s.want("second goes on", s.next(second).Kind, Decide)
}

func TestAnAskGoesOnWhenItsCommandsHaveEnded(t *testing.T) {
	s := newStory(t)
	key := s.accept("trip", ask("ada", "book"), Idempotent)
	issued := s.decide(key, Decision{Commands: []Choice{{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}})
	s.want("waits", s.next(key).Kind, Rest)
	s.want("unaccepted", s.state.Open[key].Unaccepted()[0].Name, "trip-1-0")
	child := s.accept("trip-1-0", call("book"), Idempotent)
	s.want("the child's key is the decided one", child, issued[0])
	s.want("child's issuer", s.state.Open[child].IssuedBy.Command, key)
	s.want("child's conversation", s.state.Open[child].Conversation, "ada")
	s.given(child, s.state.Open[child].StartAttempt(s.clock, 0, time.Second))
	s.given(child, s.state.Open[child].Executed(s.clock, Outcome{Verdict: Done, Result: `{"id":7}`, Message: "ok"})...)
	s.want("goes on", s.next(key).Kind, Decide)
	s.want("trail", s.state.Open[key].Trail()[0].Outcomes[0].Text, `{"id":7}`)
}

func TestAResponseBesideCommandsStandsIfTheySucceed(t *testing.T) {
	save := Decision{Response: "I will remember.", Commands: []Choice{{Operation: "save", Arguments: json.RawMessage(`{"kind":"k","content":"c"}`)}}}
	intent := NewIntent(SaveMemory, SaveMemoryPayload{Kind: "k", Content: "c"})
	s := newStory(t)
	key := s.accept("x", ask("ada", "remember"), Idempotent)
	s.decide(key, save)
	s.accept("x-1-0", intent, Internal)
	s.want("responds", names(s.next(key).Events), []string{"ResponseGiven", "CommandSucceeded"})

	s = newStory(t)
	key = s.accept("x", ask("ada", "remember"), Idempotent)
	s.decide(key, save)
	o := s.order("x-1-0", intent)
	s.given(o.Key, s.state.Accept(o, Approval{Reason: "No", Message: "no"})...)
	s.want("asks again if one was refused", s.next(key).Kind, Decide)
}

func TestNobodyJudgesAnAttemptBeforeItsDeadline(t *testing.T) {
	for _, tc := range []struct {
		effect EffectClass
		want   []string
	}{
		{Idempotent, []string{"AttemptAbandoned"}},
		{NonIdempotent, []string{"OutcomeLost"}},
	} {
		t.Run(string(tc.effect), func(t *testing.T) {
			s := newStory(t)
			key := s.accept("b", call("book"), tc.effect)
			attempt := s.state.Open[key].StartAttempt(s.clock, 0, 10*time.Second)
			s.given(key, attempt)
			action := s.next(key)
			s.want("rests", action.Kind, Rest)
			s.want("until the deadline", action.At, attempt.Deadline)
			s.clock = attempt.Deadline
			s.want("then", names(s.next(key).Events), tc.want)
		})
	}
}

func TestWhatAnAttemptsOutcomeCauses(t *testing.T) {
	for _, tc := range []struct {
		name     string
		effect   EffectClass
		verdict  Verdict
		failures int
		want     []string
	}{
		{"done", NonIdempotent, Done, 0, []string{"AttemptSucceeded", "CommandSucceeded"}},
		{"rejected", Idempotent, Rejected, 0, []string{"AttemptFailed", "CommandFailed"}},
		{"not done is tried again", NonIdempotent, NotDone, 0, []string{"AttemptFailed"}},
		{"not done, but not for ever", NonIdempotent, NotDone, 2, []string{"AttemptFailed", "CommandFailed"}},
		{"ambiguous with a key is tried again", Idempotent, Ambiguous, 0, []string{"AttemptFailed"}},
		{"ambiguous and not repeatable is not guessed", NonIdempotent, Ambiguous, 0, []string{"OutcomeLost"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Command{Effect: tc.effect, Failures: tc.failures, Retry: Retry{MaxAttempts: 3, Backoff: time.Second}}
			events := c.Executed(start, Outcome{Verdict: tc.verdict, Reason: "R", Message: "M."})
			if got := names(events); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAnUnknownOutcomeEndsTheAskThatIssuedIt(t *testing.T) {
	s := newStory(t)
	key := s.accept("trip", ask("ada", "book"), Idempotent)
	s.decide(key, Decision{Commands: []Choice{{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}})
	child := s.accept("trip-1-0", call("book"), NonIdempotent)
	s.given(child, s.state.Open[child].StartAttempt(s.clock, 0, time.Second), OutcomeLost{Reason: "ConnectionLost", Message: "lost"})
	s.want("ends", names(s.next(key).Events), []string{"OutcomeLost"})
}

func TestCommandsOfAnEndedAskDoNotRun(t *testing.T) {
	decision := Decision{Commands: []Choice{
		{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}, {Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}}
	s := newStory(t)
	key := s.accept("trip", ask("ada", "book"), Idempotent)
	issued := s.decide(key, decision)
	accepted := s.accept("trip-1-0", call("book"), Idempotent)
	s.given(key, CancelRequested{Reason: "CancelRequested"})
	s.given(key, s.next(key).Events...)
	s.want("the accepted one is stopped", names(s.next(accepted).Events), []string{"CommandCancelled"})
	late := s.order("trip-1-1", call("book"))
	late.Key = issued[1]
	digest, known := s.state.Issued(late.Key)
	s.want("the other one is issued", known, true)
	s.want("with its intent", digest, late.Intent.Digest())
	s.want("and stopped at the door", names(s.state.Accept(late, Approval{Allowed: true})), []string{"CommandAccepted", "CommandCancelled"})
}

func TestTheStepLimitEndsAnAsk(t *testing.T) {
	s := newStory(t)
	key := s.accept("loop", ask("ada", "go"), Idempotent)
	for step := range 3 {
		s.want("decides", s.next(key).Kind, Decide)
		s.decide(key, Decision{Commands: []Choice{{Operation: "save", Arguments: json.RawMessage(`{"kind":"k","content":"c"}`)}}})
		o := s.state.Open[key].Unaccepted()[0]
		s.given(o.Key, s.state.Accept(Order{Name: o.Name, Key: o.Key, Intent: o.Intent}, Approval{Allowed: true})...)
		_ = step
	}
	s.want("ends", names(s.next(key).Events), []string{"CommandFailed"})
}

func TestATimeoutEndsACommandThatHasNothingUnderWay(t *testing.T) {
	s := newStory(t)
	key := s.accept("b", call("book"), Idempotent)
	s.clock = s.clock.Add(5 * time.Minute)
	s.want("ends", s.next(key).Events[0].(CommandFailed).Reason, "DeadlineExceeded")
}

func TestTheKeyGoesByNameAndIntent(t *testing.T) {
	a := NewIntent(CallAPI, CallAPIPayload{Operation: "o", Arguments: json.RawMessage(`{"b": 1.50, "a": [1, 2]}`)})
	b := NewIntent(CallAPI, CallAPIPayload{Operation: "o", Arguments: json.RawMessage(`{"a":[1,2],"b":1.5}`)})
	c := NewIntent(CallAPI, CallAPIPayload{Operation: "o", Arguments: json.RawMessage(`{"a":[1,2],"b":2}`)})
	if DefaultKey("n", a) != DefaultKey("n", b) {
		t.Error("spelling changes the key")
	}
	if DefaultKey("n", a) == DefaultKey("n", c) || DefaultKey("n", a) == DefaultKey("m", a) {
		t.Error("another intent or name has the same key")
	}
}

func TestFoldTellsWhatTheStateTold(t *testing.T) {
	s := newStory(t)
	o := s.order("a", ask("ada", "1"))
	records := []Recorded{}
	add := func(events ...Event) {
		for _, e := range events {
			r := Recorded{Sequence: s.state.Sequence + 1, Time: s.clock, Subject: o.Key, Event: e}
			records = append(records, r)
			s.state.Apply(r)
		}
	}
	add(s.state.Accept(o, Approval{Allowed: true, Effect: Idempotent})...)
	add(s.state.Open[o.Key].StartAttempt(s.clock, 1, time.Second))
	if !reflect.DeepEqual(Fold(records), s.state.Open[o.Key]) {
		t.Errorf("got %+v, want %+v", Fold(records), s.state.Open[o.Key])
	}
}

func TestAnotherAskOfTheSameNameIssuesOtherCommands(t *testing.T) {
	decision := Decision{Commands: []Choice{{Operation: "book", Arguments: json.RawMessage(`{"a":1}`)}}}
	s := newStory(t)
	first := s.decide(s.accept("trip", ask("ada", "book"), Idempotent), decision)
	second := s.decide(s.accept("trip", ask("bob", "book the same"), Idempotent), decision)
	if first[0] == second[0] {
		t.Errorf("both are %s", first[0])
	}
}
