package process

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
)

// guardScript reads "+ PID" and "- PID". When its standard input ends, because the process that wrote to it did,
// whatever that died of, it kills those that are left.
const guardScript = `trap '' INT TERM HUP
pids=" "
while read -r sign pid; do
  case $sign in
  +) pids="$pids$pid " ;;
  -) pids="${pids%% $pid *} ${pids#* $pid }" ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
exit 0
`

// Guard makes sure that no process outlives a test that panics, runs into its timeout or is killed. Its methods may be
// called from any goroutine.
type Guard struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	stdin io.WriteCloser
}

// NewGuard starts a guard.
func NewGuard() (*Guard, error) {
	g := &Guard{cmd: exec.Command("sh", "-c", guardScript)}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

func (g *Guard) tell(sign string, pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := fmt.Fprintln(g.stdin, sign, pid); err != nil {
		return fmt.Errorf("tell the guard of process %d: %w", pid, err)
	}
	return nil
}

// Close kills the processes that still run, and ends the guard.
func (g *Guard) Close() error { return errors.Join(g.stdin.Close(), g.cmd.Wait()) }
