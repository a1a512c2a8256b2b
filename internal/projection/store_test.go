package projection

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const stream = "travel/concierge"

// open opens a projection in a directory of the test's own, and closes it at its end.
func open(t testing.TB, path string, log Log, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, log, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s) })
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// projected returns a store that has seen all of the log.
func projected(t testing.TB, at location, log Log) *Store {
	t.Helper()
	s := open(t, at(t), log, Options{})
	catchUp(t, s)
	return s
}

// oneBehind returns a store that has seen the first of two memories that are in the journal.
func oneBehind(t testing.TB, at location) *Store {
	t.Helper()
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	s := projected(t, at, log)
	log.add(stream, "2", agent.MemorySaved{ID: "m2"})
	return s
}

func catchUp(t testing.TB, s *Store) {
	t.Helper()
	for {
		n, err := s.advance(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func TestConversationsAreApartAndInOrder(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "a1", accept("a1", "ada", agent.Intent{Type: agent.Ask}), agent.MessageReceived{Conversation: "ada", Text: "one"})
		log.add(stream, "a2", agent.MessageReceived{Conversation: "ada", Text: "waits for its turn"})
		log.add(stream, "b1", agent.MessageReceived{Conversation: "bob", Text: "secret"}, agent.ResponseGiven{Conversation: "bob", Text: "told bob"})
		log.add("travel/other", "o1", agent.MessageReceived{Conversation: "ada", Text: "elsewhere"})
		first := log.add(stream, "a1", agent.ResponseGiven{Conversation: "ada", Text: "two"})
		end := log.add(stream, "a2", agent.CommandFailed{Reason: "StepLimitReached", Message: "no response"})
		s := projected(t, at, log)

		ada := []string{"ada"}
		tellsMessages(t, s, []telling{
			{"before the first ask has ended, there is no past", first - 1, 9, ada, nil},
			{"a message that waits for its turn is not past", first, 9, ada, []string{"two", "one"}},
			{"an ask that failed leaves its message, after what ended before it", end, 9, ada, []string{"waits for its turn", "two", "one"}},
		})
		newest, err := s.Messages(t.Context(), Scope{Stream: stream, AsOf: end, Limit: 1}, "ada")
		if err != nil {
			t.Fatal(err)
		}
		want := []Message{{Sequence: 3, Role: User, Text: "waits for its turn", Command: "a2"}}
		if diff := cmp.Diff(want, newest, cmpopts.IgnoreFields(Message{}, "Time")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestMemoriesHoldFromSavedUntilForgotten(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "m1", Kind: "preference", Content: "window"})
		log.add(stream, "2", agent.MemorySaved{ID: "m2", Kind: "fact", Content: "lives in Zurich"})
		log.add(stream, "3", agent.MemoryForgotten{ID: "m1"})
		log.add(stream, "4", agent.MemorySaved{ID: "m2", Kind: "fact", Content: "lives in Basel"})
		log.add(stream, "5", agent.MemorySaved{ID: "m3", Kind: "note", Content: "likes trains"})
		log.add(stream, "6", agent.AgentDeleted{})
		s := projected(t, at, log)

		tellsMemories(t, s, []telling{
			{"at first there is none", 0, 9, nil, nil},
			{"what was saved", 1, 9, nil, []string{"window"}},
			{"the newest first", 2, 9, nil, []string{"lives in Zurich", "window"}},
			{"without what was forgotten", 3, 9, nil, []string{"lives in Zurich"}},
			{"an id that was saved again", 6, 9, nil, []string{"likes trains", "lives in Basel"}},
			{"of a kind", 6, 9, []string{"fact"}, []string{"lives in Basel"}},
			{"of kinds of which one is named twice", 2, 9, []string{"preference", "fact", "fact"}, []string{"lives in Zurich", "window"}},
			{"the newest of some kinds", 6, 1, []string{"fact", "note"}, []string{"likes trains"}},
		})
	})
}

