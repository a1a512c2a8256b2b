package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// soon is how long something may take that an operator does as soon as it can, on a machine that is busy.
const soon = 30 * time.Second

// world is one test's namespace.
type world struct {
	*testing.T
	suite *suite
	op    *operator
	ns    string
}

var worlds atomic.Int64

// newWorld makes a namespace for the test, and takes it away when the test ends.
func newWorld(t *testing.T, op *operator) *world {
	t.Helper()
	w := &world{T: t, suite: op.suite, op: op, ns: fmt.Sprintf("e2e-%d", worlds.Add(1))}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}})
	t.Cleanup(w.clear)
	return w
}

// clear deletes what the operator would go on working at, finalizers or not: the operator of this test may have ended.
func (w *world) clear() {
	ctx := context.Background()
	var agents edictv1.AgentList
	if err := w.suite.client.List(ctx, &agents, client.InNamespace(w.ns)); err != nil {
		w.Error(err)
	}
	for _, kind := range []client.Object{&edictv1.Command{}, &edictv1.ContextView{}, &edictv1.Agent{}} {
		if err := w.suite.client.DeleteAllOf(ctx, kind, client.InNamespace(w.ns)); err != nil {
			w.Error(err)
		}
	}
	for i := range agents.Items {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := w.suite.client.Patch(ctx, &agents.Items[i], patch); client.IgnoreNotFound(err) != nil {
			w.Error(err)
		}
	}
	err := w.suite.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}})
	if err != nil {
		w.Error(err)
	}
}

// create creates the objects, in this test's namespace if they are namespaced and name none.
func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		if err := w.tryCreate(object); err != nil {
			w.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
}

func (w *world) tryCreate(object client.Object) error {
	if _, isNamespace := object.(*corev1.Namespace); !isNamespace && object.GetNamespace() == "" {
		object.SetNamespace(w.ns)
	}
	return w.suite.client.Create(w.Context(), object)
}

func (w *world) get(name string, into client.Object) error {
	return w.suite.client.Get(w.Context(), types.NamespacedName{Namespace: w.ns, Name: name}, into)
}

func (w *world) delete(object client.Object) {
	w.Helper()
	if err := w.suite.client.Delete(w.Context(), object); err != nil {
		w.Fatalf("delete %T %s: %v", object, object.GetName(), err)
	}
}

// gone waits until the object does not exist any more.
func (w *world) gone(object client.Object) {
	w.Helper()
	w.eventually(soon, object.GetName()+" is gone", func() error {
		err := w.get(object.GetName(), object)
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// eventually polls until check returns nil, and fails the test with its last error if that takes too long.
func (w *world) eventually(within time.Duration, what string, check func() error) {
	w.Helper()
	eventually(w.T, within, what, check)
}

func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	pause := 20 * time.Millisecond
	for deadline := time.Now().Add(within); ; pause = min(2*pause, 250*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
		time.Sleep(pause)
	}
}

// command waits until the command is in one of the phases, and returns it.
func (w *world) command(name string, phases ...edictv1.CommandPhase) *edictv1.Command {
	w.Helper()
	var c edictv1.Command
	w.eventually(2*soon, fmt.Sprintf("command %s is %v", name, phases), func() error {
		if err := w.get(name, &c); err != nil {
			return err
		}
		for _, phase := range phases {
			if c.Status.Phase == phase {
				return nil
			}
		}
		return fmt.Errorf("it is %s: %s", c.Status.Phase, explain(c.Status.Conditions))
	})
	return &c
}

// condition waits until the object has that condition with that status and reason, and returns it.
func (w *world) condition(object client.Object, name, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.Helper()
	var found metav1.Condition
	w.eventually(2*soon, fmt.Sprintf("%T %s has %s=%s (%s)", object, name, kind, status, reason), func() error {
		if err := w.get(name, object); err != nil {
			return err
		}
		conditions := conditionsOf(object)
		c := meta.FindStatusCondition(conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("it has %s", explain(conditions))
		}
		found = *c
		return nil
	})
	return found
}

func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *edictv1.Command:
		return o.Status.Conditions
	case *edictv1.Agent:
		return o.Status.Conditions
	case *edictv1.ContextView:
		return o.Status.Conditions
	}
	return nil
}

// explain writes conditions in a line each.
func explain(conditions []metav1.Condition) string {
	var b strings.Builder
	for _, c := range conditions {
		fmt.Fprintf(&b, "\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// ready waits until the agent is ready.
func (w *world) ready(name string) *edictv1.Agent {
	w.Helper()
	var a edictv1.Agent
	w.condition(&a, name, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	return &a
}

// get reads a URL of the operator's that needs no credentials.
func get(ctx context.Context, url string) (body []byte, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	return do(http.DefaultClient, request)
}

func do(c *http.Client, request *http.Request) (body []byte, status int, err error) {
	response, err := c.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	return body, response.StatusCode, err
}
