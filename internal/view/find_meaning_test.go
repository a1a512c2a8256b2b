package view

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
)

// harbour is a history of which some was embedded: by model old up to sequence 6, by model new afterwards. In the vectors of
// new, the first number is for the sea and the second for drinks.
func harbour() *history {
	h := &history{passages: slices.Concat(
		[]projection.Passage{memory(1, "fact", "Ana owns a boat."), memory(2, "fact", "Ben drinks tea."), memory(3, "plan", "Rain on Friday.")},
		chunks("visa.md", 4, "Ferries leave at noon.", "The café opens at six."),
	)}
	const asked = "What floats on water?"
	h.embed(5, "old", map[string][]float32{asked: {1, 0, 0}, "Ana owns a boat.": {0, 1, 0}, "Ben drinks tea.": {1, 0, 0}, "Rain on Friday.": {1, 0, 1}})
	h.embed(6, "old", map[string][]float32{"Which vessel?": {1, 0, 0}})
	h.embed(7, "new", map[string][]float32{"Ana owns a boat.": {2, 0}, "Rain on Friday.": {1, 1}})
	h.embed(8, "new", map[string][]float32{asked: {1, 0.1}, "Visa\n\nFerries leave at noon.": {1, 0}, "Visa\n\nThe café opens at six.": {0, 1}})
	h.embed(9, "new", map[string][]float32{"Rain on Friday.": {-1, 0}, "Ben drinks tea.": {0, 3}})
	h.embed(10, "new", map[string][]float32{"tea": {1, 0}})
	return h
}

