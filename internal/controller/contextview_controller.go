package controller

import (
	"cmp"
	"context"
	"fmt"
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

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
)

const (
	// contextKey is the key of an output ConfigMap that holds the context.
	contextKey = "context.md"
	// digestAnnotation of an output ConfigMap is the context's digest.
	digestAnnotation = "edict.dev/digest"
	// largestContext is what a ConfigMap holds, a mebibyte, less what else is in it.
	largestContext = 1<<20 - 4<<10
	// outputLooked is when an output ConfigMap is looked at though nothing happened: somebody may have deleted it.
	outputLooked = 5 * time.Minute
)

// ContextViewReconciler says in a view's status what the view holds, and keeps
// its output ConfigMap. It reads the journal's projections, and appends nothing.
type ContextViewReconciler struct {
	client.Client
	Engine   *execution.Engine
	Views    *Views
	Fresh    query.Freshness
	Rebuilds *Rebuilds
	Recorder events.EventRecorder
	Now      func() time.Time
}

// +kubebuilder:rbac:groups=edict.dev,resources=contextviews,verbs=get;list;watch
// +kubebuilder:rbac:groups=edict.dev,resources=contextviews/status,verbs=update
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;create;update

type viewScope struct {
	object  *edictv1.ContextView // a copy; its status is what will be written
	context agent.Context
	later   error // what failed aside: the view is ready, and is looked at again
}

// Reconcile looks at one ContextView.
func (r *ContextViewReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var live edictv1.ContextView
	if err := r.Get(ctx, req.NamespacedName, &live); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if here, err := r.Engine.Holds(ctx, live.Namespace, live.Spec.AgentRef.Name); err != nil || !here {
		return ctrl.Result{}, err
	}
	if !live.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // the ConfigMap is owned, and goes with it
	}
	s := &viewScope{object: live.DeepCopy()}
	var err error
	for _, step := range []func(context.Context, *viewScope) error{r.refs, r.rebuild, r.build, r.output} {
		if err = step(ctx, s); err != nil {
			break
		}
	}
	s.conclude(err)
	if failed := r.publish(ctx, &live, s.object); failed != nil {
		return translate(failed)
	}
	if err == nil && s.later == nil && s.object.Status.Lag > 0 { // a projection that stands still rings for nobody
		return ctrl.Result{RequeueAfter: slowly}, nil
	}
	if err == nil && s.later == nil && s.object.Spec.Output != nil {
		return ctrl.Result{RequeueAfter: outputLooked}, nil
	}
	return translate(cmp.Or(err, s.later))
}

// refs owns RefsResolved.
func (r *ContextViewReconciler) refs(ctx context.Context, s *viewScope) error {
	var a edictv1.Agent
	name := s.object.Spec.AgentRef.Name
	err := r.Get(ctx, types.NamespacedName{Namespace: s.object.Namespace, Name: name}, &a)
	switch {
	case apierrors.IsNotFound(err):
		message := fmt.Sprintf("There is no Agent %q in this namespace; create it, and the view follows its journal.", name)
		s.set(edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonAgentNotFound, message)
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionDegraded) // it has no stream
		return fault.NewWait(slowly, edictv1.ReasonAgentNotFound, "%s", message)
	case err != nil:
		s.set(edictv1.ConditionRefsResolved, metav1.ConditionUnknown, edictv1.ReasonUnexpected, "An unexpected failure; it is tried again.")
		return err
	}
	d, err := r.Views.define(ctx, s.object)
	if err != nil {
		if f := fault.Of(err); f.Kind == fault.Wait || f.Kind == fault.Invalid {
			s.set(edictv1.ConditionRefsResolved, metav1.ConditionFalse, f.Reason, f.Message)
		} else {
			s.set(edictv1.ConditionRefsResolved, metav1.ConditionUnknown, edictv1.ReasonUnexpected, "An unexpected failure; it is tried again.")
		}
		return err
	}
	s.set(edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved, resolved(d))
	return nil
}

