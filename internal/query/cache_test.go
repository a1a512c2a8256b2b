package query

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/view"
)

// counted counts the contexts that are built.
type counted struct {
	Contexts
	built atomic.Int64
}

func (c *counted) Build(ctx context.Context, r view.Request) (agent.Context, error) {
	c.built.Add(1)
	return c.Contexts.Build(ctx, r)
}

// newCountedHouse returns a house in which n memories are projected.
func newCountedHouse(t *testing.T, n int, options Options) (*house, *counted) {
	t.Helper()
	h := newHouse(t, options)
	c := &counted{Contexts: h.sources.Contexts}
	h.sources.Contexts = c
	h.serve(options)
	h.project()
	h.settled(h.remember(n))
	return h, c
}

// settled waits until so much of the stream is projected.
func (h *house) settled(sequence int64) {
	h.t.Helper()
	if err := h.projection.WaitFor(h.t.Context(), streamName, sequence); err != nil {
		h.t.Fatal(err)
	}
}

func TestAContextIsBuiltOnceForEachThingThatItDependsOn(t *testing.T) {
	h, c := newCountedHouse(t, 3, Options{})
	const path = "/contextviews/concierge/context"
	for i, q := range []struct {
		query string
		built int64 // in all, by then
	}{
		{"", 1}, {"", 1}, {"?minSequence=3", 1}, {"?maxLag=0", 1}, {"?at=3", 1}, // the same sequence
		{"?at=2", 2}, {"?sequence=2", 2},
		{"?question=who", 3}, {"?question=whom", 4}, {"?conversation=who", 5}, {"?conversation=who&question=whom", 6}, {"?conversation=whowhom", 7},
		{"?maxTokens=100", 8}, {"?maxTokens=100", 8}, {"?maxTokens=101", 9},
	} {
		if got := h.get(path + q.query); got.StatusCode != http.StatusOK || c.built.Load() != q.built {
			t.Errorf("%d: after %q %d were built, want %d: %s", i, q.query, c.built.Load(), q.built, got.body)
		}
	}
	before := h.get(path).body
	h.settled(h.append(streamName, nil, agent.MemorySaved{ID: "new", Kind: "note", Content: "something new"}))
	if got := h.get(path); got.body == before || !strings.Contains(got.body, "something new") || c.built.Load() != 10 {
		t.Errorf("after an event: %d built, %s", c.built.Load(), got.body)
	}
	changed := h.views["travel/concierge"]
	changed.Blocks = changed.Blocks[:1]
	h.mu.Lock()
	h.views["travel/concierge"] = changed
	h.mu.Unlock()
	if got := h.get(path); got.StatusCode != http.StatusOK || c.built.Load() != 11 {
		t.Errorf("after a change of the view %d are built", c.built.Load())
	}
	h.streams["travel/concierge"] = agent.StreamName("travel", "concierge", 2)
	if got := h.get(path); strings.Contains(got.body, "something new") {
		t.Errorf("the next life of the agent is shown the one before: %s", got.body)
	}
}

func TestACacheHoldsNoMoreThanItMay(t *testing.T) {
	c := newCache(3 * (entryCost + 10))
	context := agent.Context{Text: strings.Repeat("x", 10)}
	for i := range 10 {
		c.put(cacheKey{sequence: int64(i)}, context)
		c.get(cacheKey{sequence: 0}) // so that it is never the one that was not asked for
	}
	var kept []int64
	for i := range 10 {
		if _, ok := c.get(cacheKey{sequence: int64(i)}); ok {
			kept = append(kept, int64(i))
		}
	}
	if fmt.Sprint(kept) != "[0 8 9]" || c.taken != c.most || len(c.all) != 3 {
		t.Errorf("it keeps %v, in %d bytes of %d", kept, c.taken, c.most)
	}
	c.put(cacheKey{sequence: 11}, agent.Context{Text: strings.Repeat("x", c.most)})
	if _, ok := c.get(cacheKey{sequence: 11}); ok || len(c.all) != 3 {
		t.Error("one that has no room drove the others out")
	}
}

func TestWhatAReaderHasIsNotSentAgain(t *testing.T) {
	h, _ := newCountedHouse(t, 2, Options{})
	const path = "/contextviews/concierge/context"
	tags := map[string]string{}
	for _, media := range []string{textType, jsonType} {
		first := h.get(path, "Accept", media)
		tag := first.Header.Get("ETag")
		if tag != `"`+journal.Digest([]byte(first.body))+`"` || first.Header.Get("Vary") != "Accept, Authorization" || first.Header.Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%s: %v", media, first.Header)
		}
		tags[media] = tag
		for _, none := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			got := h.get(path, "Accept", media, "If-None-Match", none)
			if got.StatusCode != http.StatusNotModified || got.body != "" || got.Header.Get("ETag") != tag || got.Header.Get("Edict-Sequence") != "2" {
				t.Errorf("%s, If-None-Match %s: %d %v %s", media, none, got.StatusCode, got.Header, got.body)
			}
		}
		for _, none := range []string{`"other"`, strings.Trim(tag, `"`), ""} {
			if got := h.get(path, "Accept", media, "If-None-Match", none); got.StatusCode != http.StatusOK || got.body != first.body {
				t.Errorf("%s, If-None-Match %s: %d %s", media, none, got.StatusCode, got.body)
			}
		}
	}
	if tags[textType] == tags[jsonType] {
		t.Error("text and JSON have one tag")
	}
	h.settled(h.append(streamName, nil, agent.MemorySaved{ID: "new", Kind: "note", Content: "something new"}))
	if got := h.get(path, "If-None-Match", tags[textType]); got.StatusCode != http.StatusOK || !strings.Contains(got.body, "something new") {
		t.Errorf("after an event: %d %s", got.StatusCode, got.body)
	}
	h.deny("get contextviews travel/concierge", ErrForbidden)
	h.get(path, "If-None-Match", tags[textType]).wantProblem(t, http.StatusForbidden, "Forbidden")
}

func TestALongQuestionIsKeptByItsDigest(t *testing.T) {
	h, c := newCountedHouse(t, 1, Options{})
	long := "/contextviews/concierge/context?question=" + url.QueryEscape(strings.Repeat("where? ", 4000))
	for range 2 {
		if got := h.get(long); got.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
	if c.built.Load() != 1 {
		t.Errorf("%d were built", c.built.Load())
	}
}

// A context that was kept goes with the rows that it was built from.
func TestWhatIsKeptIsNotServedOnceItsRowsWereMadeAnew(t *testing.T) {
	h, c := newCountedHouse(t, 2, Options{})
	const path = "/contextviews/concierge/context"
	right := h.get(path)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "projection.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `DELETE FROM memories`); err != nil {
		t.Fatal(err)
	}
	wrong := h.get(path + "?maxTokens=1999") // not kept before
	if wrong.body == right.body {
		t.Fatal("nothing is wrong")
	}
	if made, err := h.projection.Rebuild(t.Context(), streamName); err != nil || !made.Changed() {
		t.Fatal(made, err)
	}
	before := c.built.Load()
	if got := h.get(path + "?maxTokens=1999"); got.body != right.body || c.built.Load() != before+1 {
		t.Errorf("%d more were built, and it shows %s", c.built.Load()-before, got.body)
	}
	if got := h.get(path+"?maxTokens=1999", "If-None-Match", wrong.Header.Get("ETag")); got.StatusCode != http.StatusOK || got.body != right.body {
		t.Errorf("who has the wrong one gets %d %s", got.StatusCode, got.body)
	}
}
