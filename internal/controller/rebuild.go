package controller

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// Rebuilds has what is projected of streams made anew, one stream at a time and
// outside of every reconcile worker: of a long stream it takes minutes. What the
// newest one of a view came to it keeps, for a look at the view that does not know of
// its end yet. It knows nothing of an earlier process: a rebuild that a status calls
// running, and this does not know, is asked for again.
type Rebuilds struct {
	store  Rebuilder
	forget func(streams ...string)
	ring   func(agent types.NamespacedName)

	mu     sync.Mutex
	wanted map[types.UID]*rebuild // by view
	queue  chan struct{}          // holds one if somebody has asked
}

// rebuild is one that a view asks for.
type rebuild struct {
	token, stream string
	begun, ended  bool
	made          projection.Rebuild
	err           error
}

// Rebuilder makes what is projected of a stream anew; see projection.Store.
type Rebuilder interface {
	Rebuild(ctx context.Context, stream string) (projection.Rebuild, error)
}

// NewRebuilds returns rebuilds that run in Start. Of a stream whose rows were replaced
// forget lets go of what was kept; ring lets the views of an agent be looked at.
func NewRebuilds(store Rebuilder, forget func(streams ...string), ring func(agent types.NamespacedName)) *Rebuilds {
	return &Rebuilds{store: store, forget: forget, ring: ring, wanted: map[types.UID]*rebuild{}, queue: make(chan struct{}, 1)}
}

// Start runs what is asked for, until the context ends.
func (r *Rebuilds) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.queue:
		}
		for next := r.next(); next != nil && ctx.Err() == nil; next = r.next() {
			r.run(ctx, next)
		}
	}
}

// next returns one that was asked for and has not begun, nil if there is none.
func (r *Rebuilds) next() *rebuild {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.wanted {
		if !one.begun {
			one.begun = true
			return one
		}
	}
	return nil
}

func (r *Rebuilds) run(ctx context.Context, one *rebuild) {
	made, err := r.store.Rebuild(ctx, one.stream)
	if made.Changed() {
		r.forget(one.stream)
	}
	r.mu.Lock()
	one.made, one.err, one.ended = made, err, true
	r.mu.Unlock()
	namespace, name := agent.ParseStream(one.stream)
	r.ring(types.NamespacedName{Namespace: namespace, Name: name})
}

// look returns how far the rebuild is that a view asks for with a token, and lets it
// begin soon if nobody has asked for it yet.
func (r *Rebuilds) look(view types.UID, token, stream string) rebuild {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.wanted[view]
	if one == nil || one.token != token {
		one = &rebuild{token: token, stream: stream}
		r.wanted[view] = one
		select {
		case r.queue <- struct{}{}:
		default: // it is awake already
		}
	}
	return *one
}

// again lets go of one that has ended, so that the next look begins another.
func (r *Rebuilds) again(view types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.wanted[view]; one != nil && one.ended {
		delete(r.wanted, view)
	}
}

// longestToken is how much of an annotation counts, in bytes. Admission bounds spec.rebuild likewise.
const longestToken = 63

// tokenOf returns what asks for a rebuild of the view's stream; empty: nothing.
func tokenOf(v *edictv1.ContextView) string {
	if v.Spec.Rebuild != "" {
		return v.Spec.Rebuild
	}
	return cut(v.Annotations[edictv1.RebuildAnnotation], longestToken)
}

// rebuild owns Rebuilt. Whatever comes of it, the view goes on with what there is.
func (r *ContextViewReconciler) rebuild(ctx context.Context, s *viewScope) error {
	token, was := tokenOf(s.object), s.object.Status.Rebuild
	if token == "" || was != nil && was.Token == token && was.State != edictv1.RebuildRunning {
		return nil
	}
	stream, err := r.Views.Newest(ctx, s.object.Namespace, s.object.Spec.AgentRef.Name)
	if err != nil {
		return err
	}
	one := r.Rebuilds.look(s.object.UID, token, stream)
	status := &edictv1.RebuildStatus{Token: token, State: edictv1.RebuildRunning}
	s.object.Status.Rebuild = status
	f := fault.Of(one.err)
	switch {
	case !one.ended:
		s.set(edictv1.ConditionRebuilt, metav1.ConditionUnknown, edictv1.ReasonRebuilding,
			"The rows of the view's stream are made anew, beside those that are read until then.")
		return nil
	case f != nil && f.Kind != fault.Corrupt && f.Kind != fault.Invalid:
		s.set(edictv1.ConditionRebuilt, metav1.ConditionUnknown, edictv1.ReasonUnexpected, "An unexpected failure; it is tried again. The operator's log says more.")
		r.Rebuilds.again(s.object.UID)
		s.later = one.err
		return nil
	}
	now := metav1.NewTime(r.Now())
	status.State, status.CompletionTime = edictv1.RebuildDone, &now
	status.Sequence, status.Digest, status.PreviousDigest, status.Changed = one.made.Sequence, one.made.Digest, one.made.Previous, one.made.Changed()
	switch {
	case f != nil:
		status.State = edictv1.RebuildFailed
		s.set(edictv1.ConditionRebuilt, metav1.ConditionFalse, f.Reason, f.Message)
	case status.Changed:
		s.set(edictv1.ConditionRebuilt, metav1.ConditionTrue, edictv1.ReasonRowsReplaced, fmt.Sprintf(
			"%s differed from what the journal gives up to sequence %d, and were replaced. A context that was built before may have been wrong; find out who else writes to the tables.",
			one.made, status.Sequence))
	default:
		s.set(edictv1.ConditionRebuilt, metav1.ConditionTrue, edictv1.ReasonRowsUnchanged, fmt.Sprintf(
			"What is projected up to sequence %d is what the journal gives; nothing was replaced.", status.Sequence))
	}
	return nil
}

// announceRebuild tells of a rebuild that has ended, once its status is written.
func (r *ContextViewReconciler) announceRebuild(live, object *edictv1.ContextView) {
	was, is := live.Status.Rebuild, object.Status.Rebuild
	if is == nil || is.State == edictv1.RebuildRunning || was != nil && was.Token == is.Token && was.State == is.State {
		return
	}
	c := meta.FindStatusCondition(object.Status.Conditions, edictv1.ConditionRebuilt)
	kind := corev1.EventTypeNormal
	if is.Changed || is.State == edictv1.RebuildFailed {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(object, nil, kind, c.Reason, "Rebuild", "%s", cut(c.Message, 1000))
}
