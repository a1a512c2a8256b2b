package cluster

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// guardScript waits for the end of its standard input, which is the end of the process that started it: the kernel
// closes a pipe whatever its writer died of. Then it kills what was left running and removes the data. A line on its
// standard input dismisses it instead.
const guardScript = `trap '' INT TERM HUP
read -r line && exit 0
for file in "$1"/*.pid; do
  [ -f "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
done
rm -rf "$1"
`

// guard is a small shell process that outlives its parent long enough to clean up after it. Without it a test that
// runs into its timeout, or is killed, leaves an etcd and a kube-apiserver behind.
type guard struct {
	dir   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startGuard watches over the processes whose identifiers are in the .pid files of dir.
func startGuard(dir string) (*guard, error) {
	g := &guard{dir: dir, cmd: exec.Command("sh", "-c", guardScript, "guard", dir)}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// wrap returns a program that notes its process identifier for the guard and then becomes the given binary.
func (g *guard) wrap(binary string) (string, error) {
	name := filepath.Base(binary)
	path := filepath.Join(g.dir, name)
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s\nexec %s \"$@\"\n",
		quote(filepath.Join(g.dir, name+".pid")), quote(binary))
	// Directories of the same names hold the data; the wrapper stands beside them.
	path += ".sh"
	return path, os.WriteFile(path, []byte(script), 0o700)
}

// dismiss ends the guard without letting it clean up.
func (g *guard) dismiss() error {
	if _, err := io.WriteString(g.stdin, "done\n"); err != nil {
		return fmt.Errorf("dismiss guard: %w", err)
	}
	return g.cmd.Wait()
}

// quote makes one word of a path for the shell.
func quote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// tail passes on what is written to it and remembers the end of it, so that an error can say what a process complained
// about.
type tail struct {
	mu   sync.Mutex
	next io.Writer // may be nil
	end  []byte
}

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if len(t.end) > tailBytes {
		t.end = append(t.end[:0], t.end[len(t.end)-tailBytes:]...)
	}
	if t.next != nil {
		// The process must not die of a reader that went away.
		_, _ = t.next.Write(p)
	}
	return len(p), nil
}

// last returns the remembered lines, each on a line of its own, or nothing.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return ""
	}
	return "\nthe processes' last lines:\n" + strings.TrimSpace(string(t.end))
}
