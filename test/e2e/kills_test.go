package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

const (
	defaultKills  = 30
	conversations = 12
)

// TestKills kills the operator at random moments while it answers asks that make one booking each, and then looks for
// what was lost, and what was done twice.
//
// EDICT_KILLS sets the number of kills, with ten asks for every three; EDICT_SEED repeats the moments of a run.
func TestKills(t *testing.T) {
	for _, effect := range []edictv1.Effect{edictv1.EffectIdempotent, edictv1.EffectNonIdempotent} {
		t.Run(string(effect), func(t *testing.T) {
			k := newKilling(t, effect)
			k.run()
			k.checkAsks()
			records := readJournal(t, k.op.journal)
			checkLaws(t, records)
			k.checkRequests(records)
			k.checkEvents()
			k.op.mustStop(t)
			if err := sqlite.Verify(t.Context(), k.op.journal); err != nil {
				t.Error(err)
			}
		})
	}
}

// killing is one run of TestKills.
type killing struct {
	*world
	model       *model
	api         *travel
	effect      edictv1.Effect
	random      *rand.Rand
	kills, asks int
	created     int
}

func newKilling(t *testing.T, effect edictv1.Effect) *killing {
	t.Helper()
	kills := int(environment(t, "EDICT_KILLS", defaultKills))
	seed := uint64(environment(t, "EDICT_SEED", time.Now().UnixNano()%1_000_000))
	k := &killing{effect: effect, random: rand.New(rand.NewPCG(seed, uint64(kills))), kills: kills, asks: (10*kills + 2) / 3}
	t.Logf("%d kills during %d asks; EDICT_SEED=%d repeats their moments", kills, k.asks, seed)

	latency := func() time.Duration { return time.Duration(20+rand.IntN(380)) * time.Millisecond }
	k.model = newModel(t,
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1, Question: `for (?P<who>\S+)$`},
			Then: issue("book_flight", map[string]any{"flight": "LX2084", "passenger": "${who}"})},
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 2}, Then: scriptedmodel.Respond("It is booked.")})
	k.model.latency = latency
	k.api = newTravel(t, effect == edictv1.EffectNonIdempotent)
	k.api.latency = latency
	k.world = newWorld(t, ownOperator(t))

	book := call("book_flight", http.MethodPost, k.api.url+"/bookings", effect)
	book.CallAPI.Timeout = duration(2 * time.Second)
	a := withViews(newAgent("concierge", k.model.url, book), "concierge")
	a.Spec.Model.Timeout = duration(time.Second)
	k.create(newView("concierge", "concierge"), a)
	k.ready("concierge")
	return k
}

func environment(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q is not a positive number", name, text)
	}
	return n
}

// run creates the asks, a few before each kill so that some are under way at each, kills the operator at a random
// moment of its life, starting included, and at last lets it finish.
func (k *killing) run() {
	k.Helper()
	for kill := range k.kills {
		k.ask((kill + 1) * k.asks / k.kills)
		time.Sleep(100*time.Millisecond + time.Duration(k.random.Int64N(int64(2200*time.Millisecond))))
		if err := k.op.kill(); err != nil {
			k.Fatalf("kill %d: %v\n%s", kill+1, err, k.op.logs.Tail(40))
		}
		if err := k.op.start(); err != nil {
			k.Fatal(err)
		}
	}
	for i := range k.asks {
		k.command(askName(i), edictv1.CommandSucceeded, edictv1.CommandFailed, edictv1.CommandCancelled, edictv1.CommandOutcomeUnknown)
	}
}

func askName(i int) string { return fmt.Sprintf("ask-%04d", i) }

// ask creates the asks up to number n, of several conversations in turn.
func (k *killing) ask(n int) {
	k.Helper()
	for ; k.created < n; k.created++ {
		name := askName(k.created)
		c := newAsk(name, "concierge", fmt.Sprintf("conversation-%d", k.created%conversations), "Book the flight to Lisbon for "+name)
		// A busy machine may be too slow for a timeout of a second now and then. That is a failed attempt, and not what
		// this test is about.
		c.Spec.Retry.MaxAttempts = 20
		k.create(c)
	}
}

