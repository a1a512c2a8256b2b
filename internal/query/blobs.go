package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

var blobDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// blob answers with a text that an event of the agent names by digest: a context
// that a decision saw, or the request that was sent to the model. A digest that
// the agent's own events do not name is not looked up, for texts of all agents
// are kept together. The sequence of the event that names it saves the search.
func (h *handler) blob(w http.ResponseWriter, r *http.Request) error {
	p := parametersOf(r, "life", "sequence")
	want := reading{next: max(1, p.number("sequence", 1)), left: -1}
	if p.has("sequence") {
		want.left = 1
	}
	life := p.number("life", 1)
	digest := r.PathValue("digest")
	if !blobDigest.MatchString(digest) {
		p.refuse("digest", "it is sha256: and 64 hexadecimal digits")
	}
	if p.bad != nil {
		return p.bad
	}
	var err error
	if want.stream, err = h.agentStream(r, int(life)); err != nil {
		return err
	}
	found, err := inPast(h, func() (namedText, error) { return h.namedText(r.Context(), want, digest) })
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", found.media)
	_, _ = w.Write(found.text) // who hung up does not read it
	return nil
}

type namedText struct {
	media string
	text  []byte
}

// namedText returns the text of that digest if an event of the stream names it.
func (h *handler) namedText(ctx context.Context, want reading, digest string) (namedText, error) {
	media, err := h.names(ctx, want, digest)
	if err != nil {
		return namedText{}, err
	}
	text, err := h.Journal.Blob(ctx, digest)
	if media == "" || errors.Is(err, journal.ErrNoBlob) {
		return namedText{}, &problem{Status: http.StatusNotFound, Reason: "NotFound",
			Detail: "No event of this agent names that digest, or its text is not kept.", Remedy: "Take the digest from a ContextBuilt or a DecisionMade of this agent's journal."}
	}
	if err != nil {
		return namedText{}, fmt.Errorf("read blob %s: %w", digest, err)
	}
	return namedText{media: media, text: text}, nil
}

// names returns what kind of text the stream's events name by that digest, empty for none.
func (h *handler) names(ctx context.Context, want reading, digest string) (string, error) {
	for {
		records, err := h.readPage(ctx, &want)
		if err != nil || len(records) == 0 {
			return "", err
		}
		for _, record := range records {
			if media := namedBy(record, digest); media != "" {
				return media, nil
			}
		}
	}
}

func namedBy(record journal.Record, digest string) string {
	if record.Type != "ContextBuilt" && record.Type != "DecisionMade" {
		return "" // most records, and their payload need not be decoded
	}
	event, err := agent.Decode(agent.Stored(record.Event))
	if err != nil {
		return "" // an event that cannot be read names nothing
	}
	switch e := event.(type) {
	case agent.ContextBuilt:
		if e.Digest == digest {
			return textType + "; charset=utf-8"
		}
	case agent.DecisionMade:
		if e.Request == digest {
			return jsonType
		}
	}
	return ""
}
