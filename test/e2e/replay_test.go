package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// TestReplay drops the projections, and starts on a copy of the journal: every context is the same again, those of
// today and those that decisions saw at the time.
func TestReplay(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	api := newTravel(t, false)
	m := newModel(t,
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1, Question: `^Book (?P<flight>\S+) for (?P<who>\S+)$`},
			Then: issue("book", map[string]any{"flight": "${flight}", "passenger": "${who}"})},
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1, Question: `^Remember (?P<what>.*)$`},
			Then: issue("save_memory", map[string]any{"kind": "preference", "content": "${what}"})},
		scriptedmodel.Rule{When: scriptedmodel.When{Question: `^Fail$`}, Misbehave: &scriptedmodel.Misbehaviour{Prose: "No."}},
		scriptedmodel.Rule{Then: scriptedmodel.Respond("Done: ${results}")})
	agents := []string{"concierge", "porter"}
	for _, name := range agents {
		w.declare(name, m.url, api.url)
	}
	w.live(agents)

	r := newReader(w, "reader", true)
	w.access(r)
	partial := w.backupWhileBusy(agents[0])
	before := r.snapshot(agents)
	whole := w.backup("whole.db")

	w.op.mustStop(t)
	w.op.dropProjections(t)
	w.op.mustStart(t)
	r.same("after the projections were dropped", before)

	w.op.mustStop(t)
	w.op.journal, w.op.projections = whole, filepath.Join(w.op.dir, "whole-projections.db")
	w.op.mustStart(t)
	r.same("on a copy of the journal", before)
	w.isBeginningOf(partial, whole)
}

// declare creates an agent with views that each show something else of its stream.
func (w *world) declare(name, model, api string) {
	w.Helper()
	all := newView(name, name)
	all.Spec.Output = &edictv1.ContextOutput{ConfigMap: &edictv1.ConfigMapOutput{Name: name}}
	small := newView(name+"-small", name)
	small.Spec.Budget.Tokens = 120
	facts := newView(name+"-facts", name)
	facts.Spec.Blocks = []edictv1.Block{{Name: "facts", Memories: &edictv1.MemoriesBlock{Kinds: []string{"fact"}, Limit: 3}}}
	w.create(all, small, facts, withViews(
		newAgent(name, model, saveMemoryOperation(), call("book", http.MethodPost, api+"/bookings", edictv1.EffectIdempotent)),
		name, name+"-small", name+"-facts"))
	w.ready(name)
}

// live lets each agent go through everything that leaves a trace in a view.
func (w *world) live(agents []string) {
	w.Helper()
	var names []string
	for _, a := range agents {
		create := func(c *edictv1.Command) {
			w.create(c)
			names = append(names, c.Name)
		}
		for i := range 6 {
			create(newSaveMemory(fmt.Sprintf("%s-fact-%d", a, i), a, "fact", fmt.Sprintf("Fact %d: <<<the sky is \"blue\">>> 🌍.", i)))
			create(newAsk(fmt.Sprintf("%s-book-%d", a, i), a, fmt.Sprintf("c%d", i%3), fmt.Sprintf("Book LX%d for ada", i)))
		}
		create(newAsk(a+"-remember", a, "c0", "Remember window seats."))
		create(newAsk(a+"-fail", a, "c1", "Fail"))
		create(newCallAPI(a+"-call", a, "book", map[string]any{"flight": "LX99", "passenger": "grace"}))
		create(newCallAPI(a+"-refused", a, "fly", nil))
		id := agent.MemoryID(w.command(a+"-fact-2", edictv1.CommandSucceeded).Status.IdempotencyKey)
		forget := newCommand(a+"-forget", a)
		forget.Spec.ForgetMemory = &edictv1.ForgetMemoryCommand{ID: id}
		create(forget)
	}
	for _, name := range names {
		w.command(name, edictv1.CommandSucceeded, edictv1.CommandFailed)
	}
}

// access checks who may read: nobody without a token, and with one only who may get contextviews.
func (w *world) access(allowed *reader) {
	w.Helper()
	for _, c := range []struct {
		who    *reader
		status int
	}{
		{&reader{world: w}, http.StatusUnauthorized},
		{&reader{world: w, token: "no-token-of-this-cluster"}, http.StatusUnauthorized},
		{newReader(w, "stranger", false), http.StatusForbidden},
		{allowed, http.StatusOK},
	} {
		for _, path := range []string{"/contextviews", "/contextviews/concierge/context", "/agents/concierge/journal"} {
			if body, status := c.who.read(path, nil); status != c.status {
				w.Errorf("%s: status %d, want %d: %.200s", path, status, c.status, body)
			}
		}
	}
}

// snapshot is a digest by what it is of.
type snapshot map[string]string

