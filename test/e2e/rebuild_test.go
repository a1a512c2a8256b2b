package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// TestARebuildPutsRightWhatIsProjected changes a row behind the operator's back, asks for a rebuild, and kills the
// operator at once. The next process ends what it began; the view is what it was, and the journal was only read.
func TestARebuildPutsRightWhatIsProjected(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	m := newModel(t, scriptedmodel.Rule{Then: scriptedmodel.Respond("Hello.")})
	w.create(newView("concierge", "concierge"), withViews(newAgent("concierge", m.url), "concierge"))
	w.ready("concierge")
	w.create(newSaveMemory("seat", "concierge", "preference", "Window seats."))
	w.command("seat", edictv1.CommandSucceeded)
	events := w.streamLength("concierge")
	view := func() edictv1.ContextViewStatus {
		var v edictv1.ContextView
		if err := w.get("concierge", &v); err != nil {
			t.Fatal(err)
		}
		return v.Status
	}
	w.eventually(soon, "the view has seen all", func() error {
		if seen := view().Sequence; seen != int64(events) {
			return fmt.Errorf("it has seen %d of %d", seen, events)
		}
		return nil
	})
	right := view().Digest

	w.op.mustStop(t)
	tamper(t, w.op.projections, `UPDATE memories SET content = 'Aisle seats.'`)
	w.op.mustStart(t)
	w.eventually(soon, "the view shows what is wrong", func() error {
		if view().Digest == right {
			return errors.New("it shows what it did")
		}
		return nil
	})

	w.rebuild(`{"spec":{"rebuild":"first"}}`)
	if err := w.op.kill(); err != nil {
		t.Fatal(err)
	}
	w.op.mustStart(t)
	w.rebuilt("first")
	if status := view(); status.Digest != right {
		t.Errorf("the view has the digest %s, and had %s; of the rebuild it says %+v", status.Digest, right, status.Rebuild)
	}

	w.rebuild(`{"spec":{"rebuild":null},"metadata":{"annotations":{"edict.dev/rebuild":"second"}}}`)
	again := w.rebuilt("second")
	if again.Changed || again.Digest != again.PreviousDigest || again.Sequence != int64(events) {
		t.Errorf("of rows that are right it says %+v", again)
	}
	w.condition(&edictv1.ContextView{}, "concierge", edictv1.ConditionRebuilt, metav1.ConditionTrue, edictv1.ReasonRowsUnchanged)
	if now := w.streamLength("concierge"); now != events {
		t.Errorf("the stream had %d events, and has %d", events, now)
	}
}

func (w *world) rebuild(patch string) {
	w.Helper()
	v := &edictv1.ContextView{}
	v.Namespace, v.Name = w.ns, "concierge"
	if err := w.suite.client.Patch(w.Context(), v, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

// rebuilt waits until the rebuild that a token asked for is done.
func (w *world) rebuilt(token string) (status edictv1.RebuildStatus) {
	w.Helper()
	w.eventually(soon, "the rebuild is done", func() error {
		var v edictv1.ContextView
		if err := w.get("concierge", &v); err != nil {
			return err
		}
		if v.Status.Rebuild == nil || v.Status.Rebuild.Token != token || v.Status.Rebuild.State != edictv1.RebuildDone {
			return fmt.Errorf("status.rebuild is %+v", v.Status.Rebuild)
		}
		status = *v.Status.Rebuild
		return nil
	})
	return status
}

// tamper changes a projection's file, as nobody should.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err == nil {
		_, err = db.ExecContext(t.Context(), statement)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
