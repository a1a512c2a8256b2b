package execution

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// wall is a clock that somebody sets.
type wall struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *wall) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *wall) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = ahead
}

func TestAClockThatJumpsAbandonsNoAttemptThatThisProcessHasUnderWay(t *testing.T) {
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			w, c := newWorld(t), &wall{}
			g := w.gate()
			p := w.replica(w.store())
			p.engine.Now = c.now
			p.hold(0)
			o, as := booking("book_once"), w.patient(time.Minute)
			o.Timeout = time.Hour
			sent(t, p, as, o)
			<-g.arrived
			c.set(jump)
			for range 20 { // everything looks at it
				sent(t, p, as, o)
				p.engine.Moved("travel/concierge")
				p.engine.wake()
			}
			if types := p.types(); types[len(types)-1] != "AttemptStarted" {
				t.Errorf("the stream says %v", types)
			}
			close(g.open)
			if got := p.wait(o); got.Phase != agent.Succeeded {
				t.Errorf("%s (%s)", got.Phase, got.Reason)
			}
			p.wantCalls(1, 1)
		})
	}
}

// A timer that was set by a clock which was wrong must not outlive the mistake.
func TestARestIsLookedAtAgainAlthoughTheClockWasSetBack(t *testing.T) {
	w, c := newWorld(t), &wall{}
	g, s := w.gate(), w.store()
	first := w.replica(s, 0)
	o, as := booking("book"), w.patient(50*time.Millisecond)
	sent(t, first, as, o)
	<-g.arrived

	c.set(-24 * time.Hour)
	next := w.replica(s)
	next.engine.Now, next.engine.relook = c.now, 20*time.Millisecond
	next.hold(0)
	sent(t, next, as, o)
	time.Sleep(150 * time.Millisecond)
	if types := next.types(); slices.Contains(types, "AttemptAbandoned") {
		t.Errorf("an attempt was judged before its deadline: %v", types)
	}
	c.set(0)
	<-g.arrived // the deadline has passed, so it is repeated
	close(g.open)
	if got := next.wait(o); got.Phase != agent.Succeeded {
		t.Errorf("%s (%s)", got.Phase, got.Reason)
	}
}
