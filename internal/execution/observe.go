package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/field"
)

// observeTimeout bounds an attempt at an observe.
const observeTimeout = 10 * time.Second

// Why an object was not observed, as Outcome.Reason says it; what is wrong with a field, package field says.
const (
	// ReasonServiceAccountUnset: the agent names no service account to read objects as.
	ReasonServiceAccountUnset = "ServiceAccountUnset"
	// ReasonSecretNotObservable: the object is a Secret.
	ReasonSecretNotObservable = "SecretNotObservable"
	// ReasonImpersonationForbidden: the operator may not act as the agent's service account.
	ReasonImpersonationForbidden = "ImpersonationForbidden"
	// ReasonObjectForbidden: the agent's service account may not read the object.
	ReasonObjectForbidden = "ObjectForbidden"
	// ReasonObjectInvalid: there can be no such object.
	ReasonObjectInvalid = "ObjectInvalid"
	// ReasonKindUnknown: the API server knows no such kind.
	ReasonKindUnknown = "KindUnknown"
	// ReasonObjectUnavailable: the object could not be read now.
	ReasonObjectUnavailable = "ObjectUnavailable"
)

// Objects reads Kubernetes objects with the rights of a service account.
type Objects interface {
	// Read returns the object as the service account of that name in the namespace sees it. Where ref names no
	// namespace and the kind has some, the object is in that one, too. Its errors are faults: Invalid if reading again
	// cannot help, Wait if it may.
	Read(ctx context.Context, namespace, serviceAccount string, ref agent.ObjectReference) (Object, error)
}

// Object is what was read.
type Object struct {
	Namespace            string // empty if the kind has none
	UID, ResourceVersion string
	Content              map[string]any // nil: there is no such object
}

// Look reads the fields that an observation asks for, as the agent's service
// account. It is what an attempt at an observe records, if it says something new.
func Look(ctx context.Context, objects Objects, p agent.Profile, of agent.ObservePayload) (agent.ObjectObserved, error) {
	seen := agent.ObjectObserved{Observation: of.Name, APIVersion: of.Object.APIVersion, Kind: of.Object.Kind, Name: of.Object.Name}
	switch {
	case p.ServiceAccount == "":
		return seen, fault.NewInvalid(ReasonServiceAccountUnset, "The agent %s has no spec.serviceAccountName; name the service account that may read the object there.", p.Name)
	case of.Object.Secret():
		return seen, SecretNotObservable()
	}
	fields, err := field.Compile(of.Fields)
	if err != nil {
		return seen, err
	}
	object, err := objects.Read(ctx, p.Namespace, p.ServiceAccount, of.Object)
	if err != nil {
		return seen, err
	}
	seen.Namespace = object.Namespace
	if object.Content == nil {
		seen.Missing = true
		return seen, nil
	}
	seen.UID, seen.ResourceVersion = object.UID, object.ResourceVersion
	seen.Fields, err = fields.Read(ctx, object.Content)
	return seen, err
}

// SecretNotObservable is why a Secret is not read. Who knows better what is one than by its kind says so, too.
func SecretNotObservable() error {
	return fault.NewInvalid(ReasonSecretNotObservable, "A Secret is not observed: what it holds would stay in the journal. Observe an object that says what people may know.")
}

// observe makes one attempt at an observe: read the object, and record what it says if that is new.
func (e *Engine) observe(st *stream, c *agent.Command, p agent.Profile) error {
	attempt, bound := e.attempt(c, 0, observeTimeout)
	first, err := e.record(st, c, []agent.Event{attempt})
	if err != nil || !first {
		return err
	}
	seen, err := e.look(st, c, p, bound)
	return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event {
		switch {
		case errors.Is(err, context.Canceled): // the command was cancelled, or the operator is stopping
			return []agent.Event{agent.AttemptAbandoned{Attempt: attempt.Attempt}}
		case err != nil:
			return c.Executed(e.Now(), unseen(err))
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.state.Seen(c, seen)
	})
}

// look reads the object. A command that is cancelled cuts it off.
func (e *Engine) look(st *stream, c *agent.Command, p agent.Profile, bound limit) (agent.ObjectObserved, error) {
	ctx, cut := bound(e.ctx)
	defer cut()
	st.setCut(c.Key, cut)
	defer st.setCut(c.Key, nil)
	seen, err := Look(ctx, e.Objects, p, c.Intent.Observe())
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return seen, err
}

// unseen says what a failure to read means for the attempt. To read has no effect, so nothing is ambiguous.
func unseen(err error) agent.Outcome {
	f := fault.Of(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return agent.Outcome{Verdict: agent.NotDone, Reason: ReasonObjectUnavailable, Message: fmt.Sprintf("The object could not be read within %s.", observeTimeout)}
	case f.Kind == fault.Invalid || f.Kind == fault.Corrupt:
		return agent.Outcome{Verdict: agent.Rejected, Reason: f.Reason, Message: f.Message}
	case f.Kind == fault.Retry:
		return agent.Outcome{Verdict: agent.NotDone, Reason: ReasonObjectUnavailable, Message: "The object could not be read just now."}
	}
	return agent.Outcome{Verdict: agent.NotDone, Reason: f.Reason, Message: f.Message, RetryAfter: f.After}
}

// Observation returns what the agent's stream says of an observation, as far as
// this process has seen it, and the stream's name. It returns the fault NotHere if
// another process holds the agent's shard.
func (e *Engine) Observation(ctx context.Context, namespace, agentName, observation string) (stream string, s agent.ObservationState, err error) {
	st, err := e.open(ctx, name{namespace, agentName})
	if err != nil {
		return "", s, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.id, st.state.Observation(observation), nil
}
