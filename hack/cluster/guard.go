package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guardScript waits for the end of its standard input, which is the end of the process that started it: the kernel
// closes a pipe whatever its writer died of. Then it kills what was left running and removes the data. A line on its
// standard input dismisses it instead. $1 holds the .pid files, $2 is what to remove.
const guardScript = `trap '' INT TERM HUP
read -r line && exit 0
for file in "$1"/*.pid; do
  [ -f "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
done
rm -rf "$2"
`

// killTimeout bounds how long a killed process may take to be gone.
const killTimeout = 10 * time.Second

// guard knows the processes of one cluster by the .pid files in a directory. A small shell process outlives its parent
// long enough to clean up after it: without it a test that runs into its timeout, or is killed, leaves an etcd and a
// kube-apiserver behind.
type guard struct {
	dir   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startGuard watches over the processes whose identifiers are in the .pid files of dir. When this process dies, they
// are killed and disposable is removed.
func startGuard(dir, disposable string) (*guard, error) {
	g := &guard{dir: dir, cmd: exec.Command("sh", "-c", guardScript, "guard", dir, disposable)}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return g, nil
}

// wrap returns a program that notes its process identifier for the guard, and its arguments, one a line, for who starts
// it again, and then becomes the given binary.
func (g *guard) wrap(binary string) (string, error) {
	path := filepath.Join(g.dir, filepath.Base(binary)+".sh")
	pidFile := filepath.Join(g.dir, filepath.Base(binary)+".pid")
	argsFile := filepath.Join(g.dir, filepath.Base(binary)+".args")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s\nprintf '%%s\\n' \"$@\" >%s\nexec %s \"$@\"\n", quote(pidFile), quote(argsFile), quote(binary))
	return path, os.WriteFile(path, []byte(script), 0o700)
}

// kill kills every process and returns when all are gone.
func (g *guard) kill() error {
	files, err := filepath.Glob(filepath.Join(g.dir, "*.pid"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		errs = append(errs, killNoted(file))
	}
	return errors.Join(errs...)
}

// killNoted kills the process whose identifier is in file. One that has ended already is no error.
func killNoted(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for deadline := time.Now().Add(killTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		// Whoever started it waits for it, so its identifier disappears as soon as it is dead.
		if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			return nil
		}
	}
	return fmt.Errorf("process %d of %s does not end", pid, filepath.Base(file))
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
