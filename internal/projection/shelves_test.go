package projection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func part(collection, document string, number, of int, texts ...string) agent.DocumentIndexed {
	e := agent.DocumentIndexed{Collection: collection, Document: document, Source: "inline", Digest: "d", Part: number, Parts: of}
	for _, text := range texts {
		e.Chunks = append(e.Chunks, agent.Chunk{Heading: "Rules", Text: text})
	}
	return e
}

// All documents of a command come to hold with its end, and so does what they replace cease to.
func TestTheDocumentsOfACommandHoldTogether(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log, done := newLog(), agent.CommandSucceeded{}
		first := log.add(stream, "1", part("rules", "visa.md", 1, 1, "old"), done)
		changed := log.add(stream, "2", part("rules", "visa.md", 1, 2, "new, one", "new, two"), part("rules", "visa.md", 2, 2, "new, three"),
			agent.TextsEmbedded{Model: "m"}, done)
		added := log.add(stream, "3", part("rules", "bags.md", 1, 1, "one bag"), part("menus", "lunch.md", 1, 1, "soup"), agent.AttemptSucceeded{}, done)
		empty := log.add(stream, "4", part("rules", "visa.md", 1, 1), done)
		removed := log.add(stream, "5", agent.DocumentsRemoved{Collection: "rules", Documents: []string{"bags.md", "unknown.md"}})
		log.add(stream, "6", done)
		file := at(t)
		s := open(t, file, log, Options{Batch: int(changed) - 1})
		if _, err := s.advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Chunks(t.Context(), Scope{Stream: stream, AsOf: changed - 1, Limit: 9}); len(got) != 1 || got[0].Text != "old" || err != nil {
			t.Errorf("before the end of the command is projected: %v, %v", got, err)
		}
		catchUp(t, s)

		tells(t, []telling{
			{"nothing is there before its command has ended", first - 1, 9, nil, nil},
			{"what was indexed is there", first, 9, nil, []string{"rules/visa.md 0 old"}},
			{"between two parts of the new, the old is", first + 1, 9, nil, []string{"rules/visa.md 0 old"}},
			{"so it is until the end of the command", changed - 1, 9, nil, []string{"rules/visa.md 0 old"}},
			{"all of the new, counted through, takes its place", changed, 9, []string{"rules"},
				[]string{"rules/visa.md 0 new, one", "rules/visa.md 1 new, two", "rules/visa.md 2 new, three"}},
			{"of two documents none is there before the other", added - 1, 9, []string{"menus", "rules"},
				[]string{"rules/visa.md 0 new, one", "rules/visa.md 1 new, two", "rules/visa.md 2 new, three"}},
			{"documents stand in the order of their names", added, 9, nil,
				[]string{"menus/lunch.md 0 soup", "rules/bags.md 0 one bag", "rules/visa.md 0 new, one", "rules/visa.md 1 new, two", "rules/visa.md 2 new, three"}},
			{"the newest documents come first when there is room for some", added, 2, nil, []string{"menus/lunch.md 0 soup", "rules/bags.md 0 one bag"}},
			{"so they do in some collections", added, 1, []string{"rules", "menus", "rules"}, []string{"menus/lunch.md 0 soup"}},
			{"a collection that is not there is empty", added, 9, []string{"none"}, nil},
			{"a document without text takes the place of one that had some", empty, 9, []string{"rules"}, []string{"rules/bags.md 0 one bag"}},
			{"what was removed is gone", removed, 9, nil, []string{"menus/lunch.md 0 soup"}},
		}, func(c telling) ([]Chunk, error) { return s.Chunks(t.Context(), c.scope(), c.of...) },
			func(x Chunk) string { return fmt.Sprintf("%s/%s %d %s", x.Collection, x.Document, x.Index, x.Text) })
		got, err := s.Chunks(t.Context(), Scope{Stream: stream, AsOf: first, Limit: 1})
		want := []Chunk{{
			Sequence: 1, Time: epoch.Add(3 * time.Second), Collection: "rules", Document: "visa.md", Source: "inline", Digest: "d", Heading: "Rules", Text: "old",
		}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}

func TestMemoriesEndWhenTheyAreSupersededOrExpire(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog() // a record every three seconds
		log.add(stream, "1", agent.MemorySaved{ID: "home", Kind: "fact", Content: "lives in Zurich"})
		log.add(stream, "2", agent.MemorySaved{ID: "home-2", Kind: "fact", Content: "lives in Basel", Supersedes: "home"})
		log.add(stream, "3", agent.MemorySaved{ID: "trip", Kind: "plan", Content: "in Lisbon this week", TTL: 6 * time.Second})
		log.add(stream, "4", agent.MemorySaved{ID: "home-3", Kind: "fact", Content: "lives in Bern", Supersedes: "home-2", Importance: 9, SaidBy: "ada"})
		log.add(stream, "5", agent.AgentDeleted{})
		s := projected(t, at, log)
		tellsMemories(t, s, []telling{
			{"the first holds", 1, 9, nil, []string{"lives in Zurich"}},
			{"the second takes its place", 2, 9, nil, []string{"lives in Basel"}},
			{"what expires holds", 3, 9, nil, []string{"in Lisbon this week", "lives in Basel"}},
			{"until its time has come", 4, 9, nil, []string{"lives in Bern", "in Lisbon this week"}},
			{"and not at that time", 5, 9, nil, []string{"lives in Bern"}},
			{"nor in its kind", 5, 9, []string{"plan"}, nil},
			{"it takes no room from what holds", 5, 1, []string{"plan", "fact"}, []string{"lives in Bern"}},
			{"what was superseded still held before", 3, 9, []string{"fact"}, []string{"lives in Basel"}},
		})
		got, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: 4, Limit: 9})
		want := []Memory{
			{Sequence: 4, Time: epoch.Add(12 * time.Second), ID: "home-3", Kind: "fact", Content: "lives in Bern", Importance: 9, SaidBy: "ada"},
			{Sequence: 3, Time: epoch.Add(9 * time.Second), ID: "trip", Kind: "plan", Content: "in Lisbon this week", Importance: 5, Expires: epoch.Add(15 * time.Second)},
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}

