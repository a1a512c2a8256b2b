package execution

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// world is what outlives a process: the journal's file, the Command objects, and
// the parties outside, which count what reaches them.
type world struct {
	t      *testing.T
	path   string
	decide func(q agent.Inquiry) (agent.Answer, error)
	call   func(r APIRequest) agent.Outcome

	mu      sync.Mutex
	objects map[string]agent.Order // the Command objects, by name
	asked   map[string]int         // requests to the model, by ask and step
	called  map[string]int         // requests to the receiver, by key
	rung    []string               // commands that the engine had news of
}

func newWorld(t *testing.T) *world {
	return &world{t: t, path: filepath.Join(t.TempDir(), "journal.db"),
		objects: map[string]agent.Order{}, asked: map[string]int{}, called: map[string]int{},
		call: func(APIRequest) agent.Outcome {
			return agent.Outcome{Verdict: agent.Done, Result: `{"booking":1}`, Message: "Booked."}
		},
	}
}

var profile = agent.Profile{
	Namespace: "travel", Name: "concierge", MaxSteps: 4, MaxCommands: 4,
	Model: agent.Model{Name: "m", Timeout: 50 * time.Millisecond},
	Operations: []agent.Operation{
		{Name: "save", Type: agent.SaveMemory, Effect: agent.Internal},
		{Name: "book", Type: agent.CallAPI, Effect: agent.Idempotent, Call: &agent.Call{Method: "POST", Timeout: 100 * time.Millisecond}},
		{Name: "book_once", Type: agent.CallAPI, Effect: agent.NonIdempotent, Call: &agent.Call{Method: "POST", Timeout: 100 * time.Millisecond}},
	},
}

// process is one life of the operator: an engine, and a stand-in for the
// controller that submits every object whose name is rung, until it is ended.
type process struct {
	*world
	engine  *Engine
	journal journal.Journal
	as      agent.Profile // what it submits objects with
	bell    chan string
	done    chan struct{}
}

func (w *world) Decide(_ context.Context, q agent.Inquiry) (agent.Answer, error) {
	w.mu.Lock()
	w.asked[fmt.Sprintf("%s step %d", q.User, q.Step)]++
	w.mu.Unlock()
	return w.decide(q)
}

func (w *world) Call(_ context.Context, r APIRequest) agent.Outcome {
	w.mu.Lock()
	w.called[r.Key]++
	w.mu.Unlock()
	return w.call(r)
}

func (w *world) Value(context.Context, string, agent.SecretKey) (string, error) { return "s", nil }

func (w *world) Build(_ context.Context, r ContextRequest) (agent.Context, error) {
	return agent.Context{View: r.View, Text: "nothing", Digest: journal.Digest([]byte("nothing")), Sequence: r.Min}, nil
}

func (w *world) open() journal.Journal {
	j, err := sqlite.Open(context.Background(), w.path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// start begins a life over the journal, which wrap may make faulty.
func (w *world) start(wrap func(journal.Journal) journal.Journal) *process {
	opened := w.open()
	j := opened
	if wrap != nil {
		j = wrap(j)
	}
	p := w.run(j)
	p.journal = opened
	if err := p.engine.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.objects {
		p.bell <- name
	}
	return p
}

// run begins a life that holds no shard yet.
func (w *world) run(j journal.Journal) *process {
	p := &process{world: w, journal: j, as: profile, bell: make(chan string, 1000), done: make(chan struct{})}
	p.engine = New(Options{
		Journal: j, Contexts: w, Decider: w, Caller: w, Secrets: w,
		Authorise: func(p agent.Profile, i agent.Intent, _ bool) agent.Approval {
			op, _ := p.Operation(i.CallAPI().Operation)
			return agent.Approval{Allowed: true, Effect: op.Effect, Message: "allowed"}
		},
		Poke:   func(_, command string) { p.rang(command); p.bell <- command },
		Health: func(error) {}, Lost: func(int) {},
	})
	go p.control()
	return p
}

// control does what the controller does: submit what is rung, create what is issued.
func (p *process) control() {
	for {
		select {
		case <-p.done:
			return
		case name := <-p.bell:
			p.mu.Lock()
			o, ok := p.objects[name]
			p.mu.Unlock()
			if !ok {
				continue
			}
			receipt, err := p.engine.Submit(context.Background(), p.as, o, false)
			if fault.Of(err) != nil && fault.Of(err).Reason == NotHere {
				continue // it is rung when the shard is held
			}
			if err != nil {
				time.AfterFunc(5*time.Millisecond, func() { p.bell <- name })
				continue
			}
			for _, child := range receipt.Command.Unaccepted() {
				if !receipt.Command.Phase.Final() {
					p.apply(agent.Order{Name: child.Name, Key: child.Key, Intent: child.Intent, Timeout: o.Timeout, Retry: o.Retry})
				}
			}
		}
	}
}

func (p *process) apply(o agent.Order) {
	p.mu.Lock()
	p.objects[o.Name] = o
	p.mu.Unlock()
	p.bell <- o.Name
}

// end stops the process; the journal is left as it is at that moment.
func (p *process) end() {
	close(p.done)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.engine.Stop(ctx)
	if err := p.journal.Close(); err != nil {
		p.t.Error(err)
	}
}

func order(name string, i agent.Intent) agent.Order {
	return agent.Order{Name: name, Key: agent.DefaultKey(name, i), Intent: i, Timeout: time.Minute,
		Retry: agent.Retry{MaxAttempts: 3, Backoff: time.Millisecond}}
}

func askOrder(name, conversation string) agent.Order {
	return order(name, agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: conversation, Message: name}))
}

