package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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
	logs        *output // of all its lives

	cmd  *exec.Cmd     // of the last life; nil before the first
	done chan struct{} // closed when that life has ended
	err  error         // how it ended; read after done
}

// newOperator prepares an operator that keeps its files in dir, and starts nothing.
func newOperator(s *suite, dir string) (*operator, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	return &operator{
		suite: s, dir: dir, journal: filepath.Join(dir, "journal.db"), projections: filepath.Join(dir, "projections.db"),
		query: ports[0], metrics: ports[1], health: ports[2], logs: &output{},
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
			t.Logf("the operator's last lines:\n%s", o.logs.tail(60))
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
func (o *operator) start() error {
	cmd := exec.Command(o.suite.binary, o.args()...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.dir, "KUBECONFIG=" + o.suite.kubeconfig}
	cmd.Stdout, cmd.Stderr = o.logs, o.logs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	if err := o.suite.guard.watch(cmd.Process.Pid); err != nil {
		return err
	}
	done := make(chan struct{})
	o.cmd, o.done = cmd, done
	go func() {
		defer close(done)
		o.err = cmd.Wait()
	}()
	return nil
}

func (o *operator) mustStart(t *testing.T) {
	t.Helper()
	if err := o.start(); err != nil {
		t.Fatal(err)
	}
	if err := o.waitReady(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, o.logs.tail(40))
	}
}

// waitReady waits until /readyz says so, or the process has ended.
func (o *operator) waitReady(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		select {
		case <-o.done:
			return fmt.Errorf("the operator ended before it was ready: %w", errors.Join(o.err, errEnded))
		case <-ctx.Done():
			return fmt.Errorf("the operator was not ready within %s", within)
		case <-time.After(50 * time.Millisecond):
		}
		if _, code, err := get(ctx, "http://"+o.health+"/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
	}
}

// errEnded keeps the message of a process that ended with status zero from being empty.
var errEnded = errors.New("the process has ended")

// kill ends the process with SIGKILL. It is no error if it has ended already by itself, but then it says so.
func (o *operator) kill() error {
	select {
	case <-o.done:
		return fmt.Errorf("the operator had ended by itself: %w", errors.Join(o.err, errEnded))
	default:
	}
	if err := o.cmd.Process.Kill(); err != nil {
		return err
	}
	<-o.done
	return o.suite.guard.watch(0)
}

// stop ends the process with SIGTERM, as a kubelet does, and expects it to end well. One that is not running is left alone.
func (o *operator) stop() error {
	if o.cmd == nil {
		return nil
	}
	select {
	case <-o.done:
		return nil
	default:
	}
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-o.done:
	case <-time.After(45 * time.Second):
		return errors.Join(errors.New("the operator did not end within 45s of SIGTERM"), o.kill())
	}
	if o.err != nil {
		return fmt.Errorf("the operator ended badly: %w", o.err)
	}
	return o.suite.guard.watch(0)
}

func (o *operator) mustStop(t *testing.T) {
	t.Helper()
	if err := o.stop(); err != nil {
		t.Fatalf("%v\n%s", err, o.logs.tail(40))
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

// freeAddresses returns addresses on loopback that nobody listened at a moment ago.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // at the end, so that no port is given twice
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// output keeps all that a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) tail(lines int) string {
	all := strings.Split(strings.TrimSpace(o.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
