package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/decision"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	embeddedAtOnce = 64 // texts of a request, as an ask has
	requests       = 5  // for the same texts, where a server asks to wait
)

// embedding is a server that turns texts into vectors.
type embedding struct {
	server agent.Embeddings
	key    string
	client *decision.Decider
	known  int // dimensions of its vectors; 0 before the first
}

// embeddingAsked returns the server that the environment names, or nil if it names none.
func embeddingAsked() (*embedding, error) {
	url, model := os.Getenv("EDICT_EMBEDDINGS_URL"), os.Getenv("EDICT_EMBEDDINGS_MODEL")
	switch {
	case url == "" && model == "":
		return nil, nil
	case url == "" || model == "":
		return nil, fmt.Errorf("vectors need both EDICT_EMBEDDINGS_URL, up to and without /embeddings, and EDICT_EMBEDDINGS_MODEL")
	}
	return &embedding{
		server: agent.Embeddings{BaseURL: url, Model: model, Timeout: time.Minute},
		key:    os.Getenv("EDICT_EMBEDDINGS_KEY"),
		client: decision.New(decision.Options{}),
	}, nil
}

// record has texts embedded, and appends what came back: an event for each request.
func (e *embedding) record(ctx context.Context, j journal.Journal, stream string, texts []string) (head int64, err error) {
	for len(texts) > 0 {
		some := texts[:min(len(texts), embeddedAtOnce)]
		texts = texts[len(some):]
		answer, err := e.embed(ctx, some)
		if err != nil {
			return 0, err
		}
		blob := journal.NewBlob(agent.EncodeVectors(answer.Vectors))
		event := agent.TextsEmbedded{Model: e.server.Model, Dimensions: e.known, Vectors: blob.Digest, Usage: answer.Usage}
		for _, text := range some {
			event.Texts = append(event.Texts, agent.TextDigest(text))
		}
		records, err := j.Append(ctx, journal.Batch{Stream: stream, Expected: journal.AnyVersion, Blobs: []journal.Blob{blob},
			Events: []journal.Event{journal.Event(agent.Encode("embed", event))}})
		if err != nil {
			return 0, err
		}
		head = records[0].Sequence
	}
	return head, nil
}

// embed asks once, and again if the server asks to wait.
func (e *embedding) embed(ctx context.Context, texts []string) (answer agent.EmbeddingAnswer, err error) {
	for range requests {
		answer, err = e.client.Embed(ctx, agent.EmbeddingInquiry{Embeddings: e.server, Texts: texts, Known: e.known, APIKey: e.key})
		if err == nil {
			e.known = len(answer.Vectors[0])
			return answer, nil
		}
		if !fault.Is(err, fault.Wait) {
			return answer, err
		}
		select {
		case <-time.After(max(time.Second, fault.Of(err).After)):
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
	return answer, err
}

// texts are what is embedded of a conversation: what has no vector yet, and the questions, each once.
func (f *found) texts(ctx context.Context, model string) ([]string, error) {
	texts, err := f.finder.Unembedded(ctx, stream(f.conversation.name), model, f.head, len(f.conversation.items))
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, text := range texts {
		there[text] = true
	}
	for _, q := range f.conversation.questions {
		if text := agent.EmbeddingText("", q.Text); !there[text] && !agent.Blank(text) {
			there[text] = true
			texts = append(texts, text)
		}
	}
	return texts, nil
}
