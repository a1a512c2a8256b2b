package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// AgentReconciler guards an agent's stream with a finalizer, says whether what its
// spec names is there, and mirrors what the stream says of the agent as a whole.
type AgentReconciler struct {
	client.Client
	Engine       *execution.Engine
	Secrets      *Secrets
	Summaries    *Summaries
	Observations *ObservationReconciler
	CheckMenu    func(agent.Profile) error // says whether the menu can be offered to a model
	Recorder     events.EventRecorder
	Now          func() time.Time
}

// +kubebuilder:rbac:groups=edict.dev,resources=agents,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=edict.dev,resources=agents/status,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

type agentScope struct {
	object  *edictv1.Agent // a copy; its status is what will be written
	profile agent.Profile
}

// Reconcile looks at one Agent.
func (r *AgentReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if here, err := r.Engine.Holds(ctx, req.Namespace, req.Name); err != nil || !here {
		return ctrl.Result{}, err
	}
	var live edictv1.Agent
	if err := r.Get(ctx, req.NamespacedName, &live); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !live.DeletionTimestamp.IsZero() {
		return translate(r.retire(ctx, live.DeepCopy()))
	}
	if !hasFinalizer(&live) {
		return translate(r.guard(ctx, live.DeepCopy()))
	}
	s := &agentScope{object: live.DeepCopy(), profile: profileOf(&live)}
	err := r.refs(ctx, s)
	for _, step := range []func(context.Context, *agentScope) error{r.menu, r.observing, r.journal, r.totals} {
		if failed := step(ctx, s); err == nil {
			err = failed
		}
	}
	if elsewhere(err) {
		return ctrl.Result{}, nil
	}
	s.conclude(err)
	if failed := r.publish(ctx, &live, s.object); failed != nil {
		return translate(failed)
	}
	if err == nil {
		err = r.Summaries.ensure(ctx, &live, &s.object.Status)
	}
	if err == nil && s.object.Status.TokensToday > 0 { // which ends with the day
		now := r.Now().UTC()
		return ctrl.Result{RequeueAfter: now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)}, nil
	}
	return translate(err)
}

func hasFinalizer(a *edictv1.Agent) bool {
	return slices.Contains(a.Finalizers, edictv1.AgentFinalizer)
}

// guard puts the finalizer on: from then on the agent's deletion is seen, and closes its stream.
// It is a patch of the finalizers alone: an update would spell the author's spec
// (60s as 1m0s), and GitOps would see a difference that nobody made.
func (r *AgentReconciler) guard(ctx context.Context, a *edictv1.Agent) error {
	before := client.MergeFromWithOptions(a.DeepCopy(), client.MergeFromWithOptimisticLock{})
	controllerutil.AddFinalizer(a, edictv1.AgentFinalizer)
	return r.Patch(ctx, a, before)
}

// retire closes a deleted agent's stream, and lets the object go.
func (r *AgentReconciler) retire(ctx context.Context, a *edictv1.Agent) error {
	if !hasFinalizer(a) {
		return nil
	}
	if err := r.Engine.Retire(ctx, a.Namespace, a.Name, a.Spec.ReclaimPolicy == edictv1.ReclaimRetain); err != nil {
		return err
	}
	before := client.MergeFromWithOptions(a.DeepCopy(), client.MergeFromWithOptimisticLock{})
	controllerutil.RemoveFinalizer(a, edictv1.AgentFinalizer)
	return client.IgnoreNotFound(r.Patch(ctx, a, before))
}

// refs owns RefsResolved: the views and the Secrets that the spec names.
func (r *AgentReconciler) refs(ctx context.Context, s *agentScope) error {
	err := r.views(ctx, s.object)
	if err == nil {
		err = r.secrets(ctx, s.profile)
	}
	switch f := fault.Of(err); {
	case err == nil:
		s.set(edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved, "Everything that the agent names exists.")
	case f.Kind == fault.Retry:
		s.set(edictv1.ConditionRefsResolved, metav1.ConditionUnknown, edictv1.ReasonUnexpected, f.Message)
	default:
		s.set(edictv1.ConditionRefsResolved, metav1.ConditionFalse, f.Reason, f.Message)
	}
	return err
}

func (r *AgentReconciler) views(ctx context.Context, a *edictv1.Agent) error {
	for _, ref := range a.Spec.ContextViews {
		var view edictv1.ContextView
		err := r.Get(ctx, types.NamespacedName{Namespace: a.Namespace, Name: ref.Name}, &view)
		switch {
		case apierrors.IsNotFound(err):
			return fault.NewWait(slowly, edictv1.ReasonViewNotFound, "There is no ContextView %q, which spec.contextViews names; create it, or take it off the list.", ref.Name)
		case err != nil:
			return err
		case view.Spec.AgentRef.Name != a.Name:
			return fault.NewWait(slowly, edictv1.ReasonViewOfOtherAgent, "ContextView %q reads the journal of agent %q; name a view whose spec.agentRef is %q.", ref.Name, view.Spec.AgentRef.Name, a.Name)
		}
	}
	return nil
}

