package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// problem is a refusal as its reader sees it: a problem document (RFC 9457) of
// type about:blank, with a reason for programs and a remedy for people.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Remedy    string `json:"remedy,omitempty"`
	Parameter string `json:"parameter,omitempty"` // which one is bad

	retryAfter time.Duration
}

func (p *problem) Error() string { return p.Reason + ": " + p.Detail }

func (p *problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, p.retryAfter.Round(time.Second)/time.Second))))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // who hung up does not read it
}

// problemOf says what an error means to the reader. What is not classified is not
// shown: it may hold what the reader may not see.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, journal.ErrClosed):
		return &problem{Status: http.StatusServiceUnavailable, Reason: "ShuttingDown", retryAfter: time.Second,
			Detail: "This process is stopping.", Remedy: "Ask again; another process answers."}
	}
	f := fault.Of(err)
	if f.Kind == fault.Retry && errors.Is(err, context.DeadlineExceeded) {
		return &problem{Status: http.StatusServiceUnavailable, Reason: "Timeout", retryAfter: time.Second,
			Detail: "The answer took too long.", Remedy: "Ask again, or for less."}
	}
	return problemOfFault(f)
}

func problemOfFault(f *fault.Error) *problem {
	p := &problem{Reason: f.Reason, Detail: f.Message}
	switch f.Kind {
	case fault.Wait:
		p.Status, p.retryAfter = http.StatusServiceUnavailable, max(f.After, time.Second)
		p.Remedy = "Ask again after the time in Retry-After."
	case fault.Invalid:
		p.Status, p.Remedy = http.StatusBadRequest, "Change what the request asks for."
		if f.Reason == "InvalidView" || f.Reason == "ViewCycle" {
			p.Status, p.Remedy = http.StatusConflict, "Change the ContextView's spec."
		}
	case fault.Conflict:
		p.Status, p.Remedy = http.StatusConflict, "Ask again."
	case fault.Corrupt:
		p.Status, p.Remedy = http.StatusInternalServerError, "Somebody has to look at the operator's journal; what is older can be read with sequence=."
	default:
		p.Status, p.Remedy = http.StatusInternalServerError, "Ask again; if it stays, look at the operator's log."
	}
	return p
}

// badParameter is the refusal of a query parameter, a path element or a header.
func badParameter(name, format string, args ...any) error {
	return &problem{Status: http.StatusBadRequest, Reason: "InvalidParameter", Parameter: name,
		Detail: fmt.Sprintf("The parameter %s cannot be used: %s.", name, fmt.Sprintf(format, args...)), Remedy: "Change " + name + "."}
}

func notFound(what, namespace, name string) error {
	return &problem{Status: http.StatusNotFound, Reason: "NotFound",
		Detail: fmt.Sprintf("There is no %s %s in namespace %s.", what, name, namespace), Remedy: "Look at the name and the namespace."}
}

// allow asks whether the reader may, and says what to ask for if not.
func (h *handler) allow(r *http.Request, verb, resource, namespace, name string) error {
	err := h.Access.Allow(r, verb, resource, namespace, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnauthenticated):
		return &problem{Status: http.StatusUnauthorized, Reason: "Unauthenticated", Detail: "The request does not say who sends it.",
			Remedy: "Send a Kubernetes token: Authorization: Bearer …, for instance from kubectl create token."}
	case errors.Is(err, ErrForbidden):
		return &problem{Status: http.StatusForbidden, Reason: "Forbidden",
			Detail: fmt.Sprintf("You may not %s %s in namespace %s.", verb, resource, namespace),
			Remedy: fmt.Sprintf("Ask for a Role that allows %s on %s.edict.dev.", verb, resource)}
	}
	return fmt.Errorf("ask whether the reader may %s %s in %s: %w", verb, resource, namespace, err)
}
