package view

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// A search finds what the rows hold since they were made anew, and nothing that it had found in them before.
func TestAnIndexGoesWithTheRowsThatItWasMadeOf(t *testing.T) {
	w := newWorld(t)
	where := filepath.Join(t.TempDir(), "projection.db")
	s, err := projection.Open(t.Context(), where, w.journal, projection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Follow(context.WithoutCancel(t.Context())) }() // until it is closed
	b := builder(t, s)
	b.finder = NewFinder(s, w.journal, 0)

	end := w.append(t, "k", agent.MemorySaved{ID: "seat", Kind: "preference", Content: "Window seats, always."})
	definition := Definition{Namespace: "travel", Name: "profile", Agent: "concierge", Budget: 500,
		Blocks: []Block{{Name: "memories", Memories: &Memories{Limit: 5}, Ranking: Relevance}}}
	shown := func() string {
		t.Helper()
		c, err := b.Build(t.Context(), Request{Definition: definition, Stream: stream, Min: end, Question: agent.Question{Text: "Which seats?"}})
		if err != nil {
			t.Fatal(err)
		}
		return c.Text
	}
	if text := shown(); !strings.Contains(text, "Window seats") {
		t.Fatal(text)
	}
	tamper(t, where, `UPDATE memories SET content = 'Aisle seats.'`)
	b.Forget(stream)
	if text := shown(); !strings.Contains(text, "Aisle seats") {
		t.Fatalf("the rows were changed, and it shows %q", text)
	}
	made, err := s.Rebuild(t.Context(), stream)
	if err != nil || !made.Changed() {
		t.Fatal(made, err)
	}
	if text := shown(); !strings.Contains(text, "Window seats") || strings.Contains(text, "Aisle") {
		t.Errorf("it shows %q", text)
	}
}

// tamper changes a projection's file, as nobody should.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.ExecContext(t.Context(), statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// renewed is a shelf whose rows are made anew while they are read.
type renewed struct {
	shelf
	generations []int64 // at each look in turn; the last for ever
	looks       int
}

func (r *renewed) Generation(context.Context, string) (int64, error) {
	r.looks++
	return r.generations[min(r.looks, len(r.generations))-1], nil
}

func TestAContextIsOfOneGeneration(t *testing.T) {
	for what, c := range map[string]struct {
		generations []int64
		looks       int // one before the first build, and one after each
		reason      string
	}{
		"nothing happens":                   {[]int64{7}, 2, ""},
		"they were made anew before":        {[]int64{8}, 2, ""},
		"they are made anew meanwhile":      {[]int64{7, 8}, 3, ""},
		"twice":                             {[]int64{7, 8, 9}, 4, ""},
		"again and again":                   {[]int64{1, 2, 3, 4, 5, 6}, 4, "ProjectionReplaced"},
		"the stream begins to be projected": {[]int64{0, 7}, 2, ""},
	} {
		t.Run(what, func(t *testing.T) {
			r := &renewed{generations: c.generations, shelf: shelf{head: 3}}
			b := builder(t, r)
			definition := Definition{Namespace: "travel", Name: "profile", Agent: "concierge", Budget: 500,
				Blocks: []Block{{Name: "memories", Memories: &Memories{Limit: 5}}}}
			_, err := b.Build(t.Context(), Request{Definition: definition, Stream: stream})
			if c.reason == "" && err != nil || c.reason != "" && (fault.Of(err) == nil || fault.Of(err).Reason != c.reason || !fault.Is(err, fault.Wait)) {
				t.Errorf("it says %v", err)
			}
			if r.looks != c.looks {
				t.Errorf("it looked %d times", r.looks)
			}
		})
	}
}
