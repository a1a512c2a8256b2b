package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/process"
)

// operator is the operator as a process of its own, which can be stopped, killed and started again.
type operator struct {
	suite       *suite
	dir         string
	journal     string // the file
	projections string // the file
	query       string // addresses, host:port
	metrics     string
	health      string
	logs        *process.Output  // of all its lives
	life        *process.Process // the last one; nil before the first
}

// newOperator prepares an operator that keeps its files in dir, and starts nothing.
func newOperator(s *suite, dir string) (*operator, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := process.FreeAddresses(context.Background(), 3)
	if err != nil {
		return nil, err
	}
	return &operator{
		suite: s, dir: dir, journal: filepath.Join(dir, "journal.db"), projections: filepath.Join(dir, "projections.db"),
		query: ports[0], metrics: ports[1], health: ports[2], logs: &process.Output{},
	}, nil
}

// ownOperator returns an operator of this test's own, running and ready; it is stopped when the test ends.
func ownOperator(t *testing.T) *operator {
	t.Helper()
	s := theSuite(t)
	o, err := newOperator(s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.stop(); err != nil {
			t.Errorf("stop the operator: %v", err)
		}
		if t.Failed() {
			t.Logf("the operator's last lines:\n%s", o.logs.Tail(60))
		}
	})
	o.mustStart(t)
	return o
}

func (o *operator) args() []string {
	return []string{
		"manager",
		"--journal=sqlite://" + o.journal, "--projections=" + o.projections,
		"--query-bind-address=" + o.query, "--metrics-bind-address=" + o.metrics, "--health-probe-bind-address=" + o.health,
		"--outbound-allow=127.0.0.0/8",
		"--status-interval=1s",
	}
}

// start starts the process, and does not wait until it is ready.
func (o *operator) start() (err error) {
	o.life, err = process.Start(process.Options{
		Path: o.suite.binary, Args: o.args(), Log: o.logs, Guard: o.suite.guard,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.dir, "KUBECONFIG=" + o.suite.kubeconfig},
	})
	return err
}

func (o *operator) mustStart(t *testing.T) {
	t.Helper()
	if err := o.start(); err != nil {
		t.Fatal(err)
	}
	if err := o.waitReady(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, o.logs.Tail(40))
	}
}

// waitReady waits until /readyz says so, or the process has ended.
func (o *operator) waitReady(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		select {
		case <-o.life.Done():
			return fmt.Errorf("the operator ended before it was ready: %s", o.life.State())
		case <-ctx.Done():
			return fmt.Errorf("the operator was not ready within %s", within)
		case <-time.After(50 * time.Millisecond):
		}
		if _, code, err := get(ctx, "http://"+o.health+"/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
	}
}

// kill ends the process with SIGKILL; that it had ended by itself is an error.
func (o *operator) kill() error { return o.life.Kill() }

// stop ends the process with SIGTERM, as a kubelet does, and expects it to end well. One that is not running is left alone.
func (o *operator) stop() error {
	if o.life == nil {
		return nil
	}
	return o.life.Stop(45 * time.Second)
}

func (o *operator) mustStop(t *testing.T) {
	t.Helper()
	if err := o.stop(); err != nil {
		t.Fatalf("%v\n%s", err, o.logs.Tail(40))
	}
}

// dropProjections removes the projections' file, and what SQLite keeps beside it.
func (o *operator) dropProjections(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(o.projections + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no file of projections at %s (%v)", o.projections, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
