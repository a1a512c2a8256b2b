package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

func TestViewsAreListedWithHowFarTheyAre(t *testing.T) {
	h := newHouse(t, Options{})
	end := h.remember(3)
	broken := h.views["travel/concierge"]
	broken.Name, broken.Budget = "broken", 0
	h.views["travel/broken"] = broken
	lonely := h.views["travel/concierge"]
	lonely.Name, lonely.Agent = "lonely", "nobody"
	h.views["travel/lonely"] = lonely
	h.project()
	if err := h.projection.WaitFor(t.Context(), streamName, end); err != nil {
		t.Fatal(err)
	}
	h.append("travel/other", nil, agent.AgentDeleted{})
	got := h.get("/contextviews")
	var list struct{ Items []listedView }
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", got.StatusCode, got.body, err)
	}
	for _, item := range list.Items {
		want := listedView{Name: item.Name, Agent: "concierge", Definition: item.Definition, Budget: 2000, Blocks: []string{"profile", "history"}, Stream: streamName, Sequence: 3}
		switch item.Name {
		case "broken":
			want.Budget, want.Stream, want.Sequence, want.Reason = 0, "", 0, "InvalidView"
		case "lonely":
			want.Agent, want.Stream, want.Sequence, want.Reason = "nobody", "", 0, "AgentNotFound"
		}
		if diff := cmp.Diff(want, item); diff != "" {
			t.Errorf("%s (-want +got)\n%s", item.Name, diff)
		}
	}
	if len(list.Items) != 3 {
		t.Errorf("%d items", len(list.Items))
	}
}

