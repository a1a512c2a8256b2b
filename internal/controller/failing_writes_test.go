package controller

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// story is a command, what runs beside it, and what is left when it has run.
type story struct {
	name    string
	command func() *edictv1.Command
	decides bool // to book
	writes  map[string]int
	notes   []string
	objects int // Commands in the end
	called  int // requests to the API
	journal []string
}

var saveStory = story{
	name: "a SaveMemory", command: func() *edictv1.Command { return remember("seat", "window seats") },
	writes:  map[string]int{"status of Command": 1, "create Event": 1},
	notes:   []string{"seat Succeeded"},
	objects: 1,
	journal: []string{"CommandAccepted", "CommandApproved", "MemorySaved", "CommandSucceeded"},
}

var askStory = story{
	name: "an ask", command: func() *edictv1.Command { return ask("trip") },
	writes:  map[string]int{"status of Command": 1, "create Event": 1},
	notes:   []string{"trip Succeeded"},
	objects: 1,
	journal: []string{"CommandAccepted", "MessageReceived", "CommandApproved", "AttemptStarted", "DecisionMade", "ResponseGiven", "CommandSucceeded"},
}

var toolStory = story{
	name: "an ask with a tool", command: func() *edictv1.Command { return ask("trip") }, decides: true,
	writes:  map[string]int{"status of Command": 2, "create Event": 2, "create Command": 1},
	notes:   []string{"trip Succeeded", "trip-1-0 Succeeded"},
	objects: 2, called: 1,
	journal: []string{"CommandAccepted", "MessageReceived", "CommandApproved", "AttemptStarted", "DecisionMade",
		"CommandAccepted", "CommandApproved", "AttemptStarted", "AttemptSucceeded", "CommandSucceeded",
		"AttemptStarted", "DecisionMade", "ResponseGiven", "CommandSucceeded"},
}

// begin makes a house with an agent, and creates the story's command.
func (s story) begin(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	if s.decides {
		h.decide = bookFirst
	}
	h.hire(concierge())
	h.create(s.command())
	return h
}

// ended checks that everything happened, and happened once.
func (s story) ended(h *house) {
	h.Helper()
	if diff := cmp.Diff(s.notes, h.notes()); diff != "" {
		h.Errorf("Kubernetes Events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.journal, h.told("concierge")); diff != "" {
		h.Errorf("journal (-want +got):\n%s", diff)
	}
	if got := len(h.all()); got != s.objects {
		h.Errorf("%d Commands, want %d", got, s.objects)
	}
	for _, c := range h.all() {
		h.wantPhase(c.Name, edictv1.CommandSucceeded)
		wantCondition(h.T, c.Status.Conditions, edictv1.ConditionComplete, "True", edictv1.ReasonSucceeded)
		wantCondition(h.T, c.Status.Conditions, edictv1.ConditionReady, "True", edictv1.ReasonSucceeded)
	}
	if _, called := h.outside(); called != s.called {
		h.Errorf("%d requests reached the API, want %d", called, s.called)
	}
}

func TestACommandCostsTheAPIServerNoMoreThanItsBudget(t *testing.T) {
	for _, s := range []story{saveStory, askStory, toolStory} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := s.begin(t)
			if failures := h.settle(); failures != nil {
				t.Fatal(failures)
			}
			if diff := cmp.Diff(s.writes, h.disk.counts()); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			s.ended(h)
			h.disk.reset()
			for _, c := range h.all() {
				h.must(h.lookAt(c.Name))
			}
			if again := h.disk.counts(); len(again) > 0 {
				t.Errorf("a command that has ended was looked at again, and it cost %v", again)
			}
		})
	}
}

// Whichever write fails, on its way to the API server or on its way back, the next look ends the same: one Kubernetes
// Event for each command that ended, one object for each that was issued, every event once in the journal.
func TestAfterAnyFailedWriteTheNextLookEndsTheSame(t *testing.T) {
	for _, s := range []story{saveStory, askStory, toolStory} {
		writes := 0
		for _, n := range s.writes {
			writes += n
		}
		for n := 1; n <= writes; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, reached=%v", s.name, n, after), func(t *testing.T) {
					t.Parallel()
					s.survives(t, n, after, false)
				})
			}
		}
	}
}

// The same when the operator dies of it: a new process, which has nothing but the journal, goes on.
func TestAfterADeathAtAnyWriteTheNextProcessEndsTheSame(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, reached=%v", n, after), func(t *testing.T) {
				t.Parallel()
				toolStory.survives(t, n, after, true)
			})
		}
	}
}

func (s story) survives(t *testing.T, n int, after, dies bool) {
	t.Helper()
	h := s.begin(t)
	h.disk.failAt, h.disk.after = n, after
	if dies {
		h.onFailure = h.restart
	}
	failures := h.settle()
	if !h.disk.failed() {
		t.Fatalf("there were only these writes: %v", h.disk.counts())
	}
	if len(failures) != 1 || !errors.Is(failures[0], errConnection) {
		t.Errorf("Reconcile returned %v", failures)
	}
	s.ended(h)
}

// A cache that has not seen the last writes shows a command that has not ended: looked at again, nothing is doubled, and
// the newer status is not overwritten.
func TestALookAtAStaleObjectDoublesNothing(t *testing.T) {
	t.Parallel()
	h := toolStory.begin(t)
	stale := h.command("trip")
	h.settle()
	before := h.command("trip")
	h.disk.stale = stale
	if result := h.must(h.lookAt("trip")); result.RequeueAfter == 0 {
		t.Error("it is not looked at again")
	}
	if diff := cmp.Diff(before, h.command("trip")); diff != "" {
		t.Errorf("the object (-before +after):\n%s", diff)
	}
	toolStory.ended(h)
}
