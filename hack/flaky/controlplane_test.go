package flaky_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/flaky"
)

// TestInformersConvergeBehindAFlakyProxy lets a client write and an informer watch through all faults at once, against a
// real API server that is restarted meanwhile.
func TestInformersConvergeBehindAFlakyProxy(t *testing.T) {
	ctx := t.Context()
	c, err := cluster.Start(ctx, cluster.Options{Dir: t.TempDir(), ControllerManager: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	proxy, config := before(ctx, t, c)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	lister := factory.Core().V1().ConfigMaps().Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	proxy.Set(flaky.APIFaults{
		Latency: 5 * time.Millisecond, RefuseWrites: 0.1, LoseAnswers: 0.2, Drop: 0.05,
		WatchDelay: 100 * time.Millisecond, CutWatches: 0.02, Replays: 1, StaleReads: 0.2,
	})
	for version := range 15 {
		for i := range 3 {
			write(ctx, t, client, fmt.Sprintf("map-%d", i), strconv.Itoa(version))
		}
		if version == 7 {
			if err := c.RestartAPIServer(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	proxy.Set(flaky.APIFaults{Outage: true})
	if err := client.RESTClient().Get().AbsPath("/readyz").Timeout(time.Second).MaxRetries(0).Do(ctx).Error(); err == nil {
		t.Error("it answers in an outage")
	}
	proxy.Set(flaky.APIFaults{})

	for i := range 3 {
		name := fmt.Sprintf("map-%d", i)
		converges(t, func() bool {
			found, err := lister.ConfigMaps("default").Get(name)
			return err == nil && found.Data["version"] == "14"
		})
	}
	stable := proxy.Writes()
	if _, err := lister.List(labels.Everything()); err != nil || len(flaky.Since(stable, proxy.Writes())) != 0 {
		t.Errorf("reading was counted as writing: %v, %v", flaky.Since(stable, proxy.Writes()), err)
	}
	audited(t, stable)
	injected := proxy.Injected()
	for _, kind := range []flaky.Injection{flaky.Delayed, flaky.DelayedEvent, flaky.LostAnswer, flaky.Replayed, flaky.CutOff} {
		if injected[kind] == 0 {
			t.Errorf("%q did not happen; %v", kind, injected)
		}
	}
	t.Log(injected)
}

// before puts a proxy before the cluster, and returns a configuration that was read from a kubeconfig of it.
func before(ctx context.Context, t *testing.T, c *cluster.Cluster) (*flaky.API, *rest.Config) {
	t.Helper()
	for _, args := range [][]string{
		{"create", "serviceaccount", "writer"},
		{"create", "clusterrolebinding", "writer", "--clusterrole=cluster-admin", "--serviceaccount=default:writer"},
	} {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	direct, _, err := c.TokenConfig(ctx, "default", "writer")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := flaky.NewAPI(c.Config, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(path, proxy.Config(direct), "default"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.UserAgent = -1, "writer"
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json" // as for custom resources
	return proxy, config
}

// write makes the ConfigMap say the version, however often it is told that it cannot. Its last read was not stale: the
// API server itself refused every update that was made from an old one.
func write(ctx context.Context, t *testing.T, client kubernetes.Interface, name, version string) {
	t.Helper()
	maps := client.CoreV1().ConfigMaps("default")
	converges(t, func() bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		found, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			found = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"version": version}}
			_, err = maps.Create(ctx, found, metav1.CreateOptions{})
			return err == nil
		}
		if found.Data["version"] == version {
			return true
		}
		found.Data = map[string]string{"version": version}
		_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
		return err == nil
	})
}

// audited checks that the writes of the test were counted: at least one for each version of each ConfigMap.
func audited(t *testing.T, writes map[flaky.Write]int) {
	t.Helper()
	created := writes[flaky.Write{Verb: "create", Resource: "configmaps", UserAgent: "writer"}]
	updated := writes[flaky.Write{Verb: "update", Resource: "configmaps", UserAgent: "writer"}]
	if created != 3 || updated < 3*14 {
		t.Errorf("%d creations and %d updates were counted: %v", created, updated, writes)
	}
}

func converges(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("it does not converge within a minute")
}