func TestResultsAreSeenInTheirConversation(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "a", accept("for-ada", "ada", callIntent("book", `{"seat":"14A"}`)), agent.AttemptSucceeded{Attempt: 1, Status: 201, Result: "booked"}, agent.CommandSucceeded{})
		log.add(stream, "b", accept("for-bob", "bob", callIntent("book", `{}`)), agent.CommandRefused{Reason: "Suspended", Message: "not now"})
		log.add(stream, "n", accept("for-all", "", callIntent("list", ``)), agent.AttemptSucceeded{Attempt: 1, Result: "[]"})
		end := log.add(stream, "q", accept("ask", "ada", agent.Intent{Type: agent.Ask}), agent.CommandFailed{Reason: "StepLimitReached"})
		s := projected(t, at, log)

		names := func(conversation string) (names []string) {
			got, err := s.Results(t.Context(), Scope{Stream: stream, AsOf: end, Limit: 10}, conversation)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got {
				names = append(names, r.Command)
			}
			return names
		}
		for conversation, want := range map[string][]string{"ada": {"for-all", "for-ada"}, "bob": {"for-all", "for-bob"}, "": {"for-all"}, "eve": {"for-all"}} {
			if diff := cmp.Diff(want, names(conversation)); diff != "" {
				t.Errorf("conversation %q (-want +got)\n%s", conversation, diff)
			}
		}
		got, _ := s.Results(t.Context(), Scope{Stream: stream, AsOf: 2, Limit: 1}, "ada")
		want := []Result{{
			Sequence: 2, Time: epoch.Add(6 * time.Second), Command: "for-ada", Key: "a", Operation: "book", Arguments: `{"seat":"14A"}`,
			Conversation: "ada", Phase: agent.Succeeded, Status: 201, Text: "booked",
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestASettledOutcomeReplacesTheUnknownOne(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "a", accept("book-1", "", callIntent("book", `{}`)), agent.OutcomeLost{Reason: "AttemptInterrupted", Message: "unknown"})
		log.add(stream, "a", agent.OutcomeSettled{Outcome: agent.RunAgain, By: "ada"}, agent.OutcomeLost{Reason: "Timeout", Message: "again"})
		log.add(stream, "a", agent.OutcomeSettled{Outcome: agent.SettledFailed, By: "ada", Reason: "no such booking"})
		s := projected(t, at, log)
		for asOf, want := range map[int64]Result{
			2: {Sequence: 2, Phase: agent.OutcomeUnknown, Reason: "AttemptInterrupted", Text: "unknown"},
			3: {Sequence: 2, Phase: agent.OutcomeUnknown, Reason: "AttemptInterrupted", Text: "unknown"},
			4: {Sequence: 4, Phase: agent.OutcomeUnknown, Reason: "Timeout", Text: "again"},
			5: {Sequence: 5, Phase: agent.Failed, Reason: "SettledAsFailed", Text: "settled as Failed by ada: no such booking"},
		} {
			want.Command, want.Key, want.Operation, want.Arguments = "book-1", "a", "book", "{}"
			got, err := s.Results(t.Context(), Scope{Stream: stream, AsOf: asOf, Limit: 9}, "")
			if diff := cmp.Diff([]Result{want}, got, cmpopts.IgnoreFields(Result{}, "Time")); diff != "" || err != nil {
				t.Errorf("as of %d: %v (-want +got)\n%s", asOf, err, diff)
			}
		}
	})
}

