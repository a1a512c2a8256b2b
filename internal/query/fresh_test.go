package query

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// clock is a journal's clock, and the API's.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// newTimedHouse returns a house whose journal goes by the clock.
func newTimedHouse(t *testing.T, c *clock) *house {
	t.Helper()
	return newHouseOver(t, Options{Now: c.Now, Patience: 50 * time.Millisecond}, sqlite.Options{Clock: c.Now})
}

func TestALagInTimeIsHowLongAMissingEventMayHaveBeenThere(t *testing.T) {
	c := &clock{now: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)}
	h := newTimedHouse(t, c) // nobody projects
	for range 4 {            // at 0, 10, 20 and 30 seconds
		h.remember(1)
		c.now = c.now.Add(10 * time.Second)
	}
	for maxLag, least := range map[string]int64{ // by now it is 40 seconds
		"40001ms": 0, "40s": 1, "30s": 2, "29s": 2, "20s": 3, "10s": 4, "9s": 4, "0s": 4, "1h": 0,
	} {
		got := h.get("/contextviews/concierge/context?maxLag=" + maxLag)
		if least == 0 {
			if got.StatusCode != http.StatusOK || got.Header.Get("Edict-Sequence") != "0" {
				t.Errorf("%s: %d %s", maxLag, got.StatusCode, got.body)
			}
			continue
		}
		p := got.wantProblem(t, http.StatusServiceUnavailable, "ProjectionBehind")
		if want := fmt.Sprintf("Sequence %d of stream %s was asked for; the projection has seen 0", least, streamName); len(p.Detail) < len(want) || p.Detail[:len(want)] != want {
			t.Errorf("%s: %s, want %s", maxLag, p.Detail, want)
		}
	}
	h.project()
	if err := h.projection.WaitFor(t.Context(), streamName, 4); err != nil {
		t.Fatal(err)
	}
	if got := h.get("/contextviews/concierge/context?maxLag=0s"); got.StatusCode != http.StatusOK || got.Header.Get("Edict-Sequence") != "4" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestProgressTellsTheFirstMissingEvent(t *testing.T) {
	c := &clock{now: time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)}
	h := newTimedHouse(t, c)
	fresh := Freshness{Journal: h.journal, Projection: h.projection}
	if p, err := fresh.Progress(t.Context(), streamName); err != nil || p != (Progress{}) || p.Age(c.now) != 0 {
		t.Errorf("of nothing: %+v, %v", p, err)
	}
	first := c.now
	h.remember(1)
	c.now = c.now.Add(time.Minute)
	h.remember(2)
	p, err := fresh.Progress(t.Context(), streamName)
	if err != nil || p.Lag() != 3 || !p.Oldest.Equal(first) || p.Age(c.now) != time.Minute || p.Age(first.Add(-time.Hour)) != 0 {
		t.Errorf("behind: %+v, %v", p, err)
	}
	h.project()
	if err := h.projection.WaitFor(t.Context(), streamName, 3); err != nil {
		t.Fatal(err)
	}
	if p, err := fresh.Progress(t.Context(), streamName); err != nil || p != (Progress{Held: 3, Seen: 3}) {
		t.Errorf("caught up: %+v, %v", p, err)
	}
}

func TestAStreamThatStoppedTellsHowFarItCame(t *testing.T) {
	h := newHouse(t, Options{})
	h.remember(2)
	h.appendUnknown()
	h.project()
	got := h.get("/contextviews/concierge/context?minSequence=3")
	got.wantProblem(t, http.StatusInternalServerError, "UnreadableEvent")
	h.get("/contextviews/concierge/context").wantProblem(t, http.StatusInternalServerError, "UnreadableEvent")
	if got := h.get("/contextviews/concierge/context?at=2"); got.StatusCode != http.StatusOK {
		t.Errorf("what is older cannot be read: %d %s", got.StatusCode, got.body)
	}
	p, err := Freshness{Journal: h.journal, Projection: h.projection}.Progress(t.Context(), streamName)
	if err == nil || p.Held != 3 || p.Seen != 2 || p.Oldest.IsZero() {
		t.Errorf("got %+v, %v", p, err)
	}
}

// appendUnknown appends an event of a version that nobody here knows.
func (h *house) appendUnknown() {
	h.t.Helper()
	_, err := h.journal.Append(h.t.Context(), journal.Batch{Stream: streamName, Expected: journal.AnyVersion,
		Events: []journal.Event{{Type: "MoodChanged", Version: 3, Data: []byte(`{}`)}}})
	if err != nil {
		h.t.Fatal(err)
	}
}
