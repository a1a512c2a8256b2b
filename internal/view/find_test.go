package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// minute is when a sequence was recorded.
func minute(sequence int64) time.Time {
	return time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC).Add(time.Duration(sequence) * time.Minute)
}

// exchange is the two turns of an ask that was recorded from a sequence on, and ended with the next but one.
func exchange(conversation string, sequence int64, question, answer string) []projection.Passage {
	turn := projection.Passage{Shelf: projection.Turns, Since: sequence + 2, Name: fmt.Sprint("ask-", sequence), Within: conversation}
	said, replied := turn, turn
	said.Sequence, said.Time, said.Text, said.Speaker = sequence, minute(sequence), question, "Ana"
	replied.Sequence, replied.Time, replied.Text, replied.Speaker = sequence+1, minute(sequence+1), answer, "agent"
	return []projection.Passage{said, replied}
}

func memory(sequence int64, kind, text string) projection.Passage {
	return projection.Passage{Shelf: projection.Memories, Sequence: sequence, Since: sequence, Time: minute(sequence), Text: text,
		Name: fmt.Sprint("memory-", sequence), Within: kind, Importance: 5}
}

func chunks(document string, sequence int64, texts ...string) []projection.Passage {
	var all []projection.Passage
	for i, text := range texts {
		all = append(all, projection.Passage{Shelf: projection.Documents, Sequence: sequence, Index: i, Since: sequence,
			Time: minute(sequence), Text: text, Name: document, Within: "rules", Speaker: "Visa"})
	}
	return all
}

