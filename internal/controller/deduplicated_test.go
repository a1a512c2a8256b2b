package controller

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// ranBefore checks that a command says that it ran nothing, and nevertheless reads as one that succeeded.
func (h *house) ranBefore(name string, says ...string) {
	h.Helper()
	c := h.wantPhase(name, edictv1.CommandSucceeded)
	says = append(says, "accepted at ", "ended at ", "Nothing was run again", "under another name", "spec.idempotencyKey")
	wantCondition(h.T, c.Status.Conditions, edictv1.ConditionDeduplicated, metav1.ConditionTrue, edictv1.ReasonRanBefore, says...)
	wantCondition(h.T, c.Status.Conditions, edictv1.ConditionComplete, metav1.ConditionTrue, edictv1.ReasonSucceeded)
	if is, says := kstatusOf(h.T, "Command", c); is != status.CurrentStatus {
		h.Errorf("kstatus reads it as %s: %s", is, says)
	}
	h.disk.reset()
	h.must(h.lookAt(name))
	if counts := h.disk.counts(); len(counts) > 0 {
		h.Errorf("looked at again, it cost %v", counts)
	}
}

// However an object came to be there once more, its command runs once.
func TestAnObjectThatIsThereOnceMoreSaysThatItRanNothing(t *testing.T) {
	remove := func(h *house, name string) {
		if err := h.api.Delete(h.Context(), h.command(name)); err != nil {
			h.Fatal(err)
		}
		h.must(h.lookAt(name))
	}
	for _, c := range []struct {
		name string
		gone func(h *house)
	}{
		{"deleted and applied again", func(h *house) { remove(h, "trip") }},
		{"its time to live was over, and GitOps creates it again", func(h *house) {
			h.merge(h.command("trip"), `{"spec":{"ttlSecondsAfterFinished":1}}`)
			h.clock.pass(time.Hour)
			h.must(h.lookAt("trip")) // the status takes the new generation
			h.must(h.lookAt("trip"))
			if left := h.all(); len(left) > 0 {
				h.Fatalf("%s is still there", left[0].Name)
			}
		}},
		{"in another cluster, with the journal of this one", func(h *house) {
			// No deletion reaches the operator: there, neither the Agent nor the Command ever was.
			h.merge(h.agent("concierge"), `{"metadata":{"finalizers":null}}`)
			if err := h.api.Delete(h.Context(), h.agent("concierge")); err != nil {
				h.Fatal(err)
			}
			if err := h.api.Delete(h.Context(), h.command("trip")); err != nil {
				h.Fatal(err)
			}
			h.restart()
			h.hire(concierge())
		}},
		{"its agent was deleted and created again, with the journal retained", func(h *house) {
			remove(h, "trip")
			h.merge(h.agent("concierge"), `{"spec":{"reclaimPolicy":"Retain"}}`)
			h.retire("concierge")
			h.hire(concierge())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := askStory.begin(t)
			h.settle()
			if before := meta.FindStatusCondition(h.command("trip").Status.Conditions, edictv1.ConditionDeduplicated); before != nil {
				t.Errorf("the first time Deduplicated is %s", explain(before))
			}
			c.gone(h)
			h.create(ask("trip"))
			h.settle()
			h.ranBefore("trip", "An earlier object brought this command")
			if asked, _ := h.outside(); asked != 1 || h.command("trip").Status.Response != "Done." {
				t.Errorf("the model was asked %d times, and the response is %q", asked, h.command("trip").Status.Response)
			}
			if diff := cmp.Diff(askStory.journal, h.told("concierge")); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANewLifeOfAnAgentRunsEverythingAnew(t *testing.T) {
	t.Parallel()
	h := askStory.begin(t)
	h.settle()
	if err := h.api.Delete(t.Context(), h.command("trip")); err != nil {
		t.Fatal(err)
	}
	h.retire("concierge")
	h.hire(concierge())
	h.create(ask("trip"))
	h.settle()
	c := h.wantPhase("trip", edictv1.CommandSucceeded)
	if before := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionDeduplicated); before != nil {
		t.Errorf("Deduplicated is %s", explain(before))
	}
	if asked, _ := h.outside(); asked != 2 || c.Status.Stream != agent.StreamName(h.ns, "concierge", 2) {
		t.Errorf("the model was asked %d times, and the stream is %s", asked, c.Status.Stream)
	}
}

func TestACommandOfAnothersKeySaysWhoseItIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	first, second := remember("seat", "window seats"), remember("seat-again", "window seats")
	first.Spec.IdempotencyKey, second.Spec.IdempotencyKey = "once", "once"
	h.create(first)
	h.settle()
	h.create(second)
	h.settle()
	h.ranBefore("seat-again", `The object "seat" brought this command`)
	if diff := cmp.Diff(saveStory.journal, h.told("concierge")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestACommandThatRunsIsTakenOverByItsNewObject(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began, release := make(chan struct{}), make(chan struct{})
	h.decide = whenReleased(began, release)
	h.hire(concierge())
	h.create(ask("trip"))
	h.must(h.lookAt("trip"))
	await(t, began, "the model was asked")
	if err := h.api.Delete(t.Context(), h.command("trip")); err != nil {
		t.Fatal(err)
	}
	h.create(ask("trip")) // before the operator looked
	h.clock.pass(30 * quietFor)
	h.must(h.lookAt("trip"))
	c := h.wantPhase("trip", edictv1.CommandRunning)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionDeduplicated, metav1.ConditionTrue, edictv1.ReasonTakenOver, "has not ended; it goes on", "nothing of it is repeated")
	close(release)
	h.settle()
	h.ranBefore("trip", "An earlier object brought this command")
	if asked, _ := h.outside(); asked != 1 {
		t.Errorf("the model was asked %d times", asked)
	}
}

// A journal of an earlier release does not know which object brought a command, so nothing is claimed of it.
func TestOfACommandWithoutAnOriginNothingIsClaimed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	object := remember("seat", "window seats")
	order := orderOf(object)
	order.Origin = ""
	events := agent.NewState().Accept(order, agent.Approval{Allowed: true, Effect: agent.Internal, Message: "allowed"})
	batch := journal.Batch{Stream: h.ns + "/concierge", Expected: journal.AnyVersion, Key: order.Key + "#0"}
	for _, e := range events {
		batch.Events = append(batch.Events, journal.Event(agent.Encode(order.Key, e)))
	}
	if _, err := h.journal.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	h.hire(concierge())
	h.create(object)
	h.settle()
	c := h.wantPhase("seat", edictv1.CommandSucceeded)
	if before := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionDeduplicated); before != nil {
		t.Errorf("Deduplicated is %s", explain(before))
	}
	if diff := cmp.Diff(saveStory.journal, h.told("concierge")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}
