package view

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edict-dev/edict/internal/projection"
)

// Every piece of a context (a heading, a note, an item) begins with a mark or a
// letter and ends with a newline, so that no token reaches from one into the
// next, and the tokens of the whole are the sum of the tokens of its pieces.

// item is one memory, turn or result, rendered.
type item struct {
	body string // without the last newline
	more int    // characters of it that were left out already
}

func (i item) text() string { return i.body + left(i.more) + "\n" }

func left(characters int) string {
	if characters == 0 {
		return ""
	}
	return fmt.Sprintf(" … (%d more characters left out)", characters)
}

// section is a block with what it may show.
type section struct {
	block   Block
	heading string
	one     string // what is left out when the budget is used up: "older turn"
	many    string
	items   []item // newest first
	oldest  bool   // the oldest is shown first
	absent  bool   // it is not shown at all
}

// note says how many items the budget left out.
func (s section) note(cut int) string {
	if cut == 1 {
		return fmt.Sprintf("… 1 %s left out\n", s.one)
	}
	return fmt.Sprintf("… %d %s left out\n", cut, s.many)
}

const none = "(none)\n"

func memoriesSection(b Block, memories []projection.Memory, clip int) section {
	s := section{block: b, heading: "## " + b.Name + " (memories)\n", one: "older memory", many: "older memories"}
	for _, m := range memories {
		head := fmt.Sprintf("- %s (%s, %s):", inline(m.ID), inline(m.Kind), stamp(m.Time))
		s.items = append(s.items, clipped(head, m.Content, clip))
	}
	return s
}

func conversationSection(b Block, name string, turns []projection.Message, clip int) section {
	s := section{block: b, heading: fmt.Sprintf("## %s (conversation %s)\n", b.Name, inline(name)), one: "older turn", many: "older turns", oldest: true}
	for _, m := range turns {
		s.items = append(s.items, clipped(fmt.Sprintf("- %s (%s):", m.Role, stamp(m.Time)), m.Text, clip))
	}
	return s
}

func resultsSection(b Block, results []projection.Result, clip int) section {
	s := section{block: b, heading: "## " + b.Name + " (what calls came to)\n", one: "older result", many: "older results", oldest: true}
	for _, r := range results {
		phase := string(r.Phase)
		if r.Reason != "" {
			phase += ": " + inline(r.Reason)
		}
		head := fmt.Sprintf("- %s (%s, %s): %s", inline(r.Command), phase, stamp(r.Time), inline(r.Operation))
		text := r.Arguments
		if r.Text != "" {
			text += "\n" + r.Text
		}
		s.items = append(s.items, clipped(head, text, clip))
	}
	return s
}

// clipped returns an item of at most about clip bytes: what is certainly more
// than a budget need not be counted.
func clipped(head, text string, clip int) item {
	more := 0
	if len(text) > clip {
		kept := strings.ToValidUTF8(text[:clip], "")
		more = utf8.RuneCountInString(text[len(kept):])
		text = kept
	}
	if text = indented(text); text == "" {
		return item{body: head, more: more}
	}
	return item{body: head + " " + text, more: more}
}

// indented returns text in which every line but the first is indented, so that
// no line of it passes for a heading or for another item.
func indented(text string) string {
	lines := strings.Split(strings.TrimSpace(clean(text)), "\n")
	for i, line := range lines {
		if line = strings.TrimRightFunc(line, unicode.IsSpace); i > 0 && line != "" {
			line = "  " + line
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}

// clean returns text with one kind of line break, and without the control
// characters that do things to a terminal.
func clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch r {
		case '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return '\n'
		case '\n', '\t':
			return r
		}
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// inline returns a name as it may stand within a line: short, and on one line.
func inline(name string) string {
	const most = 100
	name = strings.Join(strings.Fields(clean(name)), " ")
	if utf8.RuneCountInString(name) > most {
		name = string([]rune(name)[:most]) + "…"
	}
	return name
}

// stamp returns the journal's time of a record.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// pieces returns what a section shows of its items, in the order of the text.
func (s section) pieces(c choice) []string {
	if len(s.items) == 0 {
		return []string{s.heading, none}
	}
	shown := make([]string, 0, len(s.items)+2)
	for _, i := range s.items[:c.whole] {
		shown = append(shown, i.text())
	}
	if c.partial != nil {
		shown = append(shown, c.partial.text())
	}
	if cut := s.cut(c); cut > 0 {
		shown = append(shown, s.note(cut))
	}
	if s.oldest {
		slices.Reverse(shown)
	}
	return append([]string{s.heading}, shown...)
}
