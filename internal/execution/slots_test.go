package execution

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
)

// building is Contexts as a function.
type building func(ctx context.Context, r ContextRequest) (agent.Context, error)

func (b building) Build(ctx context.Context, r ContextRequest) (agent.Context, error) {
	return b(ctx, r)
}

func TestAsksThatWaitForTheReadSideKeepNoCallWaiting(t *testing.T) {
	w := newWorld(t)
	w.decide = scripted("")
	p := w.start(nil)
	defer p.end()
	p.engine.slots, p.engine.preparing = make(chan struct{}, 1), make(chan struct{}, 1)
	behind, caughtUp := make(chan struct{}, 1), make(chan struct{})
	p.engine.Contexts = building(func(ctx context.Context, r ContextRequest) (agent.Context, error) {
		behind <- struct{}{}
		<-caughtUp
		return w.Build(ctx, r)
	})
	p.as.Views = []string{"facts"}

	ask := askOrder("trip", "ana")
	p.apply(ask)
	<-behind
	call := order("booking", agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "book", Arguments: json.RawMessage(`{"flight":"ED1"}`)}))
	p.apply(call)
	if c := p.wait(call); c.Phase != agent.Succeeded {
		t.Errorf("the call is %s (%s)", c.Phase, c.Reason)
	}
	close(caughtUp)
	if c := p.wait(ask); c.Phase != agent.Succeeded {
		t.Errorf("the ask is %s (%s)", c.Phase, c.Reason)
	}
}
