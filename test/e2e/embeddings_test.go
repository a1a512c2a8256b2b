package e2e

import (
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/test/story"
)

// TestWhatIsMeantIsFound asks in other words than something was remembered in. Who has embeddings is told, who has none is
// not; with the model servers off, a rebuild and a copy of the journal give the same contexts; and an embedding server
// that fails keeps nobody from an answer.
func TestWhatIsMeantIsFound(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	m := newModel(t, scriptedmodel.Rule{Then: scriptedmodel.Respond("Noted.")})
	w.withEmbeddings("concierge", m, &edictv1.AgentEmbeddings{BaseURL: m.url, Model: "vectors"})
	w.withEmbeddings("porter", m, nil)
	for _, name := range []string{"concierge", "porter"} {
		for i, content := range []string{"Prefers the aisle seat.", "Lives in Zurich.", "Works at night.", "Has two cats."} {
			c := newSaveMemory(name+"-"+string(rune('a'+i)), name, "fact", content)
			w.create(c)
			w.command(c.Name, edictv1.CommandSucceeded)
		}
		w.create(newAsk(name+"-asks", name, "ada", "corridor place?"))
		w.command(name+"-asks", edictv1.CommandSucceeded)
	}
	if saw := w.saw("concierge-asks"); !strings.Contains(saw, "aisle") {
		t.Errorf("with embeddings the context was\n%s", saw)
	}
	if saw := w.saw("porter-asks"); strings.Contains(saw, "aisle") {
		t.Errorf("the words alone found it, so that vectors show nothing:\n%s", saw)
	}
	if s := w.storyOf("concierge-asks"); story.Count[agent.TextsEmbedded](s) != 1 {
		t.Errorf("%d events of vectors", story.Count[agent.TextsEmbedded](s))
	}
	w.indexedWithVectors("concierge", m)
	w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionEmbedding, metav1.ConditionTrue, edictv1.ReasonReady)

	m.SetEmbeddings(scriptedmodel.Embeddings{Status: 503})
	w.create(newAsk("in-vain", "concierge", "bob", "corridor place, please?"))
	w.command("in-vain", edictv1.CommandSucceeded)
	if saw := w.saw("in-vain"); strings.Contains(saw, "aisle") || story.Count[agent.TextsEmbedded](w.storyOf("in-vain")) != 0 {
		t.Errorf("without a vector the context was\n%s", saw)
	}
	c := w.condition(&edictv1.Agent{}, "concierge", edictv1.ConditionEmbedding, metav1.ConditionFalse, "EmbeddingUnavailable")
	if !strings.Contains(c.Message, "asks go on by words alone") {
		t.Error(c.Message)
	}
	w.ready("concierge")
	w.rebuiltWithoutModels(m)
}

// withEmbeddings declares an agent that is shown one memory: the one that answers a question best.
func (w *world) withEmbeddings(name string, m *model, e *edictv1.AgentEmbeddings) {
	w.Helper()
	view := newView(name, name)
	view.Spec.Blocks = []edictv1.Block{{Name: "facts", Memories: &edictv1.MemoriesBlock{Limit: 1}, Ranking: "Relevance"}}
	a := withViews(newAgent(name, m.url), name)
	a.Spec.Embeddings = e
	w.create(view, a)
	w.ready(name)
}

// saw returns the contexts that the decisions of an ask saw.
func (w *world) saw(ask string) string {
	w.Helper()
	blobs := readBlobs(w.T, w.op.journal)
	var all strings.Builder
	for _, r := range w.storyOf(ask).Events {
		if built, ok := r.Event.(agent.ContextBuilt); ok {
			all.Write(blobs[built.Digest])
		}
	}
	return all.String()
}

