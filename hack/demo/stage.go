package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/hack/travelapi"
)

const (
	namespace      = "travel"
	systemSpace    = "edict-system"
	serviceAccount = "edict-controller-manager"
	patience       = 90 * time.Second // with what is expected to happen soon
)

// stage is everything that the story is played on.
type stage struct {
	dir      string
	cluster  *cluster.Cluster
	model    *scriptedmodel.Server // nil with a real model
	travel   *travelapi.Server
	servers  []*http.Server
	operator *operator
	started  time.Time
}

// newStage starts the control plane, the model and the travel API. The operator
// is started by the story.
func newStage(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp("", "edict-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, started: time.Now()}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(ctx context.Context) error {
	say("Starting etcd, kube-apiserver and kube-controller-manager on loopback …")
	var err error
	s.cluster, err = cluster.Start(ctx, cluster.Options{Dir: s.dir, ControllerManager: true})
	if err != nil {
		return err
	}
	// A booking is answered a moment after it was made: time enough to kill the operator in between.
	s.travel = travelapi.New(travelapi.Options{Token: "demo-token", Hold: 3 * time.Second})
	if err := s.serve("127.0.0.1:8091", s.travel); err != nil {
		return err
	}
	if os.Getenv("EDICT_MODEL_BASE_URL") != "" {
		say("Decisions come from " + os.Getenv("EDICT_MODEL_NAME") + " at " + os.Getenv("EDICT_MODEL_BASE_URL") + ".")
		return nil
	}
	say("Decisions come from a scripted model server (config/samples/model.yaml): no language model can be had offline.")
	script, err := scriptedmodel.Load("config/samples/model.yaml")
	if err != nil {
		return err
	}
	if s.model, err = scriptedmodel.New(scriptedmodel.Options{Script: script}); err != nil {
		return err
	}
	return s.serve("127.0.0.1:8090", s.model)
}

// serve serves a handler at the address that the samples name.
func (s *stage) serve(address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the samples expect a server at %s, and that port is taken; free it: %w", address, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(listener) }() // ends with close
	return nil
}

// close stops everything that was started.
func (s *stage) close() error {
	var errs []error
	if s.operator != nil {
		errs = append(errs, s.operator.stop())
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	errs = append(errs, os.RemoveAll(s.dir))
	return errors.Join(errs...)
}

// explain adds to an error what the operator said last.
func (s *stage) explain(err error) error {
	if s.operator == nil {
		return err
	}
	log, readErr := os.ReadFile(s.operator.log)
	if readErr != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return fmt.Errorf("%w\nthe operator's last words:\n%s", err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
}

// leaveUp keeps everything running until Ctrl-C.
func (s *stage) leaveUp(ctx context.Context) {
	title("Left running")
	fmt.Printf("  export KUBECONFIG=%s\n  export PATH=%s:$PATH\n\nCtrl-C stops everything.\n", s.cluster.Kubeconfig, mustAbs("bin/controlplane"))
	<-ctx.Done()
}

// operator is the operator's process, under the rights of its service account.
type operator struct {
	command *exec.Cmd
	log     string
	query   string // address of the HTTP API
	exited  chan error
}

// startOperator runs bin/edict on the journal of the stage.
func (s *stage) startOperator(ctx context.Context) error {
	_, kubeconfig, err := s.cluster.TokenConfig(ctx, systemSpace, serviceAccount)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "operator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own handle
	o := &operator{log: log.Name(), query: "127.0.0.1:8443", exited: make(chan error, 1)}
	o.command = exec.Command(mustAbs("bin/edict"), "manager", "--journal=sqlite://"+filepath.Join(s.dir, "journal.db"),
		"--query-bind-address="+o.query, "--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--outbound-allow=127.0.0.0/8", "--status-interval=1s")
	o.command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	o.command.Stdout, o.command.Stderr = log, log
	if err := o.command.Start(); err != nil {
		return err
	}
	go func() { o.exited <- o.command.Wait() }()
	s.operator = o
	return nil
}

// kill ends the operator as a power cut would.
func (o *operator) kill() error {
	if err := o.command.Process.Kill(); err != nil {
		return err
	}
	if err := <-o.exited; err == nil { // "signal: killed" is what was asked for
		return errors.New("the operator ended by itself before it was killed")
	}
	return nil
}

func (o *operator) stop() error {
	if err := o.command.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
		return nil
	} else if err != nil {
		return err
	}
	select {
	case err := <-o.exited:
		return err
	case <-time.After(20 * time.Second):
		return o.kill()
	}
}

func mustAbs(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path // only where the working directory is gone, and then nothing else works either
	}
	return abs
}

// read returns what a GET of the url returns.
func read(ctx context.Context, client *http.Client, url, token string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // read to its end below
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}
