package decision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// The reasons of the faults that Embed returns.
const (
	// ReasonEmbeddingRateLimited surfaces when the embedding server answers 429. Kind Wait, After is its Retry-After.
	ReasonEmbeddingRateLimited = "EmbeddingRateLimited"
	// ReasonEmbeddingUnavailable surfaces when it answers 408 or 5xx. Kind Wait, After is its Retry-After.
	ReasonEmbeddingUnavailable = "EmbeddingUnavailable"
	// ReasonEmbeddingUnreachable surfaces when there is no connection to it, or it breaks. Kind Wait.
	ReasonEmbeddingUnreachable = "EmbeddingUnreachable"
	// ReasonEmbeddingTimeout surfaces when it does not answer in time. Kind Wait; it wraps context.DeadlineExceeded.
	ReasonEmbeddingTimeout = "EmbeddingTimeout"
	// ReasonEmbeddingUnauthorized surfaces when it answers 401 or 403. Kind Invalid.
	ReasonEmbeddingUnauthorized = "EmbeddingUnauthorized"
	// ReasonEmbeddingNotFound surfaces when it answers 404. Kind Invalid.
	ReasonEmbeddingNotFound = "EmbeddingNotFound"
	// ReasonEmbeddingRejected surfaces when it answers another 4xx, which says something of the texts or of their number. Kind Invalid.
	ReasonEmbeddingRejected = "EmbeddingRejected"
	// ReasonEmbeddingRedirected surfaces when it answers with a redirect. Kind Invalid.
	ReasonEmbeddingRedirected = "EmbeddingRedirected"
	// ReasonEmbeddingAddressInvalid surfaces when spec.embeddings.baseURL is no address. Kind Invalid.
	ReasonEmbeddingAddressInvalid = "EmbeddingAddressInvalid"
	// ReasonEmbeddingAddressDenied surfaces when the caller's transport refuses the server's address. Kind Invalid.
	ReasonEmbeddingAddressDenied = "EmbeddingAddressDenied"
	// ReasonEmbeddingTooLarge surfaces when an answer is longer than vectors of so many texts can be. Kind Invalid.
	ReasonEmbeddingTooLarge = "EmbeddingTooLarge"
	// ReasonEmbeddingUnreadable surfaces when an answer does not hold embeddings, or only half of them. Kind Invalid.
	ReasonEmbeddingUnreadable = "EmbeddingUnreadable"
	// ReasonEmbeddingUnfit surfaces when vectors are missing, are there twice, or cannot be compared. Kind Invalid.
	ReasonEmbeddingUnfit = "EmbeddingUnfit"
	// ReasonEmbeddingDimensions surfaces when vectors have another dimension than was asked for, or than those before. Kind Invalid.
	ReasonEmbeddingDimensions = "EmbeddingDimensions"
)

// embeddingServer is who is asked for vectors, and how failures of it are told. Nothing of what it answers enters a message.
type embeddingServer struct {
	agent.Embeddings
	host string // of the base URL, without credentials

	now    func() time.Time
	denied func(error) (string, bool)
}

func (d *Decider) embeddingServer(q agent.EmbeddingInquiry) (embeddingServer, error) {
	host, wrong := hostOf(q.Embeddings.BaseURL)
	if wrong != "" {
		return embeddingServer{}, fault.NewInvalid(ReasonEmbeddingAddressInvalid, "spec.embeddings.baseURL %s", wrong)
	}
	s := embeddingServer{Embeddings: q.Embeddings, host: host, now: d.now, denied: d.denied}
	if s.Timeout <= 0 {
		s.Timeout = defaultTimeout
	}
	return s, nil
}

// unsent implements failures.
func (s embeddingServer) unsent(ctx context.Context, err error) error {
	if address, ok := s.denied(err); ok {
		return fault.NewInvalid(ReasonEmbeddingAddressDenied,
			"The embedding server %s leads to the address %s, which the operator does not connect to: "+
				"change spec.embeddings.baseURL, or have the operator's administrator allow the address.", s.host, address)
	}
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return s.broken(ctx, err)
	}
	return fault.NewWait(0, ReasonEmbeddingUnreachable,
		"There is no connection to the embedding server %s: %s. Check spec.embeddings.baseURL and that the server runs.", s.host, unreached(err))
}

