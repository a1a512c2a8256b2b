package document

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ending says what ends with a word, the better to cut after it the greater.
type ending int

const (
	atCharacter ending = iota // nothing: the word goes on
	atWord
	atLine
	atSentence // or an empty line in code
	atParagraph
)

// word is a run of characters without space, or a part of one that is too long.
type word struct {
	space, start, end int // the space before it, and itself
	ends              ending
	tokens            int // of the word with its space; 0: not counted yet
}

// scanner reads the words of a section.
type scanner struct {
	text   string
	at     int
	end    int
	most   int // bytes of a word
	fences []fence
}

// wordMost bounds a word: nobody reads longer ones, and a chunk is filled to within one of them.
const wordMost = 64

func newScanner(text string, s section, most int) *scanner {
	return &scanner{text: text, at: s.start, end: s.start + len(strings.TrimRightFunc(text[s.start:s.end], unicode.IsSpace)),
		most: min(most, wordMost), fences: s.fences}
}

func (s *scanner) ended() bool { return s.at >= s.end }

// next returns the next word, false at the end of the section.
func (s *scanner) next() (word, bool) {
	if s.ended() {
		return word{}, false
	}
	w := word{space: s.at}
	w.start = s.at + spaceAt(s.text[s.at:s.end])
	w.end, w.ends = s.wordAt(w.start)
	s.at = w.end
	if space := spaceAt(s.text[s.at:s.end]); space > 0 {
		w.ends = s.endingOf(w, s.text[s.at:s.at+space])
	}
	return w, true
}

// wordAt returns where the word ends that begins there: before a space, after a
// full stop of a script that puts no space after it, or where it is too long.
func (s *scanner) wordAt(start int) (end int, ends ending) {
	for i, r := range s.text[start:s.end] {
		switch {
		case unicode.IsSpace(r):
			return start + i, atWord
		case i+utf8.RuneLen(r) > s.most:
			return start + i, atCharacter
		case strings.ContainsRune("。！？", r):
			return start + i + utf8.RuneLen(r), atSentence
		}
	}
	return s.end, atParagraph
}

// endingOf says what ends with a word that this space follows.
func (s *scanner) endingOf(w word, space string) ending {
	lines := strings.Count(space, "\n")
	code := s.inCode(w.end)
	switch {
	case lines > 1 && !code:
		return atParagraph
	case lines > 1, !code && endsSentence(s.text[w.start:w.end], s.text[w.end+len(space):s.end]):
		return atSentence
	case lines == 1:
		return atLine
	}
	return max(w.ends, atWord)
}

// inCode reports whether a place is in fenced code. Places come in order.
func (s *scanner) inCode(at int) bool {
	for len(s.fences) > 0 && s.fences[0].end <= at {
		s.fences = s.fences[1:]
	}
	return len(s.fences) > 0 && s.fences[0].start <= at
}

// endsSentence reports whether a sentence ends between a word and what follows.
func endsSentence(w, rest string) bool {
	w = strings.TrimRight(w, "\"')]}»”’*_`")
	if w == "" || !strings.ContainsAny(w[len(w)-1:], ".!?") && !strings.HasSuffix(w, "…") {
		return false
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return !unicode.IsLower(r)
}

func spaceAt(text string) int {
	return len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
}
