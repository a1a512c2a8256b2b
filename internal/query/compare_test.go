package query

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/view"
)

const comparePath = "/v1/namespaces/travel/contextviews/concierge/compare"

// compares sends a definition.
func (h *house) compares(d view.Definition, parameters string) comparisons {
	h.t.Helper()
	body, err := json.Marshal(d)
	if err != nil {
		h.t.Fatal(err)
	}
	got := h.send(http.MethodPost, comparePath+parameters, string(body))
	var c comparisons
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.StatusCode != http.StatusOK {
		h.t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	return c
}

func TestTwoDefinitionsAreComparedOnTheQuestionsThatWereAsked(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	for i := range 5 {
		h.asks(fmt.Sprint("trip-", i), "ada", fmt.Sprintf("Question %d?", i))
	}
	h.remember(3 * page) // so that the questions are some pages back
	h.settled(5*9 + 3*page)
	current := h.views["travel/concierge"]

	same := h.compares(current, "")
	if same.Summary.Questions != 5 || same.Summary.Same != 5 || same.Summary.Overlap != 1 || same.Current != same.Candidate {
		t.Errorf("with itself: %+v", same.Summary)
	}
	var asked []string
	for _, q := range same.Questions {
		asked = append(asked, q.Question)
		if q.TokensThen != q.Current.Tokens || q.Step != 1 || q.Conversation != "ada" || q.OnlyCurrent.Count+q.OnlyCandidate.Count != 0 {
			t.Errorf("got %+v", q)
		}
	}
	if want := []string{"Question 4?", "Question 3?", "Question 2?", "Question 1?", "Question 0?"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}

	candidate := current
	candidate.Blocks = slices.Clone(current.Blocks)
	candidate.Blocks[1].Conversation = &view.Conversation{Turns: 2}
	c := h.compares(candidate, "?limit=2")
	if len(c.Questions) != 2 || c.Summary.Same != 0 || c.Current != current.Digest() || c.Candidate != candidate.Digest() || c.Summary.TokensCandidate >= c.Summary.TokensCurrent {
		t.Fatalf("got %+v", c)
	}
	q := c.Questions[0] // after four answers, two turns are shown instead of eight
	if q.OnlyCurrent.Count != 6 || !strings.Contains(q.OnlyCurrent.Lines[0], "Question 0?") || q.OnlyCandidate.Count > 1 ||
		q.Overlap <= 0 || q.Overlap >= 1 || q.Candidate.Blocks[1].Items != 2 || q.Current.Blocks[1].Items != 8 {
		t.Errorf("got %+v", q)
	}
}

func TestAViewThatWasNeverAskedHasNothingToCompare(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	h.settled(h.remember(1))
	if c := h.compares(h.views["travel/concierge"], ""); c.Questions == nil || len(c.Questions) != 0 || c.Summary != (summary{}) {
		t.Errorf("got %+v", c)
	}
}

func TestWhatCannotBeComparedIsRefusedByName(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	h.asks("trip", "ada", "Where to?")
	d := h.views["travel/concierge"]
	encode := func(change func(d *view.Definition)) string {
		other := d
		change(&other)
		body, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for what, c := range map[string]struct {
		body           string
		status         int
		reason, detail string
	}{
		"no manifest":     {"blocks: [", http.StatusBadRequest, "InvalidView", "no ContextView"},
		"no budget":       {encode(func(d *view.Definition) { d.Budget = 0 }), http.StatusBadRequest, "InvalidView", "budget"},
		"another agent's": {encode(func(d *view.Definition) { d.Agent = "other" }), http.StatusBadRequest, "InvalidView", "agentRef"},
		"small budget":    {encode(func(d *view.Definition) { d.Budget = 3 }), http.StatusBadRequest, "BudgetTooSmall", ""},
		"too long":        {strings.Repeat(" ", longestManifest+1), http.StatusRequestEntityTooLarge, "BodyTooLarge", "256 KiB"},
	} {
		p := h.send(http.MethodPost, comparePath, c.body).wantProblem(t, c.status, c.reason)
		if !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %s", what, p.Detail)
		}
	}
	for _, limit := range []string{"0", "201", "x"} {
		if p := h.send(http.MethodPost, comparePath+"?limit="+limit, "{}").wantProblem(t, http.StatusBadRequest, "InvalidParameter"); p.Parameter != "limit" {
			t.Errorf("limit %s: %+v", limit, p)
		}
	}
	got := h.do(http.MethodGet, comparePath)
	got.wantProblem(t, http.StatusMethodNotAllowed, "MethodNotAllowed")
	if got.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %s", got.Header.Get("Allow"))
	}
	h.send(http.MethodPost, strings.Replace(comparePath, "concierge", "none", 1), "{}").wantProblem(t, http.StatusNotFound, "NotFound")
}

// A definition may show anything of the stream: to read the view is not enough.
func TestWhoComparesMustBeAllowedToReadTheJournal(t *testing.T) {
	h := newHouse(t, Options{})
	for _, denied := range []string{"get contextviews travel/concierge", "get agents travel/concierge", "get commands travel/"} {
		h.denied = map[string]error{denied: ErrForbidden}
		h.send(http.MethodPost, comparePath, "{}").wantProblem(t, http.StatusForbidden, "Forbidden")
	}
}

func TestTheDifferenceOfTwoTextsCountsEachLineAsOftenAsItIs(t *testing.T) {
	type difference3 struct {
		Both         int
		OnlyA, OnlyB excerpt
	}
	for _, c := range []struct {
		a, b string
		want difference3
	}{
		{"", "", difference3{0, excerpt{0, []string{}}, excerpt{0, []string{}}}},
		{"x\n\n y ", "y\nx", difference3{2, excerpt{0, []string{}}, excerpt{0, []string{}}}},
		{"x\nx\ny", "x\nz", difference3{1, excerpt{2, []string{"x", "y"}}, excerpt{1, []string{"z"}}}},
		{"z\nx", "x\nx\ny", difference3{1, excerpt{1, []string{"z"}}, excerpt{2, []string{"x", "y"}}}},
	} {
		var got difference3
		got.Both, got.OnlyA, got.OnlyB = difference(linesIn(c.a), linesIn(c.b))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q and %q (-want +got)\n%s", c.a, c.b, diff)
		}
	}
	long := strings.Repeat("ü", longestLine)
	_, only, _ := difference(slices.Repeat([]string{long}, mostLines+1), nil)
	if only.Count != mostLines+1 || len(only.Lines) != mostLines || len(only.Lines[0]) > longestLine+len("…") || strings.ContainsRune(only.Lines[0], '\uFFFD') {
		t.Errorf("got %d, %d, %q", only.Count, len(only.Lines), only.Lines[0])
	}
}
