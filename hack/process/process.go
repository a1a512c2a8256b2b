// Package process runs programs that a test stops, pauses, kills and starts again, and that never outlive it. It knows
// nothing of what they do.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Options say what to run. All but Args and Env are required.
type Options struct {
	Path  string
	Args  []string
	Env   []string  // the whole environment
	Log   io.Writer // takes what the program prints
	Guard *Guard
}

// Process is one life of a program.
type Process struct {
	guard *Guard
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
}

// errEnded is wrapped by errors about a process that ended by itself.
var errEnded = errors.New("the process had ended by itself")

// Start starts a program, and does not wait for anything.
func Start(o Options) (*Process, error) {
	p := &Process{guard: o.Guard, cmd: exec.Command(o.Path, o.Args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = o.Env, o.Log, o.Log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	pid := p.cmd.Process.Pid
	told := p.guard.tell("+", pid)
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()           // how it ended is in its ProcessState
		_ = p.guard.tell("-", pid) // a guard that has gone watches over nothing
	}()
	if told != nil {
		return nil, errors.Join(told, p.Kill())
	}
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended. One that is paused runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// State returns how the process ended. Call it after Done.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Killed reports whether the process, which has ended, was ended by SIGKILL.
func (p *Process) Killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// PID returns the process's identifier.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL, paused or not, and returns when it is gone. One that had ended is left alone, and
// it is an error if it ended by anything but a SIGKILL of its own.
func (p *Process) Kill() error {
	if !p.Running() {
		if !p.Killed() {
			return fmt.Errorf("%w: %s", errEnded, p.State())
		}
		return nil
	}
	_ = p.cmd.Process.Kill() // it may end this moment
	<-p.done
	return nil
}

// Pause stops the process with SIGSTOP: it does nothing until Continue, and does not know that it was paused.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Continue lets a paused process go on.
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s os.Signal) error {
	if !p.Running() {
		return fmt.Errorf("%w: %s", errEnded, p.State())
	}
	return p.cmd.Process.Signal(s)
}

// Stop ends the process with SIGTERM, as a kubelet does, and expects it to end well within that time. One that has
// ended is left alone.
func (p *Process) Stop(within time.Duration) error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(within):
		return errors.Join(fmt.Errorf("the process did not end within %s of SIGTERM", within), p.Kill())
	}
	if !p.State().Success() {
		return fmt.Errorf("the process ended badly: %s", p.State())
	}
	return nil
}

// FreeAddresses returns addresses on loopback that nobody listened at a moment ago.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // at the end, so that no port is given twice
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