// checkAsks compares how each ask ended with the bookings that were made for it.
func (k *killing) checkAsks() {
	k.Helper()
	booked := k.api.booked()
	unknown, total := 0, 0
	for i := range k.asks {
		name := askName(i)
		c := k.command(name, edictv1.CommandSucceeded, edictv1.CommandFailed, edictv1.CommandCancelled, edictv1.CommandOutcomeUnknown)
		n := booked[name]
		total += n
		switch {
		case c.Status.Phase == edictv1.CommandSucceeded && n == 1 && c.Status.Response == "It is booked.":
		case c.Status.Phase == edictv1.CommandOutcomeUnknown && n <= 1 && k.effect == edictv1.EffectNonIdempotent:
			unknown++
		default:
			k.Errorf("%s is %s with %d bookings, response %q:%s", name, c.Status.Phase, n, c.Status.Response, explain(c.Status.Conditions))
		}
	}
	k.Logf("%d asks: %d bookings, %d with an unknown outcome", k.asks, total, unknown)
	if k.effect == edictv1.EffectIdempotent && total != k.asks {
		k.Errorf("%d bookings, want %d", total, k.asks)
	}
}

// checkRequests compares what the model was asked with what the journal tells: a step is asked once, and once more for
// each attempt that came to nothing, and never after its decision was recorded.
func (k *killing) checkRequests(records []journal.Record) {
	k.Helper()
	type step struct {
		key  string
		step int
	}
	lost, decided := map[step]int{}, map[step]time.Time{}
	cut := 0
	for _, s := range stories(k.T, records) {
		open := map[int]int{} // step by attempt
		for _, r := range s.Events {
			switch e := r.Event.(type) {
			case agent.AttemptStarted:
				open[e.Attempt] = e.Step
			case agent.AttemptAbandoned:
				cut++
				lost[step{s.Key, open[e.Attempt]}]++
			case agent.AttemptFailed:
				lost[step{s.Key, open[e.Attempt]}]++
			case agent.OutcomeLost:
				if e.Reason == "AttemptInterrupted" {
					cut++
				}
			case agent.DecisionMade:
				decided[step{s.Key, e.Step}] = r.Time
			}
		}
	}
	requests := map[step]int{}
	for _, a := range k.model.requests("") {
		at := step{a.key, a.step}
		requests[at]++
		if when, ok := decided[at]; ok && a.at.After(when) {
			k.Errorf("step %d of %s was asked for at %s, after its decision was recorded at %s", a.step, a.key, a.at.UTC(), when)
		}
	}
	for at, n := range requests {
		if n > 1+lost[at] {
			k.Errorf("step %d of %s was asked for %d times, and %d attempts are recorded as lost", at.step, at.key, n, lost[at])
		}
	}
	k.Logf("%d decisions, %d attempts found open after a kill", len(decided), cut)
	if cut < k.kills/3 {
		k.Errorf("only %d attempts were cut off by %d kills: the kills do not hit what they are to hit", cut, k.kills)
	}
}

// checkEvents looks for commands whose end was told by no Kubernetes Event, or by two.
func (k *killing) checkEvents() {
	k.Helper()
	var commands edictv1.CommandList
	var events eventsv1.EventList
	for _, list := range []client.ObjectList{&commands, &events} {
		if err := k.suite.client.List(k.Context(), list, client.InNamespace(k.ns)); err != nil {
			k.Fatal(err)
		}
	}
	told := map[string]int{}
	for _, e := range events.Items {
		told[string(e.Regarding.UID)]++
	}
	for _, c := range commands.Items {
		if n := told[string(c.UID)]; n != 1 {
			k.Errorf("%d Kubernetes Events tell of %s's end, want 1", n, c.Name)
		}
	}
	if len(commands.Items) != 2*k.asks {
		k.Errorf("there are %d commands, want %d: each ask, and its booking", len(commands.Items), 2*k.asks)
	}
}
