// Package execution is the life of a command: it comes through the door, its
// effect is attempted, its outcome is recorded, and after a crash it goes on from
// the journal. The rules are package agent's; this package carries them out.
//
// It does not know Kubernetes, how a context is built, or what a prompt looks
// like: those are given to it as small interfaces.
package execution

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Contexts builds what an agent knows before it decides.
type Contexts interface {
	// Build renders a view of the agent's stream at no less than sequence min.
	// Its errors are faults: Wait if the view is not there or is behind.
	Build(ctx context.Context, r ContextRequest) (agent.Context, error)
}

// ContextRequest asks for one context.
type ContextRequest struct {
	Namespace, View string
	Stream          string
	Min             int64
	Question        agent.Question
}

// Decider asks a model. Its errors are faults: Invalid if asking again cannot help.
type Decider interface {
	Decide(ctx context.Context, q agent.Inquiry) (agent.Answer, error)
}

// Caller makes the HTTP request of an operation, and says what came of it.
type Caller interface {
	Call(ctx context.Context, r APIRequest) agent.Outcome
}

// Secrets reads one value of a Secret. Its errors are faults, and never hold a value.
type Secrets interface {
	Value(ctx context.Context, namespace string, key agent.SecretKey) (string, error)
}

// Authoriser says whether a command may run; see package policy.
type Authoriser func(p agent.Profile, i agent.Intent, issued bool) agent.Approval

// Options are what an Engine works with. All but Embedder, Passages, Now, Log and Workers are required.
type Options struct {
	Journal     journal.Journal
	Authorise   Authoriser
	Contexts    Contexts
	Decider     Decider
	Transcripts Transcripts
	Summarizer  Summarizer
	Embedder    Embedder // nil: nothing is embedded, whatever agents declare
	Passages    Passages // nil: of what a stream holds already, nothing is embedded
	Caller      Caller
	Documents   Documents
	Objects     Objects
	Pages       Pages
	Secrets     Secrets
	Tokens      func(string) int // counts the tokens of a text, by which documents are split; at most one for a byte

	// Poke is told the command whose status has news. It must not block.
	Poke func(namespace, command string)
	// Health is told when the journal stops taking writes (an error), and when it takes them again (nil). It must not block.
	Health func(error)
	// Lost is told that another process has claimed a shard that this one held: nothing starts for it from then on. It must not block.
	Lost func(shard int)

	Workers int              // calls to models and receivers at the same time; default 64
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default: discarded
}

// Engine runs the commands of all agents. Its methods may be called from any goroutine.
type Engine struct {
	Options
	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{} // calls to models and receivers
	// preparing and embedding are what comes before an ask's call, and may wait long: for the read side, and for an
	// embedding server. So many asks that wait keep no call waiting.
	preparing, embedding chan struct{}
	// indexing is to attempts at an indexDocuments what slots are to others: they cannot keep those waiting.
	indexing chan struct{}
	ill      atomic.Pointer[error] // the journal's last refusal, nil when it takes writes
	relook   time.Duration         // see restAtMost
	alone    time.Duration         // see leaveAlone

	holding sync.Mutex // held by Hold
	mu      sync.Mutex
	streams map[name]*stream // of the shards that are held
	epochs  map[int]int64    // of the shards that are held
	shards  map[name]int     // of the agents that were asked for
}

type name struct{ namespace, agent string }

// New returns an engine. It works for nobody until it holds shards, see Hold, and
// then it does nothing until a command is submitted.
func New(o Options) *Engine {
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{Options: o, ctx: ctx, cancel: cancel, slots: make(chan struct{}, o.Workers),
		preparing: make(chan struct{}, o.Workers), embedding: make(chan struct{}, o.Workers), indexing: make(chan struct{}, indexAtOnce),
		relook: restAtMost, alone: leaveAlone,
		streams: map[name]*stream{}, epochs: map[int]int64{}, shards: map[name]int{}}
}

// Stop ends the engine: no new attempt starts, requests to models are cut off
// and recorded as such, and calls under way may finish until ctx ends. What is
// open then is found open by the next process.
func (e *Engine) Stop(ctx context.Context) {
	e.cancel()
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Healthy returns nil, or why the journal does not take writes.
func (e *Engine) Healthy() error {
	if err := e.ill.Load(); err != nil {
		return *err
	}
	return nil
}

// nurse probes a journal that refused a write until it takes one. A process that
// holds no shard is told so by a store that works.
func (e *Engine) nurse() {
	for e.sleep(time.Second) {
		if err := e.Journal.Check(e.ctx); err == nil || errors.Is(err, journal.ErrFenced) {
			e.ill.Store(nil)
			e.Health(nil)
			e.wake()
			return
		}
	}
}

// wake looks at every open command again.
func (e *Engine) wake() {
	for _, st := range e.all() {
		st.mu.Lock()
		keys := st.state.OpenKeys()
		st.mu.Unlock()
		for _, key := range keys {
			e.schedule(st, key)
		}
	}
}

func (e *Engine) all() []*stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*stream, 0, len(e.streams))
	for _, st := range e.streams {
		out = append(out, st)
	}
	return out
}

// sleep waits, and reports whether the engine still runs.
func (e *Engine) sleep(d time.Duration) bool {
	select {
	case <-e.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
