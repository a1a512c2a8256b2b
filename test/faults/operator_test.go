package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/process"
)

// operator is one replica: a process that is killed, paused, and started again over the same journal.
type operator struct {
	world      *world
	name       string
	dir        string
	kubeconfig string
	health     string // address
	logs       process.Output
	turn       sync.Mutex       // held while one life is followed by the next
	life       *process.Process // the last; nil before the first
}

// newOperator prepares a replica, and starts nothing.
func (w *world) newOperator(ctx context.Context, name string) (*operator, error) {
	o := &operator{world: w, name: name, dir: filepath.Join(w.dir, name)}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	addresses, err := process.FreeAddresses(ctx, 1)
	if err != nil {
		return nil, err
	}
	o.health = addresses[0]
	o.kubeconfig = filepath.Join(o.dir, "kubeconfig")
	if err := cluster.WriteKubeconfig(o.kubeconfig, w.gate.config(w.plane.token), w.ns); err != nil {
		return nil, err
	}
	w.operators = append(w.operators, o)
	return o, nil
}

// start begins a life with those failpoints armed, and does not wait until it is ready.
func (o *operator) start(failpoints string) error {
	args := append([]string{"manager",
		"--query-bind-address=0", "--metrics-bind-address=0", "--health-probe-bind-address=" + o.health,
		"--outbound-allow=127.0.0.0/8", "--status-interval=1s", "--workers=16",
	}, o.world.store.args(o.dir)...)
	args = append(args, o.world.args...)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.dir, "KUBECONFIG=" + o.kubeconfig, "POD_NAME=" + o.name,
		"EDICT_FAILPOINTS=" + failpoints}
	var err error
	o.life, err = process.Start(process.Options{Path: o.world.binary, Args: args, Env: env, Log: &o.logs, Guard: o.world.campaign.guard})
	return err
}

// ready waits until /readyz says so, or the process has ended.
func (o *operator) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		select {
		case <-o.life.Done():
			return fmt.Errorf("the operator ended before it was ready: %s\n%s", o.life.State(), o.logs.Tail(20))
		case <-ctx.Done():
			return errors.New("the operator was not ready within a minute")
		case <-time.After(50 * time.Millisecond):
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.health+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // it does not listen yet
		}
		_ = response.Body.Close() // nothing of it is read
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// dies waits until the armed failpoint has killed the process. It reports false if the place is not reached in time.
func (o *operator) dies(place string, within time.Duration) (bool, error) {
	select {
	case <-o.life.Done():
	case <-time.After(within):
		return false, o.life.Kill()
	}
	if !o.life.Killed() || !strings.Contains(o.logs.String(), "failpoint "+place+": kill") {
		return false, fmt.Errorf("the operator ended by itself: %s\n%s", o.life.State(), o.logs.Tail(20))
	}
	return true, nil
}

// stops waits until the armed failpoint has paused the process, and reports false if the place is not reached in time.
func (o *operator) stops(place string, within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(o.logs.String(), "failpoint "+place+": stop") {
			return true
		}
	}
	return false
}

// restart kills the operator, does what is to be done while it is down, and starts it again.
func (o *operator) restart(meanwhile func() error) error {
	o.turn.Lock()
	defer o.turn.Unlock()
	if err := o.life.Kill(); err != nil {
		return err
	}
	return errors.Join(meanwhile(), o.start(""))
}

// keep starts the operator again when it ends by itself, as a kubelet does, until the context ends: it does so if the
// API server or the journal cannot be reached when it starts.
func (o *operator) keep(ctx context.Context, f *findings) {
	for ctx.Err() == nil {
		o.turn.Lock()
		if !o.life.Running() {
			f.inject("the operator ended by itself, and was started again", 1)
			if err := o.start(""); err != nil {
				f.violate("%s: %v", o.name, err)
			}
		}
		o.turn.Unlock()
		time.Sleep(300 * time.Millisecond)
	}
}

// crashes returns what the operator printed when it panicked, if it did.
func (o *operator) crashes() []string {
	var found []string
	text := o.logs.String()
	for _, mark := range []string{"panic: ", "fatal error: "} {
		if i := strings.Index(text, mark); i >= 0 {
			found = append(found, fmt.Sprintf("%s: %.3000s", o.name, text[i:]))
		}
	}
	return found
}

// kill ends the life, however it is.
func (o *operator) kill() {
	if o.life != nil {
		_ = o.life.Kill() // one that had ended by itself is told of in its log
	}
}
