package agent

import (
	"testing"
	"time"
)

func TestHowASummaryIsWritten(t *testing.T) {
	s := newStory(t)
	key := s.accept("so-far", NewIntent(Summarize, SummarizePayload{Conversation: "ada"}), Internal)
	s.want("starts", s.next(key).Kind, Execute)
	s.want("covers what there is when it is accepted", s.state.Open[key].UpTo(), int64(1))
	attempt := s.state.Open[key].StartAttempt(s.clock, 0, time.Second)
	s.given(key, attempt)
	written := SummaryWritten{Attempt: 1, Conversation: "ada", From: 1, To: 1, Text: "Nothing yet.", Model: "m", Usage: Usage{Input: 90, Output: 10}}
	c := s.state.Open[key]
	events := c.Summarized(written)
	s.want("events", names(events), []string{"SummaryWritten", "CommandSucceeded"})
	s.want("says", told(events), []string{"Summarised the conversation ada, sequences 1 to 1, with m (100 tokens)."})
	s.given(key, events...)
	s.want("ended", c.Phase, Succeeded)
	s.want("its attempt", c.Attempt == nil, true)
	s.want("its result", c.Result, "summarised the conversation ada up to sequence 1")
	s.want("its tokens", c.Usage.Total(), 100)
	s.want("the agent's tokens today", s.state.TokensOn(s.clock).Total(), 100)
}

func TestHowFarASummaryMayGo(t *testing.T) {
	for _, tc := range []struct {
		name string
		upTo int64
		want int64
	}{
		{"all that there is", 0, 4},
		{"less", 2, 2},
		{"what is not there yet", 900, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			s.given("k", MemorySaved{ID: "a"}, MemorySaved{ID: "b"}, MemorySaved{ID: "c"})
			key := s.accept("so-far", NewIntent(Summarize, SummarizePayload{Collection: "rules", UpTo: tc.upTo}), Internal)
			s.given("k", MemorySaved{ID: "d"})
			s.want("up to", s.state.Open[key].UpTo(), tc.want)
		})
	}
}

func TestNoModelIsPaidTwiceForTheSameSummary(t *testing.T) {
	s := newStory(t)
	intent := NewIntent(Summarize, SummarizePayload{Conversation: "ada"})
	first, second := s.accept("first", intent, Internal), s.accept("second", intent, Internal)
	others := []string{
		s.accept("of-bob", NewIntent(Summarize, SummarizePayload{Conversation: "bob"}), Internal),
		s.accept("of-a-collection", NewIntent(Summarize, SummarizePayload{Collection: "ada"}), Internal),
		s.accept("ask", ask("ada", "hello"), Idempotent),
		s.accept("index", NewIntent(IndexDocuments, IndexDocumentsPayload{Collection: "ada"}), Internal),
	}
	s.want("first", s.next(first).Kind, Execute)
	s.want("second waits", s.next(second).Kind, Rest)
	for _, key := range others {
		if kind := s.next(key).Kind; kind != Execute && kind != Decide {
			t.Errorf("%s waits", key)
		}
	}
	s.given(first, s.state.Open[first].StartAttempt(s.clock, 0, time.Second))
	s.given(first, s.state.Open[first].Summarized(SummaryWritten{Attempt: 1, Conversation: "ada", From: 1, To: 2})...)
	s.want("second goes on", s.next(second).Kind, Execute)
	c := s.state.Open[second]
	s.given(second, c.NothingToSummarize()...)
	s.want("and finds nothing", c.Phase, Succeeded)
	s.want("says", c.Message, "Up to sequence 3 there is nothing in the conversation ada that is not summarised already; no model was asked.")
	s.want("lanes", len(s.state.queues), len(others))
}

// An attempt cut off before its answer was recorded is made again: asking a model changes nothing.
func TestASummaryThatWasCutOffIsAskedForAgain(t *testing.T) {
	s := newStory(t)
	key := s.accept("so-far", NewIntent(Summarize, SummarizePayload{Conversation: "ada"}), Internal)
	attempt := s.state.Open[key].StartAttempt(s.clock, 0, time.Second)
	s.given(key, attempt)
	s.want("before the deadline", s.next(key).Kind, Rest)
	s.clock = attempt.Deadline
	s.want("after it", names(s.next(key).Events), []string{"AttemptAbandoned"})
	s.given(key, s.next(key).Events...)
	s.want("then", s.next(key).Kind, Execute)
}
