package decision

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// The reasons of the faults that Decide and CheckMenu return.
const (
	// ReasonRateLimited surfaces when the server answers 429. Kind Wait, After is its Retry-After.
	ReasonRateLimited = "ModelRateLimited"
	// ReasonUnavailable surfaces when the server answers 408 or 5xx. Kind Wait, After is its Retry-After.
	ReasonUnavailable = "ModelUnavailable"
	// ReasonUnreachable surfaces when there is no connection to the server, or it breaks. Kind Wait.
	ReasonUnreachable = "ModelUnreachable"
	// ReasonTimeout surfaces when the server does not answer in time. Kind Wait; it wraps context.DeadlineExceeded.
	ReasonTimeout = "ModelTimeout"
	// ReasonUnauthorized surfaces when the server answers 401 or 403. Kind Invalid.
	ReasonUnauthorized = "ModelUnauthorized"
	// ReasonNotFound surfaces when the server answers 404. Kind Invalid.
	ReasonNotFound = "ModelNotFound"
	// ReasonRejected surfaces when the server answers another 4xx or a redirect, or the model is
	// known not to take what the profile asks for. Kind Invalid.
	ReasonRejected = "ModelRejected"
	// ReasonAddressInvalid surfaces when spec.model.baseURL is no address. Kind Invalid.
	ReasonAddressInvalid = "ModelAddressInvalid"
	// ReasonAddressDenied surfaces when the caller's transport refuses the server's address. Kind Invalid.
	ReasonAddressDenied = "ModelAddressDenied"
	// ReasonAnswerTooLarge surfaces when an answer is longer than the bound. Kind Invalid.
	ReasonAnswerTooLarge = "ModelAnswerTooLarge"
	// ReasonAnswerUnreadable surfaces when an answer is no chat completion. Kind Invalid.
	ReasonAnswerUnreadable = "ModelAnswerUnreadable"
	// ReasonDecisionInvalid surfaces when the model's answer does not fit, after it was told so once. Kind Invalid.
	ReasonDecisionInvalid = "DecisionInvalid"
	// ReasonSummaryInvalid surfaces when the model's answer is no summary that can be kept. Kind Invalid.
	ReasonSummaryInvalid = "SummaryInvalid"
	// ReasonMenuInvalid surfaces when an operation's parameters cannot be used. Kind Invalid.
	ReasonMenuInvalid = "MenuInvalid"
)

// maxRetryAfter bounds what a server may ask for: a date in the next century must not park an ask for good.
const maxRetryAfter = time.Hour

// server is who is asked, and how failures of it are told. Nothing of what it answers enters a message.
type server struct {
	model agent.Model
	host  string // of the base URL, without credentials
	prose bool   // it is asked for a summary, and not for a decision

	now    func() time.Time
	denied func(error) (string, bool)
}

func serverOf(m agent.Model) (server, error) {
	host, wrong := hostOf(m.BaseURL)
	if wrong != "" {
		return server{}, fault.NewInvalid(ReasonAddressInvalid, "spec.model.baseURL %s", wrong)
	}
	if m.Timeout <= 0 {
		m.Timeout = defaultTimeout
	}
	if m.Mode == "" {
		m.Mode = agent.ModeJSONSchema
	}
	return server{model: m, host: host}, nil
}

// hostOf returns the host of a base URL, without credentials, or what is wrong with it.
func hostOf(baseURL string) (host, wrong string) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return "", "is not an address: write it as https://host/v1."
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Sprintf("of %s has a query or a fragment: end it after the path.", u.Host)
	}
	return u.Host, ""
}

// unsent translates a call that brought no answer.
func (s server) unsent(ctx context.Context, err error) error {
	if address, ok := s.denied(err); ok {
		return fault.NewInvalid(ReasonAddressDenied,
			"The model server %s leads to the address %s, which the operator does not connect to: "+
				"change spec.model.baseURL, or have the operator's administrator allow the address.", s.host, address)
	}
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return s.broken(ctx, err)
	}
	return fault.NewWait(0, ReasonUnreachable,
		"There is no connection to the model server %s: %s. It is tried again; check spec.model.baseURL and that the server runs.",
		s.host, unreached(err))
}

// unreached says why there is no connection to a server.
func unreached(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return "its name does not resolve"
	case errors.As(err, &certificate):
		return "its certificate is not trusted"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS, so its address may have to begin with http:// instead"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "it cannot be reached"
}

