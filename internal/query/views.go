package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

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
	LagSeconds int64    `json:"lagSeconds"`       // since the first of them was recorded
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
	progress, err := h.fresh.Progress(ctx, stream)
	if err != nil {
		f := fault.Of(err)
		if f.Kind == fault.Retry {
			return err
		}
		item.Reason = f.Reason
	}
	item.Stream, item.Sequence, item.Lag = stream, progress.Seen, progress.Lag()
	item.LagSeconds = int64(progress.Age(h.options.Now()) / time.Second)
	return nil
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

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(body) // who hung up does not read it
	return nil
}
