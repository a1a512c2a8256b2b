package view

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// asks appends a question of a conversation, and returns its sequence.
func (w *world) asks(t testing.TB, key, conversation, text, saidBy string) int64 {
	t.Helper()
	return w.append(t, key, agent.CommandAccepted{Name: key, Conversation: conversation, Intent: agent.NewIntent(agent.Ask,
		agent.AskPayload{Conversation: conversation, Message: text})}, agent.MessageReceived{Conversation: conversation, Text: text, SaidBy: saidBy})
}

// answers appends the end of an ask, and returns the answer's sequence.
func (w *world) answers(t testing.TB, key, conversation, text string) int64 {
	t.Helper()
	return w.append(t, key, agent.ResponseGiven{Conversation: conversation, Text: text}, agent.CommandSucceeded{}) - 1
}

// transcript reads as of a sequence; 0 is the newest.
func (w *world) transcript(t testing.TB, of agent.SummarizePayload, upTo, seen int64) agent.Transcript {
	t.Helper()
	if seen == 0 {
		head, err := w.journal.Head(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		seen = head
	}
	got, err := (&Transcripts{Reader: w.projected}).Transcript(t.Context(), agent.TranscriptRequest{Stream: stream, Of: of, UpTo: upTo, Seen: seen})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// saidIn returns who said what.
func saidIn(t agent.Transcript) (all []string) {
	for _, s := range t.Items {
		all = append(all, s.By+": "+s.Text)
	}
	return all
}

var ofAda = agent.SummarizePayload{Conversation: "ada"}

func TestATranscriptIsThePreviousSummaryAndWhatCameAfterIt(t *testing.T) {
	w := newWorld(t)
	first := w.asks(t, "a1", "ada", "One?", "Ada")
	second := w.answers(t, "a1", "ada", "Two.")
	w.answers(t, "b1", "bob", "Told bob.")
	third := w.asks(t, "a2", "ada", "Three?", "")
	end := w.answers(t, "a2", "ada", "Four.")

	whole := w.transcript(t, ofAda, end, 0)
	if diff := cmp.Diff([]string{"Ada: One?", "agent: Two.", "user: Three?", "agent: Four."}, saidIn(whole)); diff != "" {
		t.Errorf("the first one (-want +got)\n%s", diff)
	}
	if whole.From != first || whole.To != end || whole.Previous != "" {
		t.Errorf("it covers %d to %d after %q", whole.From, whole.To, whole.Previous)
	}
	written := w.append(t, "s1", agent.SummaryWritten{Conversation: "ada", From: first, To: second, Text: "So far."})
	next := w.transcript(t, ofAda, end, written)
	if diff := cmp.Diff([]string{"user: Three?", "agent: Four."}, saidIn(next)); diff != "" || next.From != first || next.To != end || next.Previous != "So far." {
		t.Errorf("it covers %d to %d after %q (-want +got)\n%s", next.From, next.To, next.Previous, diff)
	}
	if got := w.transcript(t, ofAda, end, written-1); got.Previous != "" {
		t.Error("a summary that was written later than asked for was read")
	}
	if got := w.transcript(t, ofAda, second, written); len(got.Items) != 0 || got.To != second {
		t.Errorf("nothing is new up to %d, and it has %v", second, saidIn(got))
	}
	if got := w.transcript(t, ofAda, third-2, written); len(got.Items) != 0 {
		t.Errorf("what came later than %d is in it: %v", third-2, saidIn(got))
	}
	if got := w.transcript(t, agent.SummarizePayload{Conversation: "nobody"}, end, 0); len(got.Items) != 0 {
		t.Errorf("a conversation that nobody had: %v", saidIn(got))
	}
}

// A view leaves out the turns whose sequences a summary covers: one whose ask has not ended must not be among these.
func TestATranscriptEndsBeforeAQuestionThatIsNotAnswered(t *testing.T) {
	w := newWorld(t)
	w.asks(t, "a1", "ada", "One?", "")
	waiting := w.asks(t, "a2", "ada", "Waits.", "")
	end := w.answers(t, "a1", "ada", "Two.")
	got := w.transcript(t, ofAda, end, 0)
	if diff := cmp.Diff([]string{"user: One?"}, saidIn(got)); diff != "" || got.To >= waiting {
		t.Errorf("it goes to %d (-want +got)\n%s", got.To, diff)
	}
	written := w.append(t, "s1", agent.SummaryWritten{Conversation: "ada", From: got.From, To: got.To, Text: "So far."})
	if got := w.transcript(t, ofAda, written, written); len(got.Items) != 0 {
		t.Errorf("before it is answered: %v", saidIn(got))
	}
	end = w.answers(t, "a2", "ada", "Three.")
	if diff := cmp.Diff([]string{"user: Waits.", "agent: Two.", "agent: Three."}, saidIn(w.transcript(t, ofAda, end, 0))); diff != "" {
		t.Errorf("when it is answered (-want +got)\n%s", diff)
	}
}

func TestWhatDoesNotFitIsLeftToTheNextSummary(t *testing.T) {
	w := newWorld(t)
	var end int64
	const asks = 20
	for i := range asks {
		key := fmt.Sprint("a", i)
		w.asks(t, key, "ada", strings.Repeat("é", 2500), "") // 5,000 bytes
		end = w.answers(t, key, "ada", "Yes.")
	}
	turns, rounds := 0, 0
	for ; rounds < 10; rounds++ {
		got := w.transcript(t, ofAda, end, 0)
		if len(got.Items) == 0 {
			break
		}
		size := 0
		for _, s := range got.Items {
			size += len(s.Text)
		}
		if size > transcriptBytes {
			t.Errorf("a transcript has %d bytes", size)
		}
		turns += len(got.Items)
		w.append(t, fmt.Sprint("s", rounds), agent.SummaryWritten{Conversation: "ada", From: got.From, To: got.To, Text: "So far."})
	}
	if turns != 2*asks || rounds != 3 {
		t.Errorf("%d turns in %d summaries", turns, rounds)
	}
}

func TestATurnThatIsVeryLongIsCut(t *testing.T) {
	w := newWorld(t)
	w.asks(t, "a", "ada", strings.Repeat("é", saidBytes), "")
	end := w.answers(t, "a", "ada", "Yes.")
	got := saidIn(w.transcript(t, ofAda, end, 0))
	if len(got) != 2 || len(got[0]) > saidBytes+100 || !strings.HasSuffix(got[0], "é … (8192 more bytes left out)") {
		t.Errorf("it ends with %q", got[0][len(got[0])-60:])
	}
}

func indexed(document string, texts ...string) agent.DocumentIndexed {
	e := agent.DocumentIndexed{Collection: "rules", Document: document, Digest: document, Part: 1, Parts: 1}
	for _, text := range texts {
		e.Chunks = append(e.Chunks, agent.Chunk{Heading: "Visa", Text: text})
	}
	return e
}

func TestACollectionIsReadAnewWhenSomethingOfItIsGone(t *testing.T) {
	w, rules := newWorld(t), agent.SummarizePayload{Collection: "rules"}
	index := func(key string, document agent.DocumentIndexed) int64 { // returns the sequence of what it recorded
		return w.append(t, key, document, agent.CommandSucceeded{}) - 1
	}
	first := index("i1", indexed("a.md", "one", "two"))
	second := index("i2", indexed("b.md", "three"))
	got := w.transcript(t, rules, second+1, second+1)
	if diff := cmp.Diff([]string{"a.md, Visa: one", "a.md, Visa: two", "b.md, Visa: three"}, saidIn(got)); diff != "" || got.From != first || got.To != second {
		t.Errorf("it covers %d to %d (-want +got)\n%s", got.From, got.To, diff)
	}
	w.append(t, "s1", agent.SummaryWritten{Collection: "rules", From: got.From, To: got.To, Text: "So far."})
	third := index("i3", indexed("c.md", "four"))
	got = w.transcript(t, rules, third+1, third+1)
	if diff := cmp.Diff([]string{"c.md, Visa: four"}, saidIn(got)); diff != "" || got.Previous != "So far." {
		t.Errorf("when a document was added, after %q (-want +got)\n%s", got.Previous, diff)
	}
	end := w.append(t, "r1", agent.DocumentsRemoved{Collection: "rules", Documents: []string{"a.md"}})
	got = w.transcript(t, rules, end, end)
	if diff := cmp.Diff([]string{"b.md, Visa: three", "c.md, Visa: four"}, saidIn(got)); diff != "" || got.Previous != "" || got.From != second {
		t.Errorf("when a document was removed, from %d after %q (-want +got)\n%s", got.From, got.Previous, diff)
	}
}

// One event may hold more than a transcript: then something of each of its passages is kept.
func TestAnEventThatDoesNotFitIsCutEvenly(t *testing.T) {
	var items []placed
	for i := range 100 {
		items = append(items, placed{7, agent.Said{By: fmt.Sprint(i), Text: strings.Repeat("x", 2000)}})
	}
	got := transcript(projection.Summary{}, append(items, placed{sequence: 8}))
	size := 0
	for _, s := range got.Items {
		size += len(s.Text)
	}
	if len(got.Items) != 100 || got.To != 7 || size > 2*transcriptBytes {
		t.Errorf("%d passages with %d bytes, up to %d", len(got.Items), size, got.To)
	}
}

func TestATranscriptWaitsForTheProjection(t *testing.T) {
	w := newWorld(t)
	end := w.asks(t, "a", "ada", "One?", "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := (&Transcripts{Reader: w.projected}).Transcript(ctx, agent.TranscriptRequest{Stream: stream, Of: ofAda, UpTo: end, Seen: end + 1})
	if f := fault.Of(err); f == nil || f.Kind != fault.Wait || f.Reason != "ProjectionBehind" {
		t.Errorf("error is %v", err)
	}
}
