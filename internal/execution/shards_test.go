package execution

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// store is a journal with two shards, which several handles may claim in turn, as
// a database is: the porter's stream is in shard 1, every other in shard 0.
type store struct {
	journal.Journal
	mu     sync.Mutex
	epochs [2]int64
}

// handle is one process's access to the store.
type handle struct {
	*store
	own [2]int64
}

func (w *world) store() *store {
	s := &store{Journal: w.open()}
	if _, err := s.Claim(context.Background(), 0); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return s
}

func (*store) Shards() int { return 2 }

func (*store) Shard(_ context.Context, stream string) (int, error) {
	if journal.Family(stream) == "travel/porter" {
		return 1, nil
	}
	return 0, nil
}

func (h *handle) Claim(_ context.Context, shard int) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs[shard]++
	h.own[shard] = h.epochs[shard]
	return h.own[shard], nil
}

func (h *handle) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shard, _ := h.Shard(ctx, b.Stream)
	if late := b.Late && h.own[shard] > 0; h.own[shard] != h.epochs[shard] && !late {
		return nil, journal.ErrFenced
	}
	return h.Journal.Append(ctx, b)
}

// Close leaves the store to the others.
func (*handle) Close() error { return nil }

// replica begins a process over the store that holds these shards.
func (w *world) replica(s *store, shards ...int) *process {
	p := w.run(&handle{store: s})
	w.t.Cleanup(p.end)
	p.hold(shards...)
	return p
}

func (p *process) hold(shards ...int) {
	p.t.Helper()
	if _, err := p.engine.Hold(context.Background(), shards); err != nil {
		p.t.Fatal(err)
	}
}

// look submits every object, as the controller does when a shard was acquired.
func (p *process) look() {
	p.mu.Lock()
	names := slices.Collect(maps.Keys(p.objects))
	p.mu.Unlock()
	for _, name := range names {
		p.bell <- name
	}
}

// wantCalls checks how often the receiver was called, and that the stream says the same.
func (p *process) wantCalls(calls, started int) {
	p.t.Helper()
	p.mu.Lock()
	got := 0
	for _, n := range p.called {
		got += n
	}
	p.mu.Unlock()
	types := p.types()
	attempts := 0
	for _, kind := range types {
		if kind == "AttemptStarted" {
			attempts++
		}
	}
	if got != calls || attempts != started {
		p.t.Errorf("%d calls and %d attempts, want %d and %d: %v", got, attempts, calls, started, types)
	}
}

func booking(operation string) agent.Order {
	return order("booking", agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: operation}))
}

// gate holds calls up until they are let go.
type gate struct{ arrived, open chan struct{} }

func (w *world) gate() *gate {
	g := &gate{arrived: make(chan struct{}, 10), open: make(chan struct{})}
	w.call = func(APIRequest) agent.Outcome {
		g.arrived <- struct{}{}
		<-g.open
		return agent.Outcome{Verdict: agent.Done, Result: `{"booking":1}`, Message: "Booked."}
	}
	return g
}

// patient is the profile whose calls may take so long that no deadline comes.
func (w *world) patient(timeout time.Duration) agent.Profile {
	p := profile
	p.Operations = slices.Clone(profile.Operations)
	for i := range p.Operations {
		if p.Operations[i].Call != nil {
			call := *p.Operations[i].Call
			call.Timeout = timeout
			p.Operations[i].Call = &call
		}
	}
	return p
}

func sent(t *testing.T, p *process, as agent.Profile, o agent.Order) *agent.Command {
	t.Helper()
	receipt, err := p.engine.Submit(context.Background(), as, o, false)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Command
}

func TestTheOutcomeOfACallIsRecordedAfterItsShardWasLostAndTheNextHolderHearsOfIt(t *testing.T) {
	for _, operation := range []string{"book", "book_once"} {
		t.Run(operation, func(t *testing.T) {
			w := newWorld(t)
			g, s := w.gate(), w.store()
			loser := w.replica(s, 0)
			o := booking(operation)
			as := w.patient(time.Minute) // nobody waits for that deadline
			sent(t, loser, as, o)
			<-g.arrived
			next := w.replica(s, 0)
			if c := sent(t, next, as, o); c.Attempt == nil {
				t.Fatalf("the next holder sees %+v", c)
			}
			close(g.open)
			for deadline := time.Now().Add(10 * time.Second); !slices.Contains(loser.types(), "AttemptSucceeded"); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the outcome is not recorded: %v", loser.types())
				}
			}
			next.engine.Moved("travel/concierge") // as who follows the journal says
			for deadline := time.Now().Add(10 * time.Second); sent(t, next, as, o).Phase != agent.Succeeded; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the next holder does not hear of it")
				}
			}
			next.wantCalls(1, 1)
		})
	}
}

func TestALateOutcomeIsNoticedAtTheAttemptsDeadlineAtTheLatest(t *testing.T) {
	w := newWorld(t)
	g, s := w.gate(), w.store()
	loser := w.replica(s, 0)
	o, as := booking("book_once"), w.patient(500*time.Millisecond)
	sent(t, loser, as, o)
	<-g.arrived
	next := w.replica(s, 0)
	sent(t, next, as, o)
	close(g.open)
	for sent(t, next, as, o).Phase != agent.Succeeded { // within the test's time; the stale state says Running
		time.Sleep(5 * time.Millisecond)
	}
	next.wantCalls(1, 1)
	if types := next.types(); slices.Contains(types, "OutcomeLost") {
		t.Errorf("the outcome was known, and the stream says %v", types)
	}
}

