package controller

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/policy"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// patience is how long something may take that happens by itself, on a machine that is busy.
const patience = 30 * time.Second

// house is one test's namespace, journal and rooms. The test calls Reconcile; nothing else does.
type house struct {
	*testing.T
	dir   string
	ns    string
	api   client.WithWatch // the test's own hands
	disk  *ledger          // what the reconcilers write
	clock *clock           // theirs; the journal and the engine have the real one

	// The parties outside. A test sets them before it creates a command.
	decide func(ctx context.Context, q agent.Inquiry) (agent.Answer, error)
	call   func(r execution.APIRequest) agent.Outcome

	mu            sync.Mutex
	asked, called int         // requests to the model and to the API
	news          chan string // commands that the engine has news of
	onFailure     func()      // what settle does when a Reconcile failed; nil: nothing

	journal      journal.Journal
	store        *projection.Store
	engine       *execution.Engine
	commands     *CommandReconciler
	agents       *AgentReconciler
	views        *ContextViewReconciler
	observations *ObservationReconciler
}

func newHouse(t *testing.T) *house {
	t.Helper()
	_, api := apiServer(t)
	h := &house{T: t, dir: t.TempDir(), api: api, disk: &ledger{}, clock: &clock{now: time.Now()}, news: make(chan string, 1000),
		decide: func(context.Context, agent.Inquiry) (agent.Answer, error) { return answer("Done."), nil },
		call: func(execution.APIRequest) agent.Outcome {
			return agent.Outcome{Verdict: agent.Done, Result: `{"booking":1}`, Message: "Booked."}
		},
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "controller-"}}
	if err := api.Create(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	h.ns = space.Name // it stays: nothing here finishes namespaces
	h.open()
	t.Cleanup(func() { h.close() })
	return h
}

// open begins a life of the operator.
func (h *house) open() {
	h.Helper()
	j, err := sqlite.Open(context.Background(), filepath.Join(h.dir, "journal.db"), sqlite.Options{})
	if err != nil {
		h.Fatal(err)
	}
	store, err := projection.Open(context.Background(), filepath.Join(h.dir, "projections.db"), j, projection.Options{})
	if err != nil {
		h.Fatal(err)
	}
	h.journal, h.store = j, store
	h.build()
	if err := h.engine.Start(context.Background()); err != nil {
		h.Fatal(err)
	}
}

// build wires the rooms as cmd does, with the parties outside in the place of HTTP.
func (h *house) build() {
	h.Helper()
	builder, err := view.NewBuilder(h.store, nil)
	if err != nil {
		h.Fatal(err)
	}
	c := h.disk.through(h.api)
	secrets := &Secrets{Live: h.api, Now: h.clock.Now}
	fresh := query.Freshness{Journal: h.journal, Projection: h.store}
	views := &Views{Reader: c, Builder: builder, Fresh: fresh, Newest: func(ctx context.Context, namespace, name string) (string, error) {
		return h.engine.Stream(ctx, namespace, name)
	}}
	config, _ := apiServer(h.T)
	objects := &Objects{Config: config, Mapper: h.api.RESTMapper(), Client: h.api}
	h.engine = execution.New(execution.Options{
		Objects: objects,
		Journal: h.journal, Authorise: policy.Authorise, Contexts: views, Secrets: secrets, Decider: h, Caller: h,
		Documents: &Documents{Live: h.api}, Tokens: func(text string) int { return (len(text) + 3) / 4 },
		Summarizer: h, Transcripts: &view.Transcripts{Reader: h.store},
		Poke: func(_, command string) { h.news <- command }, Health: func(error) {}, Lost: func(int) {},
	})
	h.commands = &CommandReconciler{Client: c, Live: h.api, Engine: h.engine, Now: h.clock.Now}
	h.observations = &ObservationReconciler{Client: c, Engine: h.engine, Objects: objects, Ring: func(types.NamespacedName) {}, Now: h.clock.Now}
	h.agents = &AgentReconciler{Observations: h.observations, Client: c, Engine: h.engine, Secrets: secrets, Recorder: silent{}, Now: h.clock.Now, CheckMenu: func(agent.Profile) error { return nil },
		Summaries: &Summaries{Client: c, Conversations: h.store}}
	h.views = &ContextViewReconciler{Client: c, Engine: h.engine, Views: views, Fresh: fresh, Recorder: silent{}, Now: h.clock.Now}
}

// close ends the life; the journal is left as it is at that moment.
func (h *house) close() {
	h.Helper()
	within, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.engine.Stop(within)
	for _, c := range []interface{ Close() error }{h.store, h.journal} {
		if err := c.Close(); err != nil {
			h.Error(err)
		}
	}
}

// restart ends the operator's life, and begins the next.
func (h *house) restart() {
	h.Helper()
	h.close()
	h.open()
}

// follow keeps the projections up to date until the test ends.
func (h *house) follow() { h.Cleanup(h.followUntil()) }

// followUntil keeps the projections up to date until what it returns is called.
func (h *house) followUntil() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	store := h.store
	go func() {
		defer close(done)
		_ = store.Follow(ctx) // it ends with the test, and a test that it fails sees a view that stays behind
	}()
	return func() {
		cancel()
		<-done
	}
}

// Decide is the model.
func (h *house) Decide(ctx context.Context, q agent.Inquiry) (agent.Answer, error) {
	h.mu.Lock()
	h.asked++
	h.mu.Unlock()
	return h.decide(ctx, q)
}

// Summarize is the model, too.
func (h *house) Summarize(_ context.Context, q agent.SummaryInquiry) (agent.SummaryAnswer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return agent.SummaryAnswer{Text: fmt.Sprintf("Summary up to %d.", q.Transcript.To), Model: "scripted", Request: []byte("{}")}, nil
}

// Call is the API.
func (h *house) Call(_ context.Context, r execution.APIRequest) agent.Outcome {
	h.mu.Lock()
	h.called++
	h.mu.Unlock()
	return h.call(r)
}

// outside returns how many requests reached the model and the API.
func (h *house) outside() (asked, called int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked, h.called
}

// answer is a decision that only responds.
func answer(text string) agent.Answer {
	return agent.Answer{Decision: agent.Decision{Response: text}, Model: "scripted", Usage: agent.Usage{Input: 3, Output: 2}, Request: []byte("{}")}
}

// bookFirst decides to book in its first step, and responds in the second.
func bookFirst(_ context.Context, q agent.Inquiry) (agent.Answer, error) {
	if q.Step > 1 {
		return answer("Booked."), nil
	}
	a := answer("")
	a.Decision.Commands = []agent.Choice{{Operation: "book", Arguments: []byte(`{"flight":"ED1"}`)}}
	return a, nil
}

// hang is a model that answers nobody; began is closed when it was asked.
func hang(began chan struct{}) func(context.Context, agent.Inquiry) (agent.Answer, error) {
	var once sync.Once
	return func(ctx context.Context, _ agent.Inquiry) (agent.Answer, error) {
		once.Do(func() { close(began) })
		<-ctx.Done()
		return agent.Answer{}, ctx.Err()
	}
}

// await waits for what another goroutine is to reach.
func await(t *testing.T, reached <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("it did not happen that %s", what)
	}
}

// clock is a clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// silent is a recorder of hints that nobody reads.
type silent struct{}

func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}
