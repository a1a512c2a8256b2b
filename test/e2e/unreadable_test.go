package e2e

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// TestAnEventOfANewerVersionStopsItsStreamAlone leaves an event in one agent's stream that this version does not know.
// The agent says so and does nothing more; others go on.
func TestAnEventOfANewerVersionStopsItsStreamAlone(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	m := newModel(t, scriptedmodel.Rule{Then: scriptedmodel.Respond("Hello.")})
	for _, name := range []string{"concierge", "porter"} {
		w.create(newView(name, name), withViews(newAgent(name, m.url), name))
		w.ready(name)
		w.create(newSaveMemory("before-"+name, name, "fact", "The lobby closes at ten."))
		w.command("before-"+name, edictv1.CommandSucceeded)
	}
	w.op.mustStop(t)
	appendUnknown(t, w.op.journal, w.ns+"/concierge")
	before := len(readJournal(t, w.op.journal))
	w.op.mustStart(t)

	var a edictv1.Agent
	var c edictv1.Command
	var v edictv1.ContextView
	w.create(newSaveMemory("after-concierge", "concierge", "fact", "It is late."))
	w.condition(&a, "concierge", edictv1.ConditionStalled, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	w.condition(&c, "after-concierge", edictv1.ConditionStalled, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	w.condition(&v, "concierge", edictv1.ConditionStalled, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	w.condition(&v, "concierge", edictv1.ConditionDegraded, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	w.create(newAsk("ask-concierge", "concierge", "lobby", "Good evening"))
	w.condition(&c, "ask-concierge", edictv1.ConditionStalled, metav1.ConditionTrue, edictv1.ReasonUnreadableEvent)
	w.command("before-concierge", edictv1.CommandSucceeded)

	w.create(newAsk("after-porter", "porter", "lobby", "Good evening"))
	w.command("after-porter", edictv1.CommandSucceeded)
	for _, r := range readJournal(t, w.op.journal)[before:] {
		if r.Stream != w.ns+"/porter" {
			t.Errorf("event %s was appended to the stopped stream %s", r.Type, r.Stream)
		}
	}
}

// appendUnknown does what a newer version of Edict may have done.
func appendUnknown(t *testing.T, path, stream string) {
	t.Helper()
	ctx := context.Background()
	j, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Claim(ctx, 0); err != nil {
		t.Fatal(err)
	}
	_, err = j.Append(ctx, journal.Batch{Stream: stream, Expected: journal.AnyVersion,
		Events: []journal.Event{{Type: "MoodChanged", Version: 3, Subject: "before-concierge", Data: []byte(`{"mood":"good"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
