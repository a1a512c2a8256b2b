package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
)

// The tests of this package share one API server, on which config/default is installed as a user would install it.
var (
	api      *cluster.Cluster
	admin    client.Client
	scheme   = runtime.NewScheme()
	applied  string // what kubectl printed when config/default was applied
	manifest string // config/default, built
)

func TestMain(m *testing.M) {
	if err := start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := api.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func start(ctx context.Context) (err error) {
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if api, err = cluster.Start(ctx, cluster.Options{}); err != nil {
		return err
	}
	if err := install(ctx); err != nil {
		return errors.Join(err, api.Stop())
	}
	return nil
}

func install(ctx context.Context) (err error) {
	if manifest, err = api.Kubectl(ctx, "kustomize", "../../config/default"); err != nil {
		return err
	}
	if applied, err = api.KubectlStdin(ctx, manifest, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err = api.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd",
		"agents.edict.dev", "commands.edict.dev", "contextviews.edict.dev"); err != nil {
		return err
	}
	admin, err = client.New(api.Config, client.Options{Scheme: scheme})
	return err
}

// The smallest manifests that say everything which has no default.
var minimal = map[string]string{
	"Agent": `
apiVersion: edict.dev/v1alpha1
kind: Agent
metadata: {name: concierge, namespace: default}
spec:
  instructions: You help people travel.
  model: {baseURL: "http://models.example.com/v1", name: gpt-5-mini}`,
	"Command": `
apiVersion: edict.dev/v1alpha1
kind: Command
metadata: {name: find-flights, namespace: default}
spec:
  agentRef: {name: concierge}
  ask: {conversation: ada, message: Find me flights}`,
	"ContextView": `
apiVersion: edict.dev/v1alpha1
kind: ContextView
metadata: {name: concierge, namespace: default}
spec:
  agentRef: {name: concierge}
  blocks: [{name: history, conversation: {}}]`,
}

// object returns the smallest manifest of a kind after a merge patch, in YAML, was applied to it: null takes a field away.
func object(t *testing.T, kind, patch string) *unstructured.Unstructured {
	t.Helper()
	base, err := yaml.YAMLToJSON([]byte(minimal[kind]))
	if err != nil {
		t.Fatal(err)
	}
	merge, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, patch)
	}
	if patch == "" {
		merge = []byte("{}")
	}
	merged, err := jsonpatch.MergePatch(base, merge)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(merged); err != nil {
		t.Fatal(err)
	}
	return u
}

// mergeInto changes a live object by a merge patch in YAML, as the given client.
func mergeInto(t *testing.T, c client.Client, live *unstructured.Unstructured, patch string, options ...client.PatchOption) error {
	t.Helper()
	merge, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, patch)
	}
	return c.Patch(t.Context(), live, client.RawPatch(types.MergePatchType, merge), options...)
}

// create creates an object, and deletes it at the end of the test.
func create(t *testing.T, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if err := admin.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), u)); err != nil {
			t.Error(err)
		}
	})
	return u
}

// namespace creates a namespace for one test. It stays: nothing here finishes namespaces.
func namespace(t *testing.T, name string) string {
	t.Helper()
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// says checks that an error mentions each of the texts.
func says(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q:\n%v", text, err)
		}
	}
}

// eventually waits for what an informer of the API server has to learn first: a policy, a role.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	t.Fatalf("after a minute it does not hold that %s: %v", what, err)
}

// list returns n YAML flow items made from format, which takes the item's number.
func list(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// clone returns a copy under another name.
func clone(u *unstructured.Unstructured, name string) *unstructured.Unstructured {
	c := u.DeepCopy()
	c.SetName(name)
	return c
}