// build renders the context of a question without a conversation.
func (r *ContextViewReconciler) build(ctx context.Context, s *viewScope) error {
	stream, err := r.Views.Newest(ctx, s.object.Namespace, s.object.Spec.AgentRef.Name)
	if err != nil {
		return err
	}
	built, err := r.Views.render(ctx, s.object, stream)
	if behind := r.fresh(ctx, s, stream); err == nil {
		err = behind
	}
	if err != nil {
		return err
	}
	s.context = built
	status := &s.object.Status
	status.Sequence, status.Digest = built.Sequence, built.Digest
	status.Tokens = fmt.Sprintf("%d/%d", built.Tokens, built.Budget)
	status.BlockCount = int32(len(built.Blocks))
	status.Blocks = nil
	for _, b := range built.Blocks {
		status.Blocks = append(status.Blocks, edictv1.BlockStatus{Name: b.Name, Tokens: int32(b.Tokens), Items: int32(b.Items), Cut: int32(b.Cut)})
	}
	return nil
}

// output ensures the ConfigMap that holds the context.
func (r *ContextViewReconciler) output(ctx context.Context, s *viewScope) error {
	out := s.object.Spec.Output
	if out == nil || out.ConfigMap == nil {
		return nil
	}
	if size := len(s.context.Text); size > largestContext {
		return fault.NewWait(slowly, edictv1.ReasonConfigMapTooSmall,
			"The context has %d bytes, and a ConfigMap holds %d of them; lower spec.budget.tokens, or remove spec.output and read it over HTTP.", size, largestContext)
	}
	want := outputOf(s.object, out.ConfigMap.Name, s.context)
	var have corev1.ConfigMap
	err := r.Get(ctx, client.ObjectKeyFromObject(want), &have)
	switch {
	case apierrors.IsNotFound(err):
		return r.Create(ctx, want)
	case err != nil:
		return err
	case !metav1.IsControlledBy(&have, s.object):
		return fault.NewWait(slowly, edictv1.ReasonConfigMapTaken,
			"ConfigMap %q exists and was not made for this view, so it is left alone; delete it, or choose another name in spec.output.configMap.name.", have.Name)
	case equality.Semantic.DeepEqual(have.Data, want.Data) && have.Annotations[digestAnnotation] == s.context.Digest:
		return nil
	}
	metav1.SetMetaDataAnnotation(&have.ObjectMeta, digestAnnotation, s.context.Digest) // other annotations and labels are not ours
	have.Data, have.BinaryData = want.Data, nil
	return r.Update(ctx, &have)
}

func outputOf(v *edictv1.ContextView, name string, c agent.Context) *corev1.ConfigMap {
	controller := true
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v.Namespace, Name: name,
			Annotations: map[string]string{digestAnnotation: c.Digest},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: edictv1.GroupVersion.String(), Kind: "ContextView", Name: v.Name, UID: v.UID, Controller: &controller}},
		},
		Data: map[string]string{contextKey: c.Text},
	}
}

// conclude sets the conditions that sum the others up. It comes last.
func (s *viewScope) conclude(err error) {
	s.object.Status.ObservedGeneration = s.object.Generation
	conditions := &s.object.Status.Conditions
	meta.RemoveStatusCondition(conditions, edictv1.ConditionReconciling)
	meta.RemoveStatusCondition(conditions, edictv1.ConditionStalled)
	if err != nil {
		notReady(s.set, err)
		return
	}
	s.set(edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady, fmt.Sprintf("The context takes %s tokens.", s.object.Status.Tokens))
}

func (s *viewScope) set(kind string, status metav1.ConditionStatus, reason, message string) {
	setCondition(&s.object.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: s.object.Generation})
}

func (r *ContextViewReconciler) publish(ctx context.Context, live, object *edictv1.ContextView) error {
	if equality.Semantic.DeepEqual(live.Status, object.Status) {
		return nil
	}
	if err := r.Status().Update(ctx, object); err != nil {
		return client.IgnoreNotFound(err)
	}
	hint(r.Recorder, object, live.Status.Conditions, object.Status.Conditions)
	r.announceRebuild(live, object)
	return nil
}
