package execution

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

func resolveOrder(name, command string, outcome agent.Settlement) agent.Order {
	return order(name, agent.NewIntent(agent.Resolve, agent.ResolvePayload{Command: command, Outcome: outcome, Reason: "it is on record", By: "ada"}))
}

// lost is a receiver whose answer to the first request does not come.
func lost(w *world) func(APIRequest) agent.Outcome {
	return func(r APIRequest) agent.Outcome {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.called[r.Key] == 1 {
			return agent.Outcome{Verdict: agent.Ambiguous, Reason: "ConnectionLost", Message: "The connection ended."}
		}
		return agent.Outcome{Verdict: agent.Done, Result: `{"booking":1}`, Message: "Booked."}
	}
}

// waitFor returns the command once it is in that phase.
func (p *process) waitFor(o agent.Order, phase agent.Phase) *agent.Command {
	p.t.Helper()
	var c *agent.Command
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var err error
		if c, _, err = p.engine.Recall(context.Background(), "travel", "concierge", o.Key); err == nil && c != nil && c.Phase == phase {
			return c
		}
	}
	p.t.Fatalf("%s is not %s: %+v", o.Name, phase, c)
	return nil
}

// unknownTrip is an ask that ended as OutcomeUnknown, because of trip-1-0.
func unknownTrip(t *testing.T, wrap func(journal.Journal) journal.Journal) (*world, *process, agent.Order) {
	t.Helper()
	w := newWorld(t)
	w.decide, w.call = scripted("book_once"), lost(w)
	p := w.start(wrap)
	o := askOrder("trip", "ada")
	p.apply(o)
	p.waitFor(o, agent.OutcomeUnknown)
	return w, p, o
}

// calls returns how many requests reached the receiver, and under how many keys.
func (w *world) calls() (requests, keys int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.called {
		requests += n
	}
	return requests, len(w.called)
}

func TestASettledOutcomeLetsItsAskGoOn(t *testing.T) {
	for outcome, want := range map[agent.Settlement]struct {
		calls int
		phase agent.Phase // of the settled command
	}{
		agent.SettledSucceeded: {1, agent.Succeeded},
		agent.SettledFailed:    {1, agent.Failed},
		agent.RunAgain:         {2, agent.Succeeded},
	} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			w, p, trip := unknownTrip(t, nil)
			defer p.end()
			settle := resolveOrder("settle", "trip-1-0", outcome)
			p.apply(settle)
			p.waitFor(settle, agent.Succeeded)
			if c := p.waitFor(trip, agent.Succeeded); c.Response != "Done." {
				t.Errorf("the response is %q", c.Response)
			}
			if requests, keys := w.calls(); requests != want.calls || keys != 1 {
				t.Errorf("%d requests under %d keys", requests, keys)
			}
			w.mu.Lock()
			child := w.objects["trip-1-0"]
			w.mu.Unlock()
			p.waitFor(child, want.phase)
		})
	}
}

// The settled command and the ask have to be mirrored anew, and nobody else tells of them.
func TestWhoIsConcernedByASettlementIsTold(t *testing.T) {
	w, p, trip := unknownTrip(t, nil)
	p.end()
	called, leave := make(chan struct{}), make(chan struct{})
	w.call = func(APIRequest) agent.Outcome {
		close(called)
		<-leave
		return agent.Outcome{Verdict: agent.Done, Message: "Booked."}
	}
	w.told()
	second := w.start(nil) // it folds the stream from the journal
	defer second.end()
	submit(t, second, resolveOrder("again", "trip-1-0", agent.RunAgain))
	<-called
	if told := w.told(); !slices.Contains(told, "trip") || !slices.Contains(told, "trip-1-0") {
		t.Errorf("while the command runs again, told were %v", told)
	}
	close(leave)
	second.waitFor(trip, agent.Succeeded)
}

// told returns whom the engine had news of since it was last called.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.rung
	w.rung = nil
	return told
}

// rang notes whom the engine has news of.
func (w *world) rang(command string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rung = append(w.rung, command)
}

func submit(t *testing.T, p *process, o agent.Order) *agent.Command {
	t.Helper()
	receipt, err := p.engine.Submit(context.Background(), profile, o, false)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Command
}

func TestOfTwoWhoSettleAtOnceOneIsRefused(t *testing.T) {
	_, p, _ := unknownTrip(t, nil)
	defer p.end()
	const people = 8
	ended := make([]*agent.Command, people)
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			ended[i] = submit(t, p, resolveOrder(fmt.Sprintf("settle-%d", i), "trip-1-0", agent.SettledSucceeded))
		})
	}
	all.Wait()
	first := 0
	for _, c := range ended {
		switch {
		case c.Phase == agent.Succeeded:
			first++
		case c.Reason != "NothingToResolve" || !strings.Contains(c.Message, "settled already, as Succeeded by ada"):
			t.Errorf("%s is %s (%s): %s", c.Name, c.Phase, c.Reason, c.Message)
		}
	}
	settled := 0
	for _, name := range p.types() {
		if name == "OutcomeSettled" {
			settled++
		}
	}
	if first != 1 || settled != 1 {
		t.Errorf("%d commands settled the outcome, and %d events say so", first, settled)
	}
}

// meddler is a journal in which somebody else is first with an append, when it is told to be.
type meddler struct {
	journal.Journal
	mu    sync.Mutex
	first func(journal.Batch) *journal.Batch // nil: nobody
}

func (m *meddler) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	m.mu.Lock()
	first := m.first
	m.mu.Unlock()
	if first != nil {
		if before := first(b); before != nil {
			if _, err := m.Journal.Append(ctx, *before); err != nil {
				return nil, err
			}
		}
	}
	return m.Journal.Append(ctx, b)
}

