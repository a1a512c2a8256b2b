package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// parse returns the sequences of a reply's lines.
func (r reply) parse(t *testing.T) (sequences []int64) {
	t.Helper()
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != linesType {
		t.Fatalf("got %d %s", r.StatusCode, r.body)
	}
	for text := range strings.Lines(r.body) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		sequences = append(sequences, l.Sequence)
	}
	return sequences
}

func TestAJournalIsReadAsLines(t *testing.T) {
	h := newHouse(t, Options{})
	h.remember(3*page + 5)
	cases := map[string][2]int64{ // first and last
		"":                  {1, 3*page + 5},
		"?from=3":           {3, 3*page + 5},
		"?from=2&limit=1":   {2, 2},
		"?from=2&limit=100": {2, 101},
		"?limit=64":         {1, 64},
		"?life=1&limit=2":   {1, 2},
	}
	for parameters, want := range cases {
		got := h.get("/agents/concierge/journal" + parameters).parse(t)
		if len(got) == 0 || got[0] != want[0] || got[len(got)-1] != want[1] || int64(len(got)) != want[1]-want[0]+1 {
			t.Errorf("%q: %d lines: %v, want %v", parameters, len(got), got, want)
		}
	}
	if got := h.get("/agents/concierge/journal?from=1000").parse(t); len(got) != 0 {
		t.Errorf("beyond the end: %v", got)
	}
	first, _, _ := strings.Cut(h.get("/agents/concierge/journal?limit=1").body, "\n")
	if !strings.HasPrefix(first, `{"stream":"travel/concierge","sequence":1,`) || !strings.HasSuffix(first, `"data":{"id":"mem-0","kind":"note","content":"more"}}`) {
		t.Errorf("the line is %s", first)
	}
	if head := h.do(http.MethodHead, "/v1/namespaces/travel/agents/concierge/journal"); head.StatusCode != http.StatusOK || head.body != "" {
		t.Errorf("HEAD: %d %q", head.StatusCode, head.body)
	}
}

func TestADeletedAgentsLivesStayReadable(t *testing.T) {
	h := newHouse(t, Options{})
	h.append(streamName, nil, agent.AgentDeleted{})
	h.append(agent.StreamName("travel", "concierge", 2), nil, agent.MemorySaved{ID: "m"}, agent.MemorySaved{ID: "n"})
	h.streams["travel/concierge"] = agent.StreamName("travel", "concierge", 2)
	for parameters, want := range map[string]int{"": 2, "?life=1": 1, "?life=2": 2} {
		if got := h.get("/agents/concierge/journal" + parameters).parse(t); len(got) != want {
			t.Errorf("%q: %v", parameters, got)
		}
	}
	delete(h.streams, "travel/concierge")
	if got := h.get("/agents/concierge/journal?life=2").parse(t); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	h.get("/agents/concierge/journal?life=3").wantProblem(t, http.StatusNotFound, "NotFound")
}

// brokenJournal fails to read from a sequence on.
type brokenJournal struct {
	Journal
	from int64
}

func (b brokenJournal) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	if from >= b.from {
		return nil, errors.New("disk I/O error at /secret/path")
	}
	return b.Journal.ReadStream(ctx, stream, from, limit)
}

func TestAnAnswerThatEndsEarlySaysSo(t *testing.T) {
	h := newHouse(t, Options{})
	h.remember(page + 1)
	h.sources.Journal = brokenJournal{h.journal, page + 1}
	h.serve(Options{})
	got := h.get("/agents/concierge/journal")
	lines := strings.Split(strings.TrimSpace(got.body), "\n")
	if last := lines[len(lines)-1]; len(lines) != page+1 || !strings.HasPrefix(last, `{"problem":{`) || strings.Contains(last, "secret") {
		t.Errorf("%d lines, the last %s", len(lines), last)
	}
	l := h.listen("/agents/concierge/journal")
	for range page {
		l.next()
	}
	if e := l.next(); e.event != "problem" || !strings.Contains(e.data, `"status":500`) {
		t.Errorf("got %+v", e)
	}
	h.get("/agents/concierge/journal?from=65").wantProblem(t, http.StatusInternalServerError, "Unexpected")
}

func TestAJournalIsFollowed(t *testing.T) {
	h := newHouse(t, Options{Heartbeat: 20 * time.Millisecond})
	h.project()
	h.remember(page + 2)
	l := h.listen("/agents/concierge/journal?from=3")
	for want := int64(3); want <= page+2; want++ {
		e := l.next()
		var record line
		if err := json.Unmarshal([]byte(e.data), &record); err != nil || e.id != fmt.Sprint(want) || record.Sequence != want || e.event != "MemorySaved" {
			t.Fatalf("want %d, got %+v, %v", want, e, err)
		}
	}
	<-l.beats
	end := h.remember(1)
	if e := l.next(); e.id != fmt.Sprint(end) {
		t.Errorf("appended %d, got %+v", end, e)
	}
	l.stop()
	for range l.events { // until the connection is gone
	}
	end = h.remember(2)
	resumed := h.listen("/agents/concierge/journal?from=1", "Last-Event-ID", fmt.Sprint(end-2))
	if e := resumed.next(); e.id != fmt.Sprint(end-1) {
		t.Errorf("resumed after %d with %+v", end-2, e)
	}
	limited := h.listen("/agents/concierge/journal?follow=1&limit=2")
	limited.next()
	limited.next()
	if e, more := <-limited.events; more {
		t.Errorf("more than the limit: %+v", e)
	}
}

