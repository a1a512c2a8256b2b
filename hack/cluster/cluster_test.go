package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/edict-dev/edict/hack/cluster"
)

// crd is a custom resource of nobody, to see that CRDDirs are installed and their kinds collected.
const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parcels.test.edict.dev}
spec:
  group: test.edict.dev
  scope: Namespaced
  names: {kind: Parcel, plural: parcels, singular: parcel, listKind: ParcelList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
`

// TestControlPlane starts one control plane for all that has to be seen on it: a start costs seconds.
func TestControlPlane(t *testing.T) {
	ctx := t.Context()
	crds := t.TempDir()
	if err := os.WriteFile(filepath.Join(crds, "parcel.yaml"), []byte(crd), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := cluster.Start(ctx, cluster.Options{CRDDirs: []string{crds}, ControllerManager: true, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "controlplane")); !os.IsNotExist(err) {
			t.Errorf("the data is still there after Stop: %v", err)
		}
	})
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("listens on loopback only", func(t *testing.T) {
		if !strings.Contains(c.Config.Host, "127.0.0.1") {
			t.Errorf("the API server is at %s", c.Config.Host)
		}
	})
	t.Run("a namespace that is deleted goes away", func(t *testing.T) { namespaceFinishes(ctx, t, client) })
	t.Run("what a deleted owner owned is collected", func(t *testing.T) { ownedIsCollected(ctx, t, c) })
	t.Run("a service account has the rights that RBAC grants and no others", func(t *testing.T) { rbacHolds(ctx, t, c) })
	t.Run("etcd and the API server come back with their data", func(t *testing.T) { restartsKeepEverything(ctx, t, c) })
	t.Run("the kubeconfig is its owner's alone", func(t *testing.T) {
		info, err := os.Stat(c.Kubeconfig)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
	t.Run("a failing kubectl says what it was asked", func(t *testing.T) {
		_, err := c.Kubectl(ctx, "get", "nothings")
		if err == nil || !strings.Contains(err.Error(), "kubectl get nothings") {
			t.Errorf("got %v", err)
		}
	})
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := cluster.Start(t.Context(), cluster.Options{CRDDirs: []string{"no-such-directory"}, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "no-such-directory") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func namespaceFinishes(ctx context.Context, t *testing.T, client kubernetes.Interface) {
	namespaces := client.CoreV1().Namespaces()
	meta := metav1.ObjectMeta{Name: "short-lived"}
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := namespaces.Delete(ctx, meta.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func() bool {
		_, err := namespaces.Get(ctx, meta.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func ownedIsCollected(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	kubectl := func(stdin string, args ...string) string {
		out, err := c.KubectlStdin(ctx, stdin, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kubectl("{apiVersion: test.edict.dev/v1, kind: Parcel, metadata: {name: owner}}", "apply", "-f", "-")
	uid := kubectl("", "get", "parcel", "owner", "-o", "jsonpath={.metadata.uid}")
	kubectl(`{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, ownerReferences: [
		{apiVersion: test.edict.dev/v1, kind: Parcel, name: owner, uid: `+uid+`}]}}`, "apply", "-f", "-")
	kubectl("", "delete", "parcel", "owner")
	eventually(t, "the owned ConfigMap is gone", func() bool {
		return kubectl("", "get", "configmap", "owned", "--ignore-not-found") == ""
	})
}

func rbacHolds(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	for _, args := range [][]string{
		{"create", "serviceaccount", "reader"},
		{"create", "role", "reader", "--verb=list", "--resource=configmaps"},
		{"create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"},
	} {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	config, kubeconfig, err := c.TokenConfig(ctx, "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the granted list is allowed", func() bool {
		_, err := client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err == nil
	})
	if _, err := client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets was not forbidden: %v", err)
	}
	out, err := c.Kubectl(ctx, "auth", "whoami", "--kubeconfig", kubeconfig)
	if err != nil || !strings.Contains(out, "system:serviceaccount:default:reader") {
		t.Errorf("the kubeconfig authenticates as %s, %v", out, err)
	}
}

func restartsKeepEverything(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	if _, err := c.Kubectl(ctx, "create", "configmap", "kept", "--from-literal=a=b"); err != nil {
		t.Fatal(err)
	}
	config, _, err := c.TokenConfig(ctx, "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	before := processes(t, c)
	if err := c.RestartEtcd(ctx, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := c.RestartAPIServer(ctx, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if after := processes(t, c); after["etcd"] == before["etcd"] || after["kube-apiserver"] == before["kube-apiserver"] {
		t.Errorf("they are the same processes: %v, before %v", after, before)
	}
	client, err := kubernetes.NewForConfig(config) // the address, the certificate and the token are good as before
	if err != nil {
		t.Fatal(err)
	}
	// The restarted server fills its caches of RBAC after it is ready.
	eventually(t, "the ConfigMap is there", func() bool {
		list, err := client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=kept"})
		return err == nil && len(list.Items) == 1
	})
}

// processes returns the process identifiers that the cluster has noted.
func processes(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	noted := map[string]string{}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		pid, err := os.ReadFile(filepath.Join(filepath.Dir(c.Kubeconfig), "controlplane", name+".pid"))
		if err != nil {
			t.Fatal(err)
		}
		noted[name] = string(pid)
	}
	return noted
}

// eventually waits for what a controller does in its own time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("after a minute it does not hold that %s", what)
}