func TestACommandIsPendingUntilItEnds(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		call := accept("book-1", "ada", callIntent("book", `{"seat":"14A"}`))
		call.IssuedBy = &agent.Issue{Command: "q", Step: 1}
		log.add(stream, "q", accept("ask", "ada", agent.Intent{Type: agent.Ask}))
		issued := log.add(stream, "c", call)
		log.add(stream, "n", accept("summary", "", agent.Intent{Type: agent.Summarize}))
		log.add(stream, "b", accept("other", "bob", agent.Intent{Type: agent.Ask}))
		answered := log.add(stream, "c", agent.AttemptSucceeded{Attempt: 1})
		lost := log.add(stream, "c", agent.OutcomeLost{Reason: "AttemptInterrupted"})
		log.add(stream, "q", agent.OutcomeLost{Reason: "IssuedCommandUnknown"})
		again := log.add(stream, "c", agent.OutcomeSettled{Outcome: agent.RunAgain})
		reopened := log.add(stream, "q", agent.CommandReopened{})
		done := log.add(stream, "c", agent.CommandSucceeded{})
		end := log.add(stream, "q", agent.CommandCancelled{})
		s := projected(t, at, log)
		tells(t, []telling{
			{"what was accepted is pending", 1, 9, []string{"ada"}, []string{"ask"}},
			{"what others asked is theirs", answered, 9, []string{"ada"}, []string{"summary", "book-1", "ask"}},
			{"what nobody asked is everybody's", answered, 9, []string{"eve"}, []string{"summary"}},
			{"the newest come first", answered, 2, []string{"ada"}, []string{"summary", "book-1"}},
			{"an answer does not end a command", answered, 9, []string{""}, []string{"summary"}},
			{"a lost outcome does", lost, 9, []string{"ada"}, []string{"summary", "ask"}},
			{"and what follows from it", lost + 1, 9, []string{"ada"}, []string{"summary"}},
			{"what runs again is pending, at its old place", again, 9, []string{"ada"}, []string{"summary", "book-1"}},
			{"a reopened ask is pending", reopened, 9, []string{"ada"}, []string{"summary", "book-1", "ask"}},
			{"until it ends again", done, 9, []string{"ada"}, []string{"summary", "ask"}},
			{"by whatever end", end, 9, []string{"ada"}, []string{"summary"}},
		}, func(c telling) ([]Pending, error) { return s.Pending(t.Context(), c.scope(), c.of[0]) },
			func(p Pending) string { return p.Command })
		for _, asOf := range []int64{issued, reopened} {
			got, err := s.Pending(t.Context(), Scope{Stream: stream, AsOf: asOf, Limit: 9}, "ada")
			if err != nil {
				t.Fatal(err)
			}
			want := Pending{
				Sequence: 2, Time: epoch.Add(6 * time.Second), Command: "book-1", Key: "c", Type: agent.CallAPI,
				Operation: "book", Arguments: `{"seat":"14A"}`, Conversation: "ada", IssuedBy: "q",
			}
			if diff := cmp.Diff(want, got[len(got)-len(got)/2-1]); diff != "" {
				t.Errorf("as of %d (-want +got)\n%s", asOf, diff)
			}
		}
	})
}