// indexedWithVectors looks that documents and their vectors appear together, or not at all.
func (w *world) indexedWithVectors(name string, m *model) {
	w.Helper()
	index := func(command, document string) *edictv1.Command {
		c := newCommand(command, name)
		c.Spec.IndexDocuments = &edictv1.IndexDocumentsCommand{Collection: "rules", Source: edictv1.DocumentSource{
			Inline: []edictv1.InlineDocument{{Name: document, Text: "# Visa\nA visa takes ten days."}}}}
		w.create(c)
		return w.command(command, edictv1.CommandSucceeded, edictv1.CommandFailed)
	}
	m.SetEmbeddings(scriptedmodel.Embeddings{Fewer: 1})
	if c := index("half", "half.md"); c.Status.Phase != edictv1.CommandFailed || story.Count[agent.DocumentIndexed](w.storyOf("half")) != 0 {
		w.Errorf("it is %s: %s", c.Status.Phase, explain(c.Status.Conditions))
	}
	m.SetEmbeddings(scriptedmodel.Embeddings{})
	index("whole", "visa.md")
	s := w.storyOf("whole")
	if story.Count[agent.TextsEmbedded](s) != 1 || story.Count[agent.DocumentIndexed](s) != 1 {
		w.Errorf("%d events of vectors, and %d of documents", story.Count[agent.TextsEmbedded](s), story.Count[agent.DocumentIndexed](s))
	}
}

// rebuiltWithoutModels drops the projections, and starts on a copy of the journal, while no model answers: each context
// that a decision saw is the same again.
func (w *world) rebuiltWithoutModels(m *model) {
	w.Helper()
	r := newReader(w, "reader", true)
	before := r.pastContexts()
	m.SetEmbeddings(scriptedmodel.Embeddings{Hang: true})
	m.play(w.T, scriptedmodel.Rule{Misbehave: &scriptedmodel.Misbehaviour{Status: 503}})
	asked := m.Stats()
	w.op.mustStop(w.T)
	w.op.dropProjections(w.T)
	w.op.mustStart(w.T)
	if now := r.pastContexts(); !maps.Equal(now, before) {
		w.Errorf("after a rebuild they are %v, and were %v", now, before)
	}
	w.op.mustStop(w.T)
	original := w.op.journal
	w.op.journal, w.op.projections = filepath.Join(w.op.dir, "copy.db"), filepath.Join(w.op.dir, "copy-projections.db")
	w.copied(original, w.op.journal)
	w.op.mustStart(w.T)
	if now := r.pastContexts(); !maps.Equal(now, before) {
		w.Errorf("on a copy of the journal they are %v, and were %v", now, before)
	}
	if now := m.Stats(); now.Embeddings != asked.Embeddings || now.Calls != asked.Calls {
		w.Errorf("models were asked %d times", now.Embeddings+now.Calls-asked.Embeddings-asked.Calls)
	}
}

// copied copies a journal with the command that users have for it, and looks that the vectors went along.
func (w *world) copied(from, to string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, w.suite.binary, "journal", "copy", "sqlite://"+from, "sqlite://"+to).CombinedOutput(); err != nil {
		w.Fatalf("copy: %v\n%s", err, out)
	}
	blobs := readBlobs(w.T, to)
	vectors := 0
	for _, s := range stories(w.T, readJournal(w.T, to)) {
		for _, r := range s.Events {
			e, ok := r.Event.(agent.TextsEmbedded)
			if !ok {
				continue
			}
			vectors++
			if _, err := agent.DecodeVectors(blobs[e.Vectors], len(e.Texts), e.Dimensions); err != nil || journal.Digest(blobs[e.Vectors]) != e.Vectors {
				w.Errorf("the vectors of event %d are not those that were recorded: %v", r.Sequence, err)
			}
		}
	}
	if were := slices.Collect(maps.Keys(readBlobs(w.T, from))); vectors == 0 || len(were) != len(blobs) {
		w.Errorf("the copy has %d events of vectors and %d texts, the journal %d texts", vectors, len(blobs), len(were))
	}
}
