package controller

import (
	"context"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// freshWithin bounds how long a context waits for the projection to catch up. An ask looks again after that, and leaves
// its place to others meanwhile.
const freshWithin = time.Second

// Views reads ContextView objects: it builds their contexts for the write side and
// for their own status, and tells the HTTP API which there are.
type Views struct {
	client.Reader
	Builder *view.Builder
	Newest  func(ctx context.Context, namespace, agent string) (string, error) // an agent's newest stream
	Fresh   query.Freshness
}

// Build renders a context for the write side, as fresh as the agent demands.
func (v *Views) Build(ctx context.Context, r execution.ContextRequest) (agent.Context, error) {
	var object edictv1.ContextView
	err := v.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: r.View}, &object)
	_, name := agent.ParseStream(r.Stream)
	switch {
	case apierrors.IsNotFound(err):
		return agent.Context{}, fault.NewWait(2*time.Second, edictv1.ReasonViewNotFound, "There is no ContextView %q, which the agent's spec.contextViews names; create it, and this goes on by itself.", r.View)
	case err != nil:
		return agent.Context{}, err
	case object.Spec.AgentRef.Name != name:
		return agent.Context{}, fault.NewWait(2*time.Second, edictv1.ReasonViewOfOtherAgent, "ContextView %q reads the journal of agent %q; name a view whose spec.agentRef is %q.", r.View, object.Spec.AgentRef.Name, name)
	}
	least, err := v.least(ctx, r)
	if err != nil {
		return agent.Context{}, err
	}
	definition, err := v.define(ctx, &object)
	if err != nil {
		return agent.Context{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	return v.Builder.Build(ctx, view.Request{Definition: definition, Stream: r.Stream, Question: r.Question, Min: least})
}

// render builds what the object's status speaks of: the newest context of a question without a conversation.
func (v *Views) render(ctx context.Context, object *edictv1.ContextView, stream string) (agent.Context, error) {
	definition, err := v.define(ctx, object)
	if err != nil {
		return agent.Context{}, err
	}
	return v.Builder.Build(ctx, view.Request{Definition: definition, Stream: stream})
}

// View returns the definition of a declared view, for readers over HTTP.
func (v *Views) View(ctx context.Context, namespace, name string) (view.Definition, error) {
	var object edictv1.ContextView
	err := v.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return view.Definition{}, query.ErrNotFound
	}
	if err != nil {
		return view.Definition{}, err
	}
	return v.define(ctx, &object)
}

// Candidate returns what a declared view would be with another spec: that of a
// ContextView, or one that stands alone, in YAML or JSON. What the API server adds
// and checks at admission is not asked for: who builds contexts checks it, too.
func (v *Views) Candidate(ctx context.Context, namespace, name string, manifest []byte) (view.Definition, error) {
	var object edictv1.ContextView
	err := v.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return view.Definition{}, query.ErrNotFound
	}
	if err != nil {
		return view.Definition{}, err
	}
	spec, err := specOf(manifest)
	if err != nil {
		return view.Definition{}, fault.NewInvalid("InvalidView", "The body is neither a ContextView nor the spec of one: %s.", err)
	}
	if spec.AgentRef.Name == "" {
		spec.AgentRef = object.Spec.AgentRef
	}
	object = edictv1.ContextView{ObjectMeta: object.ObjectMeta, Spec: *spec}
	return v.define(ctx, &object)
}

// specOf reads a ContextView, or the spec of one. A field that neither has is an error.
func specOf(manifest []byte) (*edictv1.ContextViewSpec, error) {
	var top map[string]any
	if err := yaml.Unmarshal(manifest, &top); err != nil {
		return nil, err
	}
	if _, whole := top["spec"]; whole {
		var object edictv1.ContextView
		err := yaml.UnmarshalStrict(manifest, &object)
		return &object.Spec, err
	}
	var spec edictv1.ContextViewSpec
	err := yaml.UnmarshalStrict(manifest, &spec)
	return &spec, err
}

// List returns the definitions of a namespace's views, by name. One that names
// what is not there is as it is declared: no context can be built of it.
func (v *Views) List(ctx context.Context, namespace string) ([]view.Definition, error) {
	var list edictv1.ContextViewList
	if err := v.Reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	definitions := make([]view.Definition, 0, len(list.Items))
	for i := range list.Items {
		definition, err := v.define(ctx, &list.Items[i])
		if err != nil {
			definition = declared(&list.Items[i])
		}
		definitions = append(definitions, definition)
	}
	slices.SortFunc(definitions, func(a, b view.Definition) int { return strings.Compare(a.Name, b.Name) })
	return definitions, nil
}

// Stream returns the newest stream of a declared agent.
func (v *Views) Stream(ctx context.Context, namespace, name string) (string, error) {
	var a edictv1.Agent
	err := v.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &a)
	switch {
	case apierrors.IsNotFound(err):
		return "", query.ErrNotFound
	case err != nil:
		return "", err
	}
	return v.Newest(ctx, namespace, name)
}
