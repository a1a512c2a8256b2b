package controller

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/view"
)

// define returns a declared view as the read side knows it: with the views that it
// shows, and the instructions of its agent, if a block shows them. What it names
// and is not there is a fault of kind Wait, and views that show each other one of
// kind Invalid.
func (v *Views) define(ctx context.Context, o *edictv1.ContextView) (view.Definition, error) {
	d := definer{Views: v}
	return d.define(ctx, o, nil)
}

// definer resolves what one view names.
type definer struct {
	*Views
	instructions *string // of the agent, once they were looked up
	blocks       int     // of all views so far
}

// define returns one view; path are the views that it is shown in, the outermost first.
func (d *definer) define(ctx context.Context, o *edictv1.ContextView, path []string) (view.Definition, error) {
	path = append(slices.Clone(path), o.Name)
	made := declared(o)
	if d.blocks += len(o.Spec.Blocks); d.blocks > view.MaxSections {
		return made, fault.NewInvalid("InvalidView", "The view has more than %d blocks with those of the views that it shows; remove some.", view.MaxSections)
	}
	for i := range o.Spec.Blocks {
		b, block := &o.Spec.Blocks[i], &made.Blocks[i]
		var err error
		switch {
		case b.Instructions != nil:
			block.Instructions, err = d.instructed(ctx, o, b.Instructions.Headings)
		case b.View != nil:
			block.View, err = d.shown(ctx, o, b.View.Name, path)
		}
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// shown returns a view that a block of o shows.
func (d *definer) shown(ctx context.Context, o *edictv1.ContextView, name string, path []string) (*view.Definition, error) {
	if i := slices.Index(path, name); i >= 0 {
		return nil, fault.NewInvalid(edictv1.ReasonViewCycle, "Views show each other: %s; remove the view block of one of them.",
			strings.Join(append(slices.Clone(path[i:]), name), " → "))
	}
	var other edictv1.ContextView
	err := d.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: name}, &other)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fault.NewWait(2*time.Second, edictv1.ReasonViewNotFound, "There is no ContextView %q, which a block of view %q shows; create it, and this goes on by itself.", name, o.Name)
	case err != nil:
		return nil, err
	case other.Spec.AgentRef.Name != o.Spec.AgentRef.Name:
		return nil, fault.NewWait(2*time.Second, edictv1.ReasonViewOfOtherAgent, "ContextView %q, which a block of view %q shows, reads the journal of agent %q; show a view whose spec.agentRef is %q.",
			name, o.Name, other.Spec.AgentRef.Name, o.Spec.AgentRef.Name)
	}
	made, err := d.define(ctx, &other, path)
	return &made, err
}

// instructed returns the instructions of the agent that the view belongs to, of
// which a block shows what stands under some headings.
func (d *definer) instructed(ctx context.Context, o *edictv1.ContextView, headings []string) (*view.Instructions, error) {
	if d.instructions == nil {
		var a edictv1.Agent
		name := o.Spec.AgentRef.Name
		err := d.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: name}, &a)
		switch {
		case apierrors.IsNotFound(err):
			return nil, fault.NewWait(2*time.Second, edictv1.ReasonAgentNotFound, "There is no Agent %q in this namespace; create it, and the view shows its instructions.", name)
		case err != nil:
			return nil, err
		}
		d.instructions = &a.Spec.Instructions
	}
	return &view.Instructions{Text: *d.instructions, Headings: headings}, nil
}

// resolved says that all that a view names is there, or which headings are not: a
// text may lose one at any time, and the view goes on without.
func resolved(d view.Definition) string {
	missing := unheaded(d)
	if len(missing) == 0 {
		return "Everything that the view names exists."
	}
	for i, heading := range missing {
		missing[i] = strconv.Quote(heading)
	}
	return fmt.Sprintf("The instructions of agent %q have no heading %s, so nothing is shown for it; add it there, or change instructions.headings of the block.",
		d.Agent, strings.Join(missing, " and no "))
}

// unheaded returns the headings that blocks name and the instructions do not have.
func unheaded(d view.Definition) (missing []string) {
	for _, b := range d.Blocks {
		switch {
		case b.Instructions != nil:
			_, some := b.Instructions.Excerpt()
			missing = append(missing, some...)
		case b.View != nil:
			missing = append(missing, unheaded(*b.View)...)
		}
	}
	return missing
}

// viewsWithViews returns the views in the namespace of one that show some view:
// it may be that one, directly or through another, and they are few.
func (r *Reconcilers) viewsWithViews(ctx context.Context, changed client.Object) []reconcile.Request {
	var list edictv1.ContextViewList
	if err := r.Views.List(ctx, &list, client.InNamespace(changed.GetNamespace())); err != nil {
		return nil // the slow look of each waiting view stands in
	}
	var requests []reconcile.Request
	for i := range list.Items {
		v := &list.Items[i]
		if v.Name != changed.GetName() && slices.ContainsFunc(v.Spec.Blocks, func(b edictv1.Block) bool { return b.View != nil }) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(v)})
		}
	}
	return requests
}

// declared returns a view without what other objects say.
func declared(o *edictv1.ContextView) view.Definition {
	d := view.Definition{Namespace: o.Namespace, Name: o.Name, Agent: o.Spec.AgentRef.Name, Budget: orDefault(int(o.Spec.Budget.Tokens), 4000)}
	for i := range o.Spec.Blocks {
		d.Blocks = append(d.Blocks, blockOf(&o.Spec.Blocks[i]))
	}
	return d
}

// blockOf returns a block without what other objects say.
func blockOf(b *edictv1.Block) view.Block {
	block := view.Block{
		Name: b.Name, Weight: int(b.Weight), MinTokens: int(b.MinTokens), MaxTokens: int(b.MaxTokens),
		Ranking: view.Ranking(b.Ranking), Rendering: view.Rendering(b.Rendering), Template: b.Template,
	}
	switch {
	case b.Memories != nil:
		block.Memories = &view.Memories{Kinds: b.Memories.Kinds, Limit: orDefault(int(b.Memories.Limit), 20)}
	case b.Conversation != nil:
		block.Conversation = &view.Conversation{Turns: orDefault(int(b.Conversation.Turns), 20), Summary: b.Conversation.Summary}
	case b.Documents != nil:
		block.Documents = &view.Documents{Collections: b.Documents.Collections, Limit: orDefault(int(b.Documents.Limit), 10), Summary: b.Documents.Summary}
	case b.Turns != nil:
		block.Turns = &view.Turns{Limit: orDefault(int(b.Turns.Limit), 10)}
	case b.Results != nil:
		block.Results = &view.Results{Limit: orDefault(int(b.Results.Limit), 10), Latest: b.Results.Latest}
	case b.Pending != nil:
		block.Pending = &view.Pending{Limit: orDefault(int(b.Pending.Limit), 10)}
	case b.Observations != nil:
		block.Observations = &view.Observations{Names: b.Observations.Names}
	}
	return block
}