// search finds, and fails the test if that is refused.
func search(t interface {
	Fatal(...any)
	Context() context.Context
}, f Finder, s Search) []Found {
	s.Stream = stream
	if s.Limit == 0 {
		s.Limit = 10
	}
	s.Now = minute(s.AsOf)
	found, err := f.Find(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// texts writes what was found, each with its neighbours in brackets.
func texts(found []Found) string {
	var lines []string
	for _, f := range found {
		line := f.Text
		for _, p := range f.Before {
			line = "[" + p.Text + "] " + line
		}
		for _, p := range f.After {
			line += " [" + p.Text + "]"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestFind(t *testing.T) {
	old := memory(3, "fact", "Ana owns a red boat.")
	old.Until = 8
	secret := memory(4, "plan", "The boat sails on Friday.")
	secret.Expires = minute(20)
	h := &history{passages: slices.Concat(
		[]projection.Passage{old, secret, memory(8, "fact", "Ana owns a blue boat."), memory(9, "fact", "Ana owns a blue boat!"), memory(10, "fact", "Ben drinks tea.")},
		exchange("ada", 11, "Where is the lighthouse?", "North of the harbour."),
		exchange("ada", 14, "Is there tea?", "Yes."),
		exchange("bob", 17, "Has the lighthouse a keeper?", "It has none."),
		chunks("visa.md", 21, "A visa takes two weeks.", "It costs 80 euros.", "Bring a photograph.", "Apply at the consulate."),
	)}
	for _, c := range []struct {
		name string
		s    Search
		want string
	}{
		{"relevance, a near-duplicate left out", Search{AsOf: 10, Shelf: projection.Memories, Ranking: Relevance, Question: "Which boat does Ana own?"},
			"Ana owns a blue boat.\nThe boat sails on Friday."},
		{"as of a sequence before", Search{AsOf: 7, Shelf: projection.Memories, Ranking: Relevance, Question: "Which boat does Ana own?"},
			"Ana owns a red boat.\nThe boat sails on Friday."},
		{"what has expired is not found", Search{AsOf: 20, Shelf: projection.Memories, Ranking: Relevance, Question: "When does the boat sail?"},
			"Ana owns a blue boat."},
		{"without a question, the most recent", Search{AsOf: 10, Shelf: projection.Memories, Ranking: Relevance, Question: " ", Limit: 2},
			"Ben drinks tea.\nAna owns a blue boat!"},
		{"by recency", Search{AsOf: 10, Shelf: projection.Memories, Ranking: Recency, Question: "boat", Limit: 1}, "Ben drinks tea."},
		{"the newest", Search{AsOf: 7, Shelf: projection.Memories, Ranking: Newest}, "The boat sails on Friday.\nAna owns a red boat."},
		{"blended, all are there", Search{AsOf: 10, Shelf: projection.Memories, Ranking: Blended, Question: "sails"},
			"The boat sails on Friday.\nBen drinks tea.\nAna owns a blue boat!"},
		{"of one kind", Search{AsOf: 10, Shelf: projection.Memories, Ranking: Relevance, Question: "boat", Within: []string{"plan"}}, "The boat sails on Friday."},
		{"a question with its answer", Search{AsOf: 19, Shelf: projection.Turns, Ranking: Relevance, Question: "lighthouse", Limit: 1, Within: []string{"ada"}},
			"Where is the lighthouse? [North of the harbour.]"},
		{"an answer with its question", Search{AsOf: 19, Shelf: projection.Turns, Ranking: Relevance, Question: "harbour", Limit: 1},
			"[Where is the lighthouse?] North of the harbour."},
		{"what is found is nobody's neighbour", Search{AsOf: 13, Shelf: projection.Turns, Ranking: Newest},
			"Where is the lighthouse?\nNorth of the harbour."},
		{"an ask that has not ended is nobody's past", Search{AsOf: 12, Shelf: projection.Turns, Ranking: Newest}, ""},
		{"of two conversations", Search{AsOf: 19, Shelf: projection.Turns, Ranking: Relevance, Question: "lighthouse keeper", Limit: 1, Within: []string{"ada", "bob"}},
			"Has the lighthouse a keeper? [It has none.]"},
		{"a chunk between its neighbours", Search{AsOf: 21, Shelf: projection.Documents, Ranking: Relevance, Question: "photograph", Limit: 1},
			"[It costs 80 euros.] Bring a photograph. [Apply at the consulate.]"},
		{"a chunk between two hits goes with the better", Search{AsOf: 21, Shelf: projection.Documents, Ranking: Relevance, Question: "photograph euros photograph costs photograph"},
			"Bring a photograph. [Apply at the consulate.]\n[A visa takes two weeks.] It costs 80 euros."},
		{"a chunk by its heading", Search{AsOf: 21, Shelf: projection.Documents, Ranking: Relevance, Question: "visa", Limit: 1},
			"A visa takes two weeks. [It costs 80 euros.]"},
		{"before anything", Search{AsOf: 0, Shelf: projection.Memories, Ranking: Newest}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := search(t, NewFinder(h, h, 0), c.s)
			if diff := cmp.Diff(c.want, texts(got)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			for i, f := range got {
				if f.Until != 0 {
					t.Errorf("%q tells that it ended at %d, after what was asked for", f.Text, f.Until)
				}
				if i > 0 && got[i-1].Score < f.Score {
					t.Errorf("%q scores more than the one before it", f.Text)
				}
			}
		})
	}
}

func TestASearchThatNobodyCanAnswerIsRefused(t *testing.T) {
	good := Search{Stream: stream, AsOf: 1, Shelf: projection.Turns, Ranking: Newest, Limit: 1}
	f := NewFinder(&history{}, &history{}, 0)
	if _, err := f.Find(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Search){
		"stream":   func(s *Search) { s.Stream = "" },
		"sequence": func(s *Search) { s.AsOf = -1 },
		"passages": func(s *Search) { s.Limit = 0 },
		"shelf":    func(s *Search) { s.Shelf = "cellar" },
		"ranking":  func(s *Search) { s.Ranking = "Best" },
	} {
		s := good
		change(&s)
		if _, err := f.Find(t.Context(), s); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAnIndexThatGrewAnswersAsOneOfTheJournalUpToThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		grown := NewFinder(h, h, 0)
		for range rapid.IntRange(1, 6).Draw(t, "searches") {
			s := Search{
				AsOf:     rapid.Int64Range(0, 14).Draw(t, "as of"),
				Shelf:    rapid.SampledFrom([]projection.Shelf{projection.Memories, projection.Turns, projection.Documents}).Draw(t, "shelf"),
				Ranking:  rapid.SampledFrom(rankings).Draw(t, "ranking"),
				Within:   rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b"}}).Draw(t, "within"),
				Question: anyQuestion(t, h),
				Limit:    rapid.IntRange(1, 5).Draw(t, "limit"),
			}
			alone := h.until(s.AsOf)
			if diff := cmp.Diff(search(t, NewFinder(alone, alone, 0), s), search(t, grown, s)); diff != "" {
				t.Fatalf("search %+v (-of the journal up to there +of one that grew):\n%s", s, diff)
			}
		}
	})
}

func TestALongStreamIsReadInSteps(t *testing.T) {
	const far = 3*readAhead + 5
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat."), memory(far, "fact", "A harbour.")}}
	h.passages[0].Until = 2*readAhead + 1
	f := NewFinder(h, h, 0)
	if got := texts(search(t, f, Search{AsOf: far, Shelf: projection.Memories, Ranking: Newest})); got != "A harbour." {
		t.Errorf("found %q", got)
	}
	if got := texts(search(t, f, Search{AsOf: 5, Shelf: projection.Memories, Ranking: Newest})); got != "A boat." {
		t.Errorf("as of before, found %q", got)
	}
	if h.reads != 4 {
		t.Errorf("%d reads, not 4: the second search needs none", h.reads)
	}
}

func TestOneLoadsAndTheOthersWait(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat.")}, gate: make(chan struct{})}
	f := NewFinder(h, h, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := texts(search(t, f, Search{AsOf: 1, Shelf: projection.Memories, Ranking: Newest})); got != "A boat." {
				t.Errorf("found %q", got)
			}
		})
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Find(impatient, Search{Stream: stream, AsOf: 1, Shelf: projection.Memories, Ranking: Newest, Limit: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a search whose context ended", err)
	}
	close(h.gate)
	all.Wait()
	if h.reads != 1 {
		t.Errorf("%d reads, not 1", h.reads)
	}
}

func TestSearchesAtTheSameTimeAnswerAsOneByOne(t *testing.T) {
	h := &history{}
	for i := range int64(60) {
		h.passages = append(h.passages, exchange("ada", 1+3*i, fmt.Sprintf("Which boat lies in harbour %d?", i%7), fmt.Sprintf("Boat %d.", i))...)
	}
	const asked = "boat in harbour 3"
	for i := range int64(30) {
		h.embed(6*i+3, "new", map[string][]float32{asked: {1, float32(i)}, fmt.Sprintf("Boat %d.", 3*i%60): {1, float32(30 - i)}})
	}
	searchAsOf := func(f Finder, asOf int64) string {
		return texts(search(t, f, Search{AsOf: asOf, Shelf: projection.Turns, Ranking: Relevance, Question: asked, Limit: 5}))
	}
	var want []string
	for asOf := range int64(180) {
		want = append(want, searchAsOf(NewFinder(h, h, 0), asOf))
	}
	together := NewFinder(h, h, 0)
	var all sync.WaitGroup
	for start := range int64(4) {
		all.Go(func() {
			for asOf := start; asOf < int64(len(want)); asOf += 7 {
				if got := searchAsOf(together, asOf); got != want[asOf] {
					t.Errorf("as of %d, found\n%s\nnot\n%s", asOf, got, want[asOf])
				}
				if _, err := together.Unembedded(t.Context(), stream, "new", asOf, 5); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestWhatWasSearchedLongestAgoIsLetGoOf(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat."), memory(2, "fact", "A harbour."), memory(3, "fact", "Tea.")}}
	f := NewFinder(h, h, 9) // of streams that count four each, two
	find := func(name string) {
		t.Helper()
		found, err := f.Find(t.Context(), Search{Stream: name, AsOf: 3, Shelf: projection.Memories, Ranking: Newest, Limit: 3})
		if err != nil || len(found) != 3 {
			t.Fatalf("found %d passages, error %v", len(found), err)
		}
	}
	for _, c := range []struct {
		stream string
		reads  int
	}{{"a", 1}, {"b", 2}, {"a", 2}, {"c", 3}, {"a", 3}, {"b", 4}, {"c", 5}} {
		find(c.stream)
		if h.reads != c.reads {
			t.Fatalf("after a search of %s: %d reads, not %d", c.stream, h.reads, c.reads)
		}
	}
	if f.held != 8 || len(f.streams) != 2 {
		t.Errorf("%d passages of %d streams are counted, not 8 of 2", f.held, len(f.streams))
	}
	f.Forget("c", "nobody's")
	find("b")
	find("c")
	if h.reads != 6 {
		t.Errorf("%d reads after c was forgotten, not 6", h.reads)
	}
	if f.Forget(); f.held != 0 || len(f.streams) != 0 {
		t.Errorf("%d passages are counted after all were forgotten", f.held)
	}
	small := NewFinder(h, h, 1)
	if got := search(t, small, Search{AsOf: 3, Shelf: projection.Memories, Ranking: Newest}); len(got) != 3 {
		t.Errorf("of a stream that is more than all that may be held, found %d passages", len(got))
	}
}

func TestAFailedReadIsToldAndMadeGood(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat."), memory(2, "fact", "A harbour.")}}
	f := NewFinder(h, h, 0)
	search(t, f, Search{AsOf: 1, Shelf: projection.Memories, Ranking: Newest})
	s := Search{Stream: stream, AsOf: 2, Shelf: projection.Memories, Ranking: Newest, Limit: 5}
	h.err = fault.NewWait(time.Second, "ProjectionBehind", "sequence 2 is not projected yet")
	if _, err := f.Find(t.Context(), s); !fault.Is(err, fault.Wait) {
		t.Errorf("error %v is not that of the reader", err)
	}
	h.err = nil
	if got := texts(search(t, f, s)); got != "A harbour.\nA boat." {
		t.Errorf("found %q", got)
	}
}

func TestTablesOfAnotherHistoryAreReadAnew(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat."), memory(2, "fact", "A harbour.")}}
	f := NewFinder(h, h, 0)
	s := Search{Stream: stream, AsOf: 2, Shelf: projection.Memories, Ranking: Newest, Limit: 5}
	search(t, f, s)
	other := memory(1, "fact", "Tea.")
	other.Sequence, other.Until = 99, 3 // it ends what was never seen to begin
	h.passages = []projection.Passage{other, memory(3, "fact", "Rain.")}
	s.AsOf = 3
	if _, err := f.Find(t.Context(), s); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("error %v", err)
	}
	if got := texts(search(t, f, s)); got != "Rain." {
		t.Errorf("found %q", got)
	}
}

func TestALongQuestionIsAnsweredInTime(t *testing.T) {
	h := &history{}
	for i := range 200 {
		h.passages = append(h.passages, memory(int64(i+1), "fact", fmt.Sprintf("Boat %d lies in harbour %d.", i, i%7)))
	}
	began := time.Now()
	found := search(t, NewFinder(h, h, 0), Search{AsOf: 200, Shelf: projection.Memories, Ranking: Blended,
		Question: strings.Repeat("Which boat lies in harbour 3, since last Friday? ", 2_100)})
	if took := time.Since(began); len(found) != 10 || took > 10*time.Second {
		t.Errorf("found %d passages in %s", len(found), took)
	}
}
