package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// process is a started program and the end of it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

func startProcess(path string, logs io.Writer, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = logs, logs
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// controllerManagerArgs selects the controllers that an operator's life depends on and that a cluster without nodes can
// run: owned objects are collected, namespaces finish, service accounts exist and get tokens, and aggregated cluster
// roles are filled. Every other one would only cost CPU.
func (c *Cluster) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig,
		"--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller," +
			"serviceaccount-token-controller,clusterrole-aggregation-controller",
		"--service-account-private-key-file=" + filepath.Join(c.state, "apiserver", "sa-signer.key"),
		"--leader-elect=false",
		"--secure-port=0", // it serves nothing that we need, so it listens nowhere
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}
}

func (c *Cluster) startControllerManager(ctx context.Context) error {
	path, err := c.guard.wrap(filepath.Join(c.binaries, "kube-controller-manager"))
	if err != nil {
		return err
	}
	manager, err := startProcess(path, c.logs, c.controllerManagerArgs()...)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	// The first visible work of the controllers is the service account that every namespace has.
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case <-manager.done:
			return false, fmt.Errorf("it ended: %w", errors.Join(manager.err, errEnded))
		default:
		}
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil, ignoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("wait for kube-controller-manager: %w", err)
	}
	return nil
}

// errEnded keeps the message of a program that ended with status zero from being empty.
var errEnded = errors.New("process ended before it was ready")

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
