package view

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/projection"
)

// aside is another projection of the world's journal, with a builder and indices of its own.
func (w *world) aside(t testing.TB, location string) *Builder {
	t.Helper()
	s, err := projection.Open(t.Context(), location, w.journal, projection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Follow(context.WithoutCancel(t.Context())) }() // until it is closed
	b := builder(t, s)
	b.finder = NewFinder(s, w.journal, 0)
	return b
}

// anyHappening is what may be appended for one agent, in words that meet.
func anyHappening(t *rapid.T, key string) []agent.Event {
	words := rapid.StringMatching(`((visa|flight|hotel|lisbon|seat|may|2023|friday) ){1,6}`)
	conversation := rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "conversation")
	text := words.Draw(t, "text")
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		return []agent.Event{agent.MessageReceived{Conversation: conversation, Text: text, SaidBy: rapid.SampledFrom([]string{"", "Eve"}).Draw(t, "by")},
			agent.ResponseGiven{Conversation: conversation, Text: words.Draw(t, "answer")}}
	case 1:
		return []agent.Event{agent.MemorySaved{ID: rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "id") + key, Kind: "fact", Content: text,
			Importance: rapid.IntRange(0, 10).Draw(t, "importance"), TTL: rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Hour}).Draw(t, "ttl")}}
	case 2:
		return []agent.Event{agent.DocumentIndexed{Collection: "visa-rules", Document: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "document"), Source: "inline",
			Digest: text, Part: 1, Parts: 1, Chunks: []agent.Chunk{{Text: text}, {Heading: "More", Text: words.Draw(t, "more")}}},
			agent.CommandSucceeded{Message: "Indexed."}}
	case 3:
		return []agent.Event{agent.DocumentsRemoved{Collection: "visa-rules", Documents: []string{"a"}}}
	case 4:
		return []agent.Event{agent.CommandAccepted{Name: key, Conversation: conversation,
			Intent: agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "search"})}}
	case 5:
		return []agent.Event{agent.CommandAccepted{Name: key, Intent: agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "search"})},
			agent.AttemptSucceeded{Attempt: 1, Result: text}, agent.CommandSucceeded{Message: "Done."}}
	case 6:
		return []agent.Event{agent.SummaryWritten{Attempt: 1, Collection: "visa-rules", From: 1, To: rapid.Int64Range(1, 30).Draw(t, "to"), Text: text}}
	}
	return []agent.Event{agent.SummaryWritten{Attempt: 1, Conversation: conversation, From: 1, To: rapid.Int64Range(1, 9).Draw(t, "to"), Text: text}}
}

// asked is what the contexts are built for; some of it is embedded.
var asked = []string{"", "Which flight on Friday?", "visa for lisbon in May 2023", "lisbon"}

// anyEmbedding is what a model made of some of the texts that were said or asked.
func anyEmbedding(t *rapid.T, said []string) (agent.TextsEmbedded, journal.Blob) {
	e := agent.TextsEmbedded{Model: rapid.SampledFrom([]string{"small", "large"}).Draw(t, "model"), Dimensions: 2}
	if e.Model == "large" {
		e.Dimensions = 5
	}
	var vectors [][]float32
	for _, text := range rapid.SliceOfN(rapid.SampledFrom(append(said, asked[1:]...)), 1, 6).Draw(t, "embedded") {
		e.Texts = append(e.Texts, agent.TextDigest(agent.EmbeddingText("", text)))
		vectors = append(vectors, rapid.SliceOfN(rapid.Float32Range(0.1, 1), e.Dimensions, e.Dimensions).Draw(t, "vector"))
	}
	blob := journal.NewBlob(agent.EncodeVectors(vectors))
	e.Vectors = blob.Digest
	return e, blob
}

// textsOf are those of events that can be searched.
func textsOf(events []agent.Event) (texts []string) {
	for _, e := range events {
		switch e := e.(type) {
		case agent.MessageReceived:
			texts = append(texts, e.Text)
		case agent.MemorySaved:
			texts = append(texts, e.Content)
		case agent.DocumentIndexed:
			texts = append(texts, e.Chunks[0].Text)
		}
	}
	return texts
}

// Two stores, one that saw each event as it came and one that was made from all of
// them at once, give the same context for the same journal, as of each sequence.
func TestTwoStoresGiveTheSameContext(t *testing.T) {
	w := newWorld(t)
	server := postgres.Shared(t)
	if err := server.CreateDatabase(t.Context(), "contexts"); err != nil {
		t.Fatal(err)
	}
	inServer := w.aside(t, server.URL("contexts"))
	var examples atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		name := fmt.Sprintf("travel/agent-%d", examples.Add(1))
		head := int64(0)
		var said []string
		for i := range rapid.IntRange(1, 25).Draw(rt, "appends") {
			batch := journal.Batch{Stream: name, Expected: journal.AnyVersion}
			key := fmt.Sprint("k", i)
			events := anyHappening(rt, key)
			said = append(said, textsOf(events)...)
			if rapid.Bool().Draw(rt, "embeds") {
				e, blob := anyEmbedding(rt, said)
				events, batch.Blobs = append(events, e), []journal.Blob{blob}
			}
			for _, e := range events {
				batch.Events = append(batch.Events, journal.Event(agent.Encode(key, e)))
			}
			records, err := w.journal.Append(rt.Context(), batch)
			if err != nil {
				rt.Fatal(err)
			}
			head = records[len(records)-1].Sequence
		}
		d := everything(rapid.SampledFrom([]Rendering{Markdown, XML, JSON}).Draw(rt, "rendering"))
		d.Budget = rapid.IntRange(300, 1500).Draw(rt, "budget")
		r := Request{Definition: d, Stream: name, Question: agent.Question{Conversation: "ada",
			Text: rapid.SampledFrom(asked).Draw(rt, "question")}}
		for _, r.Sequence = range []int64{head, rapid.Int64Range(1, head).Draw(rt, "as of"), head} {
			ctx, cancel := context.WithTimeout(rt.Context(), 20*time.Second)
			one, err := w.builder.Build(ctx, r)
			if err != nil {
				rt.Fatal(err)
			}
			other, err := inServer.Build(ctx, r)
			cancel()
			if diff := cmp.Diff(one, other); err != nil || diff != "" {
				rt.Fatalf("as of %d, with PostgreSQL: %v (-SQLite +PostgreSQL)\n%s", r.Sequence, err, diff)
			}
		}
	})
	if t.Failed() {
		return
	}
	rebuilt := w.aside(t, filepath.Join(t.TempDir(), "again.db"))
	for i := range examples.Load() {
		r := Request{Definition: everything(Markdown), Stream: fmt.Sprintf("travel/agent-%d", i+1), Question: agent.Question{Conversation: "ada", Text: "lisbon"}}
		head, err := w.journal.Head(t.Context(), r.Stream)
		if err != nil {
			t.Fatal(err)
		}
		r.Sequence = head
		if diff := cmp.Diff(built(t, inServer, r), built(t, rebuilt, r)); diff != "" {
			t.Fatalf("of %s (-as it came +made anew)\n%s", r.Stream, diff)
		}
	}
}