// An ask's end by an unknown outcome and the settlement of that outcome meet: whichever is second is decided again, and
// the ask goes on either way.
func TestAnAskIsNotLostBetweenItsEndAndASettlement(t *testing.T) {
	w := newWorld(t)
	w.decide, w.call = scripted("book_once"), lost(w)
	m := &meddler{}
	trip := askOrder("trip", "ada")
	m.first = func(b journal.Batch) *journal.Batch {
		if b.Events[0].Type != "OutcomeLost" || b.Events[0].Subject != trip.Key {
			return nil
		}
		m.mu.Lock()
		m.first = nil
		m.mu.Unlock()
		w.mu.Lock()
		child := w.objects["trip-1-0"]
		w.mu.Unlock()
		settled := agent.OutcomeSettled{Outcome: agent.SettledSucceeded, Reason: "it is on record", By: "ada", Command: "settle/0"}
		before := batch(b.Stream, "settle/0", 0, []agent.Event{agent.About{Command: child.Key, Event: settled}})
		return &before
	}
	p := w.start(func(j journal.Journal) journal.Journal {
		m.Journal = j
		return m
	})
	defer p.end()
	p.apply(trip)
	p.waitFor(trip, agent.Succeeded)
	if ends := slices.DeleteFunc(p.types(), func(name string) bool { return name != "OutcomeLost" }); len(ends) != 1 {
		t.Errorf("%d outcomes were recorded as lost, and one was", len(ends))
	}
}

func TestAResolveCommandIsDecidedAgainWhenTheStreamMovedOn(t *testing.T) {
	m := &meddler{}
	_, p, trip := unknownTrip(t, func(j journal.Journal) journal.Journal {
		m.Journal = j
		return m
	})
	defer p.end()
	var tries atomic.Int32
	m.mu.Lock()
	m.first = func(b journal.Batch) *journal.Batch {
		n := tries.Add(1)
		if n > 3 {
			return nil
		}
		name := fmt.Sprintf("meal-%d", n)
		other := order(name, agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: name}))
		before := batch(b.Stream, other.Key, 0, agent.NewState().Accept(other, agent.Approval{Allowed: true, Effect: agent.Internal}))
		return &before
	}
	m.mu.Unlock()
	if c := submit(t, p, resolveOrder("settle", "trip-1-0", agent.SettledSucceeded)); c.Phase != agent.Succeeded {
		t.Errorf("it is %s (%s)", c.Phase, c.Reason)
	}
	p.waitFor(trip, agent.Succeeded)
}

// TestAfterADeathAtAnyAppendASettlementIsCarriedOut kills the process before and after each append from the resolve
// command on, and runs the next one to the end.
func TestAfterADeathAtAnyAppendASettlementIsCarriedOut(t *testing.T) {
	for _, outcome := range []agent.Settlement{agent.SettledSucceeded, agent.RunAgain} {
		for n := 1; n <= 5; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, append %d, after=%v", outcome, n, after), func(t *testing.T) {
					t.Parallel()
					settleDieAndGoOn(t, outcome, &faulty{dieAt: n, after: after})
				})
			}
		}
	}
}

func settleDieAndGoOn(t *testing.T, outcome agent.Settlement, death *faulty) {
	w, p, trip := unknownTrip(t, nil)
	p.end()
	second := w.start(death.wrap)
	settle := resolveOrder("settle", "trip-1-0", outcome)
	second.apply(settle)
	select {
	case <-death.dead:
	case <-time.After(time.Second): // it took fewer appends
	}
	second.end()

	third := w.start(nil)
	defer third.end()
	third.waitFor(settle, agent.Succeeded)
	requests, keys := w.calls()
	if keys != 1 || outcome != agent.RunAgain && requests != 1 || requests > 2 {
		t.Errorf("%d requests under %d keys", requests, keys)
	}
	// A death around the second call leaves it unknown once more, which is again the person's to settle.
	for c := third.wait(trip); c.Phase == agent.OutcomeUnknown && outcome == agent.RunAgain; c = third.wait(trip) {
		again := resolveOrder("settle-again", "trip-1-0", agent.SettledSucceeded)
		third.apply(again)
		third.waitFor(again, agent.Succeeded)
		third.waitFor(trip, agent.Succeeded)
	}
	third.waitFor(trip, agent.Succeeded)
	settled := 0
	for _, name := range third.types() {
		if name == "OutcomeSettled" {
			settled++
		}
	}
	if settled < 1 || settled > 2 || outcome != agent.RunAgain && settled != 1 {
		t.Errorf("%d settlements", settled)
	}
}

// spec.cancel cannot be taken back. A person who lets a stopped command run again means what comes after it.
func TestACommandThatWasToBeStoppedRunsAgain(t *testing.T) {
	w := newWorld(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	answer := lost(w)
	w.call = func(r APIRequest) agent.Outcome {
		if requests, _ := w.calls(); requests == 1 {
			close(entered)
			<-leave
		}
		return answer(r)
	}
	p := w.start(nil)
	defer p.end()
	o := order("book", agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "book_once"}))
	submit(t, p, o)
	<-entered
	if _, err := p.engine.Submit(context.Background(), profile, o, true); err != nil {
		t.Fatal(err)
	}
	close(leave)
	p.waitFor(o, agent.OutcomeUnknown)
	submit(t, p, resolveOrder("again", "book", agent.RunAgain))
	if _, err := p.engine.Submit(context.Background(), profile, o, true); err != nil {
		t.Fatal(err)
	}
	p.waitFor(o, agent.Succeeded)
}
