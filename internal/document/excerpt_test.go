package document

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAnExcerptHasWhatStandsUnderTheHeadingsInTheOrderOfTheText(t *testing.T) {
	const text = "You book flights.\n\n# Refunds\nAsk first.\n\n## Of  hotels\nNever.\n\n# Manners\nBe polite.\n```\n# Refunds\n```\n\nVisa\n----\nTen days.\n\n# refunds\nTwice.\n"
	for name, c := range map[string]struct {
		headings []string
		want     string
		missing  []string
	}{
		"with what stands below it":        {[]string{"Manners"}, "# Manners\nBe polite.\n```\n# Refunds\n```\n\nVisa\n----\nTen days.", nil},
		"under an underlined one":          {[]string{"Visa"}, "Visa\n----\nTen days.", nil},
		"in the order of the text":         {[]string{"visa", "of hotels"}, "## Of  hotels\nNever.\n\nVisa\n----\nTen days.", nil},
		"each of one name, and none twice": {[]string{"REFUNDS", "Of hotels", " refunds "}, "# Refunds\nAsk first.\n\n## Of  hotels\nNever.\n\n# refunds\nTwice.", nil},
		"without those that are not there": {[]string{"Money", "Visa", "book flights"}, "Visa\n----\nTen days.", []string{"Money", "book flights"}},
		"nothing if none is there":         {[]string{"Money"}, "", []string{"Money"}},
		"nothing if none is named":         {nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, missing := Excerpt(text, c.headings)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.missing, missing); diff != "" {
				t.Errorf("missing (-want +got)\n%s", diff)
			}
		})
	}
}

// No line of an excerpt is another than the text has, and none stands in it twice.
func TestAnExcerptIsOfLinesOfTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"# A", "## B", "A", "===", "---", "```", "", "  word", "### A #", "- x"}), 0, 20).Draw(t, "lines"), "\n")
		excerpt, missing := Excerpt(text, rapid.SliceOf(rapid.SampledFrom([]string{"a", "B", "c"})).Draw(t, "headings"))
		counts := map[string]int{}
		for line := range strings.SplitSeq(text, "\n") {
			counts[line]++
		}
		for line := range strings.SplitSeq(excerpt, "\n") {
			if counts[line]--; strings.TrimSpace(line) != "" && counts[line] < 0 {
				t.Fatalf("%q is in the excerpt more often than in the text:\n%s\n---\n%s", line, excerpt, text)
			}
		}
		for _, heading := range missing {
			if again, _ := Excerpt(text, []string{heading}); again != "" {
				t.Fatalf("%q is missing, and has\n%s", heading, again)
			}
		}
	})
}