func TestAContextIsTextOrJSON(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	h.remember(1)
	end := h.append(streamName, nil, agent.MessageReceived{Conversation: "ada", Text: "hello"}, agent.ResponseGiven{Conversation: "ada", Text: "hi"})
	path := fmt.Sprintf("/contextviews/concierge/context?conversation=ada&minSequence=%d", end)

	text := h.get(path)
	if text.StatusCode != http.StatusOK || text.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(text.body, "mem-0 (note, ") || !strings.Contains(text.body, ": hello\n") {
		t.Errorf("got %d %v\n%s", text.StatusCode, text.Header, text.body)
	}
	if text.Header.Get("Edict-Sequence") != "3" || text.Header.Get("Edict-Digest") != journal.Digest([]byte(text.body)) || text.Header.Get("Edict-Lag") != "0" || text.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("got %v", text.Header)
	}
	var got contextAnswer
	answer := h.get(path, "Accept", "application/json")
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil {
		t.Fatalf("%v in %s", err, answer.body)
	}
	want := contextAnswer{View: "concierge", Namespace: "travel", Agent: "concierge", Stream: streamName, Sequence: 3, Tokens: got.Tokens, Budget: 2000,
		Digest: text.Header.Get("Edict-Digest"), Definition: h.views["travel/concierge"].Digest(), Text: text.body,
		Blocks: []agent.ContextBlock{{Name: "profile", Tokens: got.Blocks[0].Tokens, Items: 1}, {Name: "history", Tokens: got.Blocks[1].Tokens, Items: 2}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if head := h.do(http.MethodHead, "/v1/namespaces/travel"+path); head.StatusCode != http.StatusOK || head.body != "" || head.Header.Get("Edict-Sequence") != "3" {
		t.Errorf("HEAD: %d %v %q", head.StatusCode, head.Header, head.body)
	}
	earlier := h.get("/contextviews/concierge/context?conversation=ada&sequence=1")
	if earlier.Header.Get("Edict-Sequence") != "1" || earlier.Header.Get("Edict-Lag") != "2" || strings.Contains(earlier.body, "hello") {
		t.Errorf("as of 1: %v\n%s", earlier.Header, earlier.body)
	}
}

func TestOneReadsWhatOneWroteOrIsTold(t *testing.T) {
	h := newHouse(t, Options{Patience: 50 * time.Millisecond})
	end := h.remember(3) // and nobody projects it yet
	const path = "/contextviews/concierge/context?"
	for _, demand := range []string{"minSequence=3", "maxLag=0", "maxLag=2", "sequence=1"} {
		got := h.get(path + demand)
		p := got.wantProblem(t, http.StatusServiceUnavailable, "ProjectionBehind")
		if !strings.Contains(p.Detail, "has seen 0, the journal holds 3") || got.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %v %v", demand, p, got.Header)
		}
	}
	for _, demand := range []string{"", "minSequence=0", "maxLag=3"} {
		if got := h.get(path + demand); got.StatusCode != http.StatusOK || got.Header.Get("Edict-Sequence") != "0" || got.Header.Get("Edict-Lag") != "3" {
			t.Errorf("%q: %d %s", demand, got.StatusCode, got.body)
		}
	}
	if p := h.get(path+"minSequence=4").wantProblem(t, http.StatusConflict, "SequenceNotReached"); !strings.Contains(p.Detail, "ends at 3") {
		t.Errorf("got %v", p)
	}
	h.serve(Options{})
	h.project()
	if err := h.projection.WaitFor(t.Context(), streamName, end); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		end := h.remember(1)
		if got := h.get(fmt.Sprintf("%smaxLag=%d", path, i%2)); got.StatusCode != http.StatusOK || got.Header.Get("Edict-Lag") > "1" {
			t.Errorf("%d %v %s", got.StatusCode, got.Header, got.body)
		}
		if got := h.get(fmt.Sprintf("%sminSequence=%d", path, end)); got.Header.Get("Edict-Sequence") != fmt.Sprint(end) {
			t.Errorf("wrote %d, read %v %s", end, got.Header, got.body)
		}
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	h := newHouse(t, Options{})
	h.remember(1)
	const context, journal = "/contextviews/concierge/context", "/agents/concierge/journal"
	cases := map[string]string{
		context + "?minSequence=x":                            "minSequence",
		context + "?minSequence=-1":                           "minSequence",
		context + "?minSequence=1&minSequence=2":              "minSequence",
		context + "?minSeq=1":                                 "minSeq",
		context + "?sequence=0":                               "sequence",
		context + "?sequence=1&minSequence=2":                 "sequence",
		context + "?sequence=1&maxLag=0":                      "sequence",
		context + "?sequence=1&maxLag=5s":                     "sequence",
		context + "?at=1&minSequence=2":                       "sequence",
		context + "?at=0":                                     "at",
		context + "?at=1&sequence=1":                          "at",
		context + "?maxLag=-1":                                "maxLag",
		context + "?maxLag=-5s":                               "maxLag",
		context + "?maxLag=none":                              "maxLag",
		context + "?maxTokens=0":                              "maxTokens",
		context + "?maxTokens=99999999":                       "maxTokens",
		context + "?conversation=" + strings.Repeat("x", 300): "conversation",
		"/contextviews/a@2/context":                           "name",
		"/contextviews/a%2Fb/context":                         "name",
		"/contextviews?limit=1":                               "limit",
		journal + "?from=0":                                   "from",
		journal + "?limit=0":                                  "limit",
		journal + "?life=zero":                                "life",
		journal + "?follow=maybe":                             "follow",
		"/agents/concierge@2/journal":                         "name",
		"/agents/concierge/blobs/sha256:12":                   "digest",
	}
	for path, parameter := range cases {
		if p := h.get(path).wantProblem(t, http.StatusBadRequest, "InvalidParameter"); p.Parameter != parameter {
			t.Errorf("%s: %+v does not name %s", path, p, parameter)
		}
	}
	h.get(context+"?maxTokens=5").wantProblem(t, http.StatusBadRequest, "BudgetTooSmall")
	if p := h.get(context, "Accept", "image/png").wantProblem(t, http.StatusNotAcceptable, "NotAcceptable"); p.Parameter != "Accept" {
		t.Errorf("got %+v", p)
	}
	if p := h.get(journal+"?follow=true", "Last-Event-ID", "x").wantProblem(t, http.StatusBadRequest, "InvalidParameter"); p.Parameter != "Last-Event-ID" {
		t.Errorf("got %+v", p)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	h := newHouse(t, Options{})
	h.get("/contextviews/none/context").wantProblem(t, http.StatusNotFound, "NotFound")
	h.get("/agents/none/journal").wantProblem(t, http.StatusNotFound, "NotFound")
	h.get("/agents/none/journal?life=1").wantProblem(t, http.StatusNotFound, "NotFound")
	h.get("/elsewhere").wantProblem(t, http.StatusNotFound, "UnknownPath")
	delete(h.streams, "travel/concierge")
	h.get("/contextviews/concierge/context").wantProblem(t, http.StatusNotFound, "NotFound")
	broken := h.views["travel/concierge"]
	broken.Agent, broken.Budget = "other", 0
	h.views["travel/concierge"] = broken
	h.get("/contextviews/concierge/context").wantProblem(t, http.StatusConflict, "InvalidView")
}

func TestNothingIsWritten(t *testing.T) {
	h := newHouse(t, Options{})
	const compare = "/v1/namespaces/travel/contextviews/concierge/compare"
	for _, what := range [][2]string{
		{http.MethodPost, "/v1/namespaces/travel/contextviews"}, {http.MethodPut, "/v1/namespaces/travel/contextviews"},
		{http.MethodPatch, "/v1/namespaces/travel/contextviews"}, {http.MethodDelete, "/v1/namespaces/travel/contextviews"},
		{http.MethodPut, compare}, {http.MethodDelete, compare}, {http.MethodPost, compare + "/more"},
	} {
		got := h.do(what[0], what[1])
		got.wantProblem(t, http.StatusMethodNotAllowed, "ReadOnly")
		if got.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("Allow: %s", got.Header.Get("Allow"))
		}
	}
}

