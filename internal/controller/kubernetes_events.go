package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// reporter is the controller that Kubernetes Events name.
const reporter = "edict.dev/operator"

// announce creates the Kubernetes Event that tells of a command's end. It is
// created directly and named after the journal's event, so that a crash neither
// loses nor doubles it.
func (r *CommandReconciler) announce(ctx context.Context, s *commandScope) error {
	c := s.receipt.Command
	if c == nil || !c.Phase.Final() {
		return nil
	}
	kind, reason := corev1.EventTypeNormal, edictv1.ReasonSucceeded
	if c.Phase != agent.Succeeded {
		kind, reason = corev1.EventTypeWarning, c.Reason
	}
	object := s.object
	instance, _ := os.Hostname() // an empty name is replaced below
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: eventName(object.Name, string(object.UID), s.receipt.Stream, c.Sequence)},
		Regarding: corev1.ObjectReference{APIVersion: edictv1.GroupVersion.String(), Kind: "Command",
			Namespace: object.Namespace, Name: object.Name, UID: object.UID, ResourceVersion: object.ResourceVersion},
		Type: kind, Reason: reason, Action: "Execute", Note: cut(c.Message, 1000),
		EventTime:           metav1.NewMicroTime(c.FinishedAt),
		ReportingController: reporter, ReportingInstance: cut("edict-"+instance, 128),
	}
	err := r.Create(ctx, event)
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}

// eventName derives a Kubernetes Event's name from the object and the journal event that it tells of.
func eventName(object, uid, stream string, sequence int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", uid, stream, sequence))
	return object + "." + hex.EncodeToString(sum[:8])
}
