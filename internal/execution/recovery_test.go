package execution

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// faulty is a journal whose process dies at an append: before it (the record is
// not there) or after it (the record is there, and nobody was told).
type faulty struct {
	journal.Journal
	dieAt int  // the nth append, from 1; 0: never
	after bool // the append is made before the process dies

	mu    sync.Mutex
	count int
	dead  chan struct{}
	full  bool // appends are refused, as on a full disk
}

var errDead = fmt.Errorf("the process died: %w", journal.ErrClosed)

func (f *faulty) wrap(j journal.Journal) journal.Journal {
	f.Journal = j
	f.dead = make(chan struct{})
	return f
}

func (f *faulty) appends() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func (f *faulty) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	f.mu.Lock()
	f.count++
	n, full := f.count, f.full
	f.mu.Unlock()
	if full {
		return nil, fmt.Errorf("disk full: %w", journal.ErrUnavailable)
	}
	switch {
	case f.dieAt == 0 || n < f.dieAt:
		return f.Journal.Append(ctx, b)
	case n == f.dieAt:
		if f.after {
			if _, err := f.Journal.Append(ctx, b); err != nil {
				return nil, err
			}
		}
		close(f.dead)
	}
	return nil, errDead
}

func (f *faulty) Check(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return journal.ErrUnavailable
	}
	return f.Journal.Check(ctx)
}

// TestAfterADeathAtAnyAppendTheNextProcessEndsTheSame kills the process before
// and after each append of an ask with one call, and runs the next one to the end.
func TestAfterADeathAtAnyAppendTheNextProcessEndsTheSame(t *testing.T) {
	for _, operation := range []string{"book", "book_once"} {
		for n := 1; n <= 8; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, append %d, after=%v", operation, n, after), func(t *testing.T) {
					t.Parallel()
					dieAndGoOn(t, operation, &faulty{dieAt: n, after: after})
				})
			}
		}
	}
}

func dieAndGoOn(t *testing.T, operation string, death *faulty) {
	w := newWorld(t)
	w.decide = scripted(operation)
	first := w.start(death.wrap)
	o := askOrder("trip", "ada")
	first.apply(o)
	select {
	case <-death.dead:
	case <-time.After(time.Second): // the ask took fewer appends
	}
	first.end()

	second := w.start(nil)
	defer second.end()
	c := second.wait(o)
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := 0
	for _, n := range w.called {
		calls += n
	}
	switch {
	case operation == "book" && (c.Phase != agent.Succeeded || calls < 1):
		t.Errorf("%s (%s) after %d calls", c.Phase, c.Reason, calls)
	case operation == "book_once" && (calls > 1 || c.Phase != agent.Succeeded && c.Phase != agent.OutcomeUnknown):
		t.Errorf("%s (%s) after %d calls", c.Phase, c.Reason, calls)
	}
	if len(w.called) > 1 {
		t.Errorf("more than one key: %v", w.called)
	}
	assertDecisionsOnce(t, second, w.asked)
}

// assertDecisionsOnce checks that no step has two recorded decisions, and that a
// step was asked twice only if its first attempt is recorded as abandoned or cut off.
func assertDecisionsOnce(t *testing.T, p *process, asked map[string]int) {
	t.Helper()
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	made, closed := map[int]int{}, 0
	for i, r := range records {
		if r.Sequence != int64(i+1) {
			t.Errorf("sequence %d at place %d", r.Sequence, i+1)
		}
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case agent.DecisionMade:
			made[e.Step]++
		case agent.AttemptAbandoned, agent.AttemptFailed:
			closed++
		}
	}
	for step, n := range made {
		if n != 1 {
			t.Errorf("step %d was decided %d times", step, n)
		}
	}
	again := 0
	for _, n := range asked {
		again += n - 1
	}
	if again > closed {
		t.Errorf("%d requests to the model were repeated, %d attempts were closed without an answer", again, closed)
	}
}

func TestAFullDiskStopsDecisionsAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.decide = scripted("")
	disk := &faulty{full: true}
	p := w.start(disk.wrap)
	defer p.end()
	o := askOrder("hello", "ada")
	p.apply(o)
	for p.engine.Healthy() == nil {
		time.Sleep(time.Millisecond)
	}
	w.mu.Lock()
	if len(w.asked) != 0 {
		t.Error("the model was asked while nothing could be recorded")
	}
	w.mu.Unlock()
	disk.mu.Lock()
	disk.full = false
	disk.mu.Unlock()
	if c := p.wait(o); c.Phase != agent.Succeeded {
		t.Errorf("got %s", c.Phase)
	}
	for range 300 {
		if p.engine.Healthy() == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(errors.Join(errors.New("the engine stays ill"), p.engine.Healthy()))
}

func TestAnOutcomeIsKeptUntilTheDiskTakesIt(t *testing.T) {
	w := newWorld(t)
	disk := &faulty{}
	w.decide = func(q agent.Inquiry) (agent.Answer, error) {
		disk.mu.Lock()
		disk.full = true
		disk.mu.Unlock()
		time.AfterFunc(100*time.Millisecond, func() {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			disk.full = false
		})
		return scripted("")(q)
	}
	p := w.start(disk.wrap)
	defer p.end()
	o := askOrder("hello", "ada")
	p.apply(o)
	p.wait(o)
	w.mu.Lock()
	defer w.mu.Unlock()
	for step, n := range w.asked {
		if n != 1 {
			t.Errorf("%s was asked %d times", step, n)
		}
	}
}

type deciderFunc func(ctx context.Context, q agent.Inquiry) (agent.Answer, error)

func (f deciderFunc) Decide(ctx context.Context, q agent.Inquiry) (agent.Answer, error) {
	return f(ctx, q)
}