// secrets looks for every value that the profile names. Secrets are not watched
// (that would take the right to list them all), so a missing one is looked for again soon.
func (r *AgentReconciler) secrets(ctx context.Context, p agent.Profile) error {
	var keys []agent.SecretKey
	if p.Model.APIKey != nil {
		keys = append(keys, *p.Model.APIKey)
	}
	if p.Embeddings != nil && p.Embeddings.APIKey != nil {
		keys = append(keys, *p.Embeddings.APIKey)
	}
	for _, op := range p.Operations {
		if op.Call != nil {
			for _, h := range op.Call.Headers {
				keys = append(keys, h.Value)
			}
		}
	}
	for _, key := range keys {
		if _, err := r.Secrets.Value(ctx, p.Namespace, key); err != nil {
			return err
		}
	}
	return nil
}

// menu says whether the operations can be offered to a model.
func (r *AgentReconciler) menu(_ context.Context, s *agentScope) error { return r.CheckMenu(s.profile) }

// observing owns Observing. What cannot be read is in the way of nothing else: what was recorded before is shown.
func (r *AgentReconciler) observing(_ context.Context, s *agentScope) error {
	if len(s.object.Spec.Observations) == 0 {
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionObserving)
		return nil
	}
	if v := r.Observations.verdict(s.object); v.status != "" { // until everything was read, the condition says what it said
		s.set(edictv1.ConditionObserving, v.status, v.reason, v.message)
	}
	return nil
}

// journal owns JournalWritable.
func (r *AgentReconciler) journal(_ context.Context, s *agentScope) error {
	if err := r.Engine.Healthy(); err != nil {
		reason, message := unexpected(err)
		s.set(edictv1.ConditionJournalWritable, metav1.ConditionFalse, reason, message)
		return fault.NewWait(slowly, reason, "%s", message)
	}
	s.set(edictv1.ConditionJournalWritable, metav1.ConditionTrue, edictv1.ReasonReady, "The journal takes writes.")
	return nil
}

// totals mirrors what the stream says.
func (r *AgentReconciler) totals(ctx context.Context, s *agentScope) error {
	sum, err := r.Engine.Summary(ctx, s.profile)
	if err != nil {
		return err
	}
	s.embedding(sum.Embedding)
	status := &s.object.Status
	status.Stream, status.Sequence = sum.Stream, sum.Sequence
	status.OpenCommands, status.TokensToday = int32(min(sum.Open, 1<<30)), int64(sum.Today.Total())
	status.LastDecisionTime = nil
	if !sum.LastDecision.IsZero() {
		at := metav1.NewTime(sum.LastDecision.Truncate(time.Second))
		status.LastDecisionTime = &at
	}
	return nil
}

// conclude sets the conditions that sum the others up. It comes last.
func (s *agentScope) conclude(err error) {
	s.object.Status.ObservedGeneration = s.object.Generation
	conditions := &s.object.Status.Conditions
	meta.RemoveStatusCondition(conditions, edictv1.ConditionReconciling)
	meta.RemoveStatusCondition(conditions, edictv1.ConditionStalled)
	switch {
	case err == nil && s.object.Spec.Suspend:
		s.set(edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonAgentSuspended, "The agent is suspended: commands wait until spec.suspend is false again.")
	case err == nil:
		s.set(edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady, fmt.Sprintf("The agent decides with %s; operations on its menu: %d.", s.object.Spec.Model.Name, len(s.profile.Operations)))
	default:
		notReady(s.set, err)
	}
}

func (s *agentScope) set(kind string, status metav1.ConditionStatus, reason, message string) {
	setCondition(&s.object.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: s.object.Generation})
}

// publish writes the status if it says something new, and hints at a change of Ready with a Kubernetes Event.
func (r *AgentReconciler) publish(ctx context.Context, live, object *edictv1.Agent) error {
	if equality.Semantic.DeepEqual(live.Status, object.Status) {
		return nil
	}
	if err := r.Status().Update(ctx, object); err != nil {
		return client.IgnoreNotFound(err)
	}
	hint(r.Recorder, object, live.Status.Conditions, object.Status.Conditions)
	return nil
}

// hint records a Kubernetes Event when Ready changed its status or its reason.
func hint(recorder events.EventRecorder, object client.Object, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, edictv1.ConditionReady), meta.FindStatusCondition(after, edictv1.ConditionReady)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	kind := corev1.EventTypeNormal
	if is.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	recorder.Eventf(object, nil, kind, is.Reason, "Reconcile", "%s", cut(is.Message, 1000))
}
