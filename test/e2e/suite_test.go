// Package e2e tells a few stories from end to end: a real control plane, the operator as the process that users run,
// under its own service account and nothing else, a model and an API that answer over HTTP, and what goes wrong in
// between. The operator is killed, its disk refuses writes, its servers misbehave; what is looked at afterwards is what
// people see (objects, conditions, Kubernetes Events, the HTTP API) and the journal file.
//
// One operator runs at a time, because two with journals of their own would both execute the commands of one cluster.
// The tests that kill it have one each and run first, one after the other; the others share one and run in parallel.
package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/process"
)

// suite is what all tests share.
type suite struct {
	root       string // of the repository
	dir        string // for what is built and written
	binary     string // the operator
	cluster    *cluster.Cluster
	client     client.Client // the administrator's
	kubeconfig string        // the operator's
	guard      *process.Guard

	shared    sync.Once
	sharedOp  *operator
	sharedErr error
}

var (
	suiteOnce sync.Once
	suiteIs   *suite
	suiteErr  error
)

// TestMain stops what the tests started. They start it when they first need it, so that -list and -run cost nothing.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // the operator has a log of its own
	if err := waitTogether(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if suiteIs != nil {
		if err := suiteIs.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// waitTogether lets more parallel tests run than there are processors, unless -parallel says otherwise: most of their
// time they wait.
func waitTogether() error {
	flag.Parse()
	const name = "test.parallel"
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	if set {
		return nil
	}
	return flag.Set(name, "8")
}

// theSuite returns the running control plane with Edict installed in it.
func theSuite(t *testing.T) *suite {
	t.Helper()
	suiteOnce.Do(func() {
		suiteIs = &suite{}
		suiteErr = suiteIs.start(context.Background())
	})
	if suiteErr != nil {
		t.Fatal(suiteErr)
	}
	return suiteIs
}

func (s *suite) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var err error
	if _, err := cluster.Binaries(); err != nil {
		return err // before anything that takes long
	}
	if s.root, err = filepath.Abs(filepath.Join("..", "..")); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "edict-e2e-"); err != nil {
		return err
	}
	if s.guard, err = process.NewGuard(); err != nil {
		return err
	}
	if err := s.build(ctx); err != nil {
		return err
	}
	if s.cluster, err = cluster.Start(ctx, cluster.Options{
		ControllerManager: true,
		// Again below; the garbage collector knows from the start only what is there at its start.
		CRDDirs: []string{filepath.Join(s.root, "config", "crd", "bases")},
	}); err != nil {
		return err
	}
	if err := s.install(ctx); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	s.client, err = client.New(s.cluster.Config, client.Options{Scheme: scheme})
	return err
}

// build builds the operator as `make build` does.
func (s *suite) build(ctx context.Context) error {
	s.binary = filepath.Join(s.dir, "edict")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "./cmd")
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, out)
	}
	return nil
}

// install applies config/default as the README says, and gets the credentials of the service account that its Deployment
// names: the operator runs with no other right than those that config/rbac grants.
func (s *suite) install(ctx context.Context) error {
	manifests, err := s.cluster.Kubectl(ctx, "kustomize", filepath.Join(s.root, "config", "default"))
	if err != nil {
		return err
	}
	if _, err := s.cluster.KubectlStdin(ctx, manifests, "apply", "-f", "-"); err != nil {
		return err
	}
	for _, kind := range []string{"agents", "commands", "contextviews"} {
		if _, err := s.cluster.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd/"+kind+".edict.dev"); err != nil {
			return err
		}
	}
	var deployments struct {
		Items []appsv1.Deployment `json:"items"`
	}
	list, err := s.cluster.Kubectl(ctx, "get", "deployments", "--all-namespaces", "--output=json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(list), &deployments); err != nil {
		return err
	}
	if len(deployments.Items) != 1 {
		return fmt.Errorf("config/default has %d Deployments, want the operator's", len(deployments.Items))
	}
	d := deployments.Items[0]
	_, s.kubeconfig, err = s.cluster.TokenConfig(ctx, d.Namespace, d.Spec.Template.Spec.ServiceAccountName)
	return err
}

func (s *suite) stop() error {
	var errs []string
	note := func(err error) {
		if err != nil {
			errs = append(errs, err.Error())
		}
	}
	if s.sharedOp != nil {
		note(s.sharedOp.stop())
	}
	if s.cluster != nil {
		note(s.cluster.Stop())
	}
	if s.guard != nil {
		note(s.guard.Close())
	}
	if s.dir != "" {
		note(os.RemoveAll(s.dir))
	}
	if errs != nil {
		return fmt.Errorf("%s", strings.Join(errs, "; "))
	}
	return nil
}

// sharedOperator returns the operator of the tests that do not kill it. Only parallel tests may call it: they begin
// when the last of the others has ended.
func (s *suite) sharedOperator(t *testing.T) *operator {
	t.Helper()
	s.shared.Do(func() {
		s.sharedOp, s.sharedErr = newOperator(s, filepath.Join(s.dir, "shared"))
		if s.sharedErr == nil {
			s.sharedErr = s.sharedOp.start()
		}
		if s.sharedErr == nil {
			s.sharedErr = s.sharedOp.waitReady(time.Minute)
		}
	})
	if s.sharedErr != nil {
		t.Fatal(s.sharedErr)
	}
	return s.sharedOp
}
