package document

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The counters: each gives at most one token for a byte.
var counters = map[string]func(string) int{
	"bytes":      func(s string) int { return len(s) },
	"characters": utf8.RuneCountInString,
	"words":      func(s string) int { return len(strings.Fields(s)) },
	"fourths":    func(s string) int { return (len(s) + 3) / 4 },
	// Together they have more than each by itself, as no addition of counts foresees.
	"more together": func(s string) int { return min(len(s), len(strings.Fields(s))*(1+len(s)/20)) },
}

func TestTextIsCutAtItsHeadingsWhichArePassedOn(t *testing.T) {
	text := "Before all.\n\n# Rules\n\n## Visa ##\nA visa takes ten days.\n\n### For children\n\nNone.\n## Money\nEuro.\n# Law\n#no heading\n    # nor this\n####### nor this\n"
	want := []Chunk{
		{"", "Before all.", 0},
		{"Rules > Visa", "# Rules\n\n## Visa ##\nA visa takes ten days.", 13},
		{"Rules > Visa > For children", "### For children\n\nNone.", 57},
		{"Rules > Money", "## Money\nEuro.", 81},
		{"Law", "# Law\n#no heading\n    # nor this\n####### nor this", 96},
	}
	if diff := cmp.Diff(want, Split(text, Options{MaxTokens: 400, OverlapTokens: 40}, counters["fourths"])); diff != "" {
		t.Error(diff)
	}
}

func TestALineOfEqualSignsOrDashesMakesAHeadingOfTheLineAbove(t *testing.T) {
	text := "Before all.\n\nRules\n=====\n\nVisa\r\n---- \r\nTen days.\n\n### For children\n   1. None\n   ---\nNot one.\n"
	want := []Chunk{
		{"", "Before all.", 0},
		{"Rules > Visa", "Rules\n=====\n\nVisa\r\n---- \r\nTen days.", 13},
		{"Rules > 1. None", "### For children\n   1. None\n   ---\nNot one.", 50},
	}
	if diff := cmp.Diff(want, Split(text, Options{MaxTokens: 400}, counters["fourths"])); diff != "" {
		t.Error(diff)
	}
}

func TestALineThatUnderlinesNothingIsNoHeading(t *testing.T) {
	for name, text := range map[string]string{
		"front matter":           "---\ntitle: Visa\n---\nTen days.",
		"a rule below text":      "Ten days,\nor eleven.\n---\nMore.",
		"a rule by itself":       "Ten days.\n\n---\n\nMore.",
		"a rule below a rule":    "***\n---\nMore.",
		"an item of a list":      "- ten days\n---\nMore.",
		"a quote":                "> ten days\n---\nMore.",
		"a table":                "|days|\n---\n|10|",
		"code by its indent":     "    ten\n---\nMore.",
		"code by a tab":          "\tten\n---\nMore.",
		"an underline in code":   "Ten days.\n    ---\nMore.",
		"fenced code":            "```\n\nTen\n---\n```",
		"two marks":              "Ten days.\n--\nMore.",
		"marks with other words": "Ten days.\n--- or ===\nMore.",
		"both marks":             "Ten days.\n===---\nMore.",
		"a quote that goes on":   "> ten\ndays\n---\nMore.",
	} {
		if got := Split(text, Options{MaxTokens: 400}, counters["bytes"]); len(got) != 1 || got[0].Heading != "" {
			t.Errorf("%s: %q is cut into %v", name, text, got)
		}
	}
}

func TestFencedCodeIsNotCutAtAHash(t *testing.T) {
	for _, text := range []string{
		"# Use\n```sh\n# a comment\n```\n",
		"# Use\n~~~~\n~~~\n# a comment\n~~~~\n",
		"# Use\n   ````sh\n```\n# a comment\n`````\n",
		"# Use\n```\n# never closed\n",
		"# Use\r\n```sh\r\n# a comment\r\n```\r\n",
	} {
		if got := Split(text, Options{MaxTokens: 400}, counters["bytes"]); len(got) != 1 || got[0].Heading != "Use" {
			t.Errorf("%q is cut into %v", text, got)
		}
	}
	if got := Split("```a`b\n# A heading\nafter no code\n", Options{MaxTokens: 400}, counters["bytes"]); len(got) != 2 {
		t.Errorf("a line that opens no code hides a heading: %v", got)
	}
}

