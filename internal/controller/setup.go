package controller

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// agentField is the index of what names an agent.
const agentField = "spec.agentRef.name"

// Doorbell is how the rooms below wake a controller: it puts a name into the
// controller's own queue. Ringing never blocks, and before the controller runs it
// does nothing, because the controller's first listing looks at everything anyway.
type Doorbell struct {
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]
}

// Ring lets the controller look at the object as soon as it can.
func (d *Doorbell) Ring(name types.NamespacedName) { d.RingAfter(name, 0) }

// RingAfter lets the controller look at the object once, that much later, however often it is called meanwhile.
func (d *Doorbell) RingAfter(name types.NamespacedName, after time.Duration) {
	if queue := d.queue.Load(); queue != nil {
		(*queue).AddAfter(reconcile.Request{NamespacedName: name}, after)
	}
}

// source connects the doorbell to a controller.
func (d *Doorbell) source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		d.queue.Store(&queue)
		return nil
	})
}

// Doorbells wake the controllers.
type Doorbells struct{ Commands, Agents, Views, ConfigMaps, Observations Doorbell }

// Concurrency is how many objects of each kind are reconciled at the same time.
// A worker waits for the API server and the journal's disk, never for a model.
type Concurrency struct{ Commands, Others int }

// Reconcilers are the reconcilers, ready to be set up.
type Reconcilers struct {
	Commands   *CommandReconciler
	Agents     *AgentReconciler
	Views      *ContextViewReconciler
	ConfigMaps *ConfigMapReconciler
	// Observations is also who Agents ask whether what they declare can be read.
	Observations *ObservationReconciler
	Doorbells    *Doorbells
	Concurrency  Concurrency
}

// Setup registers the reconcilers with a manager.
func (r *Reconcilers) Setup(ctx context.Context, mgr ctrl.Manager) error {
	for _, object := range []client.Object{&edictv1.Command{}, &edictv1.ContextView{}} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, object, agentField, agentNameOf); err != nil {
			return err
		}
	}
	for _, setup := range []func(ctrl.Manager) error{r.commands, r.agents, r.views, r.configMaps, r.observations} {
		if err := setup(mgr); err != nil {
			return err
		}
	}
	return nil
}

func agentNameOf(o client.Object) []string {
	switch o := o.(type) {
	case *edictv1.Command:
		return []string{o.Spec.AgentRef.Name}
	case *edictv1.ContextView:
		return []string{o.Spec.AgentRef.Name}
	}
	return nil
}

func (r *Reconcilers) commands(mgr ctrl.Manager) error {
	// A status write of our own says nothing new to us: only a changed spec does, and a deletion.
	return ctrl.NewControllerManagedBy(mgr).
		For(&edictv1.Command{}, builder.WithPredicates(specMoved)).
		Watches(&edictv1.Agent{}, handler.EnqueueRequestsFromMapFunc(r.waitingCommands), builder.WithPredicates(agentMoved)).
		WatchesRawSource(r.Doorbells.Commands.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency.Commands}).
		Complete(r.Commands)
}

func (r *Reconcilers) agents(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&edictv1.Agent{}, builder.WithPredicates(agentMoved)).
		Watches(&edictv1.ContextView{}, handler.EnqueueRequestsFromMapFunc(r.agentsOfView), builder.WithPredicates(specMoved)).
		WatchesRawSource(r.Doorbells.Agents.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency.Others}).
		Complete(r.Agents)
}

// observations is a second look at Agents, in a queue of its own: it waits for what the API server asks others for.
func (r *Reconcilers) observations(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("observation").
		For(&edictv1.Agent{}, builder.WithPredicates(specMoved)).
		WatchesRawSource(r.Doorbells.Observations.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency.Others}).
		Complete(r.Observations)
}

func (r *Reconcilers) views(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&edictv1.ContextView{}, builder.WithPredicates(predicate.Or(specMoved, rebuildAsked))).
		Watches(&edictv1.Agent{}, handler.EnqueueRequestsFromMapFunc(r.viewsOfAgent), builder.WithPredicates(agentMoved)).
		Watches(&edictv1.ContextView{}, handler.EnqueueRequestsFromMapFunc(r.viewsWithViews), builder.WithPredicates(specMoved)).
		WatchesRawSource(r.Doorbells.Views.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency.Others}).
		Complete(r.Views)
}