func TestAReopenedAskIsNoTurnUntilItEndsAgain(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		say := func(key, text string) { log.add(stream, key, agent.MessageReceived{Conversation: "ada", Text: text}) }
		say("a1", "book it")
		say("a2", "and now?")
		lost := log.add(stream, "a1", agent.OutcomeLost{Reason: "IssuedCommandUnknown", Message: "nobody knows"})
		second := log.add(stream, "a2", agent.ResponseGiven{Conversation: "ada", Text: "still unknown"})
		reopened := log.add(stream, "a1", agent.CommandReopened{Message: "settled"})
		failed := log.add(stream, "a1", agent.OutcomeLost{Reason: "IssuedCommandUnknown", Message: "another one"})
		again := log.add(stream, "a1", agent.CommandReopened{Message: "settled"})
		answered := log.add(stream, "a1", agent.ResponseGiven{Conversation: "ada", Text: "booked"}, agent.CommandSucceeded{})
		s := projected(t, at, log)
		ada := []string{"ada"}
		tellsMessages(t, s, []telling{
			{"while it runs it is the question", lost - 1, 9, ada, nil},
			{"when it ended it was a turn", lost, 9, ada, []string{"book it"}},
			{"and stood before the next", second, 9, ada, []string{"still unknown", "and now?", "book it"}},
			{"reopened it is the question again", reopened, 9, ada, []string{"still unknown", "and now?"}},
			{"ended again it is the newest turn", failed, 9, ada, []string{"book it", "still unknown", "and now?"}},
			{"reopened again it is the question again", again, 9, ada, []string{"still unknown", "and now?"}},
			{"its response is a turn, after its question", answered, 9, ada, []string{"booked", "book it", "still unknown", "and now?"}},
		})
	})
}

func TestTextsAreKeptByteForByte(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		texts := []string{"", "a\x00b", `\x41`, "\u2028 \u00e4 \U0001f600", "<b>&amp;'\"\\", "\t\r\n "}
		for i, text := range texts {
			log.add(stream, "k", agent.MemorySaved{ID: strings.Repeat("x", i), Kind: text, Content: text})
		}
		s := projected(t, at, log)
		for i, text := range texts {
			got, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: int64(len(texts)), Limit: 9}, text)
			if err != nil || len(got) != 1 || got[0].Content != text || got[0].Kind != text || got[0].Sequence != int64(i+1) {
				t.Errorf("%q became %v, %v", text, got, err)
			}
		}
	})
}

func TestAReadBeyondWhatIsProjectedIsRefused(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		s := oneBehind(t, at)
		_, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: 2, Limit: 1})
		if f := fault.Of(err); !fault.Is(err, fault.Wait) || f.Reason != "ProjectionBehind" || !strings.Contains(f.Message, "has seen 1, the journal holds 2") {
			t.Errorf("got %v", err)
		}
		if _, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: 1}); !fault.Is(err, fault.Invalid) {
			t.Errorf("without a limit: %v", err)
		}
		if lag, err := s.Lag(t.Context(), stream); lag != 1 || err != nil {
			t.Errorf("lag %d, %v", lag, err)
		}
	})
}

func TestAnUnreadableEventStopsItsStreamAlone(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "m1"})
		log.raw(stream, journal.Event{Type: "MoodChanged", Version: 3, Data: json.RawMessage(`{}`)})
		log.add(stream, "3", agent.MemorySaved{ID: "m3"})
		log.add("travel/other", "1", agent.MemorySaved{ID: "o1"})
		file := at(t)
		s := open(t, file, log, Options{Batch: 1})
		catchUp(t, s)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for name, err := range map[string]error{"WaitFor": s.WaitFor(ctx, stream, 3), "Stopped": stopped(t, s)[stream]} {
			f := fault.Of(err)
			if !fault.Is(err, fault.Corrupt) || f.Reason != "UnreadableEvent" || !strings.Contains(f.Message, "its event MoodChanged.v3 at sequence 2") || !strings.Contains(f.Message, stream) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if seen, err := s.Head(ctx, stream); seen != 1 || !fault.Is(err, fault.Corrupt) {
			t.Errorf("head %d, %v", seen, err)
		}
		if got, err := s.Memories(ctx, Scope{Stream: stream, AsOf: 1, Limit: 9}); len(got) != 1 || err != nil {
			t.Errorf("what is older cannot be read: %v, %v", got, err)
		}
		if _, err := s.Memories(ctx, Scope{Stream: stream, AsOf: 3, Limit: 9}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("what is later can be read: %v", err)
		}
		if seen, err := s.Head(ctx, "travel/other"); seen != 1 || err != nil {
			t.Errorf("the other stream: %d, %v", seen, err)
		}
		closed(t, s)
		again := open(t, file, log, Options{})
		if again.Rebuilt() != "" || stopped(t, again)[stream] == nil {
			t.Errorf("the event is no more readable than it was: %q", again.Rebuilt())
		}
		closed(t, again)
		log.shards[0][1].Event = journal.Event(agent.Encode("2", agent.MemorySaved{ID: "m2"})) // as a version that knows it sees it
		again = open(t, file, log, Options{})
		if !strings.Contains(again.Rebuilt(), stream) {
			t.Errorf("a version of Edict that knows the event does not look at it: %q", again.Rebuilt())
		}
		catchUp(t, again)
		if seen, err := again.Head(t.Context(), stream); seen != 3 || err != nil {
			t.Errorf("head %d, %v", seen, err)
		}

	})
}