// broken translates an answer that stopped before its end, or never began.
func (s server) broken(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("ask model server %s: %w", s.host, context.Canceled)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{
			Kind: fault.Wait, Reason: ReasonTimeout, Err: context.DeadlineExceeded,
			Message: fmt.Sprintf("The model server %s did not answer in time (spec.model.timeout is %s). "+
				"It is tried again; raise spec.model.timeout if the model needs longer.", s.host, s.model.Timeout),
		}
	}
	return fault.NewWait(0, ReasonUnreachable,
		"The connection to the model server %s broke before its answer was complete. It is tried again.", s.host)
}

func (s server) tooLarge(limit int64) error {
	return fault.NewInvalid(ReasonAnswerTooLarge,
		"The model server %s answered with more than %d bytes, which is the most that is read: "+
			"lower spec.model.maxOutputTokens, and check that spec.model.baseURL is the address of an OpenAI-compatible API.",
		s.host, limit)
}

// refused translates a status other than 2xx. Of the body only the code is compared; no word of it is shown.
func (s server) refused(r *http.Response, body []byte) error {
	status := r.StatusCode
	after := retryAfter(r.Header.Get("Retry-After"), s.now)
	switch {
	case status == http.StatusTooManyRequests:
		return fault.NewWait(after, ReasonRateLimited,
			"The model server %s takes no more requests for now (status 429). It is tried again%s.", s.host, in(after))
	case status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fault.NewWait(after, ReasonUnavailable,
			"The model server %s is not available (status %d). It is tried again%s.", s.host, status, in(after))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return s.unauthorized(status)
	case status == http.StatusNotFound:
		return fault.NewInvalid(ReasonNotFound,
			"The model server %s knows no model %s, or no chat completions at that address (status 404): "+
				"check spec.model.name and spec.model.baseURL, which usually ends in /v1.", s.host, s.model.Name)
	case status < http.StatusBadRequest:
		return fault.NewInvalid(ReasonRejected,
			"The model server %s answered with a redirect (status %d), which is not followed: "+
				"set spec.model.baseURL to the address that it leads to.", s.host, status)
	case status == http.StatusRequestEntityTooLarge, errorCode(body) == "context_length_exceeded":
		if s.prose {
			return fault.NewInvalid(ReasonRejected,
				"What is to be summarised is longer than the model %s at %s takes (status %d): choose a model with a longer context.",
				s.model.Name, s.host, status)
		}
		return fault.NewInvalid(ReasonRejected,
			"The question with its context is longer than the model %s at %s takes (status %d): "+
				"lower budget.tokens of the agent's ContextViews, or choose a model with a longer context.",
			s.model.Name, s.host, status)
	}
	hint := "check spec.model against what the server offers"
	if s.model.Mode == agent.ModeJSONSchema && !s.prose {
		hint += "; if it does not support response_format json_schema, set spec.model.decisionMode to Tools or JSONObject"
	}
	return fault.NewInvalid(ReasonRejected, "The model server %s rejected the request (status %d): %s.", s.host, status, hint)
}

func (s server) unauthorized(status int) error {
	if s.model.APIKey == nil {
		return fault.NewInvalid(ReasonUnauthorized,
			"The model server %s wants a key (status %d), and the agent names none: set spec.model.apiKeySecretRef.",
			s.host, status)
	}
	return fault.NewInvalid(ReasonUnauthorized,
		"The model server %s does not accept the agent's key (status %d): check key %s of Secret %s.",
		s.host, status, s.model.APIKey.Key, s.model.APIKey.Name)
}

// undecided is the end of an ask whose model was told what was wrong and missed again.
func (s server) undecided(wrong *problem) error {
	remedy := wrong.remedy
	if remedy == "" {
		remedy = "Make the agent's instructions clearer, or choose a model that keeps to a schema"
		if s.model.Mode != agent.ModeJSONSchema {
			remedy += "; with spec.model.decisionMode JSONSchema the server itself holds the model to it"
		}
	}
	return fault.NewInvalid(ReasonDecisionInvalid,
		"The model %s at %s gave no decision that can be used, and was told so once: %s. %s.",
		s.model.Name, s.host, wrong.people, remedy)
}

// errorCode returns the code of an OpenAI error, an identifier meant for programs; empty if there is none.
func errorCode(body []byte) string {
	var e struct {
		Error struct {
			Code any `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	code, _ := e.Error.Code.(string) // some servers write the status here, as a number
	return code
}

// retryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3). It is 0 if there is none.
func retryAfter(value string, now func() time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now()), 0), maxRetryAfter)
	}
	return 0
}

func in(after time.Duration) string {
	if after == 0 {
		return ""
	}
	return " in " + after.Round(time.Second).String()
}
