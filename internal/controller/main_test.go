package controller

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
)

// The tests of this package share one API server. It starts with the first test that asks for it,
// so that those which need none run without the control plane's programs.
var shared struct {
	once   sync.Once
	api    *cluster.Cluster
	client client.WithWatch
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.api != nil {
		if err := shared.api.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// apiServer returns the shared API server's configuration, and an administrator's client without a cache.
func apiServer(t *testing.T) (*rest.Config, client.WithWatch) {
	t.Helper()
	shared.once.Do(func() { shared.err = startAPIServer() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.api.Config, shared.client
}

func startAPIServer() (err error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if shared.api, err = cluster.Start(context.Background(), cluster.Options{CRDDirs: []string{"../../config/crd/bases"}}); err != nil {
		return err
	}
	shared.client, err = client.NewWithWatch(shared.api.Config, client.Options{Scheme: scheme})
	return err
}
