package query

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/view"
)

const longestQuestion, longestName = 32 << 10, 253 // bytes

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

// context answers with the context of a question: the newest that is as fresh as
// the reader demands, or as it was at a sequence.
func (h *handler) context(w http.ResponseWriter, r *http.Request) error {
	p := parametersOf(r, "conversation", "question", "minSequence", "maxLag", "sequence", "at", "maxTokens")
	request := view.Request{
		Question: agent.Question{Conversation: p.text("conversation", longestName), Text: p.text("question", longestQuestion)},
		Sequence: p.either("sequence", "at", 1), MaxTokens: int(min(p.number("maxTokens", 1), view.MaxBudget+1)),
	}
	if request.MaxTokens > view.MaxBudget {
		p.refuse("maxTokens", "it is at most %d", view.MaxBudget)
	}
	demand := p.demand()
	if request.Sequence > 0 && (p.has("maxLag") || demand.Min > request.Sequence) {
		p.refuse("sequence", "a context as of a sequence has seen no more than that, whatever minSequence and maxLag demand")
	}
	if p.bad != nil {
		return p.bad
	}
	namespace, name, err := named(r)
	if err != nil {
		return err
	}
	media, err := accepted(r, textType, jsonType)
	if err != nil {
		return err
	}
	if err := h.allow(r, "get", "contextviews", namespace, name); err != nil {
		return err
	}
	if request.Definition, request.Stream, err = h.viewed(r.Context(), namespace, name); err != nil {
		return err
	}
	held, err := h.demand(r.Context(), &request, demand)
	if err != nil {
		return err
	}
	built, err := h.build(r.Context(), request)
	if err != nil {
		return err
	}
	return writeContext(w, r, media, contextAnswer{
		View: name, Namespace: namespace, Agent: request.Definition.Agent, Stream: request.Stream, Sequence: built.Sequence, Lag: max(0, held-built.Sequence),
		Tokens: built.Tokens, Budget: built.Budget, Digest: built.Digest, Definition: built.Definition, Blocks: built.Blocks, Text: built.Text,
	})
}

// demand returns how far the journal is, puts the least sequence that satisfies
// the demand into the request, and waits a while until the projection has seen
// what is asked for. What the journal itself does not hold is refused at once:
// nobody can have read that it was written.
func (h *handler) demand(ctx context.Context, request *view.Request, d Demand) (held int64, err error) {
	least, held, err := h.fresh.Least(ctx, request.Stream, d, h.options.Now())
	if err != nil {
		return 0, err
	}
	if wanted := max(least, request.Sequence); wanted > held {
		return 0, &problem{Status: http.StatusConflict, Reason: "SequenceNotReached",
			Detail: fmt.Sprintf("Sequence %d was asked for, and the journal of stream %s ends at %d.", wanted, request.Stream, held),
			Remedy: "Ask for a sequence that was written to this stream; a new agent of an old name begins a new one."}
	}
	request.Min = least
	if request.Sequence > 0 {
		request.Min = 0 // it has seen what it has seen
	}
	ctx, cancel := context.WithTimeout(ctx, h.options.Patience)
	defer cancel()
	return held, h.Projection.WaitFor(ctx, request.Stream, max(least, request.Sequence))
}

func writeContext(w http.ResponseWriter, r *http.Request, media string, a contextAnswer) error {
	header := w.Header()
	header.Set("Edict-Sequence", strconv.FormatInt(a.Sequence, 10))
	header.Set("Edict-Lag", strconv.FormatInt(a.Lag, 10))
	header.Set("Edict-Tokens", strconv.Itoa(a.Tokens))
	header.Set("Edict-Digest", a.Digest)
	if media != jsonType {
		writeTagged(w, r, textType+"; charset=utf-8", []byte(a.Text))
		return nil
	}
	body, err := encode(a)
	if err == nil {
		writeTagged(w, r, jsonType, body)
	}
	return err
}

// demand returns what minSequence and maxLag say. A lag is a number of records, or
// with a unit of time how long ago a record may have been made that is missing.
func (p *parameters) demand() Demand {
	d := Demand{Min: p.number("minSequence", 0)}
	if !p.has("maxLag") {
		return d
	}
	text := p.values["maxLag"][0]
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		d.MaxLag = &n
	} else if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		d.MaxAge = &age
	} else {
		p.refuse("maxLag", "it is a number of events, or a time with a unit such as 500ms or 5s")
	}
	return d
}

// either returns a number that has two names, of which one may be given.
func (p *parameters) either(name, alias string, least int64) int64 {
	if p.has(name) && p.has(alias) {
		p.refuse(alias, "it is another name of %s, which is given too", name)
	}
	return max(p.number(name, least), p.number(alias, least))
}
