package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
)

// quietFor is how long a command may run before people are told that it does:
// one that is quicker costs one status write less.
const quietFor = time.Second

// CommandReconciler brings Command objects through the door of the write side,
// and mirrors into their status what the journal says of them.
type CommandReconciler struct {
	client.Client
	Live   client.Reader // reads past the cache
	Engine *execution.Engine
	Now    func() time.Time
}

// +kubebuilder:rbac:groups=edict.dev,resources=commands,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=edict.dev,resources=commands/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// commandScope is what the steps of one reconcile share.
type commandScope struct {
	object  *edictv1.Command // a copy; its status is what will be written
	agent   *edictv1.Agent   // nil if there is none
	order   agent.Order
	receipt execution.Receipt
}

// Reconcile moves one Command on.
func (r *CommandReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var live edictv1.Command
	if err := r.Get(ctx, req.NamespacedName, &live); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.withdraw(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	if here, err := r.Engine.Holds(ctx, live.Namespace, live.Spec.AgentRef.Name); err != nil || !here {
		return ctrl.Result{}, err
	}
	if !live.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.Engine.Withdraw(ctx, live.Namespace, live.Name)
	}
	if settled(&live) {
		return r.expire(ctx, &live)
	}
	s := &commandScope{object: live.DeepCopy(), order: orderOf(&live)}
	err := s.run(ctx, r.follow, r.resolve, r.submit, r.issue)
	if elsewhere(err) {
		return ctrl.Result{}, nil
	}
	s.mirror(err)
	if failed := r.publish(ctx, &live, s); failed != nil {
		return translate(failed)
	}
	if settled(s.object) || ended(s.object) && (err == nil || fault.Is(err, fault.Wait)) {
		return r.expire(ctx, s.object)
	}
	if err == nil {
		err = fault.NewWait(s.nextLook(&live.Status), edictv1.ReasonRunning, "The command is on its way.")
	}
	return translate(err)
}

// nextLook is when a command that runs is looked at again, should nobody poke.
func (s *commandScope) nextLook(written *edictv1.CommandStatus) time.Duration {
	if written.Phase == s.object.Status.Phase {
		return slowly
	}
	return quietFor
}

// run takes the steps in order, up to the first that fails.
func (s *commandScope) run(ctx context.Context, steps ...func(context.Context, *commandScope) error) error {
	for _, step := range steps {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether the status says how the command ended, of this spec.
func ended(c *edictv1.Command) bool {
	return agent.Phase(c.Status.Phase).Final() && c.Status.ObservedGeneration == c.Generation
}

// settled reports whether the status says how the command ended, and nothing can
// change that any more: an unknown outcome may be settled, which the engine tells.
func settled(c *edictv1.Command) bool {
	return ended(c) && c.Status.Phase != edictv1.CommandOutcomeUnknown
}

// withdraw stops a command whose object is gone. The cache of a process that just
// started may be behind, so the API server itself is asked before anything is stopped.
func (r *CommandReconciler) withdraw(ctx context.Context, key types.NamespacedName) error {
	if !r.Engine.OpenByName(key.Namespace, key.Name) {
		return nil
	}
	var c edictv1.Command
	if err := r.Live.Get(ctx, key, &c); !apierrors.IsNotFound(err) {
		return err // nil: it is there, and the cache will say so
	}
	return r.Engine.Withdraw(ctx, key.Namespace, key.Name)
}

// expire deletes an ended command whose time to live is over. The journal keeps what happened.
func (r *CommandReconciler) expire(ctx context.Context, c *edictv1.Command) (ctrl.Result, error) {
	ended := endOf(c)
	if c.Spec.TTLSecondsAfterFinished == nil || ended.IsZero() {
		return ctrl.Result{}, nil
	}
	left := ended.Add(time.Duration(*c.Spec.TTLSecondsAfterFinished) * time.Second).Sub(r.Now())
	if left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	err := r.Delete(ctx, c, client.Preconditions{UID: &c.UID}, client.PropagationPolicy("Background"))
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// publish tells of the end in a Kubernetes Event, and writes the status if it has
// news that people should see now. The Event goes first: a status that says the
// command ended implies that its Event was made.
func (r *CommandReconciler) publish(ctx context.Context, live *edictv1.Command, s *commandScope) error {
	if !s.newsworthy(&live.Status, r.Now()) || equality.Semantic.DeepEqual(live.Status, s.object.Status) {
		return nil
	}
	if err := r.announce(ctx, s); err != nil {
		return err
	}
	// An update, not a patch: the resource version in it refuses to overwrite a
	// newer status with one made from a stale object.
	if err := r.Status().Update(ctx, s.object); err != nil {
		return client.IgnoreNotFound(err)
	}
	failpoint.Hit(failpoint.StatusWritten)
	return nil
}
