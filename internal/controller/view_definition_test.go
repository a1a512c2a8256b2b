package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/view"
)

// viewOfViews is a view that shows another one, besides the agent's instructions.
func viewOfViews(name, agent, other string) *edictv1.ContextView {
	v := viewOf(name, agent)
	v.Spec.Blocks = []edictv1.Block{
		{Name: "rules", Instructions: &edictv1.InstructionsBlock{}},
		{Name: "more", View: &edictv1.ViewBlock{Name: other}},
	}
	return v
}

func (h *house) lookedAt(name string) *edictv1.ContextView {
	h.Helper()
	h.must(h.lookAtView(name))
	return h.view(name)
}

// followed is a house with a concierge whose journal is projected.
func followed(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.follow()
	h.hire(concierge())
	return h
}

func TestViewsThatShowEachOtherAreNamedInOrder(t *testing.T) {
	t.Parallel()
	h := followed(t)
	h.create(viewOfViews("a", "concierge", "b"))
	v := h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonViewNotFound, `no ContextView "b"`, `view "a"`, "create it")

	b := viewOfViews("b", "concierge", "a")
	h.create(b)
	v = h.lookedAt("a")
	for _, condition := range []string{edictv1.ConditionRefsResolved, edictv1.ConditionReady} {
		wantCondition(t, v.Status.Conditions, condition, metav1.ConditionFalse, edictv1.ReasonViewCycle, "a → b → a", "remove the view block")
	}
	if others := (&Reconcilers{Views: h.views}).viewsWithViews(t.Context(), b); len(others) != 1 || others[0].Name != "a" {
		t.Errorf("when b changes, %v are looked at", others)
	}

	h.merge(h.view("b"), `{"spec":{"blocks":[{"name":"profile","memories":{}}]}}`)
	v = h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved)
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	if len(v.Status.Blocks) != 2 || v.Status.Blocks[0].Items == 0 || v.Status.Blocks[1].Tokens == 0 {
		t.Errorf("got %+v", v.Status.Blocks)
	}
}

func TestAViewShowsNoViewOfAnotherAgent(t *testing.T) {
	t.Parallel()
	h := followed(t)
	h.create(viewOf("secret", "stranger"))
	h.create(viewOfViews("a", "concierge", "secret"))
	v := h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonViewOfOtherAgent, `"secret"`, `agent "stranger"`, `spec.agentRef is "concierge"`)
	if v.Status.Digest != "" {
		t.Error("a context was built")
	}
}

func TestADefinitionHoldsTheInstructionsAndTheViewsThatItShows(t *testing.T) {
	t.Parallel()
	h := followed(t)
	h.create(viewOf("b", "concierge"))
	h.create(viewOfViews("a", "concierge", "b"))
	define := func() (digest, text string) {
		d, err := h.views.Views.define(t.Context(), h.view("a"))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		return d.Digest(), d.Blocks[0].Instructions.Text
	}
	first, text := define()
	if text != h.agent("concierge").Spec.Instructions {
		t.Errorf("the block says %q", text)
	}
	h.merge(h.agent("concierge"), `{"spec":{"instructions":"Be brief."}}`)
	second, text := define()
	if second == first || text != "Be brief." {
		t.Errorf("other instructions are of the same definition, or not there: %q", text)
	}
	h.merge(h.view("b"), `{"spec":{"budget":{"tokens":500}}}`)
	if third, _ := define(); third == second {
		t.Error("a change of a view that it shows leaves the definition the same")
	}
}

func TestAHeadingThatTheInstructionsDoNotHaveIsToldOnTheView(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	a := concierge()
	a.Spec.Instructions = "Be brief.\n\n# Refunds\nAsk first."
	h.hire(a)
	v := viewOfViews("a", "concierge", "b")
	v.Spec.Blocks[0].Instructions.Headings = []string{"refunds", "Money"}
	h.create(v)
	other := viewOfViews("b", "concierge", "c")
	other.Spec.Blocks = other.Spec.Blocks[:1]
	other.Spec.Blocks[0].Instructions.Headings = []string{"Hotels"}
	h.create(other)
	v = h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved,
		`agent "concierge"`, `no heading "Money" and no "Hotels"`, "instructions.headings")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	if v.Status.Blocks[0].Items != 1 {
		t.Errorf("%d paragraphs are shown", v.Status.Blocks[0].Items)
	}
	h.merge(h.agent("concierge"), `{"spec":{"instructions":"# Money\nEuro.\n# Hotels\nNone.\n# Refunds\nNone."}}`)
	v = h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionTrue, edictv1.ReasonResolved, "Everything that the view names exists.")
}

func TestADeclaredBlockIsDefinedWithAllThatItSays(t *testing.T) {
	got := blockOf(&edictv1.Block{Name: "rules", Documents: &edictv1.DocumentsBlock{Collections: []string{"visa-rules"}, Limit: 5, Summary: true}})
	want := view.Block{Name: "rules", Documents: &view.Documents{Collections: []string{"visa-rules"}, Limit: 5, Summary: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestABadTemplateIsToldOnTheView(t *testing.T) {
	t.Parallel()
	h := followed(t)
	v := viewOf("a", "concierge")
	v.Spec.Blocks[1].Rendering, v.Spec.Blocks[1].Template = "Template", "\n{{range 1000000}}x{{end}}"
	h.create(v)
	v = h.lookedAt("a")
	wantCondition(t, v.Status.Conditions, edictv1.ConditionReady, metav1.ConditionFalse, "InvalidView", "blocks[1].template", "block history, line 2", "loops over .items alone")
	if strings.Contains(v.Status.Tokens, "/") {
		t.Errorf("a context of %s tokens was built", v.Status.Tokens)
	}
}
