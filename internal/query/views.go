package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/view"
)

const (
	jsonType = "application/json"
	textType = "text/plain"
)

// listedView is a context view as the list tells of it.
type listedView struct {
	Name       string   `json:"name"`
	Agent      string   `json:"agent"`
	Definition string   `json:"definition"`
	Budget     int      `json:"budget"`
	Blocks     []string `json:"blocks"`
	Stream     string   `json:"stream,omitempty"`
	Sequence   int64    `json:"sequence"`         // a context built now has seen this one
	Lag        int64    `json:"lag"`              // records that it would not have seen
	Reason     string   `json:"reason,omitempty"` // why no context can be built now
}

func (h *handler) listViews(w http.ResponseWriter, r *http.Request) error {
	p := parametersOf(r)
	namespace, _, err := named(r)
	if err = errors.Join(err, p.bad); err != nil {
		return err
	}
	if err := h.allow(r, "list", "contextviews", namespace, ""); err != nil {
		return err
	}
	definitions, err := h.Views.List(r.Context(), namespace)
	if err != nil {
		return fmt.Errorf("list the views of %s: %w", namespace, err)
	}
	items := make([]listedView, 0, len(definitions))
	for _, d := range definitions {
		item := listedView{Name: d.Name, Agent: d.Agent, Definition: d.Digest(), Budget: d.Budget, Blocks: make([]string, 0, len(d.Blocks))}
		for _, b := range d.Blocks {
			item.Blocks = append(item.Blocks, b.Name)
		}
		if err := h.progress(r.Context(), d, &item); err != nil {
			return err
		}
		items = append(items, item)
	}
	return writeJSON(w, struct {
		Items []listedView `json:"items"`
	}{items})
}

// progress fills in how far a view's stream is projected, or why nobody can say.
func (h *handler) progress(ctx context.Context, d view.Definition, item *listedView) error {
	if err := d.Validate(); err != nil {
		item.Reason = fault.Of(err).Reason
		return nil
	}
	stream, err := h.Streams.Stream(ctx, d.Namespace, d.Agent)
	if errors.Is(err, ErrNotFound) {
		item.Reason = "AgentNotFound"
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the stream of agent %s/%s: %w", d.Namespace, d.Agent, err)
	}
	held, err := h.Journal.Head(ctx, stream)
	if err != nil {
		return fmt.Errorf("read the head of %s: %w", stream, err)
	}
	seen, err := h.Projection.Head(ctx, stream)
	if err != nil {
		item.Reason = fault.Of(err).Reason
	}
	item.Stream, item.Sequence, item.Lag = stream, seen, max(0, held-seen)
	return nil
}

// contextAnswer is a context as JSON.
type contextAnswer struct {
	View       string               `json:"view"`
	Namespace  string               `json:"namespace"`
	Agent      string               `json:"agent"`
	Stream     string               `json:"stream"`
	Sequence   int64                `json:"sequence"`
	Lag        int64                `json:"lag"` // records that the journal held when the request came, and the context has not seen
	Tokens     int                  `json:"tokens"`
	Budget     int                  `json:"budget"`
	Digest     string               `json:"digest"`
	Definition string               `json:"definition"`
	Blocks     []agent.ContextBlock `json:"blocks"`
	Text       string               `json:"text"`
}

// freshness is what a reader demands of a context.
type freshness struct {
	asOf, least, lag int64
	bounded          bool // lag counts
}

