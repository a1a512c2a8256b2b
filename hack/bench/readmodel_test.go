package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

func TestACorpusTellsOfAsMuchAsTheSizeSays(t *testing.T) {
	size := readModelSize{Events: 20_000, Memories: 2000}
	lots := make(chan life)
	go func() {
		defer close(lots)
		newCorpus().tell(t.Context(), size, lots)
	}()
	events, kinds, streams := 0, map[string]int{}, map[string]bool{}
	for lot := range lots {
		events += len(lot.events)
		streams[lot.stream] = true
		for _, e := range lot.events {
			kinds[e.Type]++
			if _, err := agent.Decode(agent.Stored(e)); err != nil {
				t.Fatal(err)
			}
			if e.Type == "MemorySaved" && lot.stream != rememberer {
				t.Fatalf("%s remembers", lot.stream)
			}
		}
	}
	if events < size.Events || events > size.Events+20 || kinds["MemorySaved"] != size.Memories || len(streams) != 1+neighbours {
		t.Errorf("%d events of %d streams, and %d memories", events, len(streams), kinds["MemorySaved"])
	}
	for _, kind := range []string{"ResponseGiven", "AttemptSucceeded", "DocumentIndexed", "SummaryWritten", "ObjectObserved"} {
		if kinds[kind] == 0 {
			t.Errorf("nothing happens of kind %s", kind)
		}
	}
}

func TestReadingIsMeasuredOverAJournal(t *testing.T) {
	size := readModelSize{Events: 4000, Memories: 400, questions: 3, rate: 100, lag: time.Second}
	r, err := measureReadModel(t.Context(), sqliteReadStore(filepath.Join(t.TempDir(), "views")), size)
	if err != nil {
		t.Fatal(err)
	}
	if r.Events < size.Events || len(r.Reads) != 2 || len(r.Contexts) != len(measuredViews()) || r.Lag.Appends == 0 {
		t.Errorf("%+v", r)
	}
	for _, c := range r.Contexts {
		if c.Questions != size.questions || c.Tokens < 500 || c.Tokens > contextBudget || c.P50 <= 0 || c.P99 < c.P50 {
			t.Errorf("%+v", c)
		}
	}
	for name, figure := range map[string]float64{"reads": r.Reads[0], "reads again": r.Reads[1], "rebuild": r.Rebuild, "first": r.First, "rate": r.Lag.PerSecond,
		"lag": r.Lag.P50, "heap": float64(r.Heap), "journal": float64(r.JournalBytes), "projection": float64(r.ProjectionBytes)} {
		if figure <= 0 {
			t.Errorf("%s: %v", name, figure)
		}
	}
}

func TestTheReportTellsOfReading(t *testing.T) {
	r := report{views: []readModelResult{{
		readModelSize: readModelSize{Events: 1_000_003, Memories: 100_000}, Store: "SQLite", Reads: []float64{200_000, 100_000}, Rebuild: 60_000, First: 4200,
		Contexts: []contextResult{{Name: "a view", P50: 3.25, P99: 12, Tokens: 2333.4}},
		Lag:      lagResult{PerSecond: 499.9, P50: 1.5, P99: 20},
		Heap:     200e6, RSS: 300e6, JournalBytes: 400e6, ProjectionBytes: 100e6,
	}}}
	var text strings.Builder
	if err := r.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"A journal of 1000003 events of 51 agents, of which one remembers 100000 things.",
		"| SQLite | a view | 3.2 | < 10 | 12.0 | < 50 | 2333 |",
		"| SQLite | 499.9 | 1.5 | 20.0 | < 250 | 60000 | 150000 | 0.40 (0.30 to 0.60) | ≥ 0.33 |",
		"| SQLite | 4.2 | 200 | 300 | 400 | 100 |",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q in:\n%s", line, text.String())
		}
	}
	var without strings.Builder
	if err := (&report{}).write(&without); err != nil || strings.Contains(without.String(), "Reading") {
		t.Errorf("%v, and what was not measured is told of:\n%s", err, without.String())
	}
}

func TestAQuickRunReadsATenth(t *testing.T) {
	whole, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := parse([]string{"--quick", "--only", "views"})
	if err != nil {
		t.Fatal(err)
	}
	if whole.views.Events != 1_000_000 || whole.views.Memories != 100_000 || quick.views.Events != 100_000 || quick.views.Memories != 10_000 {
		t.Errorf("%+v and %+v", whole.views, quick.views)
	}
	if !quick.wants(viewsOnly) || quick.wants(journalOnly) {
		t.Errorf("%+v", quick.only)
	}
}
