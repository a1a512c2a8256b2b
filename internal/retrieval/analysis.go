package retrieval

import (
	"cmp"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/kljensen/snowball/english"
	"golang.org/x/text/unicode/norm"
)

// analyser turns text into the terms that items and questions are compared by.
type analyser struct {
	irregular bool
	// bases remembers the base of words, where it is not nil: stemming is most of the work.
	bases map[string]string
}

// maxBases is how many words an analyser remembers: more than a language is mostly spoken with.
const maxBases = 1 << 16

// longestWord bounds what is stemmed: the longest words of English have fewer letters, and stemming takes longer than a
// word is long.
const longestWord = 64

// terms returns the terms of the words of a text in order: words without case, accents and endings; numbers as they are written,
// without the commas of thousands; dates like 2023-05-08 as the words of "8 May 2023"; a word with a hyphen as its parts
// and as one word. Words that say nothing of what a text is about are left out, unless that would leave nothing.
func (a analyser) terms(words []string) []string {
	var terms, stopped []string
	for _, word := range words {
		if stopWords[word] {
			stopped = append(stopped, word)
			continue
		}
		terms = a.append(terms, word)
	}
	if len(terms) == 0 {
		return stopped
	}
	return terms
}

// append adds the terms of one word.
func (a analyser) append(terms []string, word string) []string {
	if date, err := time.Parse(time.DateOnly, word); err == nil {
		return a.appendAll(terms, strings.Fields(strings.ToLower(dateOf(date))))
	}
	if isDigit(rune(word[0])) {
		return appendNumber(terms, word)
	}
	word = strings.TrimSuffix(word, "'s")
	word = strings.ReplaceAll(word, "'", "")
	if parts := strings.FieldsFunc(word, isConnector); len(parts) > 1 {
		if strings.Contains(word, "-") || len(word) == 2*len(parts)-1 { // check-in, u.s
			terms = append(terms, a.base(strings.Join(parts, "")))
		}
		return a.appendAll(terms, parts)
	}
	if word == "" || stopWords[word] {
		return terms
	}
	return append(terms, a.base(word))
}

func (a analyser) appendAll(terms, parts []string) []string {
	for _, part := range parts {
		if !stopWords[part] && len(part) > 1 || isDigit(rune(part[0])) {
			terms = append(terms, a.base(part))
		}
	}
	return terms
}

// thousands is a number written with the commas of thousands.
var thousands = regexp.MustCompile(`^\d{1,3}(,\d{3})+(\.\d+)?$`)

// appendNumber adds the terms of a word that begins with a digit: 3,000 and 3000 are one number, 8th is 8, 10:30 and 4.5
// stay whole, and anything else is its parts.
func appendNumber(terms []string, word string) []string {
	if thousands.MatchString(word) {
		word = strings.ReplaceAll(word, ",", "")
	}
	switch {
	case ordinal(word) != "":
		return append(terms, ordinal(word))
	case strings.ContainsAny(word, "-/',"):
		for _, part := range strings.FieldsFunc(word, isConnector) {
			terms = append(terms, cmp.Or(ordinal(part), part))
		}
		return terms
	default:
		return append(terms, word)
	}
}

// ordinal returns the digits of 1st, 2nd, 3rd, 4th and so on, and nothing for another word.
func ordinal(word string) string {
	if len(word) < 3 {
		return ""
	}
	digits, suffix := word[:len(word)-2], word[len(word)-2:]
	if suffix != "st" && suffix != "nd" && suffix != "rd" && suffix != "th" || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return digits
}

// base returns the form of a word that its other forms share: the stem of Porter's second English stemmer
// (https://snowballstem.org/algorithms/english/stemmer.html).
func (a analyser) base(word string) string {
	if isDigit(rune(word[0])) || len(word) > longestWord {
		return word
	}
	if base, known := a.bases[word]; known {
		return base
	}
	base := word
	if regular, is := irregular[word]; is && a.irregular {
		base = regular
	}
	base = english.Stem(base, true)
	if a.bases != nil && len(a.bases) < maxBases {
		a.bases[word] = base
	}
	return base
}

// spoken returns the words of a text without case and accents, stop words included. Characters of scripts that write no
// spaces are words of their own.
func spoken(text string) []string {
	text = strings.ToValidUTF8(text, " ")
	if !norm.NFKD.IsNormalString(text) {
		text = norm.NFKD.String(text)
	}
	var words []string
	var word strings.Builder
	end := func() {
		if trimmed := strings.TrimRightFunc(word.String(), isConnector); trimmed != "" {
			words = append(words, trimmed)
		}
		word.Reset()
	}
	for _, r := range text {
		switch {
		case 'a' <= r && r <= 'z', isDigit(r):
			word.WriteByte(byte(r))
		case unicode.Is(unicode.Mn, r): // the accent of the letter before
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			end()
			words = append(words, string(r))
		case unicode.IsLetter(r), unicode.IsDigit(r):
			word.WriteRune(unicode.ToLower(r))
		case word.Len() > 0 && isConnector(plain(r)) && !strings.HasSuffix(word.String(), string(plain(r))):
			word.WriteRune(plain(r))
		default:
			end()
		}
	}
	end()
	return words
}

// plain returns the character of the keyboard for those that typesetting has in its place.
func plain(r rune) rune {
	switch r {
	case '’', '‘', 'ʼ':
		return '\''
	case '‐', '‑':
		return '-'
	default:
		return r
	}
}

// isConnector says whether a character within a word does not end it.
func isConnector(r rune) bool { return strings.ContainsRune(`'-.,:/`, r) }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }
