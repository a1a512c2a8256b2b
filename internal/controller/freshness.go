package controller

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
)

// least returns the least sequence that a context has to have seen that an ask
// decides with: what the engine needs, and what the agent's spec demands. It
// returns a fault of kind Wait if the journal itself does not hold so much.
func (v *Views) least(ctx context.Context, r execution.ContextRequest) (int64, error) {
	_, name := agent.ParseStream(r.Stream)
	var a edictv1.Agent
	err := v.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: name}, &a)
	if apierrors.IsNotFound(err) || err == nil && a.Spec.Freshness == nil {
		return r.Min, nil // one that is gone demands nothing more
	}
	if err != nil {
		return 0, err
	}
	demand := query.Demand{Min: max(r.Min, a.Spec.Freshness.MinSequence), MaxLag: a.Spec.Freshness.MaxLag}
	least, held, err := v.Fresh.Least(ctx, r.Stream, demand, time.Time{}) // of a lag in events, no time matters
	if err == nil && least > held {
		err = fault.NewWait(2*time.Second, edictv1.ReasonSequenceNotReached,
			"spec.freshness.minSequence of agent %q asks for sequence %d, and its journal ends at %d; lower it, or restore the journal that holds it. Nothing is decided until then.", name, least, held)
	}
	return least, err
}

// fresh owns Current and Degraded: how far the view has come, and whether it can go on.
func (r *ContextViewReconciler) fresh(ctx context.Context, s *viewScope, stream string) error {
	progress, err := r.Fresh.Progress(ctx, stream)
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return err
	}
	age := progress.Age(r.Now()).Truncate(time.Second)
	status := &s.object.Status
	status.Stream, status.Lag, status.LagSeconds = stream, progress.Lag(), int64(age/time.Second)
	if err == nil {
		meta.RemoveStatusCondition(&status.Conditions, edictv1.ConditionDegraded)
	}
	switch f := fault.Of(err); {
	case err != nil:
		s.set(edictv1.ConditionCurrent, metav1.ConditionFalse, f.Reason, f.Message)
		s.set(edictv1.ConditionDegraded, metav1.ConditionTrue, f.Reason, f.Message)
	case progress.Lag() > 0:
		s.set(edictv1.ConditionCurrent, metav1.ConditionFalse, edictv1.ReasonBehind, fmt.Sprintf(
			"The view is %d events behind its stream, the oldest of them for %s; it catches up by itself. If it does not, the operator's log says why the projections cannot be written.", progress.Lag(), age))
	default:
		s.set(edictv1.ConditionCurrent, metav1.ConditionTrue, edictv1.ReasonCurrent, "The view has seen all of its stream.")
	}
	return err
}