func TestSummariesStandByWhatTheyAreOf(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.SummaryWritten{Conversation: "ada", From: 1, To: 4, Text: "first"})
		log.add(stream, "2", agent.SummaryWritten{Collection: "ada", From: 1, To: 5, Text: "of the documents"})
		end := log.add(stream, "3", agent.SummaryWritten{Conversation: "ada", From: 1, To: 6, Text: "second"})
		s := projected(t, at, log)
		for _, c := range []struct {
			name                     string
			asOf                     int64
			limit                    int
			conversation, collection string
			want                     []Summary
		}{
			{"of a conversation, newest first", end, 9, "ada", "", []Summary{
				{Sequence: 3, Conversation: "ada", Command: "3", From: 1, To: 6, Text: "second"}, {Sequence: 1, Conversation: "ada", Command: "1", From: 1, To: 4, Text: "first"},
			}},
			{"of a collection of the same name", end, 9, "", "ada", []Summary{{Sequence: 2, Collection: "ada", Command: "2", From: 1, To: 5, Text: "of the documents"}}},
			{"of the conversation, if both are named", end, 1, "ada", "ada", []Summary{{Sequence: 3, Conversation: "ada", Command: "3", From: 1, To: 6, Text: "second"}}},
			{"as it was", 2, 9, "ada", "", []Summary{{Sequence: 1, Conversation: "ada", Command: "1", From: 1, To: 4, Text: "first"}}},
			{"of nothing", end, 9, "", "", nil},
		} {
			got, err := s.Summaries(t.Context(), Scope{Stream: stream, AsOf: c.asOf, Limit: c.limit}, c.conversation, c.collection)
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Summary{}, "Time")); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
			}
		}
	})
}

