package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// RestartAPIServer kills kube-apiserver, leaves it away for the given time, and starts it again on the same port, with
// the same certificates. It returns when the API answers again.
func (c *Cluster) RestartAPIServer(ctx context.Context, down time.Duration) error {
	return c.restart(ctx, "kube-apiserver", down)
}

// RestartEtcd kills etcd, leaves it away for the given time, and starts it again on the same data and port. It returns
// when the API, which was there all the while and had nowhere to read from, answers again.
func (c *Cluster) RestartEtcd(ctx context.Context, down time.Duration) error {
	return c.restart(ctx, "etcd", down)
}

// restart also starts the program again when ctx ends while it is away, so that no caller is left with half a cluster.
func (c *Cluster) restart(ctx context.Context, name string, down time.Duration) error {
	c.restarts.Lock()
	defer c.restarts.Unlock()
	path := filepath.Join(c.state, name)
	noted, err := os.ReadFile(path + ".args")
	if err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	if err := killNoted(path + ".pid"); err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	select {
	case <-time.After(down):
	case <-ctx.Done():
	}
	args := strings.Split(strings.TrimSuffix(string(noted), "\n"), "\n")
	started, err := startProcess(path+".sh", c.logs, args...)
	if err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	if err := c.answers(ctx, started); err != nil {
		return fmt.Errorf("restart %s: %w%s", name, err, c.logs.last())
	}
	return nil
}

// answers waits until the API server reads from etcd.
func (c *Cluster) answers(ctx context.Context, started *process) error {
	config := rest.CopyConfig(c.Config)
	config.Timeout = 2 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case <-started.done:
			return false, fmt.Errorf("it ended: %w", errors.Join(started.err, errEnded))
		default:
		}
		ready := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		_, read := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return ready == nil && read == nil, nil
	})
}