func (h *handler) context(w http.ResponseWriter, r *http.Request) error {
	const longestQuestion, longestName = 32 << 10, 253
	p := parametersOf(r, "conversation", "question", "minSequence", "maxLag", "sequence", "maxTokens")
	question := agent.Question{Conversation: p.text("conversation", longestName), Text: p.text("question", longestQuestion)}
	fresh := freshness{asOf: p.number("sequence", 1), least: p.number("minSequence", 0), lag: p.number("maxLag", 0), bounded: p.has("maxLag")}
	tokens := p.number("maxTokens", 1)
	if tokens > view.MaxBudget {
		p.refuse("maxTokens", "it is at most %d", view.MaxBudget)
	}
	if fresh.asOf > 0 && (fresh.bounded || fresh.least > fresh.asOf) {
		p.refuse("sequence", "a context as of a sequence has seen no more than that, whatever minSequence and maxLag demand")
	}
	namespace, name, err := named(r)
	if err = errors.Join(err, p.bad); err != nil {
		return err
	}
	media, err := accepted(r, textType, jsonType)
	if err != nil {
		return err
	}
	if err := h.allow(r, "get", "contextviews", namespace, name); err != nil {
		return err
	}
	definition, stream, err := h.viewed(r.Context(), namespace, name)
	if err != nil {
		return err
	}
	held, err := h.demand(r.Context(), stream, &fresh)
	if err != nil {
		return err
	}
	built, err := h.Contexts.Build(r.Context(), view.Request{Definition: definition, Stream: stream, Question: question,
		Sequence: fresh.asOf, Min: fresh.least, MaxTokens: int(tokens)})
	if err != nil {
		return err
	}
	return writeContext(w, media, contextAnswer{
		View: name, Namespace: namespace, Agent: definition.Agent, Stream: stream, Sequence: built.Sequence, Lag: max(0, held-built.Sequence),
		Tokens: built.Tokens, Budget: built.Budget, Digest: built.Digest, Definition: built.Definition, Blocks: built.Blocks, Text: built.Text,
	})
}

// viewed returns a view's definition and the stream that its agent writes now.
func (h *handler) viewed(ctx context.Context, namespace, name string) (view.Definition, string, error) {
	d, err := h.Views.View(ctx, namespace, name)
	if errors.Is(err, ErrNotFound) {
		return d, "", notFound("ContextView", namespace, name)
	}
	if err != nil {
		return d, "", fmt.Errorf("find view %s/%s: %w", namespace, name, err)
	}
	stream, err := h.Streams.Stream(ctx, d.Namespace, d.Agent)
	if errors.Is(err, ErrNotFound) {
		return d, "", notFound("Agent", d.Namespace, d.Agent)
	}
	if err != nil {
		return d, "", fmt.Errorf("find the stream of agent %s/%s: %w", d.Namespace, d.Agent, err)
	}
	return d, stream, nil
}

// demand returns how far the journal is, makes the largest lag a least sequence,
// and waits a while until the projection has seen what is asked for. What the journal itself does not hold is refused at once: nobody can
// have read that it was written.
func (h *handler) demand(ctx context.Context, stream string, fresh *freshness) (held int64, err error) {
	held, err = h.Journal.Head(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	if wanted := max(fresh.least, fresh.asOf); wanted > held {
		return 0, &problem{Status: http.StatusConflict, Reason: "SequenceNotReached",
			Detail: fmt.Sprintf("Sequence %d was asked for, and the journal of stream %s ends at %d.", wanted, stream, held),
			Remedy: "Ask for a sequence that was written to this stream; a new agent of an old name begins a new one."}
	}
	if fresh.bounded {
		fresh.least = max(fresh.least, held-fresh.lag)
	}
	ctx, cancel := context.WithTimeout(ctx, h.options.Patience)
	defer cancel()
	return held, h.Projection.WaitFor(ctx, stream, max(fresh.least, fresh.asOf))
}

func writeContext(w http.ResponseWriter, media string, a contextAnswer) error {
	header := w.Header()
	header.Set("Vary", "Accept")
	header.Set("Edict-Sequence", strconv.FormatInt(a.Sequence, 10))
	header.Set("Edict-Lag", strconv.FormatInt(a.Lag, 10))
	header.Set("Edict-Tokens", strconv.Itoa(a.Tokens))
	header.Set("Edict-Digest", a.Digest)
	if media == jsonType {
		return writeJSON(w, a)
	}
	header.Set("Content-Type", textType+"; charset=utf-8")
	_, _ = w.Write([]byte(a.Text)) // who hung up does not read it
	return nil
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(body) // who hung up does not read it
	return nil
}
