package controller

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
)

// slowly is the safety net: how soon something that waits for an object is looked
// at again, should the watch not tell.
const slowly = 30 * time.Second

// follow looks whether an unknown outcome was settled since the status said that
// it is unknown. It asks the stream that the status names, and no other: whatever
// became of that, such an object never comes through a door by itself again.
func (r *CommandReconciler) follow(ctx context.Context, s *commandScope) error {
	status := &s.object.Status
	if status.Phase != edictv1.CommandOutcomeUnknown {
		return nil
	}
	c, err := r.Engine.Told(ctx, status.Stream, s.order.Key)
	switch {
	case err != nil:
		return err
	case c != nil && !c.Phase.Final():
		return nil // it was let run again, or its ask goes on
	case c != nil:
		s.receipt = execution.Receipt{Stream: status.Stream, Command: c}
	}
	if c == nil || c.Phase == agent.OutcomeUnknown {
		return fault.NewWait(slowly, edictv1.ReasonUnsettled, "The outcome is unknown until a command of type resolve settles it.")
	}
	return nil
}

// resolve finds the agent. A command of an agent that is gone may have ended
// before that, and then the journal still says how.
func (r *CommandReconciler) resolve(ctx context.Context, s *commandScope) error {
	if s.receipt.Command != nil {
		return nil
	}
	var found edictv1.Agent
	key := types.NamespacedName{Namespace: s.object.Namespace, Name: s.object.Spec.AgentRef.Name}
	err := r.Get(ctx, key, &found)
	switch {
	case err == nil && found.DeletionTimestamp.IsZero():
		s.agent = &found
		if !hasFinalizer(&found) {
			return fault.NewWait(slowly, edictv1.ReasonRunning, "Agent %q is new; the command is accepted as soon as its stream is guarded.", key.Name)
		}
		return nil
	case client.IgnoreNotFound(err) != nil:
		return err
	}
	ended, stream, failed := r.Engine.Recall(ctx, key.Namespace, key.Name, s.order.Key)
	if failed != nil {
		return failed
	}
	if ended != nil && ended.Phase.Final() {
		s.receipt = execution.Receipt{Stream: stream, Command: ended}
		return nil
	}
	if apierrors.IsNotFound(err) {
		return fault.NewWait(slowly, edictv1.ReasonAgentNotFound, "There is no Agent %q in namespace %q; create it, and this command goes on by itself.", key.Name, key.Namespace)
	}
	return fault.NewWait(slowly, edictv1.ReasonAgentDeleting, "Agent %q is being deleted; the command waits for a new agent of that name.", key.Name)
}

// submit brings the command through the door.
func (r *CommandReconciler) submit(ctx context.Context, s *commandScope) error {
	if s.receipt.Command != nil {
		return nil
	}
	if err := r.findTarget(ctx, s); err != nil {
		return err
	}
	receipt, err := r.Engine.Submit(ctx, profileOf(s.agent), s.order, s.object.Spec.Cancel)
	s.receipt = receipt
	switch {
	case err != nil:
		return err
	case receipt.Command == nil:
		return fault.NewWait(slowly, edictv1.ReasonAgentSuspended, "Agent %q is suspended; the command is accepted when spec.suspend is false again.", s.agent.Name)
	}
	return late(receipt.Late)
}

// findTarget holds a resolve command that lets another run again until the object
// of that one is there: a command whose object is gone is stopped.
func (r *CommandReconciler) findTarget(ctx context.Context, s *commandScope) error {
	settle := s.object.Spec.Resolve
	if settle == nil || settle.Outcome != edictv1.ResolveRunAgain {
		return nil
	}
	name, err := r.Engine.Unsettled(ctx, s.object.Namespace, s.agent.Name, settle.Command)
	if err != nil || name == "" {
		return err // with nothing to settle, the door says so
	}
	var target edictv1.Command
	err = r.Live.Get(ctx, types.NamespacedName{Namespace: s.object.Namespace, Name: name}, &target)
	if apierrors.IsNotFound(err) {
		return fault.NewWait(slowly, edictv1.ReasonCommandNotFound,
			"The object of command %q is gone, and a command without its object is stopped. Apply it again as it was, and it runs again by itself; or settle it as Failed.", name)
	}
	return err
}

// late returns why an accepted command cannot move on just now. Only the journal
// ends such a command: what cannot work as it is declared may be declared anew.
func late(err error) error {
	if f := fault.Of(err); f != nil && f.Kind == fault.Invalid {
		return fault.NewWait(slowly, f.Reason, "%s", f.Message)
	}
	return err
}