func TestPassagesTellWhatBeganAndCeasedToHold(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add(stream, "1", agent.MemorySaved{ID: "m1", Kind: "fact", Content: "lives in Zurich", SaidBy: "ada", TTL: time.Hour})
		log.add(stream, "2", agent.MessageReceived{Conversation: "ada", Text: "book it", SaidBy: "ada"})
		log.add(stream, "3", part("rules", "visa.md", 1, 1, "one", "two"))
		log.add(stream, "2", agent.OutcomeLost{})
		log.add(stream, "4", agent.MemoryForgotten{ID: "m1"})
		log.add(stream, "2", agent.CommandReopened{})
		log.add(stream, "3", agent.CommandSucceeded{})
		end := log.add(stream, "2", agent.ResponseGiven{Conversation: "ada", Text: "booked"})
		s := projected(t, at, log)

		memory := Passage{
			Shelf: Memories, Sequence: 1, Since: 1, Time: epoch.Add(3 * time.Second), Expires: epoch.Add(3*time.Second + time.Hour),
			Text: "lives in Zurich", Name: "m1", Within: "fact", Speaker: "ada", Importance: 5,
		}
		question := Passage{Shelf: Turns, Sequence: 2, Since: 4, Time: epoch.Add(6 * time.Second), Text: "book it", Name: "2", Within: "ada", Speaker: "ada", Source: "user"}
		again := question
		again.Since = 8
		answer := Passage{Shelf: Turns, Sequence: 8, Since: 8, Time: epoch.Add(24 * time.Second), Text: "booked", Name: "2", Within: "ada", Speaker: "agent", Source: "agent"}
		one := Passage{Shelf: Documents, Sequence: 3, Since: 7, Time: epoch.Add(9 * time.Second), Text: "one", Name: "visa.md", Within: "rules", Speaker: "Rules", Source: "inline"}
		two := one
		two.Index, two.Text = 1, "two"
		until := func(p Passage, sequence int64) Passage {
			p.Until = sequence
			return p
		}
		for _, c := range []struct {
			name        string
			after, upTo int64
			want        []Passage
		}{
			{"at first there is nothing", 0, 0, nil},
			{"a memory holds at once, a question not yet", 0, 2, []Passage{memory}},
			{"what ends later has no end yet", 0, 4, []Passage{memory, question}},
			{"what neither began nor ceased is left out", 4, 6, []Passage{until(memory, 5), until(question, 6)}},
			{"what began and ceased is told once", 3, 6, []Passage{until(memory, 5), until(question, 6)}},
			{"a document is there when its command has ended", 6, 7, []Passage{one, two}},
			{"a turn that came again is there twice", 0, end, []Passage{until(memory, 5), until(question, 6), again, one, two, answer}},
			{"in which nothing happened", 4, 4, nil},
		} {
			got, err := s.Passages(t.Context(), stream, c.after, c.upTo)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
			}
		}
	})
}

func TestTheTimeOfASequenceIsThatOfItsRecord(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.add("travel/other", "1", agent.MemorySaved{ID: "m1"})
		log.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"})
		s := projected(t, at, log)
		for range 2 { // from the journal, and from memory
			for sequence, want := range map[int64]time.Time{0: {}, 1: epoch.Add(6 * time.Second), 2: epoch.Add(9 * time.Second)} {
				if got, err := s.Time(t.Context(), stream, sequence); !got.Equal(want) || err != nil {
					t.Errorf("sequence %d: %v, %v", sequence, got, err)
				}
			}
		}
		_, err := s.Time(t.Context(), stream, 3)
		if !fault.Is(err, fault.Wait) || !strings.Contains(err.Error(), "the journal holds 2") {
			t.Errorf("a record that is not there: %v", err)
		}
		for sequence := range int64(2 * manyTimes) {
			log.add(stream, "1", agent.CommandApproved{})
			if _, err := s.Time(t.Context(), stream, sequence+1); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.times.all); n > manyTimes {
			t.Errorf("%d times are kept", n)
		}
	})
}

func TestNoReadTellsMoreThanIsProjected(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		s := oneBehind(t, at)
		refused := 0
		for what := range reads(s, Scope{Stream: stream, AsOf: 2, Limit: 1}, func(err error) {
			if f := fault.Of(err); err != nil && (f.Kind != fault.Wait || f.Reason != "ProjectionBehind") {
				t.Errorf("got %v", err)
			} else if err != nil {
				refused++
			}
		}) {
			if what != "time" { // which the journal knows, also of what is not projected
				refused--
			}
		}
		if _, err := s.Passages(t.Context(), stream, 0, 2); refused != 0 || !fault.Is(err, fault.Wait) {
			t.Errorf("%d reads were not refused; passages: %v", -refused, err)
		}
		for what, rows := range reads(s, Scope{Stream: "travel/nobody", Limit: 1}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		}) {
			if fmt.Sprint(rows) != "[]" && what != "time" {
				t.Errorf("%s of a stream without records: %v", what, rows)
			}
		}
	})
}
