package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
)

func TestACandidateIsAContextViewOrOnlyItsSpecInEitherFormat(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(viewOf("concierge", "concierge"))
	const spec = "budget: {tokens: 500}\nblocks:\n- {name: profile, memories: {kinds: [preference]}}\n"
	whole := "apiVersion: edict.dev/v1alpha1\nkind: ContextView\nmetadata: {name: another}\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ")
	asJSON := `{"agentRef":{"name":"concierge"},"budget":{"tokens":500},"blocks":[{"name":"profile","memories":{"kinds":["preference"]}}]}`
	want, err := h.views.Views.Candidate(t.Context(), h.ns, "concierge", []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	if want.Namespace != h.ns || want.Name != "concierge" || want.Agent != "concierge" || want.Budget != 500 || len(want.Blocks) != 1 {
		t.Errorf("got %+v", want)
	}
	if err := want.Validate(); err != nil {
		t.Errorf("what the API server would default is missing: %v", err)
	}
	for _, manifest := range []string{whole, asJSON} {
		got, err := h.views.Views.Candidate(t.Context(), h.ns, "concierge", []byte(manifest))
		if err != nil {
			t.Errorf("%s\n%v", manifest, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n(-want +got)\n%s", manifest, diff)
		}
	}
}

func TestWhatIsNoContextViewIsNoCandidate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(viewOf("concierge", "concierge"))
	for manifest, says := range map[string]string{
		"blocks: [":                "neither a ContextView",
		"- a list":                 "neither a ContextView",
		"blokcs: []":               `unknown field "blokcs"`,
		"spec: {budget: {tok: 1}}": `unknown field "tok"`,
		"budget: {tokens: many}":   "neither a ContextView",
	} {
		if _, err := h.views.Views.Candidate(t.Context(), h.ns, "concierge", []byte(manifest)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", manifest, err)
		}
	}
	if _, err := h.views.Views.Candidate(t.Context(), h.ns, "none", nil); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