// issue ensures the objects of the commands that an ask's decision issued. Their
// names come from the decision, so that a crash cannot create one twice.
func (r *CommandReconciler) issue(ctx context.Context, s *commandScope) error {
	if s.receipt.Command.Phase.Final() {
		return nil
	}
	for _, child := range s.receipt.Command.Unaccepted() {
		if err := r.ensure(ctx, s, child.IssuedCommand); err != nil {
			return err
		}
	}
	return nil
}

// ensure creates the object of an issued command, unless it is there. The cache is
// looked at first: an ask that issued several commands is looked at again as each
// ends, and asking the cache for the others spares the API server a refusal.
func (r *CommandReconciler) ensure(ctx context.Context, s *commandScope, child agent.IssuedCommand) error {
	var there edictv1.Command
	key := types.NamespacedName{Namespace: s.object.Namespace, Name: child.Name}
	err := r.Get(ctx, key, &there)
	if apierrors.IsNotFound(err) {
		err = r.Create(ctx, issuedObject(s.object, child))
		switch {
		case apierrors.IsAlreadyExists(err):
			err = r.Live.Get(ctx, key, &there)
		case apierrors.IsInvalid(err):
			return r.refuse(ctx, s, child, edictv1.ReasonNotAdmitted,
				"The API server did not admit the issued command: an admission policy or the kind's own rules say no. The operator's log says more.", err)
		case err == nil:
			failpoint.Hit(failpoint.ChildCreated)
			return nil
		}
	}
	if err != nil {
		return client.IgnoreNotFound(err) // it went between the two; the next look creates it
	}
	return r.claim(ctx, s, child, &there)
}

// claim looks at an object that has an issued command's name already: it is that
// command, or somebody else's, and then the issued one is refused.
func (r *CommandReconciler) claim(ctx context.Context, s *commandScope, child agent.IssuedCommand, there *edictv1.Command) error {
	if orderOf(there).Key == child.Key && there.Spec.AgentRef == s.object.Spec.AgentRef {
		return nil
	}
	if owner := metav1.GetControllerOf(there); owner != nil && owner.Name == s.object.Name && owner.UID != s.object.UID {
		return fault.NewWait(2*time.Second, edictv1.ReasonWaitingForCommands,
			"Command %q was issued by an earlier ask of this name; Kubernetes collects it, and this ask goes on by itself.", there.Name)
	}
	return r.refuse(ctx, s, child, edictv1.ReasonNameTaken,
		"A Command of this name exists and wants something else, so the issued one was not created. Delete that Command, or ask under another name.", nil)
}

// refuse ends an issued command that cannot come through the door, so that its ask goes on.
func (r *CommandReconciler) refuse(ctx context.Context, s *commandScope, child agent.IssuedCommand, reason, message string, cause error) error {
	if cause != nil {
		log.FromContext(ctx).Error(cause, "an issued command was not admitted", "name", child.Name)
	}
	return r.Engine.Refuse(ctx, s.object.Namespace, s.object.Spec.AgentRef.Name, child, agent.Approval{Reason: reason, Message: message})
}

func issuedObject(parent *edictv1.Command, child agent.IssuedCommand) *edictv1.Command {
	controller := true
	spec := issuedSpec(child.Intent)
	spec.AgentRef, spec.IdempotencyKey, spec.Timeout, spec.Retry = parent.Spec.AgentRef, child.Key, parent.Spec.Timeout, parent.Spec.Retry
	return &edictv1.Command{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: parent.Namespace, Name: child.Name,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: edictv1.GroupVersion.String(), Kind: "Command", Name: parent.Name, UID: parent.UID, Controller: &controller,
			}},
		},
		Spec: spec,
	}
}

// orderOf returns the command as the write side takes it. A key that the status
// recorded holds: an edited intent is another intent under the same key.
func orderOf(c *edictv1.Command) agent.Order {
	o := agent.Order{
		Name: c.Name, Intent: intentOf(&c.Spec), Timeout: 5 * time.Minute, Origin: string(c.UID),
		Retry: agent.Retry{MaxAttempts: 3, Backoff: time.Second},
	}
	if c.Spec.Timeout != nil {
		o.Timeout = c.Spec.Timeout.Duration
	}
	if c.Spec.Retry.MaxAttempts > 0 {
		o.Retry.MaxAttempts = int(c.Spec.Retry.MaxAttempts)
	}
	if c.Spec.Retry.Backoff != nil {
		o.Retry.Backoff = c.Spec.Retry.Backoff.Duration
	}
	switch {
	case c.Status.IdempotencyKey != "":
		o.Key = c.Status.IdempotencyKey
	case c.Spec.IdempotencyKey != "":
		o.Key = c.Spec.IdempotencyKey
	default:
		o.Key = agent.DefaultKey(c.Name, o.Intent)
		if defect.TrustCache {
			o.Key += "@" + c.ResourceVersion
		}
	}
	return o
}
