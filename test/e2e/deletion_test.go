package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/test/story"
)

// journalled waits until the journal tells that the command ended in that phase.
func (w *world) journalled(command string, phase agent.Phase, reason string) *story.Story {
	w.Helper()
	var found *story.Story
	w.eventually(soon, fmt.Sprintf("the journal says that %s is %s", command, phase), func() error {
		if found = w.storyOf(command); found == nil {
			return fmt.Errorf("it does not know it")
		}
		if c := found.Command(); c.Phase != phase || c.Reason != reason {
			return fmt.Errorf("it says %s (%s): %s", c.Phase, c.Reason, c.Message)
		}
		return nil
	})
	return found
}

// TestDeleteAskUnderWay deletes an ask while the model thinks: it is cancelled, and nobody waits for the model.
func TestDeleteAskUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	m := newModel(t, scriptedmodel.Rule{Misbehave: &scriptedmodel.Misbehaviour{Hang: true}})
	a := newAgent("concierge", m.url)
	a.Spec.Model.Timeout = duration(5 * time.Minute)
	ask := newAsk("hello", "concierge", "ada", "Hello")
	w.create(a, ask)
	w.eventually(soon, "the model is asked", func() error { return atLeast(len(m.requests("hello")), 1) })
	w.delete(ask)
	w.gone(ask)
	w.journalled("hello", agent.Cancelled, "CommandDeleted")
	w.eventually(soon, "no command is open", func() error {
		var a edictv1.Agent
		if err := w.get("concierge", &a); err != nil {
			return err
		}
		if a.Status.OpenCommands != 0 {
			return fmt.Errorf("%d are", a.Status.OpenCommands)
		}
		return nil
	})
}

func atLeast(n, want int) error {
	if n < want {
		return fmt.Errorf("there are %d, want %d", n, want)
	}
	return nil
}

// TestDeleteCallUnderWay deletes a booking while it is being made: the call is let finish, and its outcome recorded.
func TestDeleteCallUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	api := newTravel(t, false)
	gate := newGate(t)
	api.gate = gate
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1", call("book", http.MethodPost, api.url+"/bookings", edictv1.EffectNonIdempotent)))
	booking := newCallAPI("book-1", "concierge", "book", map[string]any{"flight": "LX2084", "passenger": "ada"})
	w.create(booking)
	w.eventually(soon, "the API is called", func() error { return atLeast(api.calls(), 1) })
	w.delete(booking)
	w.gone(booking)
	gate.release()
	s := w.journalled("book-1", agent.Succeeded, "")
	if n := story.Count[agent.AttemptSucceeded](s); n != 1 || api.booked()["ada"] != 1 {
		t.Errorf("%d successes are recorded, %d bookings were made", n, api.booked()["ada"])
	}
}

// TestDeleteAgent deletes an agent with an open command, and creates another of its name.
func TestDeleteAgent(t *testing.T) {
	t.Parallel()
	op := theSuite(t).sharedOperator(t)
	for _, c := range []struct {
		policy  edictv1.ReclaimPolicy
		stream  string // that the next agent of the name writes, without the namespace
		inherit bool
	}{
		{edictv1.ReclaimDelete, "concierge@2", false},
		{edictv1.ReclaimRetain, "concierge", true},
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, op)
			m := newModel(t,
				scriptedmodel.Rule{When: scriptedmodel.When{Question: "think"}, Misbehave: &scriptedmodel.Misbehaviour{Hang: true}},
				scriptedmodel.Rule{When: scriptedmodel.When{Prompt: "window seats"}, Then: scriptedmodel.Respond("A window seat.")},
				scriptedmodel.Rule{Then: scriptedmodel.Respond("I know nothing about you.")})
			declare := func() *edictv1.Agent {
				a := withViews(newAgent("concierge", m.url), "concierge")
				a.Spec.Model.Timeout = duration(5 * time.Minute)
				a.Spec.ReclaimPolicy = c.policy
				return a
			}
			first := declare()
			w.create(newView("concierge", "concierge"), first)
			w.create(newSaveMemory("seats", "concierge", "preference", "Ada wants window seats."))
			w.ends("seats", verdict{phase: edictv1.CommandSucceeded})
			w.create(newAsk("think", "concierge", "ada", "Please think for long."))
			w.eventually(soon, "the model is asked", func() error { return atLeast(len(m.requests("think")), 1) })
			w.delete(first)
			w.gone(first)
			w.ends("think", verdict{edictv1.CommandCancelled, "AgentDeleted", "was deleted"})

			w.create(declare())
			if a := w.ready("concierge"); a.Status.Stream != w.ns+"/"+c.stream {
				t.Errorf("the next agent writes stream %s, want %s", a.Status.Stream, w.ns+"/"+c.stream)
			}
			w.create(newAsk("seat", "concierge", "ada", "Which seat do I want?"))
			ask := w.ends("seat", verdict{phase: edictv1.CommandSucceeded})
			if inherited := ask.Status.Response == "A window seat."; inherited != c.inherit {
				t.Errorf("the next agent answers %q", ask.Status.Response)
			}
		})
	}
}

