package retrieval

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTerms(t *testing.T) {
	for _, c := range []struct{ name, text, terms string }{
		{"stop words say nothing", "What did you do with the boats?", "boat"},
		{"unless there is nothing else", "Who is he?", "who is he"},
		{"forms share a stem", "painted paintings paints", "paint paint paint"},
		{"irregular forms, too", "went bought children", "go buy child"},
		{"case and accents do not matter", "CAFÉ Zürich naïve", "cafe zurich naiv"},
		{"not how an accent is encoded either", "cafe\u0301", "cafe"},
		{"a possessive is its noun", "Caroline’s brother's", "carolin brother"},
		{"contractions go", "I'm sure they’ve won't", "sure"},
		{"an apostrophe within a name", "O'Neil", "oneil"},
		{"a hyphen joins and parts", "check-in", "checkin check"},
		{"initials are one word", "the U.S. team", "us team"},
		{"numbers stay", "5 kids, 3,000 dollars, 4.5%, $12", "5 kid 3000 dollar 4.5 12"},
		{"times stay", "at 10:30 or 7pm", "10:30 7pm"},
		{"ordinals are numbers", "8th of May, 1st", "8 may 1"},
		{"dates are the words for them", "2023-05-08", "8 may 2023"},
		{"what is no date is numbers", "2023-13-45 5/8/2023", "2023 13 45 5 8 2023"},
		{"no space after a comma", "May 8,2023", "may 8 2023"},
		{"no space after a sentence", "great.Thanks", "great thank"},
		{"characters of scripts without spaces", "東京 2023", "東 京 2023"},
		{"other alphabets", "Привет Мир", "привет мир"},
		{"emoji and signs are nothing", "🎉 !!! --- '' ... go", "go"},
		{"nothing", "", ""},
		{"not UTF-8", "caf\xff\xfe boat", "caf boat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := analyser{irregular: true}.terms(spoken(c.text))
			if diff := cmp.Diff(strings.Fields(c.terms), got, equalEmpty); diff != "" {
				t.Errorf("terms of %q (-want +got):\n%s", c.text, diff)
			}
		})
	}
}

var equalEmpty = cmp.Transformer("empty", func(s []string) string { return strings.Join(s, "|") })

func TestIrregularFormsAreLeftAloneWhenNotAsked(t *testing.T) {
	if got := (analyser{}).terms(spoken("bought")); !cmp.Equal(got, []string{"bought"}) {
		t.Errorf("bought became %q", got)
	}
}

func TestIrregularFormsLeadToBases(t *testing.T) {
	for form, base := range irregular {
		if base == "" || irregular[base] != "" || stopWords[base] {
			t.Errorf("%s leads to %q, which is not the base of anything", form, base)
		}
	}
}

func TestAnyTextHasTermsThatAreWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		for _, term := range (analyser{irregular: true}).terms(spoken(text)) {
			if term == "" || strings.ContainsAny(term, " \x00") || strings.ToLower(term) != term {
				t.Fatalf("%q has the term %q", text, term)
			}
		}
	})
}

// anyText draws words that the analysis treats in ways of their own, and bytes that are no text.
func anyText() *rapid.Generator[string] {
	word := rapid.OneOf(
		rapid.SampledFrom([]string{"May", "last", "Friday", "2023", "8th", "2023-05-08", "check-in", "O'Neil", "the", "ago", "two",
			"weeks", "between", "and", "to", "in", "next", "3,000", "?", "Zoë", "went", "\x00time"}),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
	)
	return rapid.Map(rapid.SliceOfN(word, 0, 12), func(words []string) string { return strings.Join(words, " ") })
}
