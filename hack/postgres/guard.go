package postgres

import (
	"fmt"
	"io"
	"os/exec"
)

// guardScript waits for the end of its standard input, which is the end of the process that started it: the kernel
// closes a pipe whatever its writer died of. Then it ends the server, whose postmaster's identifier is in the file $1,
// and removes $2. A line on its standard input dismisses it instead.
//
// SIGQUIT is PostgreSQL's immediate shutdown: the postmaster takes its backends and its shared memory with it.
const guardScript = `trap '' INT TERM HUP
read -r line && exit 0
if pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  tries=50
  while [ $tries -gt 0 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; tries=$((tries - 1)); done
  kill -9 "$pid" 2>/dev/null
fi
rm -rf "$2"
`

// guard is a small shell process that outlives its parent long enough to clean up after it.
type guard struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startGuard(pidFile, disposable string) (*guard, error) {
	g := &guard{cmd: exec.Command("sh", "-c", guardScript, "guard", pidFile, disposable)}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// dismiss ends the guard without letting it clean up.
func (g *guard) dismiss() error {
	if _, err := io.WriteString(g.stdin, "done\n"); err != nil {
		return fmt.Errorf("dismiss guard: %w", err)
	}
	return g.cmd.Wait()
}