func TestAHoleInAStreamStopsIt(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"}, agent.MemorySaved{ID: "m3"})
		log.shards[0] = slices.Delete(log.shards[0], 1, 2)
		s := projected(t, at, log)
		if seen, err := s.Head(t.Context(), stream); seen != 1 || !fault.Is(err, fault.Corrupt) {
			t.Errorf("head %d, %v", seen, err)
		}
	})
}

func TestABatchThatFailsInItsMiddleChangesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "good"}, agent.MemorySaved{ID: "bad"})
		file := at(t)
		s := open(t, file, log, Options{})
		refuse(t, file, "bad")
		if err := s.Follow(t.Context()); err == nil || !strings.Contains(err.Error(), "MemorySaved of travel/concierge at sequence 2") {
			t.Errorf("got %v", err)
		}
		if seen, _ := s.Head(t.Context(), stream); seen != 0 {
			t.Errorf("half a batch is published: %d", seen)
		}
		refuse(t, file, "")
		catchUp(t, s)
		if diff := cmp.Diff(everything(t, projected(t, at, log), log), everything(t, s, log)); diff != "" {
			t.Errorf("(-fresh +this)\n%s", diff)
		}
	})
}

func TestFollowWakesWhoWaits(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		var mu sync.Mutex
		var told []string
		s := open(t, at(t), log, Options{OnChange: func(streams []string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, streams...)
		}})
		done := make(chan error)
		go func() { done <- s.Follow(t.Context()) }()
		waited := make(chan error)
		go func() { waited <- s.WaitFor(t.Context(), stream, 2) }()
		log.add(stream, "1", agent.MemorySaved{ID: "m1"})
		log.add(stream, "2", agent.MemorySaved{ID: "m2"})
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		if got, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: 2, Limit: 9}); len(got) != 2 || err != nil {
			t.Errorf("not readable after the wait: %v, %v", got, err)
		}
		closed(t, s)
		if err := <-done; err != nil {
			t.Errorf("closing the store ends Follow with %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(told) == 0 || told[0] != stream {
			t.Errorf("OnChange was told %v", told)
		}
		if len(s.heads.waiting) != 0 {
			t.Errorf("waits are left over: %v", s.heads.waiting)
		}
	})
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		s := projected(t, at, newLog())
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.WaitFor(ctx, stream, 1); !fault.Is(err, fault.Wait) || !strings.Contains(err.Error(), "has seen 0, the journal holds 0") {
			t.Errorf("after its deadline: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := s.WaitFor(ctx, stream, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		waited := make(chan error)
		go func() { waited <- s.WaitFor(context.Background(), stream, 1) }()
		closed(t, s)
		if err := <-waited; !errors.Is(err, errClosed) {
			t.Errorf("closed: %v", err)
		}
		if len(s.heads.waiting) != 0 {
			t.Errorf("waits are left over: %v", s.heads.waiting)
		}
	})
}
