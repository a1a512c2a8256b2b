package agent

import (
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWhatEmbeddingTextsDoesToAnAsk(t *testing.T) {
	s := newStory(t)
	key := s.accept("seats", ask("ada", "Where do I sit?"), Idempotent)
	question := TextDigest(EmbeddingText("", "Where do I sit?"))
	s.given(key, TextsEmbedded{Model: "other", Dimensions: 8, Texts: []string{TextDigest("a memory")}, Usage: Usage{Input: 5}})
	s.want("without its question", s.state.Open[key].Embedded, "")
	s.given(key, TextsEmbedded{Model: "m", Dimensions: 4, Texts: []string{TextDigest("a memory"), question}, Usage: Usage{Input: 7}})
	c := s.state.Open[key]
	s.want("with its question", c.Embedded, "m")
	s.want("goes on as before", s.next(key).Kind, Decide)
	s.want("its next context has seen it", c.Seen, s.state.Sequence)
	s.want("its tokens", c.Usage.Total(), 12)
	s.want("the agent's tokens today", s.state.TokensOn(s.clock).Total(), 12)
	s.want("dimensions", s.state.Dimensions, map[string]int{"other": 8, "m": 4})
	s.given(key, TextsEmbedded{Model: "m", Dimensions: 16, Texts: []string{question}})
	s.want("the first dimension of a model holds", s.state.Dimensions["m"], 4)
}

func TestWhatIsEmbeddedOfDocuments(t *testing.T) {
	s := newStory(t)
	s.given("k", DocumentIndexed{Collection: "rules", Document: "old.md", Digest: "1", Part: 1, Parts: 1, Chunks: []Chunk{{Text: "Old."}}})
	key := s.accept("index", NewIntent(IndexDocuments, IndexDocumentsPayload{Collection: "rules"}), Internal)
	long := strings.Repeat("語", 10_000)
	got := s.state.Embeddable(s.state.Open[key], []Read{
		{Name: "old.md", Digest: "1", Chunks: []Chunk{{Text: "Old."}}},
		{Name: "new.md", Digest: "2", Chunks: []Chunk{{Heading: "Visa > Fees", Text: "Forty euro."}, {Text: "Ten days."}, {Text: " \n"}, {Text: ""}}},
		{Name: "other.md", Digest: "3", Chunks: []Chunk{{Text: "Ten days."}, {Heading: "Long", Text: long}}},
	})
	s.want("texts", got[:2], []string{"Visa > Fees\n\nForty euro.", "Ten days."})
	s.want("pieces of the long one", len(got), 4)
	for _, text := range got[2:] {
		if !utf8.ValidString(text) || !strings.HasPrefix(text, "Long\n\n") || len(text) > maxEmbedded {
			t.Errorf("%d bytes that begin with %.20q", len(text), text)
		}
	}
	// What is recorded of the documents is what was embedded of them: the read side finds a vector for each chunk.
	var recorded []string
	for _, doc := range []Read{{Name: "other.md", Digest: "3", Chunks: []Chunk{{Text: "Ten days."}, {Heading: "Long", Text: long}}}} {
		for _, e := range parts("rules", doc) {
			for _, c := range e.(DocumentIndexed).Chunks {
				recorded = append(recorded, EmbeddingText(c.Heading, c.Text))
			}
		}
	}
	s.want("as recorded", recorded, got[1:])
}

func TestVectorsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dimensions := rapid.IntRange(1, 20).Draw(t, "dimensions")
		number := rapid.Custom(func(t *rapid.T) float32 { return math.Float32frombits(rapid.Uint32().Draw(t, "bits")) })
		vectors := rapid.SliceOfN(rapid.SliceOfN(number, dimensions, dimensions), 1, 10).Draw(t, "vectors")
		blob := EncodeVectors(vectors)
		again, err := DecodeVectors(blob, len(vectors), dimensions)
		if err != nil {
			t.Fatal(err)
		}
		for i := range vectors {
			if !slices.EqualFunc(vectors[i], again[i], func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Fatalf("%v came back as %v", vectors[i], again[i])
			}
		}
		if _, err := DecodeVectors(blob[1:], len(vectors), dimensions); err == nil {
			t.Fatal("a blob that is too short was read")
		}
		if _, err := DecodeVectors(blob, len(vectors)+1, dimensions); err == nil {
			t.Fatal("a vector that is not there was read")
		}
	})
}

// FuzzEmbeddingText holds that what is embedded is never too long, nor half a character.
func FuzzEmbeddingText(f *testing.F) {
	f.Add("", "text")
	f.Add("heading", strings.Repeat("語", 9000))
	f.Fuzz(func(t *testing.T, headings, text string) {
		got := EmbeddingText(headings, text)
		if !utf8.ValidString(got) || len(got) > maxEmbedded {
			t.Fatalf("%d bytes, %q", len(got), got)
		}
		if utf8.ValidString(text) && headings == "" && len(text) <= maxEmbedded && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