func TestALongSectionIsCutAtTheBestPlaceThatLeavesNoCrumbs(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"after a paragraph":                {"One two. Three four.\n\nFive six seven. Eight nine ten. Eleven.", []string{"One two. Three four.", "Five six seven. Eight nine ten. Eleven."}},
		"after a sentence":                 {"One two three four five. Six seven eight nine ten eleven.", []string{"One two three four five.", "Six seven eight nine ten eleven."}},
		"not after an abbreviation":        {"One two three four e.g. five\nsix seven eight nine ten.", []string{"One two three four e.g. five", "six seven eight nine ten."}},
		"after a line":                     {"one two three\nfour five six\nseven eight nine ten", []string{"one two three\nfour five six", "seven eight nine ten"}},
		"after a word":                     {"one two three four five six seven eight nine", []string{"one two three four five six seven eight", "nine"}},
		"not after a crumb":                {"Oh.\n\n" + "one two three four five six seven eight nine ten", []string{"Oh.\n\none two three four five six seven", "eight nine ten"}},
		"after a full stop without space":  {strings.Repeat("東", 6) + "。" + strings.Repeat("京", 8) + "。", []string{strings.Repeat("東", 6) + "。", strings.Repeat("京", 8) + "。"}},
		"not at an empty line within code": {"one\n```\na\n\nb c d e f\n```\n\ntwo three four five six seven eight", []string{"one\n```\na\n\nb c d e f\n```", "two three four five six seven eight"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, chunk := range Split(c.text, Options{MaxTokens: 40}, counters["bytes"]) {
				got = append(got, chunk.Text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAChunkRepeatsTheEndOfTheOneBeforeItInItsSection(t *testing.T) {
	text := "# A\nOne two three. Four five.\nSix seven eight nine ten eleven twelve.\n# B\nThirteen."
	got := Split(text, Options{MaxTokens: 32, OverlapTokens: 12}, counters["bytes"])
	want := []Chunk{
		{"A", "# A\nOne two three. Four five.", 0},
		{"A", "Four five.\nSix seven eight nine", 19},
		{"A", "eight nine ten eleven twelve.", 40},
		{"B", "# B\nThirteen.", 70},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// texts are built of what a splitter stumbles over.
var texts = rapid.Custom(func(t *rapid.T) string {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{" ", "\n", "\n\n", "\r\n", "\t", "a", "word", "End.", "Wait!", "。", "東京", "😀", "# H\n", "\n## H2\n", "\n```\n", "~~~", "\u00a0", "é",
			strings.Repeat("x", 90), strings.Repeat(" ", 300), strings.Repeat("\n", 20)}),
		rapid.StringN(0, 20, -1),
	)
	return strings.ToValidUTF8(strings.Join(rapid.SliceOfN(piece, 0, 200).Draw(t, "pieces"), ""), "")
})

func TestNothingIsLostNothingIsTooLongAndTheSameTextIsSplitTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"bytes", "characters", "words", "fourths", "more together"}).Draw(t, "counter")
		o := Options{MaxTokens: rapid.IntRange(8, 120).Draw(t, "max"), OverlapTokens: rapid.IntRange(0, 130).Draw(t, "overlap")}
		check(t, texts.Draw(t, "text"), o, counters[name])
	})
}

type failing interface {
	Helper()
	Fatalf(format string, args ...any)
}