func TestFollowersDoNotNeedTheProjection(t *testing.T) {
	h := newHouse(t, Options{Heartbeat: 20 * time.Millisecond})
	if _, err := h.journal.Append(t.Context(), journal.Batch{Stream: streamName, Expected: 0, Events: []journal.Event{{Type: "Unheard", Version: 1, Data: json.RawMessage(`{}`)}}}); err != nil {
		t.Fatal(err)
	}
	l := h.listen("/agents/concierge/journal") // nobody projects
	l.next()
	h.remember(1)
	if e := l.next(); e.id != "2" {
		t.Errorf("got %+v", e)
	}
	h.project() // and the stream stops at its first event
	h.remember(1)
	if e := l.next(); e.id != "3" {
		t.Errorf("got %+v", e)
	}
	h.get("/contextviews/concierge/context?minSequence=3").wantProblem(t, http.StatusInternalServerError, "UnreadableEvent")
}

func TestFollowersAreBounded(t *testing.T) {
	h := newHouse(t, Options{Followers: 1, Readers: 1, Heartbeat: 5 * time.Millisecond})
	h.remember(1)
	first := h.listen("/agents/concierge/journal")
	first.next()
	got := h.get("/agents/concierge/journal?follow=true")
	got.wantProblem(t, http.StatusServiceUnavailable, "TooManyReaders")
	if got.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After: %s", got.Header.Get("Retry-After"))
	}
	first.stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r := h.do(http.MethodHead, "/v1/namespaces/travel/agents/concierge/journal?follow=true")
		if r.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("who hung up keeps the place")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if h.get("/agents/concierge/journal").StatusCode != http.StatusOK {
		t.Error("followers keep readers out")
	}
}

func TestAFollowerHasToStayAllowed(t *testing.T) {
	h := newHouse(t, Options{Heartbeat: time.Millisecond, Recheck: time.Millisecond})
	h.remember(1)
	l := h.listen("/agents/concierge/journal")
	l.next()
	h.mu.Lock()
	delete(h.streams, "travel/concierge") // its journal outlives an agent
	h.mu.Unlock()
	<-l.beats
	<-l.beats
	h.deny("get commands travel/", ErrForbidden)
	if e := l.next(); e.event != "problem" || !strings.Contains(e.data, `"reason":"Forbidden"`) {
		t.Errorf("got %+v", e)
	}
}

func TestOnlyTextsThatAnAgentsEventsNameAreShown(t *testing.T) {
	h := newHouse(t, Options{})
	seen, sent, foreign := journal.NewBlob([]byte("## profile\n")), journal.NewBlob([]byte(`{"model":"m"}`)), journal.NewBlob([]byte("not yours"))
	h.remember(page)
	named := h.append(streamName, []journal.Blob{seen, sent}, agent.ContextBuilt{Step: 1, Digest: seen.Digest}, agent.DecisionMade{Step: 1, Request: sent.Digest})
	h.append("travel/other", []journal.Blob{foreign}, agent.ContextBuilt{Step: 1, Digest: foreign.Digest})
	lost := journal.Digest([]byte("lost"))
	h.append(streamName, nil, agent.ContextBuilt{Step: 2, Digest: lost}, agent.MemorySaved{ID: foreign.Digest, Content: foreign.Digest})

	blob := func(name string) string { return "/agents/concierge/blobs/" + name }
	for path, want := range map[string][2]string{
		blob(seen.Digest): {"## profile\n", "text/plain; charset=utf-8"},
		blob(sent.Digest): {`{"model":"m"}`, jsonType},
		fmt.Sprintf("%s?sequence=%d", blob(sent.Digest), named):        {`{"model":"m"}`, jsonType},
		"/agents/other/blobs/" + foreign.Digest:                        {"not yours", "text/plain; charset=utf-8"},
		"/agents/other/blobs/" + foreign.Digest + "?life=1&sequence=1": {"not yours", "text/plain; charset=utf-8"},
	} {
		if got := h.get(path); got.StatusCode != http.StatusOK || got.body != want[0] || got.Header.Get("Content-Type") != want[1] || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v %s", path, got.StatusCode, got.Header, got.body)
		}
	}
	for _, path := range []string{blob(foreign.Digest), blob(lost), blob(seen.Digest) + "?sequence=1", blob(journal.Digest([]byte("x")))} {
		h.get(path).wantProblem(t, http.StatusNotFound, "NotFound")
	}
}

// goneWriter is a connection that breaks at its second write.
type goneWriter struct {
	*httptest.ResponseRecorder
	writes int
}

func (g *goneWriter) Write(data []byte) (int, error) {
	if g.writes++; g.writes > 1 {
		return 0, errors.New("broken pipe")
	}
	return g.ResponseRecorder.Write(data)
}

func TestWhoHangsUpIsLeftAlone(t *testing.T) {
	h := newHouse(t, Options{Heartbeat: time.Millisecond})
	h.remember(3 * page)
	for _, parameters := range []string{"", "?follow=true"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/namespaces/travel/agents/concierge/journal"+parameters, nil)
		w := &goneWriter{ResponseRecorder: httptest.NewRecorder()}
		h.handler.ServeHTTP(w, r) // returns
		if w.writes != 2 {
			t.Errorf("%q: %d writes to a broken connection", parameters, w.writes)
		}
	}
}

func TestAClosedJournalIsToldOf(t *testing.T) {
	h := newHouse(t, Options{})
	if err := h.journal.Close(); err != nil {
		t.Fatal(err)
	}
	h.get("/agents/concierge/journal").wantProblem(t, http.StatusServiceUnavailable, "ShuttingDown")
}