// TestApplyAgain applies the same manifests again, deletes the objects and applies them once more: nothing runs.
func TestApplyAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	api := newTravel(t, true) // it would book again
	m := newModel(t,
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1}, Then: issue("book", map[string]any{"flight": "LX2084", "passenger": "grace"})},
		scriptedmodel.Rule{Then: scriptedmodel.Respond("It is booked.")})
	manifests := strings.NewReplacer("MODEL", m.url, "TRAVEL", api.url).Replace(`
apiVersion: edict.dev/v1alpha1
kind: Agent
metadata: {name: concierge}
spec:
  instructions: You help people travel.
  model: {baseURL: MODEL, name: scripted}
  operations:
  - {name: book, type: CallAPI, parameters: {type: object}, callAPI: {method: POST, url: "TRAVEL/bookings"}}
---
apiVersion: edict.dev/v1alpha1
kind: Command
metadata: {name: remember}
spec: {agentRef: {name: concierge}, saveMemory: {kind: preference, content: Ada wants window seats.}}
---
apiVersion: edict.dev/v1alpha1
kind: Command
metadata: {name: book-1}
spec: {agentRef: {name: concierge}, callAPI: {operation: book, arguments: {flight: LX2084, passenger: ada}}}
---
apiVersion: edict.dev/v1alpha1
kind: Command
metadata: {name: ask-1}
spec: {agentRef: {name: concierge}, ask: {conversation: grace, message: Book the flight to Lisbon.}}
`)
	names := []string{"remember", "book-1", "ask-1", "ask-1-1-0"}
	apply := func() {
		t.Helper()
		if out, err := w.suite.cluster.KubectlStdin(t.Context(), manifests, "apply", "-n", w.ns, "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, name := range names[:3] {
			w.ends(name, verdict{phase: edictv1.CommandSucceeded})
		}
	}
	apply()
	w.ends(names[3], verdict{phase: edictv1.CommandSucceeded})
	events, requests := w.streamLength("concierge"), len(m.requests(""))

	unchanged := func(what string) {
		t.Helper()
		time.Sleep(time.Second) // for what should not happen
		if n := w.streamLength("concierge"); n != events {
			t.Errorf("%s: the journal has %d events of the agent, %d before", what, n, events)
		}
		if n := len(m.requests("")); n != requests {
			t.Errorf("%s: the model was asked %d times, %d before", what, n, requests)
		}
		if booked := api.booked(); booked["ada"] != 1 || booked["grace"] != 1 {
			t.Errorf("%s: bookings %v, want one each", what, booked)
		}
	}
	apply()
	unchanged("applied again")

	for _, name := range names[:3] {
		w.delete(&edictv1.Command{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}})
	}
	for _, name := range names {
		w.gone(&edictv1.Command{ObjectMeta: metav1.ObjectMeta{Name: name}}) // the issued one goes with its ask
	}
	apply()
	unchanged("deleted and applied again")
}

// TestTimeToLive lets an ended command be deleted, as GitOps would re-create it: nothing runs, and it is deleted again.
func TestTimeToLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	api := newTravel(t, true)
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1", call("book", http.MethodPost, api.url+"/bookings", edictv1.EffectNonIdempotent)))
	events := 0
	for round := range 3 {
		c := newCallAPI("book-1", "concierge", "book", map[string]any{"flight": "LX2084", "passenger": "ada"})
		ttl := int32(1)
		c.Spec.TTLSecondsAfterFinished = &ttl
		w.create(c)
		w.gone(c)
		if round == 0 {
			events = w.streamLength("concierge")
		}
	}
	if n := w.streamLength("concierge"); n != events || events == 0 {
		t.Errorf("the journal has %d events of the agent, %d after the first run", n, events)
	}
	if n := api.booked()["ada"]; n != 1 {
		t.Errorf("%d bookings, want 1", n)
	}
}