// snapshot reads the contexts of every view for every conversation, those that past decisions saw, and what the views'
// status and ConfigMaps say.
func (r *reader) snapshot(agents []string) snapshot {
	r.Helper()
	s := snapshot{}
	for _, a := range agents {
		views := []string{a, a + "-small", a + "-facts"}
		for _, v := range views {
			for _, conversation := range []string{"", "c0", "c1", "c2", "none"} {
				c := r.context(v, conversation, 0)
				s[fmt.Sprintf("view %s, conversation %q", v, conversation)] = fmt.Sprintf("%s of %s at %d, %d tokens: %v", c.Digest, c.Definition, c.Sequence, c.Tokens, c.Blocks)
			}
			s["status of view "+v] = r.viewStatus(v)
		}
		s["journal of "+a] = fmt.Sprint(len(r.journalLines(a)))
	}
	maps.Copy(s, r.pastContexts())
	return s
}

// viewStatus waits until the view's status has seen all of its stream, and returns what it says.
func (r *reader) viewStatus(name string) string {
	r.Helper()
	newest := r.context(name, "", 0)
	var v edictv1.ContextView
	r.eventually(soon, "the status of view "+name+" is current", func() error {
		if err := r.get(name, &v); err != nil {
			return err
		}
		if v.Status.Sequence != newest.Sequence || v.Status.Digest != newest.Digest || v.Status.Lag != 0 {
			return fmt.Errorf("it has seen %d (%s, lag %d), want %d (%s)", v.Status.Sequence, v.Status.Digest, v.Status.Lag, newest.Sequence, newest.Digest)
		}
		return nil
	})
	r.condition(&v, name, edictv1.ConditionCurrent, metav1.ConditionTrue, edictv1.ReasonCurrent)
	return fmt.Sprintf("%s at %d, %s tokens: %v", v.Status.Digest, v.Status.Sequence, v.Status.Tokens, v.Status.Blocks)
}

// pastContexts builds again each context that a decision saw, and compares it with what the journal says of it.
func (r *reader) pastContexts() snapshot {
	r.Helper()
	s := snapshot{}
	blobs := readBlobs(r.T, r.op.journal)
	for _, story := range stories(r.T, readJournal(r.T, r.op.journal)) {
		ask := story.Command().Intent.Ask()
		for _, recorded := range story.Events {
			saw, ok := recorded.Event.(agent.ContextBuilt)
			if !ok {
				continue
			}
			c := r.context(saw.View, ask.Conversation, saw.Sequence, ask.Message)
			if c.Digest != saw.Digest || c.Definition != saw.Definition || c.Tokens != saw.Tokens {
				r.Errorf("step %d of %s saw %s of view %s at %d, and now it is %s:\n%s\nthen:\n%s", saw.Step, story.Key, saw.Digest, saw.View, saw.Sequence, c.Digest, c.Text, blobs[saw.Digest])
			}
			if journal.Digest(blobs[saw.Digest]) != saw.Digest {
				r.Errorf("the journal does not hold the text %s that step %d of %s saw", saw.Digest, saw.Step, story.Key)
			}
			s[fmt.Sprintf("%s at %d for %s", saw.View, saw.Sequence, story.Key)] = c.Digest
		}
	}
	if len(s) == 0 {
		r.Error("no decision saw a context")
	}
	return s
}

// same fails the test if a snapshot taken now differs.
func (r *reader) same(when string, before snapshot) {
	r.Helper()
	now := r.snapshot([]string{"concierge", "porter"})
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if now[what] != before[what] {
			r.Errorf("%s: %s\n  was %s\n  is  %s", when, what, before[what], now[what])
		}
	}
	if len(now) != len(before) {
		r.Errorf("%s there are %d digests, %d before", when, len(now), len(before))
	}
}

// backup copies the running operator's journal with the command that users have for it.
func (w *world) backup(name string) string {
	w.Helper()
	path := filepath.Join(w.op.dir, name)
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, w.suite.binary, "journal", "backup", "--journal=sqlite://"+w.op.journal, "--to="+path).CombinedOutput()
	if err != nil {
		w.Fatalf("back up: %v\n%s", err, out)
	}
	return path
}

// backupWhileBusy copies the journal while commands are being accepted.
func (w *world) backupWhileBusy(a string) string {
	w.Helper()
	const commands = 60
	path := ""
	for i := range commands {
		w.create(newSaveMemory(fmt.Sprintf("busy-%d", i), a, "note", fmt.Sprintf("Note %d.", i)))
		if i == commands/2 {
			path = w.backup("busy.db")
		}
	}
	for i := range commands {
		w.command(fmt.Sprintf("busy-%d", i), edictv1.CommandSucceeded)
	}
	return path
}

// isBeginningOf checks that a copy is sound and holds what the journal held at one moment.
func (w *world) isBeginningOf(copied, whole string) {
	w.Helper()
	if err := sqlite.Verify(w.Context(), copied); err != nil {
		w.Error(err)
	}
	some, all := readJournal(w.T, copied), readJournal(w.T, whole)
	if len(some) == 0 || len(some) >= len(all) {
		w.Errorf("the copy that was made meanwhile has %d records of %d", len(some), len(all))
	}
	for i := range some {
		if fmt.Sprint(some[i]) != fmt.Sprint(all[i]) {
			w.Fatalf("record %d of the copy differs:\n%v\n%v", i+1, some[i], all[i])
		}
	}
}
