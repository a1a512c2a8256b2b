package decision

import (
	"context"
	"io"
	"net/http"
	"time"
)

// exchange is one request to a server, and its answer within bounds.
type exchange struct {
	http     *http.Client
	timeout  time.Duration
	limit    int64 // of the answer's body, in bytes
	failures failures
}

// failures translates what a request came to that brought no answer. Nothing of what the server wrote is in the faults.
type failures interface {
	unsent(ctx context.Context, err error) error
	broken(ctx context.Context, err error) error
	refused(r *http.Response, body []byte) error
	tooLarge(limit int64) error
}

// send makes the request, and returns the answer with its body read. Its errors are faults, or the cancellation of the
// caller's context.
func (e exchange) send(r *http.Request) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), e.timeout)
	defer cancel()
	r = r.WithContext(ctx)
	response, err := e.http.Do(r)
	if err != nil {
		return nil, nil, e.failures.unsent(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // read as far as it is wanted
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusMultipleChoices {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes)) // half an error is an error too
		return nil, nil, e.failures.refused(response, text)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, e.limit+1))
	if err != nil {
		return nil, nil, e.failures.broken(ctx, err)
	}
	if int64(len(text)) > e.limit {
		return nil, nil, e.failures.tooLarge(e.limit)
	}
	return response, text, nil
}
