package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/execution"
)

// TestWhatAnAgentsServiceAccountMayReadIsObserved follows a Deployment as the service account that config/observe sets up:
// before the operator may act as it, while it may read the Deployment, and after it may not any more.
func TestWhatAnAgentsServiceAccountMayReadIsObserved(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	view := newView("cluster", "concierge")
	view.Spec.Blocks = []edictv1.Block{{Name: "cluster", Observations: &edictv1.ObservationsBlock{}}}
	a := newAgent("concierge", "http://127.0.0.1:1/v1")
	a.Spec.ServiceAccountName = "concierge"
	a.Spec.Observations = []edictv1.AgentObservation{{
		Observation: edictv1.Observation{Name: "api", Object: edictv1.ObservedObject{APIVersion: "apps/v1", Kind: "Deployment", Name: "travel-api"},
			Fields: []edictv1.ObservedField{{Name: "replicas", JSONPath: "{.spec.replicas}"}, {Name: "images", CEL: "self.spec.template.spec.containers.map(c, c.image)"}}},
		Every: duration(10 * time.Second),
	}}
	w.create(a, view, newDeployment("travel-api"))
	w.condition(a, "concierge", edictv1.ConditionObserving, metav1.ConditionFalse, execution.ReasonImpersonationForbidden)
	w.ready("concierge")
	r := newReader(w, "reader", true)
	if text := r.context("cluster", "", 0).Text; !strings.Contains(text, "(none)") {
		t.Errorf("before anything may be read the view says:\n%s", text)
	}

	w.observeAsConfigured()
	w.condition(a, "concierge", edictv1.ConditionObserving, metav1.ConditionTrue, edictv1.ReasonObserving)
	first := r.saysOf("api", "replicas: 2\n", `images: ["travel/api:1"]`, "Deployment "+w.ns+"/travel-api")

	w.scale("travel-api", `{"spec":{"replicas":3},"metadata":{"labels":{"nobody":"asked"}}}`)
	r.saysOf("api", "replicas: 3\n")
	if then := r.context("cluster", "", first.Sequence); then.Digest != first.Digest || !strings.Contains(then.Text, "replicas: 2") {
		t.Errorf("as of sequence %d the context was\n%s\nand is\n%s", first.Sequence, first.Text, then.Text)
	}

	if _, err := w.suite.cluster.Kubectl(t.Context(), "delete", "rolebinding", "concierge-observes", "--namespace", w.ns); err != nil {
		t.Fatal(err)
	}
	c := w.condition(a, "concierge", edictv1.ConditionObserving, metav1.ConditionFalse, execution.ReasonObjectForbidden)
	if !strings.Contains(c.Message, `api: The service account "concierge"`) || !strings.Contains(c.Message, "kubectl create role ") {
		t.Errorf("it says: %s", c.Message)
	}
	w.create(newObserve("look", edictv1.ObservedObject{APIVersion: "apps/v1", Kind: "Deployment", Name: "travel-api"}))
	if c := w.command("look", edictv1.CommandFailed); !strings.Contains(explain(c.Status.Conditions), execution.ReasonObjectForbidden) {
		t.Errorf("it failed: %s", explain(c.Status.Conditions))
	}
	r.saysOf("api", "replicas: 3\n")
	w.op.mustStop(t)
	w.op.dropProjections(t)
	w.op.mustStart(t)
	if then := r.context("cluster", "", first.Sequence); then.Digest != first.Digest {
		t.Errorf("after a rebuild the context as of sequence %d is\n%s", first.Sequence, then.Text)
	}
	if n := w.count("ObjectObserved"); n != 2 {
		t.Errorf("%d observations are recorded, of two that differ", n)
	}
}

// A Secret is observed by no way: the API server refuses the Command, whoever may read it.
func TestASecretIsNotObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	a := newAgent("concierge", "http://127.0.0.1:1/v1")
	a.Spec.ServiceAccountName = "concierge"
	w.create(a)
	err := w.tryCreate(newObserve("look", edictv1.ObservedObject{APIVersion: "v1", Kind: "Secret", Name: "key"}))
	if err == nil || !strings.Contains(err.Error(), "a Secret cannot be observed") {
		t.Error(err)
	}
}

// observeAsConfigured applies config/observe to this test's namespace.
func (w *world) observeAsConfigured() {
	w.Helper()
	manifests, err := w.suite.cluster.Kubectl(w.Context(), "kustomize", filepath.Join(w.suite.root, "config", "observe"))
	if err == nil {
		_, err = w.suite.cluster.KubectlStdin(w.Context(), strings.ReplaceAll(manifests, "namespace: travel", "namespace: "+w.ns), "apply", "-f", "-")
	}
	if err != nil {
		w.Fatal(err)
	}
}

// saysOf waits until the view says all of this of an observation, and returns its context.
func (r *reader) saysOf(observation string, these ...string) (c builtContext) {
	r.Helper()
	r.eventually(2*soon, "the view says "+strings.Join(these, ", "), func() error {
		c = r.context("cluster", "", 0)
		for _, text := range append(these, "- "+observation+" (observed ") {
			if !strings.Contains(c.Text, text) {
				return errors.New("it says:\n" + c.Text)
			}
		}
		return nil
	})
	return c
}

func (w *world) scale(deployment, patch string) {
	w.Helper()
	d := newDeployment(deployment)
	d.Namespace = w.ns
	if err := w.suite.client.Patch(w.Context(), d, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

func newDeployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "travel/api:1"}}}},
		},
	}
}

func newObserve(name string, object edictv1.ObservedObject) *edictv1.Command {
	return &edictv1.Command{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: edictv1.CommandSpec{
		AgentRef: edictv1.AgentReference{Name: "concierge"},
		Retry:    edictv1.RetryPolicy{MaxAttempts: 1},
		Observe: &edictv1.ObserveCommand{Observation: edictv1.Observation{Name: "api", Object: object,
			Fields: []edictv1.ObservedField{{Name: "replicas", JSONPath: "{.spec.replicas}"}}}},
	}}
}