func TestAnOutcomeThatComesAfterTheNextHolderHasJudgedChangesNothing(t *testing.T) {
	for operation, want := range map[string]agent.Phase{"book": agent.Succeeded, "book_once": agent.OutcomeUnknown} {
		t.Run(operation, func(t *testing.T) {
			w := newWorld(t)
			g, s := w.gate(), w.store()
			loser := w.replica(s, 0)
			o := booking(operation)
			sent(t, loser, profile, o) // its calls may take 100 ms
			<-g.arrived
			next := w.replica(s, 0)
			sent(t, next, profile, o)
			if operation == "book" {
				<-g.arrived // the next holder repeats it, with the same key
			} else {
				next.wait(o)
			}
			close(g.open)
			if c := next.wait(o); c.Phase != want {
				t.Errorf("%s (%s)", c.Phase, c.Reason)
			}
			stopped, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			loser.engine.Stop(stopped) // it has recorded what it can
			if stopped.Err() != nil {
				t.Error("the loser tries to record its outcome for ever")
			}
			ends := 0
			for _, kind := range next.types() {
				if kind == "CommandSucceeded" || kind == "OutcomeLost" {
					ends++
				}
			}
			if ends != 1 || len(w.called) != 1 {
				t.Errorf("%d ends and the keys %v: %v", ends, w.called, next.types())
			}
		})
	}
}

func TestAProcessThatLostAShardStartsNothingAndSaysWhy(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	var lost atomic.Int32
	loser := w.replica(s, 0, 1)
	loser.engine.Lost = func(shard int) { lost.Add(int32(10 + shard)) }
	porter := profile
	porter.Name = "porter"
	sent(t, loser, porter, booking("book"))
	next := w.replica(s, 1)

	_, err := loser.engine.Submit(context.Background(), porter, order("other", booking("book").Intent), false)
	if fault.Of(err).Reason != NotHere {
		t.Errorf("an order for a lost shard: %v", err)
	}
	if lost.Load() != 11 || !slices.Equal(loser.engine.Held(), []int{0}) {
		t.Errorf("told %d, and holds %v", lost.Load(), loser.engine.Held())
	}
	if here, err := loser.engine.Holds(context.Background(), "travel", "porter"); here || err != nil {
		t.Errorf("it holds the porter's shard: %v, %v", here, err)
	}
	o := booking("book")
	sent(t, loser, profile, o) // the other shard goes on
	if c := loser.wait(o); c.Phase != agent.Succeeded {
		t.Errorf("the command of the shard that was kept is %s", c.Phase)
	}
	sent(t, next, porter, order("other", booking("book").Intent))
}

func TestAShardThatWasGivenUpIsLeftToWhoClaimsIt(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	w.call = func(APIRequest) agent.Outcome {
		return agent.Outcome{Verdict: agent.NotDone, Reason: "Busy", Message: "Busy.", RetryAfter: 20 * time.Millisecond}
	}
	first := w.replica(s, 0)
	o := booking("book_once")
	o.Retry.MaxAttempts = 1000
	sent(t, first, profile, o)
	for len(first.types()) < 6 {
		time.Sleep(time.Millisecond)
	}
	st := first.engine.all()[0]
	first.hold()
	first.engine.work.Wait() // what was under way
	before := len(first.types())
	time.Sleep(200 * time.Millisecond)
	st.mu.Lock()
	if len(st.runs) > 0 {
		t.Errorf("the process still holds %d runs", len(st.runs))
	}
	st.mu.Unlock()
	if after := len(first.types()); after != before {
		t.Errorf("%d events more after the shard was given up", after-before)
	}
	if _, err := first.engine.Summary(context.Background(), profile); fault.Of(err).Reason != NotHere {
		t.Errorf("got %v", err)
	}
	next := w.replica(s, 0)
	sent(t, next, profile, o)
	for len(next.types()) <= before {
		time.Sleep(time.Millisecond)
	}
}

func TestARefusalOfAnEarlierEpochDropsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	p := w.replica(s, 0)
	p.engine.Lost = func(shard int) { t.Errorf("told that shard %d is lost", shard) }
	old := p.engine.epoch(0)
	p.hold()
	p.hold(0)
	_ = p.engine.fenced(name{"travel", "concierge"}, 0, old, journal.ErrFenced)
	if !slices.Equal(p.engine.Held(), []int{0}) {
		t.Errorf("it holds %v", p.engine.Held())
	}
}

func TestReadersFindTheNewestStreamOnAnyReplica(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	holder, reader := w.replica(s, 0), w.replica(s)
	want := func(stream string) {
		t.Helper()
		if got, err := reader.engine.Stream(context.Background(), "travel", "concierge"); got != stream || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, stream)
		}
	}
	want("travel/concierge")
	o := booking("book")
	sent(t, holder, profile, o)
	holder.wait(o)
	for err := fault.NewWait(0, "", ""); err != nil; time.Sleep(time.Millisecond) {
		err = holder.engine.Retire(context.Background(), "travel", "concierge", false)
	}
	want("travel/concierge@2")
}
