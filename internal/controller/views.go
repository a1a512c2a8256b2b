package controller

import (
	"context"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// freshWithin bounds how long a context waits for the projection to catch up.
const freshWithin = 5 * time.Second

// Views reads ContextView objects: it builds their contexts for the write side and
// for their own status, and tells the HTTP API which there are.
type Views struct {
	client.Reader
	Builder *view.Builder
	Newest  func(ctx context.Context, namespace, agent string) (string, error) // an agent's newest stream
}

// Build renders a context for the write side.
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
	ctx, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	return v.Builder.Build(ctx, view.Request{Definition: definitionOf(&object), Stream: r.Stream, Question: r.Question, Min: r.Min})
}

// render builds what the object's status speaks of: the newest context of a question without a conversation.
func (v *Views) render(ctx context.Context, object *edictv1.ContextView) (stream string, built agent.Context, err error) {
	if stream, err = v.Newest(ctx, object.Namespace, object.Spec.AgentRef.Name); err != nil {
		return "", agent.Context{}, err
	}
	built, err = v.Builder.Build(ctx, view.Request{Definition: definitionOf(object), Stream: stream})
	return stream, built, err
}

// View returns the definition of a declared view, for readers over HTTP.
func (v *Views) View(ctx context.Context, namespace, name string) (view.Definition, error) {
	var object edictv1.ContextView
	err := v.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return view.Definition{}, query.ErrNotFound
	}
	return definitionOf(&object), err
}

// List returns the definitions of a namespace's views, by name.
func (v *Views) List(ctx context.Context, namespace string) ([]view.Definition, error) {
	var list edictv1.ContextViewList
	if err := v.Reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	definitions := make([]view.Definition, 0, len(list.Items))
	for i := range list.Items {
		definitions = append(definitions, definitionOf(&list.Items[i]))
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

// definitionOf returns the view as the read side knows it.
func definitionOf(o *edictv1.ContextView) view.Definition {
	d := view.Definition{Namespace: o.Namespace, Name: o.Name, Agent: o.Spec.AgentRef.Name, Budget: orDefault(int(o.Spec.Budget.Tokens), 4000)}
	for i := range o.Spec.Blocks {
		b := &o.Spec.Blocks[i]
		block := view.Block{Name: b.Name, Weight: int(b.Weight), MinTokens: int(b.MinTokens)}
		switch {
		case b.Memories != nil:
			block.Memories = &view.Memories{Kinds: b.Memories.Kinds, Limit: orDefault(int(b.Memories.Limit), 20)}
		case b.Conversation != nil:
			block.Conversation = &view.Conversation{Turns: orDefault(int(b.Conversation.Turns), 20)}
		case b.Results != nil:
			block.Results = &view.Results{Limit: orDefault(int(b.Results.Limit), 10)}
		}
		d.Blocks = append(d.Blocks, block)
	}
	return d
}