func TestFindByMeaning(t *testing.T) {
	const asked = "What floats on water?"
	for _, c := range []struct {
		name string
		s    Search
		want string
	}{
		{"no word of the question was said", Search{AsOf: 10, Ranking: Lexical, Question: asked}, ""},
		{"but what it means was", Search{AsOf: 10, Ranking: Semantic, Question: asked}, "Ana owns a boat.\nBen drinks tea."},
		{"words find nothing, and vectors rank alone", Search{AsOf: 10, Ranking: Relevance, Question: asked}, "Ana owns a boat.\nBen drinks tea."},
		{"as of before a vector was replaced", Search{AsOf: 8, Ranking: Semantic, Question: asked}, "Ana owns a boat.\nRain on Friday."},
		{"as of before the question was embedded again", Search{AsOf: 7, Ranking: Semantic, Question: asked}, "Ben drinks tea.\nRain on Friday."},
		{"as of before anything was embedded", Search{AsOf: 4, Ranking: Semantic, Question: asked}, ""},
		{"a question that was not embedded is one of words", Search{AsOf: 10, Ranking: Semantic, Question: "Who owns what?"}, "Ana owns a boat."},
		{"by the model that embedded the question, not by the newest", Search{AsOf: 10, Ranking: Semantic, Question: "Which vessel?"}, "Ben drinks tea.\nRain on Friday."},
		{"words and vectors, fused", Search{AsOf: 10, Ranking: Relevance, Question: "tea"}, "Ana owns a boat.\nBen drinks tea."},
		{"vectors alone", Search{AsOf: 10, Ranking: Semantic, Question: "tea"}, "Ana owns a boat."},
		{"words alone", Search{AsOf: 10, Ranking: Lexical, Question: "tea"}, "Ben drinks tea."},
		{"with recency, all are there", Search{AsOf: 10, Ranking: Blended, Question: asked}, "Ana owns a boat.\nBen drinks tea.\nRain on Friday."},
		{"without a question, the most recent", Search{AsOf: 10, Ranking: Semantic, Question: " ", Limit: 1}, "Rain on Friday."},
		{"of one kind", Search{AsOf: 8, Ranking: Semantic, Question: asked, Within: []string{"plan"}}, "Rain on Friday."},
		{"a chunk, under its headings", Search{AsOf: 10, Shelf: projection.Documents, Ranking: Semantic, Question: asked, Limit: 1},
			"Ferries leave at noon. [The café opens at six.]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.s.Shelf == "" {
				c.s.Shelf = projection.Memories
			}
			h := harbour()
			if diff := cmp.Diff(c.want, texts(search(t, NewFinder(h, h, 0), c.s))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// vectorOf is that of a text as of a sequence, by one model or any, and the model: from a look at all there is.
func (h *history) vectorOf(text, model string, asOf int64) (vector []float32, of string) {
	for _, e := range h.embedded {
		n := slices.Index(e.Texts, agent.TextDigest(agent.EmbeddingText("", text)))
		if n < 0 || e.Sequence > asOf || model != "" && e.Model != model {
			continue
		}
		vectors, err := agent.DecodeVectors(h.blobs[e.Vectors], len(e.Texts), e.Dimensions)
		if err != nil {
			panic(err)
		}
		vector, of = vectors[n], e.Model
	}
	return vector, of
}

// cosines are those of a shelf's passages with the question, by what names a passage; nil if it has no vector.
func (h *history) cosines(s Search) map[string]float64 {
	asked, model := h.vectorOf(s.Question, "", s.AsOf)
	if asked == nil {
		return nil
	}
	all := map[string]float64{}
	for _, p := range h.passages {
		holds := p.Shelf == s.Shelf && p.Since <= s.AsOf && (p.Until == 0 || p.Until > s.AsOf) &&
			(p.Expires.IsZero() || minute(s.AsOf).Before(p.Expires)) && (s.Within == nil || slices.Contains(s.Within, p.Within))
		vector, _ := h.vectorOf(p.Text, model, s.AsOf)
		if !holds || vector == nil {
			continue
		}
		var dot, one, other float64
		for i := range vector {
			dot += float64(vector[i]) * float64(asked[i])
			one += float64(vector[i]) * float64(vector[i])
			other += float64(asked[i]) * float64(asked[i])
		}
		if dot > 0 {
			all[named(p)] = dot / math.Sqrt(one*other)
		}
	}
	return all
}

func named(p projection.Passage) string { return fmt.Sprint(p.Sequence, p.Index, p.Since) }

func TestSemanticRanksByCosinesAsTheyAreComputedAnew(t *testing.T) {
	embedded := 0
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		f := NewFinder(h, h, 0)
		for range rapid.IntRange(1, 4).Draw(t, "searches") {
			s := Search{AsOf: rapid.Int64Range(0, 14).Draw(t, "as of"), Ranking: Semantic, Shelf: rapid.SampledFrom([]projection.Shelf{projection.Memories, projection.Documents}).Draw(t, "shelf"),
				Within: rapid.SampledFrom([][]string{nil, {"a"}}).Draw(t, "within"), Question: anyQuestion(t, h), Limit: 20}
			want := h.cosines(s)
			if want == nil || strings.TrimSpace(s.Question) == "" {
				continue // by words, or by recency
			}
			embedded++
			best := 0.0
			for _, cosine := range want {
				best = max(best, cosine)
			}
			got := search(t, f, s)
			if len(got) > 0 != (len(want) > 0) || len(got) > 0 && math.Abs(got[0].Score-best) > 1e-12 {
				t.Fatalf("search %+v found %v of\n%v", s, got, want)
			}
			for i, found := range got {
				if cosine, there := want[named(found.Passage)]; !there || math.Abs(cosine-found.Score) > 1e-12 {
					t.Fatalf("search %+v found %q by %v, not by %v", s, found.Text, found.Score, cosine)
				}
				if i > 0 && found.Score > got[i-1].Score {
					t.Fatalf("search %+v has %q behind %q", s, found.Text, got[i-1].Text)
				}
			}
		}
	})
	if embedded < 20 {
		t.Errorf("%d questions had vectors: the test looks at nothing", embedded)
	}
}

func TestUnembedded(t *testing.T) {
	h := harbour()
	h.passages = append(h.passages, memory(11, "fact", "Ana owns a boat."), memory(12, "fact", "Cy sails."), memory(13, "fact", "\u2003\n"),
		memory(14, "fact", "Cy sails."), memory(15, "fact", "Dee rows."))
	h.passages[len(h.passages)-1].Until = 17
	f := NewFinder(h, h, 0)
	for _, c := range []struct {
		name, model string
		asOf        int64
		limit       int
		want        []string
	}{
		{"nothing is there yet", "new", 0, 9, nil},
		{"nothing is embedded yet, the newest first", "new", 4, 2, []string{"Visa\n\nThe café opens at six.", "Visa\n\nFerries leave at noon."}},
		{"and the rest", "new", 4, 9, []string{"Visa\n\nThe café opens at six.", "Visa\n\nFerries leave at noon.", "Rain on Friday.", "Ben drinks tea.", "Ana owns a boat."}},
		{"some are", "new", 8, 9, []string{"Ben drinks tea."}},
		{"asked again, it is the same", "new", 8, 9, []string{"Ben drinks tea."}},
		{"all are", "new", 9, 9, nil},
		{"what was said again has its vector", "new", 11, 9, nil},
		{"each text once, and none that says nothing", "new", 14, 9, []string{"Cy sails."}},
		{"of another model", "old", 14, 3, []string{"Cy sails.", "Visa\n\nThe café opens at six.", "Visa\n\nFerries leave at noon."}},
		{"one more", "new", 15, 1, []string{"Dee rows."}},
		{"what has ended needs none", "new", 17, 9, []string{"Cy sails."}},
		{"of a model that has made none", "newest", 17, 2, []string{"Cy sails.", "Ana owns a boat."}},
	} {
		got, err := f.Unembedded(t.Context(), stream, c.model, c.asOf, c.limit)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
	for _, bad := range []func() ([]string, error){
		func() ([]string, error) { return f.Unembedded(t.Context(), "", "new", 1, 1) },
		func() ([]string, error) { return f.Unembedded(t.Context(), stream, "", 1, 1) },
		func() ([]string, error) { return f.Unembedded(t.Context(), stream, "new", -1, 1) },
		func() ([]string, error) { return f.Unembedded(t.Context(), stream, "new", 1, 0) },
	} {
		if got, err := bad(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v, %v where nothing can be told", got, err)
		}
	}
}

func TestWhatWasEmbeddedBeforeItWasSaidIsFound(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "Rain."), memory(4, "fact", "A boat.")}}
	h.embed(2, "new", map[string][]float32{"Vessels?": {1, 0}, "Rain.": {1, 9}, "A boat.": {1, 0}})
	f := NewFinder(h, h, 0)
	for asOf, want := range []string{3: "Rain.", 4: "A boat.\nRain."} {
		if want == "" {
			continue
		}
		if got := texts(search(t, f, Search{AsOf: int64(asOf), Shelf: projection.Memories, Ranking: Semantic, Question: "Vessels?"})); got != want {
			t.Errorf("as of %d, found %q, not %q", asOf, got, want)
		}
	}
}

