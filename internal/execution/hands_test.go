package execution

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// TestChangesOfHandsRepeatNothing moves the shard to and fro between two processes
// while commands run whose calls outlive a change, but not their deadlines.
func TestChangesOfHandsRepeatNothing(t *testing.T) {
	w := newWorld(t)
	w.call = func(APIRequest) agent.Outcome {
		time.Sleep(3 * time.Millisecond)
		return agent.Outcome{Verdict: agent.Done, Message: "Booked."}
	}
	w.decide = scripted("book_once")
	s := w.store()
	replicas := []*process{w.replica(s, 0), w.replica(s)}
	for _, p := range replicas {
		p.as = w.patient(time.Minute)
		p.as.Model.Timeout = time.Minute
	}
	var all []agent.Order
	for i := range 20 {
		o := askOrder(fmt.Sprintf("trip-%d", i), fmt.Sprintf("person-%d", i%8))
		all = append(all, o)
		replicas[i%2].apply(o)
	}
	ctx, stop := context.WithCancel(t.Context())
	var moving sync.WaitGroup
	moving.Go(func() { s.change(ctx, replicas) })
	for _, o := range all {
		if c := replicas[0].wait(o); c.Phase != agent.Succeeded {
			t.Errorf("%s is %s (%s)", o.Name, c.Phase, c.Reason)
		}
	}
	stop()
	moving.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, n := range w.called {
		if n != 1 {
			t.Errorf("%s was called %d times", key, n)
		}
	}
	if len(w.called) != len(all) {
		t.Errorf("%d of %d were called", len(w.called), len(all))
	}
}

// change lets one replica after the other claim the shard, and says to all that the stream moved, as who follows the
// journal does.
func (*store) change(ctx context.Context, replicas []*process) {
	for i := 1; ctx.Err() == nil; i++ {
		if i%10 == 0 {
			taker := replicas[i/10%2]
			taker.hold() // it looks anew at whose the shard is
			taker.hold(0)
			taker.look()
		}
		time.Sleep(5 * time.Millisecond)
		for _, p := range replicas {
			p.engine.Moved("travel/concierge")
		}
	}
}
