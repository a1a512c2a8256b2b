package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
)

// guardScript reads process identifiers, of which the last one is alive. When its standard input ends, because the
// process that wrote to it did, whatever that died of, it kills that one. 0 stands for none.
const guardScript = `trap '' INT TERM HUP
pid=0
while read -r line; do pid=$line; done
[ "$pid" = 0 ] || kill -9 "$pid" 2>/dev/null
exit 0
`

// guard makes sure that an operator does not outlive a test that panics, runs into its timeout or is killed.
type guard struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	stdin io.WriteCloser
}

func startGuard() (*guard, error) {
	g := &guard{cmd: exec.Command("sh", "-c", guardScript)}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// watch makes pid the process that must not outlive this one, 0 none.
func (g *guard) watch(pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := fmt.Fprintln(g.stdin, pid)
	return err
}

func (g *guard) dismiss() error {
	if err := g.watch(0); err != nil {
		return err
	}
	if err := g.stdin.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
