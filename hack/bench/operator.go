package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	// stopPatience is how long the operator may take to end when it is told to. It gives calls under way 30 seconds.
	stopPatience = 40 * time.Second
	loopback     = "127.0.0.0/8"
)

// operator is the built binary as a process. Its log is kept beside the results.
type operator struct {
	cmd     *exec.Cmd
	pidFile string
	done    chan struct{} // closed when the process has ended
}

// startOperator starts one process of the operator as the stage is set. pidFile is where whoever cleans up after a bench
// that was killed looks for processes.
func startOperator(ctx context.Context, s *stage, pidFile string) (*operator, error) {
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	output, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }() // the process has a descriptor of its own
	o := &operator{pidFile: pidFile, done: make(chan struct{})}
	// It is stopped by stop, which lets it end in peace.
	o.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.binary, "manager",
		"--journal="+s.setting.journal, fmt.Sprintf("--workers=%d", s.setting.calls),
		"--outbound-allow="+loopback, "--leader-election-namespace="+operatorNamespace,
		"--metrics-bind-address="+ports[0], "--health-probe-bind-address="+ports[1], "--query-bind-address="+ports[2])
	o.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	o.cmd.Stdout, o.cmd.Stderr = output, output
	if err := o.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the operator: %w; `make build` makes it", err)
	}
	go func() {
		defer close(o.done)
		_ = o.cmd.Wait() // how it ended is in its ProcessState
	}()
	return o, os.WriteFile(pidFile, []byte(strconv.Itoa(o.cmd.Process.Pid)), 0o600)
}

// whenEnded ends the context when the operator does, with that as its cause.
func (o *operator) whenEnded(ctx context.Context, cancel context.CancelCauseFunc) {
	go func() {
		select {
		case <-o.done:
			cancel(fmt.Errorf("the operator ended by itself: %s", o.cmd.ProcessState))
		case <-ctx.Done():
		}
	}()
}

// stop asks the operator to end, kills it if it does not, and returns when it is gone.
func (o *operator) stop() error {
	_ = o.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	var err error
	select {
	case <-o.done:
	case <-time.After(stopPatience):
		err = errors.New("the operator did not end when it was told to, and was killed")
		_ = o.cmd.Process.Kill()
		<-o.done
	}
	return firstOf(err, os.Remove(o.pidFile))
}

// freePorts returns addresses on loopback that nobody listens at now.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // held until all are found, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