func TestUnembeddedIsWhatHoldsAndHasNoVector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		f := NewFinder(h, h, 0)
		asOf := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "calls") {
			asOf += rapid.Int64Range(0, 4).Draw(t, "later")
			model := rapid.SampledFrom([]string{"one", "one", "one", "three"}).Draw(t, "model")
			limit := rapid.IntRange(1, 9).Draw(t, "limit")
			if rapid.Bool().Draw(t, "searches") {
				search(t, f, Search{AsOf: asOf, Shelf: projection.Turns, Ranking: Semantic, Question: anyQuestion(t, h)})
			}
			var want []string
			sorted := slices.Clone(h.passages)
			slices.SortFunc(sorted, compare)
			for _, p := range slices.Backward(sorted) {
				vector, _ := h.vectorOf(p.Text, model, asOf)
				if p.Since <= asOf && (p.Until == 0 || p.Until > asOf) && vector == nil && strings.TrimSpace(p.Text) != "" &&
					!slices.Contains(want, p.Text) && len(want) < limit {
					want = append(want, p.Text)
				}
			}
			got, err := f.Unembedded(t.Context(), stream, model, asOf, limit)
			if err != nil || len(got) != len(want) || len(got) == limit && len(slices.Compact(slices.Sorted(slices.Values(got)))) != limit {
				t.Fatalf("as of %d, %d of model %s: %v (%v), not %v", asOf, limit, model, got, err, want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("as of %d, %d of model %s (-want +got):\n%s", asOf, limit, model, diff)
			}
		}
	})
}

