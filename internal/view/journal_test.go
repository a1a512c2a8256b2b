package view

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/tokens"
)

// world is a real journal with a projection that follows it.
type world struct {
	journal   journal.Journal
	projected *projection.Store
	builder   *Builder
}

func newWorld(t testing.TB) *world {
	t.Helper()
	j, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	if _, err := j.Claim(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w := &world{journal: j}
	w.rebuild(t)
	return w
}

// rebuild projects the journal from its beginning into a new file.
func (w *world) rebuild(t testing.TB) {
	t.Helper()
	s, err := projection.Open(t.Context(), filepath.Join(t.TempDir(), "projection.db"), w.journal, projection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Follow(context.WithoutCancel(t.Context())) }() // until it is closed
	w.projected, w.builder = s, builder(t, s)
	w.builder.finder = NewFinder(s, w.journal, 0)
}

func (w *world) append(t testing.TB, subject string, events ...agent.Event) int64 {
	t.Helper()
	b := journal.Batch{Stream: stream, Expected: journal.AnyVersion}
	for _, e := range events {
		b.Events = append(b.Events, journal.Event(agent.Encode(subject, e)))
	}
	records, err := w.journal.Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return records[len(records)-1].Sequence
}

func (w *world) build(t testing.TB, r Request) agent.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r.Stream = stream
	if r.Definition.Name == "" {
		r.Definition = concierge(300)
	}
	if r.Question == (agent.Question{}) {
		r.Question.Conversation = "ada"
	}
	got, err := w.builder.Build(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// happen appends what one ask with a call may leave, and more than the budget holds in time.
func (w *world) happen(t testing.TB, i int) int64 {
	t.Helper()
	key := fmt.Sprint("ask-", i)
	call := agent.CommandAccepted{Name: key + "-1-0", Conversation: "ada",
		Intent: agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "search_flights"})}
	w.append(t, key, agent.MessageReceived{Conversation: "ada", Text: fmt.Sprintf("Question %d?", i)})
	w.append(t, key+"/call", call, agent.AttemptSucceeded{Attempt: 1, Result: fmt.Sprintf("Result %d.", i)})
	if i > 1 {
		w.append(t, key, agent.MemoryForgotten{ID: fmt.Sprint("mem-", i-2)})
	}
	w.append(t, key, agent.MemorySaved{ID: fmt.Sprint("mem-", i), Kind: "preference", Content: fmt.Sprintf("Preference %d.", i)})
	return w.append(t, key, agent.ResponseGiven{Conversation: "ada", Text: fmt.Sprintf("Answer %d.", i)})
}

func TestAContextAsOfASequenceIsTheSameForEver(t *testing.T) {
	w := newWorld(t)
	then := map[int64]agent.Context{}
	for i := range 8 {
		end := w.happen(t, i)
		then[end] = w.build(t, Request{Min: end})
		if then[end].Sequence != end {
			t.Fatalf("as of %d, not %d", then[end].Sequence, end)
		}
	}
	check := func(when string) {
		for end, want := range then {
			if diff := cmp.Diff(want, w.build(t, Request{Sequence: end})); diff != "" {
				t.Errorf("%s, as of %d (-then +now)\n%s", when, end, diff)
			}
		}
	}
	check("after more events")
	w.rebuild(t)
	check("after a rebuild")
}

// Every kind of block, searched and summarised and expiring: a context as of a
// sequence is the same after more events, and from tables and indices made anew.
func TestEveryBlockAsOfASequenceIsTheSameForEver(t *testing.T) {
	w := newWorld(t)
	request := func(end int64) Request {
		d := everything(Markdown)
		d.Budget = 700
		return Request{Definition: d, Sequence: end, Question: agent.Question{Conversation: "ada", Text: "What did I prefer about question 3?"}}
	}
	then := map[int64]agent.Context{}
	for i := range 8 {
		w.append(t, "docs", agent.DocumentIndexed{Collection: "visa-rules", Document: fmt.Sprint("d", i%3), Source: "inline", Digest: fmt.Sprint(i), Part: 1, Parts: 1,
			Chunks: []agent.Chunk{{Text: fmt.Sprintf("Passage %d about preferences.", i)}, {Text: fmt.Sprintf("And question %d beside it.", i)}}}, agent.CommandSucceeded{})
		w.append(t, "saved", agent.MemorySaved{ID: fmt.Sprint("brief-", i), Kind: "fact", Content: fmt.Sprintf("What was preferred at %d.", i), TTL: 20 * time.Millisecond})
		time.Sleep(5 * time.Millisecond) // by the journal's own clock some memories expire, and others do not
		if i == 4 {
			end := w.happen(t, i)
			w.append(t, "sum", agent.SummaryWritten{Conversation: "ada", From: 1, To: end, Text: "Five questions were answered."})
			w.append(t, "sum-docs", agent.SummaryWritten{Collection: "visa-rules", From: 1, To: end, Text: "Preferences are passed on."})
		}
		end := w.happen(t, i)
		then[end] = w.build(t, request(end))
		if told := strings.Contains(then[end].Text, "Preferences are passed on."); told != (i == 4) { // in the next round a document that it covers is replaced
			t.Errorf("as of %d the summary of the documents is there: %v\n%s", end, told, then[end].Text)
		}
		for _, b := range then[end].Blocks {
			if b.Tokens == 0 {
				t.Fatalf("as of %d block %s is not there:\n%s", end, b.Name, then[end].Text)
			}
		}
	}
	for _, when := range []string{"after more events", "after a rebuild"} {
		for end, want := range then {
			if diff := cmp.Diff(want, w.build(t, request(end))); diff != "" {
				t.Errorf("%s, as of %d (-then +now)\n%s", when, end, diff)
			}
		}
		w.rebuild(t)
	}
}

func TestOneReadsWhatOneWrote(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		end := w.append(t, "k", agent.MemorySaved{ID: fmt.Sprint("mem-", i), Kind: "preference", Content: "x"})
		if got := w.build(t, Request{Min: end}); got.Sequence < end || got.Blocks[0].Items+got.Blocks[0].Cut != min(i+1, 20) {
			t.Fatalf("as of %d after writing %d: %+v", got.Sequence, end, got.Blocks)
		}
	}
}

func TestBobDoesNotSeeWhatWasDoneForAda(t *testing.T) {
	w := newWorld(t)
	end := w.happen(t, 0)
	for _, q := range []agent.Question{{Conversation: "bob"}, {Text: "no conversation"}} {
		got := w.build(t, Request{Question: q, Min: end})
		if got.Blocks[0].Items != 1 || got.Blocks[1].Items != 0 || got.Blocks[2].Items != 0 {
			t.Errorf("%+v sees\n%s", q, got.Text)
		}
	}
}

// BenchmarkBuild measures a context of twenty turns, twenty memories and ten
// results from the real tables: when most of it was counted before, as it is from
// one question to the next, and when none of it was.
func BenchmarkBuild(b *testing.B) {
	w := newWorld(b)
	var end int64
	for i := range 60 {
		end = w.happen(b, i)
	}
	request := Request{Definition: concierge(4000), Stream: stream, Question: agent.Question{Conversation: "ada"}, Min: end}
	run := func(b *testing.B, before func()) {
		for b.Loop() {
			before()
			if _, err := w.builder.Build(b.Context(), request); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("counted", func(b *testing.B) { run(b, func() {}) })
	b.Run("uncounted", func(b *testing.B) {
		run(b, func() { w.builder.tokens, _ = tokens.New() }) // it worked before
	})
}
