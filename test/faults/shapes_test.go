package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// around returns the places before and after appends that begin with these events.
func around(events ...string) []string {
	var places []string
	for _, e := range events {
		places = append(places, "append:"+e, "appended:"+e)
	}
	return places
}

// The places that every command passes, and those of a call and of a decision.
var (
	told    = []string{"event:created", "status:written"}
	folded  = []string{"shard:claimed", "projection:commit", "projection:done"}
	called  = slices.Concat(around("AttemptStarted", "AttemptSucceeded"), []string{"call:sent", "call:answered"})
	decided = slices.Concat(around("CommandAccepted", "ContextBuilt", "DecisionMade", "CommandAccepted@2", "ContextBuilt@2", "DecisionMade@2"),
		[]string{"model:asked", "model:answered", "model:asked@2", "model:answered@2", "child:created", "event:created@2", "status:written@2",
			"model:answered then append:AttemptAbandoned", "model:answered then appended:AttemptAbandoned"}, told)
)

// shapes are the matrix: what is executed, and the places that it passes.
var shapes = []shape{
	{
		name: "saveMemory", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newSave("c", "concierge", subject)),
		places:  slices.Concat(around("CommandAccepted"), told, folded),
	},
	{
		name: "an idempotent call", class: agent.Idempotent, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "put", flightPlain, subject)),
		places: slices.Concat(around("CommandAccepted"), called, told, folded,
			[]string{"call:sent then append:AttemptAbandoned", "call:answered then appended:AttemptAbandoned", "call:answered then call:answered"}),
	},
	{
		name: "a call that is not idempotent", class: agent.NonIdempotent, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "post", flightPlain, subject)),
		places: slices.Concat(around("CommandAccepted"), called, told, folded,
			[]string{"call:sent then append:OutcomeLost", "call:answered then appended:OutcomeLost"}),
	},
	{
		name: "an idempotent call that is refused at first", class: agent.Idempotent, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "put", flightBusy, subject)),
		places:  around("AttemptFailed", "AttemptStarted@2"),
	},
	{
		name: "a call that is not idempotent and refused at first", class: agent.NonIdempotent, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "post", flightBusy, subject)),
		places:  around("AttemptFailed", "AttemptStarted@2"),
	},
	{
		name: "an idempotent call whose answer says nothing", class: agent.Idempotent, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "put", flightBroken, subject)),
		places:  around("AttemptFailed", "AttemptStarted@2"),
	},
	{
		name: "a call that is not idempotent and whose answer says nothing", class: agent.NonIdempotent, effects: 1, phase: agent.OutcomeUnknown, unknown: true, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "post", flightBroken, subject)),
		places:  around("OutcomeLost"),
	},
	{
		name: "an ask that remembers", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 2, ends: "c",
		objects: one(newAsk("c", "concierge", "Remember "+subject)),
		places:  decided,
	},
	{
		name: "an ask that makes an idempotent call", class: agent.Idempotent, effects: 1, phase: agent.Succeeded, commands: 2, ends: "c",
		objects: one(newAsk("c", "concierge", "Put "+flightPlain+" for "+subject)),
		places:  slices.Concat(decided, called),
	},
	{
		name: "an ask that makes a call that is not idempotent", class: agent.NonIdempotent, effects: 1, phase: agent.Succeeded, commands: 2, ends: "c",
		objects: one(newAsk("c", "concierge", "Post "+flightPlain+" for "+subject)),
		places:  slices.Concat(decided, called, []string{"call:answered then append:OutcomeLost@2", "call:sent then appended:OutcomeLost@2"}),
	},
	{
		name: "an ask that answers before its call is made", class: agent.Idempotent, effects: 1, phase: agent.Succeeded, commands: 2, ends: "c",
		objects: one(newAsk("c", "concierge", "Put and say "+flightPlain+" for "+subject)),
		places:  around("ResponseGiven"),
	},
	{
		name: "an ask whose model fails at first", class: agent.Internal, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: one(newAsk("c", "concierge", "Stumble")),
		places:  around("AttemptFailed"),
	},
	{
		name: "a summary", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 2, ends: "s",
		objects: one(newAsk("c", "concierge", "Hello")), during: summarizes("s", "c"),
		places: slices.Concat(around("CommandAccepted@2", "AttemptStarted", "SummaryWritten"),
			[]string{"model:asked@2", "model:answered@2", "event:created@2", "status:written@2", "model:answered@2 then append:AttemptAbandoned"}),
	},
	{
		name: "documents of a ConfigMap", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: func() []client.Object { return []client.Object{newRules("rules"), newIndex("c", "concierge", "rules")} },
		places:  slices.Concat(around("CommandAccepted", "AttemptStarted", "DocumentIndexed"), told, folded),
	},
	{
		name: "an object that is observed", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c",
		objects: func() []client.Object {
			return append(newRights(), newRules("rules"), newObserve("c", "concierge", "rules"))
		},
		places: slices.Concat(around("CommandAccepted", "AttemptStarted", "ObjectObserved"), told, folded),
	},
	{
		name: "an ask whose question is embedded", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c", embeds: true,
		objects: one(newAsk("c", "concierge", "Hello")),
		places:  slices.Concat(around("TextsEmbedded", "ContextBuilt"), []string{"embed:asked", "embed:answered"}),
	},
	{
		name: "documents with vectors", class: agent.Internal, effects: 1, phase: agent.Succeeded, commands: 1, ends: "c", embeds: true,
		objects: func() []client.Object { return []client.Object{newRules("rules"), newIndex("c", "concierge", "rules")} },
		places:  slices.Concat(around("TextsEmbedded"), []string{"embed:asked", "embed:answered"}),
	},
	{
		name: "a call that is cancelled", class: agent.Idempotent, phase: agent.Cancelled, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "put", flightFull, subject)), during: cancel,
		places: around("CancelRequested", "CommandCancelled"),
	},
	{
		name: "a call that comes too late", class: agent.Idempotent, phase: agent.Failed, commands: 1, ends: "c",
		objects: func() []client.Object {
			c := newBooking("c", "concierge", "put", flightFull, subject)
			c.Spec.Timeout = duration(2 * time.Second)
			return []client.Object{c}
		},
		places: around("CommandFailed"),
	},
	{
		name: "a call whose agent is deleted", class: agent.Idempotent, phase: agent.Cancelled, commands: 1, ends: "c",
		objects: one(newBooking("c", "concierge", "put", flightFull, subject)), during: deleteAgent, settled: agentGone,
		places: around("CancelRequested", "CommandCancelled", "AgentDeleted"),
	},
	{
		name: "a call whose unknown outcome a person settles", class: agent.NonIdempotent, effects: 1, phase: agent.Succeeded, commands: 2, ends: "c",
		objects: one(newBooking("c", "concierge", "post", flightBroken, subject)), during: settles("c"), settled: settled("c"),
		told:   map[string]int{"c": 2},
		places: append(around("CommandAccepted@2"), "event:created@2", "status:written@2"),
	},
	{
		name: "an ask that goes on when a person settles its call", class: agent.NonIdempotent, effects: 1, phase: agent.Succeeded, commands: 3, ends: "c",
		objects: one(newAsk("c", "concierge", "Post "+flightBroken+" for "+subject)), during: settles("c-1-0"), settled: settled("c-1-0", "c"),
		told:   map[string]int{"c": 2, "c-1-0": 2},
		places: slices.Concat(around("CommandAccepted@3", "ContextBuilt@2", "DecisionMade@2"), []string{"model:asked@2", "model:answered@2"}),
	},
}

