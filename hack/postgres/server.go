// Package postgres starts throwaway PostgreSQL servers for tests and benchmarks, stops them as a person, a crash or an
// operator of databases would, and cuts what is connected to them. It knows nothing of what is stored in them.
//
// A server listens on loopback only, keeps everything in one directory, and goes away with the process that started it,
// even when that process is killed. Writes are as durable as in production: fsync is on.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute
	endTimeout   = 20 * time.Second
	// attempts is how many ports are tried: between choosing a free one and listening on it somebody else may take it.
	attempts = 3
)

// owner is the role that owns the databases. It is no superuser, as an operator's role should not be.
const owner = "edict"

// Options says how to start a server. The zero value is a server in a temporary directory.
type Options struct {
	// Dir is where the server keeps everything; it must not exist, or be empty, and Close removes it. Empty means a new
	// directory among the system's temporary ones. Started by root, the server runs as postgres or nobody, who must be
	// able to enter the directories above Dir.
	Dir string
	// Settings are lines of postgresql.conf, such as max_connections.
	Settings map[string]string
}

// Server is a PostgreSQL server. Its methods may be called from any goroutine; none may be called after Close.
type Server struct {
	programs programs
	account  account
	dir      string
	port     int
	password string
	guard    *guard

	mu      sync.Mutex // held while the server is started or ended
	process *process
	closed  bool
}

// Start makes a new server, and returns when it serves. When it returns an error nothing is left behind.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{password: rand.Text()}
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, opts Options) error {
	var err error
	if s.programs, err = find(); err != nil {
		return err
	}
	if s.account, err = unprivileged(); err != nil {
		return err
	}
	if s.dir, err = s.makeDir(opts.Dir); err != nil {
		return err
	}
	if s.guard, err = startGuard(s.pidFile(), s.dir); err != nil {
		return err
	}
	if err := s.initialize(opts.Settings); err != nil {
		return err
	}
	for range attempts {
		if s.port, err = freePort(ctx); err != nil {
			return err
		}
		if err = s.serve(ctx); err == nil {
			return s.createOwner(ctx)
		}
	}
	return err
}

func (s *Server) makeDir(dir string) (string, error) {
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "edict-postgres-"); err != nil {
			return "", err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, s.account.own(dir)
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }
func (s *Server) pidFile() string { return filepath.Join(s.dir, "pid") }

// initialize makes the data directory, its superuser's password and its settings.
func (s *Server) initialize(settings map[string]string) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.account.own(secret); err != nil {
		return err
	}
	// Not synced: only what is written once the server serves has to survive anything.
	initdb := s.command(filepath.Join(s.programs.bin, "initdb"), "-D", s.data(), "-U", "postgres", "-A", "scram-sha-256",
		"--pwfile", secret, "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", s.explain(err), out)
	}
	if err := os.Remove(secret); err != nil {
		return err
	}
	return s.configure(settings)
}

func (s *Server) configure(settings map[string]string) error {
	lines := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "", // its path may be too long for a socket below somebody's TMPDIR
		"fsync":                   "on",
		"max_connections":         "200",
		"shared_buffers":          "64MB",
		"jit":                     "off",
		"log_line_prefix":         "%m [%p] %a ",
	}
	for name, value := range settings {
		lines[name] = value
	}
	var text strings.Builder
	for name, value := range lines {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	file, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	return errors.Join(err, file.Close())
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// serve starts the postmaster, and returns when it takes connections. The caller holds the lock, or is Start.
func (s *Server) serve(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		if !s.process.running() && ctx.Err() == nil && strings.Contains(s.tail(), "pre-existing shared memory block") {
			// The children of a postmaster that was killed take a moment to end, and hold the memory until then.
			time.Sleep(100 * time.Millisecond)
			if err := s.launch(); err != nil {
				return err
			}
			continue
		}
		if !s.process.running() {
			return fmt.Errorf("it ended at once: %w%s", err, s.tail())
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it does not serve: %w%s", err, s.tail()), s.process.end(syscall.SIGKILL))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL connects to a database as the role that owns it, with its password.
func (s *Server) URL(database string) string { return s.url(owner, database) }

// AdminURL connects to a database as the superuser, with the password.
func (s *Server) AdminURL(database string) string { return s.url("postgres", database) }

func (s *Server) url(role, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, s.password), Host: s.Address(), Path: database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Address is the host and port at which the server listens. It stays the same for the server's life.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Pids returns the postmaster's process identifier and those of its children; none if the server is down.
func (s *Server) Pids() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.process.running() {
		return nil
	}
	postmaster := s.process.cmd.Process.Pid
	return append([]int{postmaster}, children(postmaster)...)
}

// Stop ends the server as an administrator does who does not wait for clients: connections are closed, open
// transactions undone, and what is in memory written. The data stay; Restart goes on with them.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop()
}

func (s *Server) stop() error {
	err := s.process.end(syscall.SIGINT)
	if err != nil {
		err = errors.Join(err, s.process.end(syscall.SIGKILL))
	}
	return errors.Join(err, s.forget())
}

// forget makes the guard leave alone whoever gets the postmaster's number next.
func (s *Server) forget() error {
	if err := os.Remove(s.pidFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Kill ends the postmaster and all its children with SIGKILL, as if the machine had failed, but for what it had told
// the kernel to write. The data stay; Restart recovers them.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.process.running() {
		return nil
	}
	postmaster := s.process.cmd.Process.Pid
	// Stopped, the postmaster neither starts a child that would be missed nor recovers from the loss of one.
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return err
	}
	for _, pid := range children(postmaster) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	return errors.Join(s.process.end(syscall.SIGKILL), s.forget())
}

// Restart starts the server again at the same port with the same data, after stopping it if it runs, and returns when
// it serves.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// Close stops the server and removes its directory. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.dir == "" {
		return nil
	}
	s.closed = true
	errs := []error{s.process.end(syscall.SIGQUIT)}
	if errs[0] != nil {
		errs = append(errs, s.process.end(syscall.SIGKILL))
	}
	if s.guard != nil {
		errs = append(errs, s.guard.dismiss())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
