package execution

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// Why a call of an API did not succeed, as Outcome.Reason says it.
const (
	// APIReasonInvalidArguments: the arguments cannot be made into the operation's request.
	APIReasonInvalidArguments = "InvalidArguments"
	// APIReasonOperationInvalid: the operation itself cannot be made into a request, whatever the arguments.
	APIReasonOperationInvalid = "OperationInvalid"
	// APIReasonHeaderInvalid: a header's value, from a Secret, cannot be sent.
	APIReasonHeaderInvalid = "HeaderInvalid"
	// APIReasonAddressDenied: the operator may not connect to the host's address.
	APIReasonAddressDenied = "AddressDenied"
	// APIReasonUnreachable: no connection was made, so nothing was sent.
	APIReasonUnreachable = "APIUnreachable"
	// APIReasonTLSFailed: a connection was made but not secured, so nothing was sent.
	APIReasonTLSFailed = "TLSFailed"
	// APIReasonTimeout: the request was sent, and no answer came in time.
	APIReasonTimeout = "APITimeout"
	// APIReasonInterrupted: the call was stopped from this side.
	APIReasonInterrupted = "CallInterrupted"
	// APIReasonConnectionLost: the request was sent, and the connection ended before the answer did.
	APIReasonConnectionLost = "ConnectionLost"
	// APIReasonRedirected: the API answered with a redirect, which is never followed.
	APIReasonRedirected = "Redirected"
	// APIReasonRejected: the API refused the request (4xx).
	APIReasonRejected = "APIRejected"
	// APIReasonBusy: the API asks to be called later (425, 429).
	APIReasonBusy = "APIBusy"
	// APIReasonFailed: the API failed (5xx, or a status that means nothing here).
	APIReasonFailed = "APIFailed"
)

// apiDefaultTimeout bounds a call whose context and operation name no bound.
const apiDefaultTimeout = 30 * time.Second

// APIRequest is one attempt at a callAPI command.
type APIRequest struct {
	Operation agent.Operation
	Arguments json.RawMessage // a JSON object; empty and null mean {}
	Key       string          // idempotency key, the same in every attempt
	Headers   []APIHeader     // with the values of Operation.Call.Headers, resolved by the caller
}

// APIHeader is a request header with a secret value. It prints as its name alone.
type APIHeader struct {
	Name  string
	Value string `json:"-"`
}

func (h APIHeader) String() string { return h.Name + ": " + apiRedacted }

// GoString keeps the value out of %#v as well.
func (h APIHeader) GoString() string { return h.String() }

// APICaller executes callAPI: one HTTP request per Call, and a verdict on whether
// it took effect that never guesses. It is safe for concurrent use, keeps no
// state but connections, and knows neither journal nor Secrets.
//
//	nothing left this machine                    NotDone   (Rejected where a repeat would meet the same refusal)
//	2xx                                          Done
//	3xx                                          Rejected; 302 and 303 in answer to anything but GET and HEAD
//	                                             Ambiguous, because many APIs say so after they did what was asked
//	425, 429                                     NotDone, with RetryAfter
//	408                                          Ambiguous
//	other 4xx                                    Rejected
//	5xx                                          Ambiguous: a proxy answers 503, with Retry-After too, for a
//	                                             request that it had passed on; RetryAfter is filled in
//	timeout, lost connection, anything else      Ambiguous
//
// An answer of 2xx that breaks off leaves an Idempotent call Ambiguous, because a
// repeat may fetch the rest; a NonIdempotent one is Done, and its result says that it is cut.
//
// Result holds what the API answered, with 2xx and also with a Rejected 4xx: text
// of the remote party, fit to be data in the journal and in a context, never for
// a status or a Kubernetes Event. It has at most 16 KiB and none of the secret
// values of the headers. Message holds nothing that the remote party wrote.
//
// Go's transport repeats a request by itself when a connection that it reused
// turns out to be dead, if the request carries an Idempotency-Key. Therefore only
// Idempotent calls may reuse connections.
type APICaller struct {
	reusing *http.Transport
	fresh   *http.Transport // a connection per request
	now     func() time.Time
}

// NewAPICaller returns a caller that connects where the options allow.
func NewAPICaller(o OutboundOptions) *APICaller {
	c := &APICaller{reusing: NewOutboundTransport(o), fresh: NewOutboundTransport(o), now: time.Now}
	c.fresh.DisableKeepAlives = true
	return c
}

// Close drops idle connections. The caller remains usable.
func (c *APICaller) Close() { c.reusing.CloseIdleConnections() }

// Call makes the request and reports what came of it. The context's deadline
// bounds the attempt; without one the operation's timeout does.
func (c *APICaller) Call(ctx context.Context, r APIRequest) agent.Outcome {
	ctx, cancel := apiBounded(ctx, r.Operation.Call)
	defer cancel()
	var progress apiProgress
	call, err := newAPICall(httptrace.WithClientTrace(ctx, progress.trace()), r)
	if err != nil {
		return apiRefused(err)
	}
	resp, err := c.transport(r.Operation.Effect).RoundTrip(call.request)
	if err != nil {
		if progress.handed.Load() {
			return call.lost(ctx, 0)
		}
		return call.notSent(ctx, err, progress.tlsFailed.Load())
	}
	defer func() { _ = resp.Body.Close() }()
	return call.answered(ctx, resp, c.now())
}

// transport is a round trip without http.Client: no redirects, no cookies, no
// errors that spell out the URL.
func (c *APICaller) transport(effect agent.EffectClass) http.RoundTripper {
	if effect == agent.Idempotent {
		return OnTime{c.reusing}
	}
	return OnTime{c.fresh}
}

func apiBounded(ctx context.Context, call *agent.Call) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	if call != nil && call.Timeout > 0 {
		return context.WithTimeout(ctx, call.Timeout)
	}
	return context.WithTimeout(ctx, apiDefaultTimeout)
}

// apiProgress says how far a request got. Once a connection was handed the
// request, nobody can say that nothing was sent: handed is never taken back, even
// if the transport tries another connection after it.
type apiProgress struct{ handed, tlsFailed atomic.Bool }

func (p *apiProgress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { p.handed.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				p.tlsFailed.Store(true)
			}
		},
	}
}

// apiRefusal is why no request could be made of an operation and its arguments.
type apiRefusal struct{ reason, message string }

func (e *apiRefusal) Error() string { return e.message }

func apiRefused(err error) agent.Outcome {
	var refusal *apiRefusal
	if !errors.As(err, &refusal) { // net/http found a fault that was not looked for; its text may hold anything
		refusal = &apiRefusal{APIReasonOperationInvalid, "The operation does not make an HTTP request: correct its callAPI in the agent's menu."}
	}
	return agent.Outcome{Verdict: agent.Rejected, Reason: refusal.reason, Message: refusal.message}
}
