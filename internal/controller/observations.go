package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

const (
	// readWithin bounds one reading: the API server asks others for objects of some kinds.
	readWithin = 5 * time.Second
	// observedWithin bounds a Command that observes. If it comes to nothing, the next reading issues another.
	observedWithin = 5 * time.Minute
	// observedKept is how long its object stays after it has ended: an object may change every ten seconds. The journal
	// keeps what was observed.
	observedKept = 10 * time.Minute
)

// ObservationReconciler reads the objects that Agents declare to be observed, again
// and again, and issues a Command where one says something else than the journal.
// It records nothing itself: the Command reads the object once more.
//
// It keeps nothing that would be missed: after a restart every object is read at once.
type ObservationReconciler struct {
	client.Client
	Engine  *execution.Engine
	Objects execution.Objects
	Ring    func(types.NamespacedName) // lets an Agent's status be written anew. It must not block
	Now     func() time.Time

	mu      sync.Mutex
	watched map[types.NamespacedName]watch
}

// The operator issues Commands of type observe for the Agents that declare observations.
// +kubebuilder:rbac:groups=edict.dev,resources=agents,verbs=observe

// watch is what is known of the objects that an Agent declares.
type watch struct {
	uid        types.UID
	generation int64
	readings   map[string]reading // by observation; never changed
}

// reading is how an object was last read.
type reading struct {
	due  time.Time    // when it is read again
	lack *fault.Error // why it was not read; nil: it was
}

// Reconcile reads what is due for one Agent.
func (r *ObservationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	here, err := r.Engine.Holds(ctx, req.Namespace, req.Name)
	if err != nil {
		return translate(err)
	}
	var a edictv1.Agent // one that is not there, or not for this process to look at, observes nothing
	if here {
		if err := r.Get(ctx, req.NamespacedName, &a); client.IgnoreNotFound(err) != nil {
			return translate(err)
		}
	}
	if len(a.Spec.Observations) == 0 || a.Spec.Suspend || !a.DeletionTimestamp.IsZero() {
		r.keep(req.NamespacedName, watch{})
		return ctrl.Result{}, nil
	}
	before := r.known(&a)
	after, next, err := r.readAll(ctx, &a, before)
	if err != nil {
		return translate(err)
	}
	r.keep(req.NamespacedName, after)
	if verdictOf(&a, before) != verdictOf(&a, after) {
		r.Ring(req.NamespacedName)
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(r.Now()), 100*time.Millisecond)}, nil
}

// readAll reads the objects that are due, one after the other, and returns when the
// next one is. What cannot be read is in what it returns; its error is one of the operator's own.
func (r *ObservationReconciler) readAll(ctx context.Context, a *edictv1.Agent, before watch) (after watch, next time.Time, err error) {
	after = watch{uid: a.UID, generation: a.Generation, readings: map[string]reading{}}
	p := profileOf(a)
	for i := range a.Spec.Observations {
		o := &a.Spec.Observations[i]
		last, ok := before.readings[o.Name]
		if !ok || !r.Now().Before(last.due) {
			lack, err := r.read(ctx, a, p, o)
			if err != nil {
				return after, next, err
			}
			last = reading{due: r.Now().Add(durationOr(o.Every, time.Minute)), lack: lack}
		}
		after.readings[o.Name] = last
		if next.IsZero() || last.due.Before(next) {
			next = last.due
		}
	}
	return after, next, nil
}

// read reads one object, and issues the Command that records it if the journal has something else.
func (r *ObservationReconciler) read(ctx context.Context, a *edictv1.Agent, p agent.Profile, o *edictv1.AgentObservation) (*fault.Error, error) {
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	seen, err := execution.Look(within, r.Objects, p, observationOf(&o.Observation))
	if err != nil {
		return unread(ctx, err)
	}
	stream, state, err := r.Engine.Observation(ctx, a.Namespace, a.Name, o.Name)
	if err != nil || state.Open || state.Digest == seen.Digest() {
		return nil, err
	}
	err = issueOnce(ctx, r.Client, observeCommand(a, o, observeName(stream, o.Name, state.Looked, seen.Digest())))
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		ctrl.LoggerFrom(ctx).Info("a command that observes an object was not admitted", "observation", o.Name, "error", err.Error())
		return fault.Of(fault.NewWait(slowly, edictv1.ReasonNotAdmitted,
			"The API server did not admit the Command that records it; the operator's log has its words.")), nil
	}
	return nil, err
}