func TestTextsThatHaveVectorsAreNotLookedAtAgain(t *testing.T) {
	h := &history{}
	vectors := map[string][]float32{}
	for i := range int64(1000) {
		text := fmt.Sprint("Boat number ", i)
		h.passages = append(h.passages, memory(i+1, "fact", text))
		vectors[text] = []float32{1, float32(i)}
	}
	h.embed(1001, "new", vectors)
	h.passages = append(h.passages, memory(1002, "fact", "Tea."))
	f := NewFinder(h, h, 0)
	unembedded := func(asOf int64, want int) {
		t.Helper()
		if got, err := f.Unembedded(t.Context(), stream, "new", asOf, 2000); err != nil || len(got) != want {
			t.Fatalf("as of %d: %d texts (%v), not %d", asOf, len(got), err, want)
		}
		if left := len(f.streams[stream].meaning.missing.entries); left != want {
			t.Errorf("as of %d, %d passages will be looked at again, not %d", asOf, left, want)
		}
	}
	unembedded(1000, 1000)
	unembedded(1001, 0)
	unembedded(1002, 1)
}

func TestVectorsThatCannotBeReadAreToldAndMadeGood(t *testing.T) {
	s := Search{Stream: stream, AsOf: 5, Shelf: projection.Memories, Ranking: Semantic, Question: "What floats on water?", Limit: 9, Now: minute(5)}
	for name, c := range map[string]struct {
		blob    []byte
		corrupt bool
	}{
		"the blob is not there": {nil, false},
		"half of it":            {agent.EncodeVectors([][]float32{{1, 0, 0}, {1, 1, 1}}), true},
		"no number":             {agent.EncodeVectors([][]float32{{1, 0, 0}, {float32(math.NaN()), 0, 0}, {0, 1, 0}, {1, 1, 1}}), true},
		"no direction":          {agent.EncodeVectors([][]float32{{1, 0, 0}, {0, 0, 0}, {0, 1, 0}, {1, 1, 1}}), true},
	} {
		t.Run(name, func(t *testing.T) {
			h := harbour()
			whole := h.blobs["vectors-5"]
			if h.blobs["vectors-5"] = c.blob; c.blob == nil {
				delete(h.blobs, "vectors-5")
			}
			f := NewFinder(h, h, 0)
			for range 2 {
				if _, err := f.Find(t.Context(), s); err == nil || !strings.Contains(err.Error(), "sequence 5") || fault.Is(err, fault.Corrupt) != c.corrupt {
					t.Errorf("error %v", err)
				}
			}
			h.blobs["vectors-5"] = whole
			if got := texts(search(t, f, s)); got != "Ben drinks tea.\nRain on Friday." {
				t.Errorf("found %q", got)
			}
		})
	}
}

func TestVectorsCountAsPassages(t *testing.T) {
	h := &history{passages: []projection.Passage{memory(1, "fact", "A boat.")}}
	f := NewFinder(h, h, 0)
	s := Search{AsOf: 1, Shelf: projection.Memories, Ranking: Newest}
	if search(t, f, s); f.held != 2 {
		t.Errorf("a stream with a memory counts %d, not 2", f.held)
	}
	h.embed(2, "new", map[string][]float32{"A boat.": make([]float32, 1536), "Tea.": make([]float32, 1536)})
	for i := range h.blobs["vectors-2"] {
		h.blobs["vectors-2"][i] = 1 // whatever numbers these are
	}
	s.AsOf = 2
	if search(t, f, s); f.held != 2+12 {
		t.Errorf("with two vectors of 6 KiB it counts %d, not 14", f.held)
	}
}
