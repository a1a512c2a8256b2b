package execution

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// outdoors is a cluster of one object, or whatever a test has Read return.
type outdoors struct {
	mu   sync.Mutex
	asks []string // namespace/service account: object
	read func(ctx context.Context) (Object, error)
}

func (o *outdoors) Read(ctx context.Context, namespace, account string, ref agent.ObjectReference) (Object, error) {
	o.mu.Lock()
	o.asks = append(o.asks, namespace+"/"+account+": "+ref.String())
	read := o.read
	o.mu.Unlock()
	return read(ctx)
}

// shows lets the object say this; nothing: it is not there.
func (o *outdoors) shows(content map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read = func(context.Context) (Object, error) {
		return Object{Namespace: "travel", UID: "u", ResourceVersion: "1", Content: content}, nil
	}
}

func (o *outdoors) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asks)
}

// life begins a life of the operator that looks outdoors.
func (o *outdoors) life(w *world) *process {
	p := w.start(nil)
	p.engine.Objects = o // nothing runs before the first order
	return p
}

var watching = func() agent.Profile {
	p := profile
	p.ServiceAccount = "reader"
	return p
}()

func lookOrder(name string) agent.Order {
	return order(name, agent.NewIntent(agent.Observe, agent.ObservePayload{Name: "web",
		Object: agent.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		Fields: []agent.ObservedField{{Name: "ready", JSONPath: "{.status.ready}"}}}))
}

func (p *process) looked(o agent.Order) *agent.Command {
	p.t.Helper()
	delivered(p.t, p, watching, o, false)
	return p.wait(o)
}

// observed returns what the journal holds of observations.
func (p *process) observed() []agent.ObjectObserved {
	p.t.Helper()
	return recorded[agent.ObjectObserved](p, everything)
}

func TestAnObjectIsReadAsTheAgentsServiceAccountAndRecordedWhenItHasChanged(t *testing.T) {
	w, o := newWorld(t), &outdoors{}
	ready := func(n int64) map[string]any { return map[string]any{"status": map[string]any{"ready": n}} }
	o.shows(ready(3))
	p := o.life(w)
	defer func() { p.end() }()
	if c := p.looked(lookOrder("first")); c.Phase != agent.Succeeded || c.Message != "Observed Deployment travel/web as web." {
		t.Errorf("%s: %s", c.Phase, c.Message)
	}
	if c := p.looked(lookOrder("second")); c.Phase != agent.Succeeded || !strings.Contains(c.Message, "nothing was recorded") {
		t.Errorf("%s: %s", c.Phase, c.Message)
	}
	p.end()
	o.shows(nil)
	p = o.life(w)
	p.looked(lookOrder("third"))
	seen := agent.ObjectObserved{Observation: "web", APIVersion: "apps/v1", Kind: "Deployment", Namespace: "travel", Name: "web",
		UID: "u", ResourceVersion: "1", Fields: json.RawMessage(`{"ready":3}`)}
	gone := agent.ObjectObserved{Observation: "web", APIVersion: "apps/v1", Kind: "Deployment", Namespace: "travel", Name: "web", Missing: true}
	if diff := cmp.Diff([]agent.ObjectObserved{seen, gone}, p.observed()); diff != "" {
		t.Error(diff)
	}
	if as := "travel/reader: Deployment web"; o.times() != 3 || o.asks[0] != as {
		t.Errorf("it was read as %v", o.asks)
	}
	want := agent.ObservationState{Observed: agent.Observed{Digest: gone.Digest(), Looked: int64(len(p.types()))}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // an append is folded just after it is there to be read
		_, state, err := p.engine.Observation(context.Background(), "travel", "concierge", "web")
		if err == nil && state == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stream says %+v (%v), want %+v", state, err, want)
		}
	}
}

func TestALookThatFailsSaysWhyAndIsTakenAgainOnlyIfThatMayHelp(t *testing.T) {
	for _, test := range []struct {
		name, reason, says string
		read               func(context.Context) (Object, error)
		times              int
	}{
		{"it may not be read", ReasonObjectForbidden, "may not get", func(context.Context) (Object, error) {
			return Object{}, fault.NewWait(time.Millisecond, ReasonObjectForbidden, "It may not get it.")
		}, 3},
		{"there is no such kind", ReasonObjectInvalid, "no namespaces", func(context.Context) (Object, error) {
			return Object{}, fault.NewInvalid(ReasonObjectInvalid, "It has no namespaces.")
		}, 1},
		{"the API server is away", ReasonObjectUnavailable, "just now", func(context.Context) (Object, error) { return Object{}, errors.New("connection refused by hunter2") }, 3},
		{"a field is too large", "FieldTooLarge", `"ready"`, func(context.Context) (Object, error) {
			return Object{Content: map[string]any{"status": map[string]any{"ready": strings.Repeat("x", 5000)}}}, nil
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, o := newWorld(t), &outdoors{read: test.read}
			p := o.life(w)
			defer p.end()
			c := p.looked(lookOrder("look"))
			if c.Phase != agent.Failed || c.Reason != test.reason || !strings.Contains(c.Message, test.says) || strings.Contains(c.Message, "hunter") {
				t.Errorf("%s (%s): %s", c.Phase, c.Reason, c.Message)
			}
			if o.times() != test.times || len(p.observed()) != 0 {
				t.Errorf("it was read %d times, and %v is recorded", o.times(), p.observed())
			}
		})
	}
}

func TestALookThatDoesNotEndIsCutOffWithItsCommand(t *testing.T) {
	w, began := newWorld(t), make(chan struct{})
	o := &outdoors{read: func(ctx context.Context) (Object, error) {
		close(began)
		<-ctx.Done()
		return Object{}, ctx.Err()
	}}
	p := o.life(w)
	defer p.end()
	look := lookOrder("look")
	delivered(t, p, watching, look, false)
	<-began
	delivered(t, p, watching, look, true)
	if c := p.wait(look); c.Phase != agent.Cancelled || len(p.observed()) != 0 {
		t.Errorf("%s: %s", c.Phase, c.Message)
	}
}

func TestNothingIsReadThatMayNotBeObserved(t *testing.T) {
	o := &outdoors{}
	secret := lookOrder("secret").Intent.Observe()
	secret.Object = agent.ObjectReference{APIVersion: "v1", Kind: "Secret", Name: "key"}
	broken := lookOrder("broken").Intent.Observe()
	broken.Fields[0].JSONPath = "{"
	for reason, c := range map[string]struct {
		as agent.Profile
		of agent.ObservePayload
	}{
		ReasonServiceAccountUnset: {profile, lookOrder("look").Intent.Observe()},
		ReasonSecretNotObservable: {watching, secret},
		"FieldInvalid":            {watching, broken},
	} {
		if _, err := Look(t.Context(), o, c.as, c.of); !fault.Is(err, fault.Invalid) || fault.Of(err).Reason != reason {
			t.Errorf("want %s, got %v", reason, err)
		}
	}
	if o.times() != 0 {
		t.Errorf("it was read: %v", o.asks)
	}
}