// specMoved lets pass a changed spec, and another object of the same name: one
// that was deleted and made again while the watch was broken comes as an update.
var specMoved = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
	},
}

// rebuildAsked lets pass another annotation that asks for a rebuild.
var rebuildAsked = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[edictv1.RebuildAnnotation] != e.ObjectNew.GetAnnotations()[edictv1.RebuildAnnotation]
	},
}

// agentMoved lets pass what matters to others about an Agent: its spec, its
// finalizer and its deletion, not the totals in its status.
var agentMoved = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return specMoved.Update(e) ||
			!slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
	},
}

// waitingCommands returns the agent's commands that have not ended.
func (r *Reconcilers) waitingCommands(ctx context.Context, a client.Object) []reconcile.Request {
	var list edictv1.CommandList
	if err := r.Commands.List(ctx, &list, client.InNamespace(a.GetNamespace()), client.MatchingFields{agentField: a.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the slow look of each waiting command stands in
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if c := &list.Items[i]; !agent.Phase(c.Status.Phase).Final() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(c)})
		}
	}
	return requests
}

func (r *Reconcilers) agentsOfView(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: agentNameOf(o)[0]}}}
}

func (r *Reconcilers) viewsOfAgent(ctx context.Context, a client.Object) []reconcile.Request {
	var list edictv1.ContextViewList
	if err := r.Views.List(ctx, &list, client.InNamespace(a.GetNamespace()), client.MatchingFields{agentField: a.GetName()}); err != nil {
		return nil // the slow look of each waiting view stands in
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// RingShards lets everything be looked at whose agent is in one of the shards,
// which this process holds from now on. What was rung before it held them was
// not looked at. Before the caches run it does nothing: the first listing looks
// at everything.
func (r *Reconcilers) RingShards(ctx context.Context, shards []int) {
	ring := func(bell *Doorbell, o client.Object, agent string) bool {
		shard, err := r.Agents.Engine.Shard(ctx, o.GetNamespace(), agent)
		if err != nil || slices.Contains(shards, shard) {
			bell.Ring(client.ObjectKeyFromObject(o)) // if the shard is not known now, the reconciler asks again
			return true
		}
		return false
	}
	var agents edictv1.AgentList
	if r.Agents.List(ctx, &agents, client.UnsafeDisableDeepCopy) == nil {
		for i := range agents.Items {
			if ring(&r.Doorbells.Agents, &agents.Items[i], agents.Items[i].Name) {
				r.Doorbells.Observations.Ring(client.ObjectKeyFromObject(&agents.Items[i]))
				r.ringConfigMaps(ctx, &agents.Items[i])
			}
		}
	}
	var views edictv1.ContextViewList
	if r.Views.List(ctx, &views, client.UnsafeDisableDeepCopy) == nil {
		for i := range views.Items {
			ring(&r.Doorbells.Views, &views.Items[i], views.Items[i].Spec.AgentRef.Name)
		}
	}
	var commands edictv1.CommandList
	if r.Commands.List(ctx, &commands, client.UnsafeDisableDeepCopy) == nil {
		for i := range commands.Items {
			// One that has ended waits for nothing but its time to live.
			if c := &commands.Items[i]; !settled(c) || c.Spec.TTLSecondsAfterFinished != nil {
				ring(&r.Doorbells.Commands, c, c.Spec.AgentRef.Name)
			}
		}
	}
}

// RingEveryView lets all views be looked at, that much later and once. It is for
// when none of them is told of news by itself.
func (r *Reconcilers) RingEveryView(ctx context.Context, after time.Duration) {
	var list edictv1.ContextViewList
	if r.Views.List(ctx, &list, client.UnsafeDisableDeepCopy) != nil {
		return // their slow look stands in
	}
	for i := range list.Items {
		r.Doorbells.Views.RingAfter(client.ObjectKeyFromObject(&list.Items[i]), after)
	}
}

// RingViews lets the views of an agent be looked at, that much later and once,
// however often it is called meanwhile. Before the caches run it does nothing.
func (r *Reconcilers) RingViews(agent types.NamespacedName, after time.Duration) {
	var list edictv1.ContextViewList
	err := r.Views.List(context.Background(), &list, client.InNamespace(agent.Namespace),
		client.MatchingFields{agentField: agent.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return // the first listing looks at every view anyway
	}
	for i := range list.Items {
		r.Doorbells.Views.RingAfter(client.ObjectKeyFromObject(&list.Items[i]), after)
	}
}