func TestWhoMayNotReadIsRefused(t *testing.T) {
	digest := "/blobs/" + journal.Digest(nil)
	cases := []struct {
		path   string
		denied string
	}{
		{"/contextviews", "list contextviews travel/"},
		{"/contextviews/concierge/context", "get contextviews travel/concierge"},
		{"/contextviews/none/context", "get contextviews travel/none"},
		{"/agents/concierge/journal", "get agents travel/concierge"},
		{"/agents/concierge/journal", "get commands travel/"},
		{"/agents/concierge/journal?life=1", "get commands travel/"},
		{"/agents/concierge/journal?follow=true", "get commands travel/"},
		{"/agents/concierge" + digest, "get agents travel/concierge"},
		{"/agents/concierge" + digest, "get commands travel/"},
		{"/agents/none/journal", "get agents travel/none"},
		{"/agents/concierge/commands/trip/contexts", "get agents travel/concierge"},
		{"/agents/concierge/commands/trip/contexts?verify=true&life=1", "get commands travel/"},
	}
	h := newHouse(t, Options{})
	for _, c := range cases {
		h.denied = map[string]error{c.denied: fmt.Errorf("rbac: %w", ErrForbidden)}
		h.get(c.path).wantProblem(t, http.StatusForbidden, "Forbidden")
		h.denied = map[string]error{c.denied: ErrUnauthenticated}
		got := h.get(c.path)
		got.wantProblem(t, http.StatusUnauthorized, "Unauthenticated")
		if got.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no challenge", c.path)
		}
		h.denied = map[string]error{c.denied: errors.New("dial tcp 10.0.0.1:6443: secret detail")}
		if got := h.get(c.path); strings.Contains(got.body, "secret detail") {
			t.Errorf("%s tells what is inside: %s", c.path, got.body)
		} else {
			got.wantProblem(t, http.StatusInternalServerError, "Unexpected")
		}
	}
}

func TestAcceptIsNegotiated(t *testing.T) {
	cases := map[string]string{
		"":                                   textType,
		"*/*":                                textType,
		"application/json":                   jsonType,
		"application/*":                      jsonType,
		"text/html, application/json;q=0.9":  jsonType,
		"text/plain;q=0.5, application/json": jsonType,
		"application/json;q=0, */*":          textType,
		"text/*;q=0.1, */*;q=0.2":            jsonType,
		"image/png":                          "",
		"text/plain;q=0":                     "",
	}
	for header, want := range cases {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", header)
		if got, _ := accepted(r, textType, jsonType); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
