package document

import "unicode/utf8"

// Chunk is a passage of a text.
type Chunk struct {
	Heading string // the headings that it stands under, outermost first, joined by " > "
	Text    string // without space around it
	Offset  int    // of Text in the whole text, in bytes: it stands there exactly so, with what it repeats of the chunk before it
}

// Options say how a text is split.
type Options struct {
	MaxTokens     int // of one chunk; less than 8 counts as 8
	OverlapTokens int // that a chunk repeats of the one before it in its section; more than half of MaxTokens counts as half
}

// spaceMost is how much space, in bytes, may stand between two words of a chunk without being in its way.
const spaceMost = 256

// leastTokens lets any two characters stand in one chunk, as none has more than four bytes.
const leastTokens = 2 * utf8.UTFMax

// Split returns the chunks of a text, in its order. A text is cut at its headings;
// then, where what stands under one has more than MaxTokens, at the end of a
// paragraph, of a sentence, of a line, or of a word, whichever comes first in
// this order and leaves no chunk that is needlessly small; and within a word only
// if it is longer than a chunk. Nothing but white space is in no chunk.
//
// Count gives the tokens of a text: at most one for each of its bytes. No chunk
// has more than MaxTokens by it. Each byte is counted about twice, whatever the
// text looks like, and more often only as far as chunks overlap.
func Split(text string, o Options, count func(string) int) []Chunk {
	o.MaxTokens = max(o.MaxTokens, leastTokens)
	o.OverlapTokens = min(max(o.OverlapTokens, 0), o.MaxTokens/2)
	var out []Chunk
	for _, sec := range sectionsOf(text) {
		s := splitter{Options: o, count: count, scanner: newScanner(text, sec, o.MaxTokens/2)}
		for {
			from, to, ok := s.next()
			if !ok {
				break
			}
			out = append(out, Chunk{Heading: sec.heading, Text: text[from:to], Offset: from})
		}
	}
	return out
}

// splitter fills chunks with the words of a section. It holds those that the next
// chunk may be made of.
type splitter struct {
	Options
	count   func(string) int
	scanner *scanner
	words   []word
	told    int // of words, how many the chunk before this one ended with
}

// next returns the place of the next chunk.
func (s *splitter) next() (from, to int, ok bool) {
	fits := s.fill()
	if s.told == len(s.words) {
		return 0, 0, false // nothing is left but what was told
	}
	for {
		end := s.cut(fits)
		from, to = s.words[0].start, s.words[end-1].end
		if end == 1 || s.count(s.scanner.text[from:to]) <= s.MaxTokens {
			s.advance(end)
			return from, to, true
		}
		// Words together may have more tokens than each by itself. Repeating less, or taking a tenth less, helps.
		if fits = min(end-1, end*9/10); fits <= s.told {
			s.words, s.told = s.words[s.told:], 0
			fits = s.fill()
		}
	}
}

// fill reads words until a chunk is full, and returns how many fit into it by the
// sum of their tokens: more than it is to repeat.
func (s *splitter) fill() int {
	sum := 0
	for i := 0; ; i++ {
		if i == len(s.words) {
			w, ok := s.scanner.next()
			if !ok {
				return i
			}
			s.words = append(s.words, w)
		}
		w := &s.words[i]
		if i == 0 {
			w.space = w.start // what stands before a chunk is not in it
			w.tokens = 0
		}
		if w.tokens == 0 {
			w.tokens = s.tokensOf(*w)
		}
		if sum += w.tokens; sum > s.MaxTokens && i > s.told {
			return i
		}
	}
}

// tokensOf counts a word with the space before it. Space that goes on and on is not
// worth counting: it has at most as many tokens as bytes.
func (s *splitter) tokensOf(w word) int {
	if w.start-w.space > spaceMost {
		return w.start - w.space + s.count(s.scanner.text[w.start:w.end])
	}
	return s.count(s.scanner.text[w.space:w.end])
}

// cut returns how many of the words that fit make the chunk: all if the section
// ends with them, and otherwise up to the best place to end.
func (s *splitter) cut(fits int) int {
	if fits == len(s.words) && s.scanner.ended() {
		return fits
	}
	least := max(s.told+1, fits/4)
	best := fits
	for end := fits - 1; end >= least && end > 0; end-- {
		if s.words[end-1].ends > s.words[best-1].ends {
			best = end
		}
	}
	return best
}

// advance leaves the words that the next chunk repeats, and those that were read
// ahead. A repetition begins where a sentence does, or a word, if it can.
func (s *splitter) advance(end int) {
	begin, sum := end, 0
	for i := end - 1; i > 0; i-- {
		if sum += s.words[i].tokens; sum > s.OverlapTokens {
			break
		}
		if begin == end || min(s.words[i-1].ends, atSentence) >= min(s.words[begin-1].ends, atSentence) {
			begin = i
		}
	}
	s.told = end - begin
	s.words = append(s.words[:0], s.words[begin:]...)
	if s.told == len(s.words) && s.scanner.ended() {
		s.words, s.told = nil, 0
	}
}