func check(t failing, text string, o Options, count func(string) int) []Chunk {
	t.Helper()
	chunks := Split(text, o, count)
	told := 0 // up to where the chunks say everything
	for i, c := range chunks {
		switch {
		case c.Text == "" || strings.TrimSpace(c.Text) != c.Text || !utf8.ValidString(c.Text):
			t.Fatalf("chunk %d is %q", i, c.Text)
		case !strings.HasPrefix(text[c.Offset:], c.Text):
			t.Fatalf("chunk %d does not stand at its offset %d", i, c.Offset)
		case count(c.Text) > o.MaxTokens:
			t.Fatalf("chunk %d has %d tokens: %q", i, count(c.Text), c.Text)
		case c.Offset+len(c.Text) <= told:
			t.Fatalf("chunk %d says nothing new", i)
		case c.Offset > told && strings.TrimSpace(text[told:c.Offset]) != "":
			t.Fatalf("%q before chunk %d is in none", text[told:c.Offset], i)
		case c.Offset < told && chunks[i-1].Heading != c.Heading:
			t.Fatalf("chunk %d repeats what stands under another heading", i)
		}
		told = c.Offset + len(c.Text)
	}
	if strings.TrimSpace(text[told:]) != "" {
		t.Fatalf("%q at the end is in no chunk", text[told:])
	}
	if again := Split(text, o, count); !reflect.DeepEqual(chunks, again) {
		t.Fatalf("another time it is split otherwise")
	}
	return chunks
}

func FuzzSplit(f *testing.F) {
	f.Add("# A\n\nOne. Two.\n```\n# b\n```\n", 20, 5)
	f.Add(strings.Repeat("a", 300)+"\n\n\n"+strings.Repeat("😀", 40), 8, 8)
	f.Fuzz(func(t *testing.T, text string, most, overlap int) {
		if !utf8.ValidString(text) {
			t.Skip("Decode refuses what is not UTF-8")
		}
		check(t, text, Options{MaxTokens: max(8, most%500), OverlapTokens: overlap}, counters["fourths"])
	})
}

// TestAMillionTinyLinesAndOneOfMegabytesTakeLinearTime counts bytes that are
// counted, and not time, which on a busy machine says nothing.
func TestAMillionTinyLinesAndOneOfMegabytesTakeLinearTime(t *testing.T) {
	for name, text := range map[string]string{
		"a million tiny lines":           strings.Repeat("a\n", 1_000_000),
		"a million tiny paragraphs":      strings.Repeat("a\n\n", 1_000_000),
		"one line of words":              strings.Repeat("word ", 800_000),
		"one word":                       strings.Repeat("x", 4_000_000),
		"space":                          "a" + strings.Repeat(" ", 4_000_000) + "b",
		"a crumb before each long one":   strings.Repeat("a\n\n"+strings.Repeat("b", 900)+"\n\n", 4_000),
		"code that is opened and closed": strings.Repeat("```\n# a\n\n```\n\n", 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			bytes := 0
			began := time.Now()
			chunks := Split(text, Options{MaxTokens: 400, OverlapTokens: 40}, func(s string) int {
				bytes += len(s)
				return counters["fourths"](s)
			})
			t.Logf("%d chunks of %d bytes, %d bytes counted, %s", len(chunks), len(text), bytes, time.Since(began))
			if bytes > 4*len(text) {
				t.Errorf("%d bytes were counted for a text of %d", bytes, len(text))
			}
			if most := 2 + len(text)/700; len(chunks) > most {
				t.Errorf("%d chunks, more than %d: tiny lines are not merged", len(chunks), most)
			}
		})
	}
}

func TestOptionsThatNoTextCanFollowAreMadeToFit(t *testing.T) {
	for _, o := range []Options{{}, {MaxTokens: -5, OverlapTokens: -5}, {MaxTokens: 1, OverlapTokens: 100}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			for _, c := range Split("😀😀😀😀😀 one two three", o, counters["bytes"]) {
				if len(c.Text) > leastTokens || strings.ContainsFunc(c.Text, func(r rune) bool { return r == unicode.ReplacementChar }) {
					t.Errorf("got %q", c.Text)
				}
			}
		})
	}
}