// wait returns the command once it has ended.
func (p *process) wait(o agent.Order) *agent.Command {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		c, _, err := p.engine.Recall(context.Background(), "travel", "concierge", o.Key)
		if err == nil && c != nil && c.Phase.Final() {
			return c
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.t.Fatalf("%s did not end", o.Name)
	return nil
}

func (p *process) types() []string {
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, r := range records {
		out = append(out, r.Type)
	}
	return out
}

// scripted decides to book with the operation in its first step, and responds in the second.
func scripted(operation string) func(agent.Inquiry) (agent.Answer, error) {
	return func(q agent.Inquiry) (agent.Answer, error) {
		if q.Step == 1 && operation != "" {
			return agent.Answer{Decision: agent.Decision{Commands: []agent.Choice{{Operation: operation, Arguments: json.RawMessage(`{"flight":"ED1"}`)}}}}, nil
		}
		return agent.Answer{Decision: agent.Decision{Response: "Done."}, Model: "scripted", Usage: agent.Usage{Input: 3, Output: 2}, Request: []byte("{}")}, nil
	}
}

func TestAnAskWithoutCommandsTakesThreeAppends(t *testing.T) {
	w := newWorld(t)
	w.decide = scripted("")
	counted := &faulty{}
	p := w.start(counted.wrap)
	defer p.end()
	o := askOrder("hello", "ada")
	p.apply(o)
	if c := p.wait(o); c.Response != "Done." || c.Usage.Total() != 5 {
		t.Errorf("got %+v", c)
	}
	want := []string{"CommandAccepted", "MessageReceived", "CommandApproved", "AttemptStarted", "DecisionMade", "ResponseGiven", "CommandSucceeded"}
	if got := p.types(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if counted.appends() != 3 {
		t.Errorf("%d appends", counted.appends())
	}
}

func TestAnAskWithACommandEndsWithItsResult(t *testing.T) {
	w := newWorld(t)
	var told string
	w.decide = func(q agent.Inquiry) (agent.Answer, error) {
		if q.Step == 2 {
			told = q.Trail[0].Outcomes[0].Text
		}
		return scripted("book")(q)
	}
	p := w.start(nil)
	defer p.end()
	o := askOrder("trip", "ada")
	p.apply(o)
	if c := p.wait(o); c.Phase != agent.Succeeded || len(c.Steps) != 2 {
		t.Errorf("got %+v", c)
	}
	if told != `{"booking":1}` {
		t.Errorf("the model was told %q", told)
	}
}

func TestTheSameOrderRunsOnceAndAnotherIntentUnderItsKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	p := w.start(nil)
	defer p.end()
	o := order("remember", agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: "c"}))
	for range 3 {
		receipt, err := p.engine.Submit(context.Background(), profile, o, false)
		if err != nil || receipt.Command.Phase != agent.Succeeded {
			t.Fatalf("got %+v, %v", receipt.Command, err)
		}
	}
	if n := len(p.types()); n != 4 {
		t.Errorf("%d events", n)
	}
	o.Intent = agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: "other"})
	if _, err := p.engine.Submit(context.Background(), profile, o, false); fault.Of(err).Reason != "IdempotencyKeyConflict" {
		t.Errorf("got %v", err)
	}
}

func TestAsksOfAConversationDecideInOrder(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var order []string
	w.decide = func(q agent.Inquiry) (agent.Answer, error) {
		mu.Lock()
		order = append(order, q.Question.Text)
		mu.Unlock()
		time.Sleep(2 * time.Millisecond)
		return scripted("")(q)
	}
	p := w.start(nil)
	defer p.end()
	var last agent.Order
	var want []string
	for i := range 8 {
		last = askOrder(fmt.Sprintf("ask-%d", i), "ada")
		want = append(want, last.Name)
		p.apply(last)
	}
	p.wait(last)
	if !slices.Equal(order, want) {
		t.Errorf("got %v", order)
	}
}

