package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/test/story"
)

// limitFiles has the kernel refuse every write of the operator's to a file past that size: with 0 all of them, as a
// full disk does. The operator's output is a pipe, and goes on.
func (o *operator) limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(o.life.PID(), unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(size, limit.Max)
	if err := unix.Prlimit(o.life.PID(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// TestJournalUnavailable takes the disk away from a running operator while a model thinks and a booking is being made,
// and gives it back: nothing is decided or executed meanwhile, it is said, and nothing is lost or done twice.
func TestJournalUnavailable(t *testing.T) {
	m := newModel(t)
	api := newTravel(t, true)
	thinking, booking := newGate(t), newGate(t)
	api.gate = booking
	m.play(t,
		scriptedmodel.Rule{When: scriptedmodel.When{Question: "slowly"}, Decide: thinking.then(scriptedmodel.Respond("Slowly."))},
		scriptedmodel.Rule{Then: scriptedmodel.Respond("Quickly.")})
	w := newWorld(t, ownOperator(t))
	a := withViews(newAgent("concierge", m.url, call("book", http.MethodPost, api.url+"/bookings", edictv1.EffectNonIdempotent)), "concierge")
	a.Spec.Model.Timeout = duration(5 * time.Minute)
	a.Spec.Operations[0].CallAPI.Timeout = duration(5 * time.Minute)
	w.create(newView("concierge", "concierge"), a)
	w.ready("concierge")
	w.create(newAsk("slow", "concierge", "ada", "Answer slowly."),
		newCallAPI("book-1", "concierge", "book", map[string]any{"flight": "LX2084", "passenger": "ada"}))
	w.eventually(soon, "the model is asked", func() error { return atLeast(len(m.requests("slow")), 1) })
	w.eventually(soon, "the API is called", func() error { return atLeast(api.calls(), 1) })
	before := w.streamLength("concierge")

	w.op.limitFiles(t, 0)
	thinking.release() // the answers come, and cannot be recorded
	booking.release()
	w.create(newAsk("quick", "concierge", "grace", "Answer quickly."), newSaveMemory("seats", "concierge", "preference", "Ada wants window seats."),
		newCallAPI("book-2", "concierge", "book", map[string]any{"flight": "LX2084", "passenger": "grace"}))
	told := w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionJournalWritable, metav1.ConditionFalse, edictv1.ReasonJournalUnavailable)
	if !strings.Contains(told.Message, "nothing is lost") || !strings.Contains(told.Message, "Free space") {
		t.Errorf("the agent says %q", told.Message)
	}
	w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonJournalUnavailable)
	for _, name := range []string{"quick", "seats", "book-2"} {
		w.condition(&edictv1.Command{}, name, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonJournalUnavailable)
	}
	time.Sleep(3 * time.Second) // for what should not happen
	if n := len(m.requests("")); n != 1 {
		t.Errorf("the model was asked %d times, want 1", n)
	}
	if n := api.calls(); n != 1 {
		t.Errorf("the API was called %d times, want 1", n)
	}

	w.op.limitFiles(t, unix.RLIM_INFINITY)
	w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionJournalWritable, metav1.ConditionTrue, edictv1.ReasonReady)
	w.ready("concierge")
	for name, response := range map[string]string{"slow": "Slowly.", "quick": "Quickly.", "seats": "", "book-1": "", "book-2": ""} {
		if c := w.ends(name, verdict{phase: edictv1.CommandSucceeded}); c.Status.Response != response {
			t.Errorf("%s was answered %q", name, c.Status.Response)
		}
	}
	if n := len(m.requests("slow")); n != 1 {
		t.Errorf("the model was asked %d times for one step", n)
	}
	if booked := api.booked(); booked["ada"] != 1 || booked["grace"] != 1 {
		t.Errorf("bookings %v, want one each", booked)
	}
	w.condition(&edictv1.ContextView{}, "concierge", edictv1.ConditionCurrent, metav1.ConditionTrue, edictv1.ReasonCurrent)

	w.op.mustStop(t)
	records := readJournal(t, w.op.journal)
	checkLaws(t, records)
	if len(records) <= before {
		t.Errorf("the journal has %d records, %d before the disk was full", len(records), before)
	}
	if err := sqlite.Verify(t.Context(), w.op.journal); err != nil {
		t.Error(err)
	}
}

// TestKilledWhileJournalUnavailable kills an operator that holds an outcome which it could not record. The next one
// finds the attempt open: it does not know, and does not guess.
func TestKilledWhileJournalUnavailable(t *testing.T) {
	api := newTravel(t, true)
	booking := newGate(t)
	api.gate = booking
	w := newWorld(t, ownOperator(t))
	book := call("book", http.MethodPost, api.url+"/bookings", edictv1.EffectNonIdempotent)
	book.CallAPI.Timeout = duration(3 * time.Second)
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1", book))
	w.ready("concierge")
	w.create(newCallAPI("book-1", "concierge", "book", map[string]any{"flight": "LX2084", "passenger": "ada"}))
	w.eventually(soon, "the API is called", func() error { return atLeast(api.calls(), 1) })
	w.op.limitFiles(t, 0)
	booking.release()
	w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionJournalWritable, metav1.ConditionFalse, edictv1.ReasonJournalUnavailable)
	if err := w.op.kill(); err != nil {
		t.Fatal(err)
	}
	w.op.mustStart(t)
	w.ends("book-1", verdict{edictv1.CommandOutcomeUnknown, "AttemptInterrupted", "Look at the receiver"})
	s := w.journalled("book-1", agent.OutcomeUnknown, "AttemptInterrupted")
	if n := api.booked()["ada"]; n != 1 || api.calls() != 1 || story.Count[agent.AttemptStarted](s) != 1 {
		t.Errorf("%d bookings by %d calls in %d attempts, want one of each", n, api.calls(), story.Count[agent.AttemptStarted](s))
	}
}

// TestJournalUnavailableUnderLoad takes the disk away, twice, while commands stream in: whatever was being written, the
// operator lives on, ends every command once, and its views catch up.
func TestJournalUnavailableUnderLoad(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	w.create(newView("concierge", "concierge"), newAgent("concierge", "http://127.0.0.1:1/v1"))
	w.ready("concierge")
	const commands = 300
	name := func(i int) string { return fmt.Sprintf("note-%d", i) }
	created := make(chan error, 1)
	go func() {
		for i := range commands {
			if err := w.tryCreate(newSaveMemory(name(i), "concierge", "note", fmt.Sprintf("Note %d.", i))); err != nil {
				created <- err
				return
			}
		}
		created <- nil
	}()
	for range 2 {
		before := w.streamLength("concierge")
		w.eventually(soon, "commands are accepted", func() error { return atLeast(w.streamLength("concierge"), before+40) })
		w.op.limitFiles(t, 0)
		w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionJournalWritable, metav1.ConditionFalse, edictv1.ReasonJournalUnavailable)
		w.op.limitFiles(t, unix.RLIM_INFINITY)
		w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionJournalWritable, metav1.ConditionTrue, edictv1.ReasonReady)
	}
	if err := <-created; err != nil {
		t.Fatal(err)
	}
	for i := range commands {
		w.command(name(i), edictv1.CommandSucceeded)
	}
	checkLaws(t, readJournal(t, w.op.journal))
	w.eventually(soon, "the view has seen everything", func() error {
		var v edictv1.ContextView
		if err := w.get("concierge", &v); err != nil {
			return err
		}
		return atLeast(int(v.Status.Sequence), w.streamLength("concierge"))
	})
}
