package view

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/projection"
)

// talk is a stream of which a test knows who has said what, and what was summarised.
type talk struct {
	*rapid.T
	*world
	stream string
	open   []string       // keys of asks without an answer, in the order accepted
	told   map[string]int // how often a summary was told a text
	last   int64          // what the newest summary covers
}

func (t *talk) append(key string, events ...agent.Event) int64 {
	b := journal.Batch{Stream: t.stream, Expected: journal.AnyVersion}
	for _, e := range events {
		b.Events = append(b.Events, journal.Event(agent.Encode(key, e)))
	}
	records, err := t.journal.Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return records[len(records)-1].Sequence
}

// summarize has a summary written up to a sequence, and returns the stream's head.
func (t *talk) summarize(name string, upTo, head int64) int64 {
	got, err := (&Transcripts{Reader: t.projected}).Transcript(t.Context(), agent.TranscriptRequest{Stream: t.stream, Of: ofAda, UpTo: upTo, Seen: head})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Items {
		t.told[s.Text]++
	}
	if len(got.Items) == 0 {
		return head
	}
	t.last = got.To
	return t.append(name, agent.SummaryWritten{Conversation: "ada", From: got.From, To: got.To, Text: "So far."})
}

// However asks and summaries follow on each other, the turns whose sequences the newest summary covers, which a view
// leaves out, are those that summaries were told, each once.
func TestASummaryCoversWhatItWasToldAndNothingElse(t *testing.T) {
	w, examples := newWorld(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		examples++
		c := &talk{T: rt, world: w, stream: fmt.Sprintf("travel/talker-%d", examples), told: map[string]int{}}
		head := c.append("m", agent.MemorySaved{ID: "m", Kind: "k", Content: "c"})
		for i, step := range rapid.SliceOfN(rapid.SampledFrom([]string{"ask", "ask", "answer", "answer", "fail", "summarize"}), 1, 14).Draw(rt, "steps") {
			key := fmt.Sprint(step, "-", i)
			switch {
			case step == "ask":
				intent := agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: key})
				head = c.append(key, agent.CommandAccepted{Name: key, Conversation: "ada", Intent: intent}, agent.MessageReceived{Conversation: "ada", Text: key})
				c.open = append(c.open, key)
			case step == "summarize":
				head = c.summarize(key, max(c.last, head-rapid.Int64Range(0, 6).Draw(rt, "before")), head)
			case len(c.open) == 0:
			case step == "answer":
				head = c.append(c.open[0], agent.ResponseGiven{Conversation: "ada", Text: "to " + c.open[0]}, agent.CommandSucceeded{})
				c.open = c.open[1:]
			default:
				head = c.append(c.open[0], agent.CommandFailed{Reason: "DeadlineExceeded", Message: "too late"})
				c.open = c.open[1:]
			}
		}
		for _, key := range c.open {
			head = c.append(key, agent.CommandFailed{Reason: "DeadlineExceeded", Message: "too late"})
		}
		if err := w.projected.WaitFor(rt.Context(), c.stream, head); err != nil {
			rt.Fatal(err)
		}
		turns, err := w.projected.Turns(rt.Context(), projection.Scope{Stream: c.stream, AsOf: head, Limit: 100}, "ada", 0, c.last)
		if err != nil {
			rt.Fatal(err)
		}
		hidden := map[string]int{}
		for _, m := range turns {
			hidden[m.Text]++
		}
		if !maps.Equal(hidden, c.told) {
			rt.Fatalf("up to %d: hidden %v, told %v", c.last, slices.Sorted(maps.Keys(hidden)), slices.Sorted(maps.Keys(c.told)))
		}
	})
}
