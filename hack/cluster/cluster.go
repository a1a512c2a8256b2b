// Package cluster starts a real Kubernetes control plane on this machine: etcd, kube-apiserver and, when asked,
// kube-controller-manager, the binaries that `make controlplane` builds. Tests, the demo and the benchmark run against
// it. There is no kubelet and no scheduler: objects are stored, validated, authorised by RBAC, watched and garbage
// collected as in any cluster, and no container ever runs.
//
// Everything listens on loopback only, lives in one directory, and goes away with the process that started it, even
// when that process is killed.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout bounds the start of each process. It is generous because a start that takes five seconds on an idle
// machine takes many times that beside a cold compilation.
const startTimeout = 2 * time.Minute

// Options says what to start. The zero value starts etcd and kube-apiserver without any custom resource.
type Options struct {
	// CRDDirs are directories of CustomResourceDefinition manifests to install before Start returns. One that does not
	// exist is an error.
	CRDDirs []string
	// ControllerManager also starts kube-controller-manager, with only the controllers named in controllerManagerArgs.
	// It learns of a kind that is installed after its start within half a minute; those of CRDDirs it knows at once.
	ControllerManager bool
	// Dir belongs to one cluster at a time. It is where the cluster keeps its kubeconfigs and, in a folder `controlplane` that is emptied at Start and
	// removed at Stop, its data. Empty means a temporary directory that Stop removes altogether.
	Dir string
	// Logs receives what the processes print; nil discards it. The last lines are part of an error in any case.
	Logs io.Writer
	// Fsync lets etcd wait for the disk at every write, as a production cluster does. It is off by default because
	// nothing in a disposable cluster has to survive a power cut.
	Fsync bool
}

// Cluster is a running control plane. Its methods may be called concurrently; none may be called after Stop.
type Cluster struct {
	// Config authenticates as a member of system:masters and has no client-side rate limit.
	Config *rest.Config
	// Kubeconfig is the path of a file, readable by its owner only, that says the same as Config.
	Kubeconfig string

	binaries string // directory of the four binaries
	dir      string // holds kubeconfigs
	ownDir   bool   // dir is ours to remove
	state    string // dir/controlplane: data, certificates, caches

	guard    *guard
	logs     *tail
	restarts sync.Mutex // one program is started again at a time
	stop     sync.Once
	stopErr  error
}

// Start starts the control plane and returns when it serves, its custom resources are established and, with
// ControllerManager, its controllers work. When it returns an error nothing is left running.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	binaries, err := Binaries()
	if err != nil {
		return nil, err
	}
	c := &Cluster{binaries: binaries, dir: opts.Dir, logs: &tail{next: opts.Logs}}
	if err := c.start(ctx, opts); err != nil {
		err = fmt.Errorf("start control plane: %w%s", err, c.logs.last())
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, opts Options) error {
	if err := c.makeDirs(); err != nil {
		return err
	}
	var err error
	disposable := c.state
	if c.ownDir {
		disposable = c.dir
	}
	if c.guard, err = startGuard(c.state, disposable); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.startAPI(opts); err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(c.dir, "kubeconfig")
	if err := WriteKubeconfig(c.Kubeconfig, c.Config, "default"); err != nil {
		return err
	}
	if !opts.ControllerManager {
		return ctx.Err()
	}
	return c.startControllerManager(ctx)
}

func (c *Cluster) makeDirs() error {
	var err error
	if c.dir == "" {
		c.ownDir = true
		if c.dir, err = os.MkdirTemp("", "edict-cluster-"); err != nil {
			return err
		}
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	c.state = filepath.Join(c.dir, "controlplane")
	if err := os.RemoveAll(c.state); err != nil {
		return err
	}
	for _, name := range []string{"etcd", "apiserver", "kubectl-cache"} {
		if err := os.MkdirAll(filepath.Join(c.state, name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// startAPI starts etcd and kube-apiserver by controller-runtime's envtest and installs the custom resources.
func (c *Cluster) startAPI(opts Options) error {
	etcd, err := c.guard.wrap(filepath.Join(c.binaries, "etcd"))
	if err != nil {
		return err
	}
	apiServer, err := c.guard.wrap(filepath.Join(c.binaries, "kube-apiserver"))
	if err != nil {
		return err
	}
	notExisting := false
	env := &envtest.Environment{
		UseExistingCluster:       &notExisting, // whatever USE_EXISTING_CLUSTER says: nobody's real cluster is touched
		CRDDirectoryPaths:        opts.CRDDirs,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
	}
	plane := &env.ControlPlane
	plane.KubectlPath = filepath.Join(c.binaries, "kubectl")
	plane.Etcd = &envtest.Etcd{Path: etcd, DataDir: filepath.Join(c.state, "etcd"), Out: c.logs, Err: c.logs}
	if opts.Fsync {
		plane.Etcd.Configure().Disable("unsafe-no-fsync")
	}
	plane.APIServer = &envtest.APIServer{Path: apiServer, CertDir: filepath.Join(c.state, "apiserver"), Out: c.logs, Err: c.logs}
	plane.APIServer.Configure().
		Set("authorization-mode", "RBAC").
		// Without these two a machine that has no default route cannot start an API server, and one that has gets its
		// outward address written into the cluster.
		Set("advertise-address", "127.0.0.1").
		Set("endpoint-reconciler-type", "none")

	config, err := env.Start()
	if err != nil {
		return err
	}
	c.Config = rest.CopyConfig(config)
	c.Config.QPS, c.Config.Burst = -1, 0
	return nil
}

// Stop stops the processes and removes their data, and the kubeconfigs too when the directory was made by Start. A
// second call returns what the first did.
func (c *Cluster) Stop() error {
	c.stop.Do(func() { c.stopErr = c.tearDown() })
	return c.stopErr
}

func (c *Cluster) tearDown() error {
	var errs []error
	if c.guard != nil {
		// The processes are killed, by us and not by envtest: all they hold is disposable, and an API server that is
		// asked to end politely first waits for every client to close its watches.
		errs = append(errs, c.guard.kill(), c.guard.dismiss())
	}
	if c.state != "" {
		errs = append(errs, os.RemoveAll(c.state))
	}
	if c.ownDir && c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop control plane: %w", err)
	}
	return nil
}

// Kubectl runs kubectl as the administrator and returns what a terminal would show: standard output and standard error
// together. The error names the command and repeats the output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlStdin(ctx, "", args...)
}

// KubectlStdin is Kubectl with a standard input, for `apply -f -`.
func (c *Cluster) KubectlStdin(ctx context.Context, stdin string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.binaries, "kubectl"), args...)
	cmd.Env = append(os.Environ(), c.KubectlEnv()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// KubectlEnv is what a program that runs kubectl by itself adds to its environment: the kubeconfig, and a cache
// directory that is not the user's own.
func (c *Cluster) KubectlEnv() []string {
	return []string{"KUBECONFIG=" + c.Kubeconfig, "KUBECACHEDIR=" + filepath.Join(c.state, "kubectl-cache")}
}
