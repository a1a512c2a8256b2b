package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running postmaster.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// account is who runs the server, which refuses to be run by root.
type account struct {
	uid, gid int
	set      bool // the zero value is whoever runs this process
}

func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil {
			return account{}, err
		}
		gid, err := strconv.Atoi(found.Gid)
		if err != nil {
			return account{}, err
		}
		return account{uid: uid, gid: gid, set: true}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: run as another user")
}

// own gives a file or folder to the account.
func (a account) own(path string) error {
	if !a.set {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// command is a program of the server's that runs as the account, and in a process group of its own, so that an
// interrupt at the terminal does not reach it.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if s.programs.libraries != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+s.programs.libraries)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.account.set {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.account.uid), Gid: uint32(s.account.gid)}
	}
	return cmd
}

// launch starts the postmaster, which notes its identifier for the guard before it becomes one.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has it open
	p := &process{done: make(chan struct{})}
	p.cmd = s.command("sh", "-c", `echo $$ >"$1" && shift && exec "$@"`, "launch", s.pidFile(),
		filepath.Join(s.programs.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return s.explain(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the log says why it ended
	}()
	s.process = p
	return nil
}

// explain adds what is usually wrong if the account may not run the server.
func (s *Server) explain(err error) error {
	if s.account.set && errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: the user with number %d, who runs the server in place of root, must be able to enter %s and %s",
			err, s.account.uid, s.programs.bin, s.dir)
	}
	return err
}

// running reports whether the postmaster is there.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// end sends a signal to the postmaster, and waits until it is gone.
func (p *process) end(signal syscall.Signal) error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(endTimeout):
		return fmt.Errorf("process %d does not end", p.cmd.Process.Pid)
	}
}

// children returns the backends and workers of a postmaster. Each is in a session of its own, so that they share no
// process group; their parent's number tells. It finds none where there is no /proc; a backend then ends by itself as
// soon as it notices that its postmaster is gone.
func children(parent int) []int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil // the pattern is a constant
	}
	var found []int
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The second field, a name in parentheses, may hold spaces. The fourth is the parent.
		_, rest, _ := bytes.Cut(content, []byte(") "))
		fields := strings.Fields(string(rest))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// tail is the end of the server's log, for an error.
func (s *Server) tail() string {
	const size = 2000
	log, err := os.ReadFile(s.logFile())
	if err != nil || len(log) == 0 {
		return ""
	}
	return "\n" + string(log[max(0, len(log)-size):])
}
