// Package controller holds thin reconcilers: from Kubernetes to the rooms of
// Edict, and their answers back into status, conditions and Kubernetes Events.
// It decides nothing about commands, and is the only package, with api and cmd,
// that knows Kubernetes.
package controller

import (
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// translate turns a step's error into what the work queue does next.
func translate(err error) (ctrl.Result, error) {
	if err == nil {
		return ctrl.Result{}, nil
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: 20 * time.Millisecond}, nil // the cache will have the newer object
	}
	if elsewhere(err) {
		return ctrl.Result{}, nil
	}
	f := fault.Of(err)
	switch f.Kind {
	case fault.Wait:
		return ctrl.Result{RequeueAfter: max(f.After, 100*time.Millisecond)}, nil
	case fault.Invalid:
		return ctrl.Result{}, nil
	case fault.Corrupt:
		return ctrl.Result{}, reconcile.TerminalError(err)
	case fault.Conflict:
		return ctrl.Result{RequeueAfter: 20 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

// elsewhere reports whether the agent's shard is another replica's, which looks at the object.
func elsewhere(err error) bool {
	f := fault.Of(err)
	return f != nil && f.Reason == execution.NotHere
}

// unexpected says in a fixed sentence what kind of failure is being retried; the log has the error itself.
func unexpected(err error) (reason, message string) {
	if errors.Is(err, journal.ErrUnavailable) {
		return edictv1.ReasonJournalUnavailable, "The journal cannot be written to, so nothing is decided or executed; nothing is lost. Free space on, or remount, the operator's journal volume, or bring its database back; this goes on by itself."
	}
	return edictv1.ReasonUnexpected, "An unexpected failure; it is tried again. The operator's log says more."
}

// notReady sets the conditions that sum up why an Agent or a ContextView is not
// ready: for good, until a person acts, or until what it waits for is there.
func notReady(set func(kind string, status metav1.ConditionStatus, reason, message string), err error) {
	f := fault.Of(err)
	if f.Kind == fault.Invalid || f.Kind == fault.Corrupt {
		set(edictv1.ConditionReady, metav1.ConditionFalse, f.Reason, f.Message)
		set(edictv1.ConditionStalled, metav1.ConditionTrue, f.Reason, f.Message)
		return
	}
	reason, message := f.Reason, f.Message
	if f.Kind == fault.Retry {
		reason, message = unexpected(err)
	}
	set(edictv1.ConditionReady, metav1.ConditionUnknown, reason, message)
	set(edictv1.ConditionReconciling, metav1.ConditionTrue, reason, message)
}

// setCondition sets a condition and keeps its transition time unless its status
// changes; a zero time means now. A message too long to be read at a glance is cut.
func setCondition(conditions *[]metav1.Condition, c metav1.Condition) {
	c.Message = cut(c.Message, 1024)
	meta.SetStatusCondition(conditions, c)
}

// cut shortens s to at most n bytes without splitting a character, and says so.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
