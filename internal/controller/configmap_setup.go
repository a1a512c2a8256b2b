package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// FollowedConfigMaps selects the ConfigMaps that are followed. A manager's cache
// is to hold these alone, and only their metadata is ever asked of it: what other
// ConfigMaps hold is none of the operator's business, and would fill its memory.
func FollowedConfigMaps() labels.Selector {
	exists, err := labels.NewRequirement(edictv1.CollectionLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	return labels.NewSelector().Add(*exists)
}

func (r *Reconcilers) configMaps(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&corev1.ConfigMap{}, builder.OnlyMetadata).
		Watches(&edictv1.Agent{}, handler.EnqueueRequestsFromMapFunc(r.ConfigMaps.ofAgent), builder.WithPredicates(agentMoved)).
		Watches(&edictv1.Command{}, handler.EnqueueRequestsFromMapFunc(configMapOfCommand), builder.WithPredicates(commandEnded)).
		WatchesRawSource(r.Doorbells.ConfigMaps.source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Concurrency.Others}).
		Complete(r.ConfigMaps)
}

// commandEnded lets pass that a command has ended. One that ended while nobody
// watched needs no look: each start looks at every ConfigMap.
var commandEnded = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, isCommand := e.ObjectOld.(*edictv1.Command)
		after, stillIs := e.ObjectNew.(*edictv1.Command)
		return isCommand && stillIs && !agent.Phase(before.Status.Phase).Final() && agent.Phase(after.Status.Phase).Final()
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// configMapOfCommand returns the ConfigMap that the operator issued the command for.
func configMapOfCommand(_ context.Context, c client.Object) []reconcile.Request {
	name := c.GetAnnotations()[edictv1.ConfigMapAnnotation]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: c.GetNamespace(), Name: name}}}
}

// ofAgent returns the ConfigMaps that are labelled with the agent, and those that
// it has documents of because they were: one that was deleted while nobody watched is among them.
func (r *ConfigMapReconciler) ofAgent(ctx context.Context, a client.Object) []reconcile.Request {
	names := map[string]struct{}{}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	err := r.Labelled.List(ctx, &list, client.InNamespace(a.GetNamespace()),
		client.MatchingLabelsSelector{Selector: FollowedConfigMaps()}, client.MatchingLabels{edictv1.AgentLabel: a.GetName()})
	if err == nil { // otherwise the first listing looks at every one
		for i := range list.Items {
			names[list.Items[i].Name] = struct{}{}
		}
	}
	held, err := r.Engine.Collections(ctx, a.GetNamespace(), a.GetName())
	if err == nil { // otherwise whoever holds the agent's shard looks, or this process once it does
		for _, documents := range held {
			for name, doc := range documents {
				if configMap, ok := followedFrom(name, doc); ok {
					names[configMap] = struct{}{}
				}
			}
		}
	}
	requests := make([]reconcile.Request, 0, len(names))
	for name := range names {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: a.GetNamespace(), Name: name}})
	}
	return requests
}

// ringConfigMaps lets the ConfigMaps be looked at that concern an agent whose shard this process may hold from now on.
func (r *Reconcilers) ringConfigMaps(ctx context.Context, a *edictv1.Agent) {
	for _, request := range r.ConfigMaps.ofAgent(ctx, a) {
		r.Doorbells.ConfigMaps.Ring(request.NamespacedName)
	}
}