// broken implements failures.
func (s embeddingServer) broken(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("ask embedding server %s: %w", s.host, context.Canceled)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{
			Kind: fault.Wait, Reason: ReasonEmbeddingTimeout, Err: context.DeadlineExceeded,
			Message: fmt.Sprintf("The embedding server %s did not answer in time (spec.embeddings.timeout is %s). "+
				"Raise it if the model needs longer.", s.host, s.Timeout),
		}
	}
	return fault.NewWait(0, ReasonEmbeddingUnreachable,
		"The connection to the embedding server %s broke before its answer was complete.", s.host)
}

// tooLarge implements failures.
func (s embeddingServer) tooLarge(limit int64) error {
	return fault.NewInvalid(ReasonEmbeddingTooLarge,
		"The embedding server %s answered with more than %d bytes, which is more than vectors of 8192 dimensions take: "+
			"check that spec.embeddings.baseURL is the address of an OpenAI-compatible API.", s.host, limit)
}

// refused implements failures.
func (s embeddingServer) refused(r *http.Response, _ []byte) error {
	status := r.StatusCode
	after := retryAfter(r.Header.Get("Retry-After"), s.now)
	switch {
	case status == http.StatusTooManyRequests:
		return fault.NewWait(after, ReasonEmbeddingRateLimited,
			"The embedding server %s takes no more requests for now (status 429).", s.host)
	case status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fault.NewWait(after, ReasonEmbeddingUnavailable, "The embedding server %s is not available (status %d).", s.host, status)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return s.unauthorized(status)
	case status == http.StatusNotFound:
		return fault.NewInvalid(ReasonEmbeddingNotFound,
			"The embedding server %s knows no model %s, or no embeddings at that address (status 404): "+
				"check spec.embeddings.model and spec.embeddings.baseURL, which usually ends in /v1.", s.host, s.Model)
	case status < http.StatusBadRequest:
		return fault.NewInvalid(ReasonEmbeddingRedirected,
			"The embedding server %s answered with a redirect (status %d), which is not followed: "+
				"set spec.embeddings.baseURL to the address that it leads to.", s.host, status)
	}
	hint := "check spec.embeddings against what the server offers, and whether the texts are too long for the model"
	if s.Dimensions > 0 {
		hint = "check whether the model lets its dimensions be chosen, and remove spec.embeddings.dimensions if not; the texts may also be too long for it"
	}
	return fault.NewInvalid(ReasonEmbeddingRejected, "The embedding server %s rejected the request (status %d): %s.", s.host, status, hint)
}

func (s embeddingServer) unauthorized(status int) error {
	if s.APIKey == nil {
		return fault.NewInvalid(ReasonEmbeddingUnauthorized,
			"The embedding server %s wants a key (status %d), and the agent names none: set spec.embeddings.apiKeySecretRef.", s.host, status)
	}
	return fault.NewInvalid(ReasonEmbeddingUnauthorized,
		"The embedding server %s does not accept the agent's key (status %d): check key %s of Secret %s.",
		s.host, status, s.APIKey.Key, s.APIKey.Name)
}

// unfit says what is wrong with an answer of which nothing is recorded.
func (s embeddingServer) unfit(format string, args ...any) error {
	return fault.NewInvalid(ReasonEmbeddingUnfit,
		"The embedding server %s gave no vectors that can be used: %s. Nothing of them is recorded; look at the server, or choose another model in spec.embeddings.model.",
		s.host, fmt.Sprintf(format, args...))
}

// dimensions returns why vectors of so many dimensions cannot stand beside others, nil if they can.
func (s embeddingServer) dimensions(q agent.EmbeddingInquiry, got int) error {
	switch asked := q.Embeddings.Dimensions; {
	case asked > 0 && got != asked:
		return fault.NewInvalid(ReasonEmbeddingDimensions,
			"The model %s at %s gave vectors of %d dimensions, and spec.embeddings.dimensions asks for %d: remove it, or choose a model that lets its dimensions be chosen.",
			s.Model, s.host, got, asked)
	case q.Known > 0 && got != q.Known:
		return fault.NewInvalid(ReasonEmbeddingDimensions,
			"The model %s at %s gave vectors of %d dimensions, and those that the journal has of it have %d, so they cannot be compared: "+
				"have the server give %d again (spec.embeddings.dimensions), or name another model in spec.embeddings.model, by which everything is embedded anew.",
			s.Model, s.host, got, q.Known, q.Known)
	}
	return nil
}
