package execution

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// apiLongestWait bounds what a Retry-After may ask for; a command's own timeout is shorter.
const apiLongestWait = 24 * time.Hour

// notSent is the outcome of a request that no connection was ever handed.
func (c *apiCall) notSent(ctx context.Context, err error, tlsFailed bool) agent.Outcome {
	notDone := func(reason, format string, args ...any) agent.Outcome {
		return agent.Outcome{Verdict: agent.NotDone, Reason: reason, Message: c.endpoint + fmt.Sprintf(format, args...)}
	}
	var denied *OutboundDenied
	switch {
	case errors.As(err, &denied):
		o := notDone(APIReasonAddressDenied, " was not called: its host leads to the address %s, which the operator does not connect to. "+
			"Use a host that it may connect to, or have the operator's administrator allow the address.", denied.Address)
		o.Verdict = agent.Rejected
		return o
	case errors.Is(ctx.Err(), context.Canceled):
		return notDone(APIReasonInterrupted, " was not called: the attempt was stopped before a connection was made.")
	case tlsFailed:
		return notDone(APIReasonTLSFailed, " was not called: a secure connection could not be made. "+
			"Check the server's certificate, and whether its url should begin with http:// instead.")
	}
	return notDone(APIReasonUnreachable, " was not called: %s. Check the url of operation %q and whether the server runs.",
		apiUnreachableBecause(ctx, err), c.operation)
}

// apiUnreachableBecause says it in words of ours: the error's own may quote a DNS server.
func apiUnreachableBecause(ctx context.Context, err error) string {
	var lookup *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "its host name is not known"
	case errors.As(err, &lookup):
		return "its host name could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route leads to its host"
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return "no connection was made in time"
	}
	return "no connection could be made"
}

// lost is the outcome of a request that was sent, and whose answer did not come,
// or not whole; status is 0 or what its beginning said.
func (c *apiCall) lost(ctx context.Context, status int) agent.Outcome {
	o := agent.Outcome{Verdict: agent.Ambiguous, Status: status}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		o.Reason, o.Message = APIReasonInterrupted, c.endpoint+" was called, and the attempt was stopped before the whole answer came."
	case ctx.Err() != nil:
		o.Reason = APIReasonTimeout
		o.Message = fmt.Sprintf("%s did not answer in time; raise callAPI.timeout of operation %q if it needs longer.", c.endpoint, c.operation)
	default:
		o.Reason, o.Message = APIReasonConnectionLost, c.endpoint+" was called, and the connection ended before the whole answer came."
	}
	return o
}

// answered is the outcome of a request that was answered with a status.
func (c *apiCall) answered(ctx context.Context, resp *http.Response, now time.Time) agent.Outcome {
	o := agent.Outcome{Status: resp.StatusCode}
	said := fmt.Sprintf("%s answered %s", c.endpoint, apiStatus(resp.StatusCode))
	set := func(verdict agent.Verdict, reason, rest string) {
		o.Verdict, o.Reason, o.Message = verdict, reason, said+rest
	}
	switch status := resp.StatusCode; {
	case status >= 200 && status < 300:
		return c.done(ctx, resp, said+".")
	case status == http.StatusRequestTimeout:
		set(agent.Ambiguous, APIReasonTimeout, ".")
	case status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		set(agent.NotDone, APIReasonBusy, ": it asks to be called later.")
	case status >= 300 && status < 400:
		set(c.redirected(status), APIReasonRedirected, ", a redirect, and none is followed. Put the final URL into spec.operations[].callAPI.url of the agent.")
	case status >= 400 && status < 500:
		set(agent.Rejected, APIReasonRejected, apiRemedy(status))
		body, whole, _ := readAPIBody(resp.Body)
		o.Result = c.scrub.text(body, whole)
	default:
		set(agent.Ambiguous, APIReasonFailed, ".")
	}
	o.RetryAfter = apiRetryAfter(resp.Header.Get("Retry-After"), now)
	return o
}

// done is the outcome of a 2xx.
func (c *apiCall) done(ctx context.Context, resp *http.Response, said string) agent.Outcome {
	body, whole, err := readAPIBody(resp.Body)
	if err != nil && c.effect == agent.Idempotent {
		return c.lost(ctx, resp.StatusCode)
	}
	return agent.Outcome{Verdict: agent.Done, Status: resp.StatusCode, Message: said, Result: c.scrub.text(body, whole)}
}

// redirected is the verdict on a 3xx. 302 and 303 are how many APIs say "done,
// look there" to a form; that nothing happened would be a guess.
func (c *apiCall) redirected(status int) agent.Verdict {
	changes := c.request.Method != http.MethodGet && c.request.Method != http.MethodHead
	if changes && (status == http.StatusFound || status == http.StatusSeeOther) {
		return agent.Ambiguous
	}
	return agent.Rejected
}

// apiStatus names a status in the standard's words, not in those of the server.
func apiStatus(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

func apiRemedy(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ": it does not let the agent in. Check the Secrets that callAPI.headersFrom of the operation names."
	case http.StatusMethodNotAllowed:
		return ". Check callAPI.method and callAPI.url of the operation."
	}
	return ". Correct the arguments, or callAPI of the operation, and apply the command under another name."
}

// apiRetryAfter reads a Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
func apiRetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(apiLongestWait/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), apiLongestWait)
}
