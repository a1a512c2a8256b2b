// Package fault says what a failure asks for: try again, wait, change the
// specification, or stop and call a person. It knows nothing of Kubernetes and
// nothing of agents; the controller translates a fault into a condition and a
// result in one switch.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what a failure asks of whoever meets it.
type Kind int

const (
	// Retry is an unexpected failure of a disk, a network or an API: back off and try again.
	// It is the kind of every error that says nothing else.
	Retry Kind = iota
	// Wait is an expected obstacle that time removes: not ready, rate limited, busy.
	Wait
	// Invalid is a specification that can never work as it is.
	Invalid
	// Corrupt is stored data that cannot be read or an invariant that does not hold.
	Corrupt
	// Conflict means that somebody else was first: read again and look.
	Conflict
)

// Error is a classified failure. Message is a sentence for the person who reads
// the condition: what happened, to what, and what to do now. It never holds a
// secret, nor text that came from a remote party.
type Error struct {
	Kind    Kind
	Reason  string        // CamelCase, fit for a condition
	Message string        // for people
	After   time.Duration // with Wait: when to look again; zero lets the caller choose
	Err     error         // the cause, for logs
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Reason, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// NewWait returns a fault that time removes.
func NewWait(after time.Duration, reason, format string, args ...any) error {
	return &Error{Kind: Wait, Reason: reason, Message: fmt.Sprintf(format, args...), After: after}
}

// NewInvalid returns a fault that only a changed specification removes.
func NewInvalid(reason, format string, args ...any) error {
	return &Error{Kind: Invalid, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// NewCorrupt returns a fault that a person has to look at; cause may be nil.
func NewCorrupt(reason string, cause error, format string, args ...any) error {
	return &Error{Kind: Corrupt, Reason: reason, Message: fmt.Sprintf(format, args...), Err: cause}
}

// NewConflict returns a fault that says somebody else was first.
func NewConflict(reason, format string, args ...any) error {
	return &Error{Kind: Conflict, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Of returns the classified fault in err's chain, or one of kind Retry that
// wraps err. It returns nil for nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Retry, Reason: "Unexpected", Message: "An unexpected failure; it is tried again.", Err: err}
}

// Is reports whether err is a fault of kind k.
func Is(err error, k Kind) bool { return err != nil && Of(err).Kind == k }
