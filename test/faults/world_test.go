package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// world is a namespace with operators, a journal and servers of its own: nothing in it concerns another.
type world struct {
	campaign  *campaign
	plane     *plane
	ns, dir   string
	binary    string
	store     store
	gate      *gate
	model     *model
	honours   *receiver // knows Idempotency-Key
	ignores   *receiver // counts every request as an effect
	operators []*operator
	args      []string // of the manager, for every replica
}

// worldOptions say what a world is made of. The zero value is one over SQLite, with servers that answer at once.
type worldOptions struct {
	plane   *plane // nil: the campaign's
	ns      string // empty: a new one
	store   string
	over    store        // instead of a new one
	defect  string       // that the operator is built with
	via     *rest.Config // of a proxy before the API server; nil: none
	latency func() time.Duration
	lease   time.Duration // of the replicas; 0: two seconds
}

var worlds atomic.Int64

// newWorld makes a world. Close it, also after an error.
func (c *campaign) newWorld(ctx context.Context, o worldOptions) (*world, error) {
	w := &world{campaign: c, plane: o.plane, ns: o.ns}
	if w.plane == nil {
		w.plane = c.plane
	}
	if w.ns == "" {
		w.ns = fmt.Sprintf("faults-%d", worlds.Add(1))
	}
	if o.latency == nil {
		o.latency = func() time.Duration { return 0 }
	}
	var err error
	if w.binary, err = c.binary(ctx, o.defect); err != nil {
		return w, err
	}
	if w.dir, err = os.MkdirTemp(c.dir, w.ns+"-"); err != nil {
		return w, err
	}
	if w.store, err = c.newStore(ctx, w, o); err != nil {
		return w, err
	}
	if o.via == nil {
		o.via = w.plane.Config
	}
	if w.gate, err = newGate(o.via, w.ns); err != nil {
		return w, err
	}
	if w.model, err = newModel(o.latency); err != nil {
		return w, err
	}
	w.args = []string{"--leader-election-namespace=" + w.ns, "--member-lease-duration=" + cmp.Or(o.lease, 2*time.Second).String()}
	w.honours, w.ignores = newReceiver(false, o.latency), newReceiver(true, o.latency)
	return w, w.furnish(ctx)
}

func (c *campaign) newStore(ctx context.Context, w *world, o worldOptions) (store, error) {
	switch {
	case o.over != nil:
		return o.over, nil
	case o.store == onPostgres:
		return c.database.newStore(ctx, w.ns)
	}
	return newSQLiteStore(w.dir)
}

// furnish makes the namespace, and lets the operators' account keep Leases in it.
func (w *world) furnish(ctx context.Context) error {
	err := w.plane.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}})
	if err != nil {
		return err
	}
	named := metav1.ObjectMeta{Namespace: w.ns, Name: "operator"}
	var installed rbacv1.RoleList // the operator's own Role of its own namespace
	if err := w.plane.client.List(ctx, &installed, client.InNamespace(w.plane.account.Namespace)); err != nil {
		return err
	}
	role := &rbacv1.Role{ObjectMeta: named}
	for _, r := range installed.Items {
		role.Rules = append(role.Rules, r.Rules...)
	}
	return errors.Join(w.plane.client.Create(ctx, role), w.plane.client.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: named.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.plane.account.Namespace, Name: w.plane.account.Name}},
	}))
}

// close ends the operators and servers, and takes the objects away.
func (w *world) close() error {
	for _, o := range w.operators {
		o.kill()
	}
	if w.gate != nil {
		w.gate.close()
	}
	for _, r := range []*receiver{w.honours, w.ignores} {
		if r != nil {
			stop(r.server)
		}
	}
	if w.model != nil {
		stop(w.model.server)
	}
	errs := []error{w.clear(context.Background())}
	if w.store != nil {
		errs = append(errs, w.store.close())
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// clear takes the finalizers off the agents, since no operator is left to, and deletes the namespace.
func (w *world) clear(ctx context.Context) error {
	var agents edictv1.AgentList
	if err := w.plane.client.List(ctx, &agents, client.InNamespace(w.ns)); err != nil {
		return err
	}
	for i := range agents.Items {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := w.plane.client.Patch(ctx, &agents.Items[i], patch); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return client.IgnoreNotFound(w.plane.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}))
}

// create creates objects in the world's namespace.
func (w *world) create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		object.SetNamespace(w.ns)
		if err := w.plane.client.Create(ctx, object); err != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

func (w *world) commands(ctx context.Context) ([]edictv1.Command, error) {
	var list edictv1.CommandList
	err := w.plane.client.List(ctx, &list, client.InNamespace(w.ns))
	return list.Items, err
}

// until polls until check returns nil, and returns its last error if that takes too long.
func until(ctx context.Context, within time.Duration, check func() error) error {
	for deadline := time.Now().Add(within); ; {
		err := check()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ended waits until at least so many commands exist, and all have ended.
func (w *world) ended(ctx context.Context, atLeast int, within time.Duration) ([]edictv1.Command, error) {
	var commands []edictv1.Command
	err := until(ctx, within, func() error {
		var err error
		if commands, err = w.commands(ctx); err != nil {
			return err
		}
		var open []string
		for i := range commands {
			if c := &commands[i]; !agent.Phase(c.Status.Phase).Final() || c.Status.ObservedGeneration != c.Generation {
				open = append(open, fmt.Sprintf("%s is %s (%s)", c.Name, c.Status.Phase, why(c)))
			}
		}
		switch {
		case len(open) > 0:
			return fmt.Errorf("%d of %d commands are open: %s", len(open), len(commands), strings.Join(open[:min(len(open), 5)], "; "))
		case len(commands) < atLeast:
			return fmt.Errorf("there are %d commands, want %d", len(commands), atLeast)
		}
		return nil
	})
	return commands, err
}

func why(c *edictv1.Command) string {
	if ready := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady); ready != nil {
		return ready.Reason + ": " + ready.Message
	}
	return "no condition Ready"
}

// told returns how many Kubernetes Events tell of each command, by the object's uid.
func (w *world) told(ctx context.Context) (map[types.UID]int, error) {
	var events eventsv1.EventList
	if err := w.plane.client.List(ctx, &events, client.InNamespace(w.ns)); err != nil {
		return nil, err
	}
	n := map[types.UID]int{}
	for _, e := range events.Items {
		if e.Regarding.Kind == "Command" {
			n[e.Regarding.UID]++
		}
	}
	return n, nil
}

// keepLogs keeps all that the replicas printed in bin/faults/logs, for who looks for the cause of a violation.
func (w *world) keepLogs() error {
	dir := filepath.Join(w.campaign.root, "bin", "faults", "logs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, o := range w.operators {
		if err := os.WriteFile(filepath.Join(dir, w.ns+"-"+o.name+".log"), []byte(o.logs.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// logs returns the last lines of every replica, for a violation that needs them.
func (w *world) logs(lines int) string {
	var b strings.Builder
	for _, o := range w.operators {
		fmt.Fprintf(&b, "\n--- %s in %s\n%s", o.name, filepath.Base(o.dir), o.logs.Tail(lines))
	}
	return b.String()
}
