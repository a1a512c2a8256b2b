package projection

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
)

// said adds an ask with its answer, and returns the sequences of the two.
func (l *memoryLog) said(conversation, key, question, answer string) (int64, int64) {
	asked := l.add(stream, key, accept(key, conversation, agent.Intent{Type: agent.Ask}), agent.MessageReceived{Conversation: conversation, Text: question})
	answered := l.add(stream, key, agent.ResponseGiven{Conversation: conversation, Text: answer}, agent.CommandSucceeded{})
	return asked, answered - 1
}

func texts(messages []Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return all
}

func TestTurnsComeOldestFirstBetweenTwoSequences(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		_, first := log.said("ada", "a1", "one", "two")
		log.said("bob", "b1", "secret", "told bob")
		third, fourth := log.said("ada", "a2", "three", "four")
		open := log.add(stream, "a3", accept("a3", "ada", agent.Intent{Type: agent.Ask}), agent.MessageReceived{Conversation: "ada", Text: "waits"})
		s := projected(t, at, log)
		for name, c := range map[string]struct {
			asOf, after, upTo int64
			limit             int
			want              []string
		}{
			"all that has an end":             {open, 0, open, 9, []string{"one", "two", "three", "four"}},
			"after a sequence":                {open, first, open, 9, []string{"three", "four"}},
			"up to a sequence":                {open, first, third, 9, []string{"three"}},
			"the oldest, if there are more":   {open, 0, open, 3, []string{"one", "two", "three"}},
			"as of before the ask had ended":  {third, 0, open, 9, []string{"one", "two"}},
			"nothing is new":                  {open, fourth, open, 9, nil},
			"nothing within an empty stretch": {open, first, first, 9, nil},
		} {
			got, err := s.Turns(t.Context(), Scope{Stream: stream, AsOf: c.asOf, Limit: c.limit}, "ada", c.after, c.upTo)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, texts(got)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
	})
}

func TestAmountCountsWhatTheNewestTurnsLeave(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		var first, end int64
		for i := range 5 {
			_, end = log.said("ada", fmt.Sprint("a", i), "é?", "Yes.") // 3 and 4 bytes
			if i == 0 {
				first = end
			}
		}
		log.said("bob", "b", "Hello?", "Hello.")
		s := projected(t, at, log)
		for _, c := range []struct {
			asOf, after int64
			newest      int
			want        Amount
		}{
			{end, 0, 0, Amount{Turns: 10, Bytes: 35}},
			{end, 0, 4, Amount{Turns: 6, Bytes: 21}},
			{end, first, 4, Amount{Turns: 4, Bytes: 14}},
			{first, 0, 0, Amount{Turns: 2, Bytes: 7}},
			{end, 0, 10, Amount{}},
			{end, end, 0, Amount{}},
		} {
			got, err := s.Amount(t.Context(), stream, c.asOf, "ada", c.after, c.newest)
			if err != nil || got != c.want {
				t.Errorf("as of %d, after %d, without %d: %+v, %v; want %+v", c.asOf, c.after, c.newest, got, err, c.want)
			}
		}
		if got, err := s.Amount(t.Context(), "travel/nobody", 0, "ada", 0, 0); err != nil || got != (Amount{}) {
			t.Errorf("of a stream without records: %+v, %v", got, err)
		}
	})
}

func TestAConversationMovesByATurnOrASummary(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		log.said("bob", "b1", "one", "two")
		_, first := log.said("ada", "a1", "one", "two")
		log.add(stream, "m", agent.MemorySaved{ID: "m", Kind: "k", Content: "c"})
		open := log.add(stream, "c1", accept("c1", "cid", agent.Intent{Type: agent.Ask}), agent.MessageReceived{Conversation: "cid", Text: "waits"})
		ofRules := log.add(stream, "s1", agent.SummaryWritten{Collection: "rules", From: 1, To: 2, Text: "s"})
		ofAda := log.add(stream, "s2", agent.SummaryWritten{Conversation: "ada", From: 1, To: first, Text: "s"})
		s := projected(t, at, log)
		for _, c := range []struct {
			asOf, after int64
			want        []string
		}{
			{ofAda, 0, []string{"ada", "bob"}},
			{open, 0, []string{"ada", "bob"}},
			{open, first, nil},
			{ofRules, first, nil},
			{ofAda, first, []string{"ada"}},
			{ofAda, ofAda, nil},
		} {
			got, err := s.Moved(t.Context(), Scope{Stream: stream, AsOf: c.asOf, Limit: 9}, c.after)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("as of %d, after %d (-want +got)\n%s", c.asOf, c.after, diff)
			}
		}
	})
}

func TestTheFurthestSummaryCoversMostAndNothingLater(t *testing.T) {
	all := []Summary{{Sequence: 9, To: 3}, {Sequence: 8, To: 6, Text: "newer"}, {Sequence: 7, To: 6, Text: "older"}}
	for upTo, want := range map[int64]Summary{2: {}, 3: all[0], 5: all[0], 6: all[1], 99: all[1]} {
		if got := Furthest(all, upTo); got != want {
			t.Errorf("up to %d: %+v", upTo, got)
		}
	}
}