// one returns the object anew for each row.
func one(c *edictv1.Command) func() []client.Object {
	return func() []client.Object { return []client.Object{c.DeepCopy()} }
}

// underWay waits until the row's command was attempted, so that what is done to it meets it open.
func underWay(ctx context.Context, w *world) bool {
	return until(ctx, reachWithin, func() error {
		if w.honours.asked(subject) == 0 {
			return errors.New("it was not attempted")
		}
		return nil
	}) == nil
}

// cancel is a person who cancels the row's command while it is open.
func cancel(ctx context.Context, w *world) {
	if !underWay(ctx, w) {
		return
	}
	c := &edictv1.Command{}
	c.Namespace, c.Name = w.ns, "c"
	_ = w.plane.client.Patch(ctx, c, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))) // the row fails without it
}

// deleteAgent is a person who deletes the row's agent while its command is open.
func deleteAgent(ctx context.Context, w *world) {
	if !underWay(ctx, w) {
		return
	}
	a := &edictv1.Agent{}
	a.Namespace, a.Name = w.ns, "concierge"
	_ = w.plane.client.Delete(ctx, a) // the row fails without it
}

// agentGone says whether the deleted agent is let go.
func agentGone(ctx context.Context, w *world) error {
	var a edictv1.Agent
	err := w.plane.client.Get(ctx, types.NamespacedName{Namespace: w.ns, Name: "concierge"}, &a)
	if err == nil {
		return errors.New("the agent is still there")
	}
	return client.IgnoreNotFound(err)
}

// settles is a person who settles the command's outcome once it is unknown.
func settles(command string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		if until(ctx, reachWithin, w.is(ctx, command, edictv1.CommandOutcomeUnknown)) == nil {
			_ = w.create(ctx, newResolve("resolve", "concierge", command, w.plane.user)) // the row fails without it; the next life may find it there
		}
	}
}

// summarizes is a person who has the conversation of an ask summarised when that has ended.
func summarizes(summary, ask string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		if until(ctx, reachWithin, w.is(ctx, ask, edictv1.CommandSucceeded)) == nil {
			_ = w.create(ctx, newSummarize(summary, "concierge", ask)) // the row fails without it; the next life may find it there
		}
	}
}

// settled says whether these commands have succeeded: as long as nobody settles an outcome, its command has ended, too.
func settled(commands ...string) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		for _, command := range commands {
			if err := w.is(ctx, command, edictv1.CommandSucceeded)(); err != nil {
				return err
			}
		}
		return nil
	}
}

// is returns what says whether a command is in that phase.
func (w *world) is(ctx context.Context, command string, phase edictv1.CommandPhase) func() error {
	return func() error {
		var c edictv1.Command
		err := w.plane.client.Get(ctx, types.NamespacedName{Namespace: w.ns, Name: command}, &c)
		if err == nil && c.Status.Phase != phase {
			err = fmt.Errorf("%s is %s, want %s", command, c.Status.Phase, phase)
		}
		return err
	}
}
