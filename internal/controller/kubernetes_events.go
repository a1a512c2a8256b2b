package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/failpoint"
)

// reporter is the controller that Kubernetes Events name.
const reporter = "edict.dev/operator"

// announce creates the Kubernetes Event that tells of a command's end. It is
// created directly and named after the journal's event, so that a crash neither
// loses nor doubles it.
func (r *CommandReconciler) announce(ctx context.Context, s *commandScope) error {
	object := s.object
	ready := meta.FindStatusCondition(object.Status.Conditions, edictv1.ConditionReady)
	if !agent.Phase(object.Status.Phase).Final() || ready == nil {
		return nil
	}
	kind := corev1.EventTypeNormal
	if ready.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	instance, _ := os.Hostname() // an empty name is replaced below
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: eventName(object.Name, string(object.UID), s.receipt.Stream, object.Status.Sequence)},
		Regarding: corev1.ObjectReference{APIVersion: edictv1.GroupVersion.String(), Kind: "Command",
			Namespace: object.Namespace, Name: object.Name, UID: object.UID, ResourceVersion: object.ResourceVersion},
		Type: kind, Reason: ready.Reason, Action: "Execute", Note: noteOf(object, ready),
		EventTime:           metav1.NewMicroTime(s.endedAt(ready)),
		ReportingController: reporter, ReportingInstance: cut("edict-"+instance, 128),
	}
	err := r.Create(ctx, event)
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if err == nil {
		failpoint.Hit(failpoint.EventCreated)
	}
	return err
}

// noteOf says how the command ended, and first of all if that was not the object's doing.
func noteOf(object *edictv1.Command, ready *metav1.Condition) string {
	note := ready.Message
	if before := meta.FindStatusCondition(object.Status.Conditions, edictv1.ConditionDeduplicated); before != nil {
		note = before.Message + " " + note
	}
	return cut(note, 1000)
}

// endedAt returns when the command ended, as the journal says. Ready may be False
// for longer: since its outcome was unknown.
func (s *commandScope) endedAt(ready *metav1.Condition) time.Time {
	if c := s.receipt.Command; c != nil {
		return c.FinishedAt
	}
	return ready.LastTransitionTime.Time
}

// endOf returns when a command ended: as the journal says, or, of one that never
// came through the door, when its status said so first.
func endOf(c *edictv1.Command) time.Time {
	if c.Status.FinishedAt != nil {
		return c.Status.FinishedAt.Time
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady); ready != nil {
		return ready.LastTransitionTime.Time
	}
	return time.Time{}
}

// eventName derives a Kubernetes Event's name from the object and the journal event that it tells of.
func eventName(object, uid, stream string, sequence int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", uid, stream, sequence))
	return object + "." + hex.EncodeToString(sum[:8])
}
