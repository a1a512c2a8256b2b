package controller

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// viewWithOutput is a view that keeps its context in a ConfigMap.
func viewWithOutput() *edictv1.ContextView {
	v := viewOf("concierge", "concierge")
	v.Spec.Output = &edictv1.ContextOutput{ConfigMap: &edictv1.ConfigMapOutput{Name: "out"}}
	return v
}

func (h *house) view(name string) *edictv1.ContextView {
	h.Helper()
	var v edictv1.ContextView
	if err := h.get(name, &v); err != nil {
		h.Fatal(err)
	}
	return &v
}

// caughtUp waits until the projections have seen all of the agent's stream.
func (h *house) caughtUp() {
	h.Helper()
	stream := h.ns + "/concierge"
	head, err := h.journal.Head(h.Context(), stream)
	if err != nil {
		h.Fatal(err)
	}
	within, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	if err := h.store.WaitFor(within, stream, head); err != nil {
		h.Fatal(err)
	}
}

func TestAViewsConfigMapFollowsTheJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	h.hire(concierge())
	h.create(viewWithOutput())
	h.must(h.lookAtView("concierge"))
	if diff := cmp.Diff(map[string]int{"create ConfigMap": 1, "status of ContextView": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes of the first look (-want +got):\n%s", diff)
	}
	h.disk.reset()
	h.must(h.lookAtView("concierge"))
	if writes := h.disk.counts(); len(writes) > 0 {
		t.Errorf("without news it cost %v", writes)
	}

	h.create(remember("seat", "window seats"))
	h.settle()
	h.caughtUp()
	h.disk.reset()
	h.must(h.lookAtView("concierge"))
	if diff := cmp.Diff(map[string]int{"update ConfigMap": 1, "status of ContextView": 1}, h.disk.counts()); diff != "" {
		t.Errorf("writes of a look with news (-want +got):\n%s", diff)
	}
	v := h.view("concierge")
	var out corev1.ConfigMap
	if err := h.get("out", &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.Data[contextKey], "window seats") || out.Annotations["edict.dev/digest"] != v.Status.Digest {
		t.Errorf("the ConfigMap holds %q of %s, the view %s", out.Data[contextKey], out.Annotations["edict.dev/digest"], v.Status.Digest)
	}
	if !metav1.IsControlledBy(&out, v) {
		t.Errorf("the ConfigMap is owned by %+v", out.OwnerReferences)
	}
	if v.Status.Sequence != int64(len(saveStory.journal)) || v.Status.Lag != 0 || v.Status.BlockCount != 2 || !strings.HasSuffix(v.Status.Tokens, "/4000") {
		t.Errorf("status %+v", v.Status)
	}
	wantCondition(t, v.Status.Conditions, edictv1.ConditionCurrent, metav1.ConditionTrue, edictv1.ReasonCurrent)
}

func TestAViewThatIsBehindSaysBySoMuch(t *testing.T) {
	t.Parallel()
	h := newHouse(t) // nothing follows the journal
	h.hire(concierge())
	h.create(remember("seat", "window seats"), viewOf("concierge", "concierge"))
	h.settle()
	h.must(h.lookAtView("concierge"))
	v := h.view("concierge")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionCurrent, metav1.ConditionFalse, edictv1.ReasonBehind, "4 events behind")
	if v.Status.Lag != 4 {
		t.Errorf("lag %d", v.Status.Lag)
	}
}

func TestAViewsConfigMapIsMadeAgainAndKeepsWhatOthersPutThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	h.hire(concierge())
	h.create(viewWithOutput())
	h.must(h.lookAtView("concierge"))
	var out corev1.ConfigMap
	if err := h.get("out", &out); err != nil {
		t.Fatal(err)
	}
	out.Labels, out.Annotations["team"] = map[string]string{"app": "travel"}, "concierges"
	out.Data[contextKey] = "somebody else's words"
	if err := h.api.Update(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	h.must(h.lookAtView("concierge"))
	if err := h.get("out", &out); err != nil {
		t.Fatal(err)
	}
	if out.Data[contextKey] == "somebody else's words" || out.Labels["app"] != "travel" || out.Annotations["team"] != "concierges" {
		t.Errorf("after it was changed: %q, %v, %v", out.Data[contextKey], out.Labels, out.Annotations)
	}
	if err := h.api.Delete(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	result, err := h.lookAtView("concierge")
	if err != nil || result.RequeueAfter != outputLooked {
		t.Errorf("it is looked at again after %s: %v", result.RequeueAfter, err)
	}
	if err := h.get("out", &out); err != nil {
		t.Errorf("after it was deleted: %v", err)
	}
}

func TestAContextThatNoConfigMapHoldsIsToldWithTheRemedy(t *testing.T) {
	t.Parallel()
	v := viewWithOutput()
	s := &viewScope{object: v, context: agent.Context{Text: strings.Repeat("x", largestContext+1)}}
	err := (&ContextViewReconciler{}).output(t.Context(), s)
	if f := fault.Of(err); f.Kind != fault.Wait || f.Reason != edictv1.ReasonConfigMapTooSmall || !strings.Contains(f.Message, "spec.budget.tokens") {
		t.Errorf("got %v", err)
	}
}

func TestSomebodyElsesConfigMapIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(concierge())
	theirs := &corev1.ConfigMap{Data: map[string]string{contextKey: "theirs"}}
	theirs.Name = "out"
	h.create(theirs, viewWithOutput())
	h.must(h.lookAtView("concierge"))
	wantCondition(t, h.view("concierge").Status.Conditions, edictv1.ConditionReady, metav1.ConditionUnknown, edictv1.ReasonConfigMapTaken, `ConfigMap "out"`, "spec.output.configMap.name")
	var out corev1.ConfigMap
	if err := h.get("out", &out); err != nil {
		t.Fatal(err)
	}
	if out.Data[contextKey] != "theirs" {
		t.Errorf("it holds %q", out.Data[contextKey])
	}
	if err := h.api.Delete(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	h.must(h.lookAtView("concierge"))
	wantCondition(t, h.view("concierge").Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
}