// unread says in a fault for people why an object was not read. The error is
// returned if that is because the operator is stopping.
func unread(ctx context.Context, err error) (*fault.Error, error) {
	f := fault.Of(err)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		f = fault.Of(fault.NewWait(0, execution.ReasonObjectUnavailable, "The object could not be read within %s.", readWithin))
	case f.Kind == fault.Retry:
		ctrl.LoggerFrom(ctx).Info("an object to observe could not be read", "error", err.Error())
		f = fault.Of(fault.NewWait(0, execution.ReasonObjectUnavailable, "The object could not be read just now; the operator's log says more."))
	}
	return f, nil
}

// known returns what is known of the Agent's objects as it declares them now.
func (r *ObservationReconciler) known(a *edictv1.Agent) watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.watched[client.ObjectKeyFromObject(a)]
	if w.uid != a.UID || w.generation != a.Generation {
		return watch{}
	}
	return w
}

// keep remembers it; an empty watch is forgotten.
func (r *ObservationReconciler) keep(name types.NamespacedName, w watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched == nil {
		r.watched = map[types.NamespacedName]watch{}
	}
	if w.uid == "" {
		delete(r.watched, name)
		return
	}
	r.watched[name] = w
}

// verdict is what the condition Observing says.
type verdict struct {
	status          metav1.ConditionStatus // empty: not everything was read yet
	reason, message string
}

// verdict returns what the Agent's condition is to say.
func (r *ObservationReconciler) verdict(a *edictv1.Agent) verdict {
	if a.Spec.Suspend {
		return verdict{metav1.ConditionUnknown, edictv1.ReasonAgentSuspended, "Nothing is observed until spec.suspend is false again."}
	}
	return verdictOf(a, r.known(a))
}

func verdictOf(a *edictv1.Agent, w watch) verdict {
	all := len(a.Spec.Observations)
	if len(w.readings) < all {
		return verdict{}
	}
	v, lacking := verdict{}, 0
	for i := range a.Spec.Observations {
		name := a.Spec.Observations[i].Name
		if lack := w.readings[name].lack; lack != nil {
			if lacking++; lacking == 1 {
				v = verdict{metav1.ConditionFalse, lack.Reason, name + ": " + lack.Message}
			}
		}
	}
	switch {
	case lacking == 0:
		return verdict{metav1.ConditionTrue, edictv1.ReasonObserving, fmt.Sprintf("All that spec.observations names is read as the service account %s; observations: %d.", a.Spec.ServiceAccountName, all)}
	case lacking > 1:
		v.message += fmt.Sprintf(" So it is with %d of %d observations, for this or another reason.", lacking, all)
	}
	return v
}

// observeName returns the name of the Command. It follows from what the journal
// holds and the object says: whoever looks again, or at the same time, finds the
// Command there. What changes back, and then again, gets another: a look was taken since.
func observeName(stream, observation string, looked int64, digest string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", stream, observation, looked, digest))
	return observation + "-observed-" + hex.EncodeToString(sum[:5])
}

func observeCommand(a *edictv1.Agent, o *edictv1.AgentObservation, name string) *edictv1.Command {
	kept := int32(observedKept / time.Second)
	return &edictv1.Command{
		ObjectMeta: ownedBy(a, name),
		Spec: edictv1.CommandSpec{
			AgentRef:                edictv1.AgentReference{Name: a.Name},
			Observe:                 &edictv1.ObserveCommand{Observation: *o.Observation.DeepCopy()},
			Timeout:                 &metav1.Duration{Duration: observedWithin},
			TTLSecondsAfterFinished: &kept,
		},
	}
}

// observationOf returns what an observation asks for.
func observationOf(o *edictv1.Observation) agent.ObservePayload {
	payload := agent.ObservePayload{Name: o.Name, Object: agent.ObjectReference(o.Object)}
	for _, f := range o.Fields {
		payload.Fields = append(payload.Fields, agent.ObservedField(f))
	}
	return payload
}