func TestCancelCutsTheModelOff(t *testing.T) {
	w := newWorld(t)
	slow := profile
	slow.Model.Timeout = time.Minute
	began := make(chan struct{})
	w.decide = scripted("")
	p := w.start(nil)
	defer p.end()
	p.engine.Decider = deciderFunc(func(ctx context.Context, _ agent.Inquiry) (agent.Answer, error) {
		close(began)
		<-ctx.Done()
		return agent.Answer{}, ctx.Err()
	})
	o := askOrder("hello", "ada")
	if _, err := p.engine.Submit(context.Background(), slow, o, false); err != nil {
		t.Fatal(err)
	}
	<-began
	if _, err := p.engine.Submit(context.Background(), slow, o, true); err != nil {
		t.Fatal(err)
	}
	if c := p.wait(o); c.Phase != agent.Cancelled {
		t.Errorf("got %s", c.Phase)
	}
}

func TestAModelIsToldWhoAsks(t *testing.T) {
	w := newWorld(t)
	var told []string
	w.decide = func(q agent.Inquiry) (agent.Answer, error) {
		told = append(told, q.SaidBy)
		return agent.Answer{Decision: agent.Decision{Response: "Hello."}}, nil
	}
	p := w.start(nil)
	defer p.end()
	for _, by := range []string{"Eve", ""} {
		o := order("hello"+by, agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: "Hello?", SaidBy: by}))
		p.apply(o)
		p.wait(o)
	}
	if !slices.Equal(told, []string{"Eve", ""}) {
		t.Errorf("the model was told of %q", told)
	}
}

func TestWhatDoesNotFitIntoAnEventIsRefusedAndNotTriedForever(t *testing.T) {
	w := newWorld(t)
	w.decide = func(agent.Inquiry) (agent.Answer, error) {
		return agent.Answer{Decision: agent.Decision{Response: strings.Repeat("x", journal.MaxData)}}, nil
	}
	p := w.start(nil)
	defer p.end()
	o := askOrder("hello", "ada")
	p.apply(o)
	if c := p.wait(o); c.Phase != agent.Failed || c.Reason != "DecisionTooLarge" {
		t.Errorf("got %s (%s)", c.Phase, c.Reason)
	}
	large := order("large", agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: strings.Repeat("x", journal.MaxData)}))
	if _, err := p.engine.Submit(context.Background(), profile, large, false); fault.Of(err).Reason != "CommandTooLarge" {
		t.Errorf("got %v", err)
	}
}

// TestWithoutItsAgentACommandEndsButStartsNothing is what a process meets that
// started after the agent's object was deleted.
func TestWithoutItsAgentACommandEndsButStartsNothing(t *testing.T) {
	t.Run("which nobody has stopped", func(t *testing.T) { endsWithoutItsAgent(t, false) })
	t.Run("which the first process has stopped, and did not live to end", func(t *testing.T) { endsWithoutItsAgent(t, true) })
}

func endsWithoutItsAgent(t *testing.T, stopped bool) {
	w := newWorld(t)
	w.decide = func(agent.Inquiry) (agent.Answer, error) {
		return agent.Answer{}, fault.NewWait(time.Hour, "Busy", "busy")
	}
	first := w.start(nil)
	o := askOrder("hello", "ada")
	first.apply(o)
	for len(w.askedNow()) == 0 {
		time.Sleep(time.Millisecond)
	}
	first.end()
	w.mu.Lock()
	w.objects, w.asked = map[string]agent.Order{}, map[string]int{}
	w.mu.Unlock()
	if stopped {
		w.record(o.Key, agent.CancelRequested{Reason: "AgentDeleted"})
	}

	second := w.start(nil)
	defer second.end()
	var wait error
	for range 1000 {
		if wait = second.engine.Retire(context.Background(), "travel", "concierge", false); wait == nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if wait != nil {
		t.Fatal(wait)
	}
	if c := second.wait(o); c.Phase != agent.Cancelled || len(w.askedNow()) != 0 {
		t.Errorf("%s, and the model was asked %v", c.Phase, w.asked)
	}
	if stream, err := second.engine.Stream(context.Background(), "travel", "concierge"); err != nil || stream != "travel/concierge@2" {
		t.Errorf("the next life's stream is %q, %v", stream, err)
	}
}

// record appends what a process has recorded about a command just before it died.
func (w *world) record(key string, event agent.Event) {
	w.t.Helper()
	ctx := context.Background()
	j := w.open()
	defer func() { _ = j.Close() }()
	about, err := j.ReadSubject(ctx, "travel/concierge", key)
	if err == nil {
		_, err = j.Claim(ctx, 0)
	}
	if err == nil {
		_, err = j.Append(ctx, batch("travel/concierge", key, len(about), []agent.Event{event}))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) askedNow() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.asked)
}
