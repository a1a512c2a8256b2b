package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edict-dev/edict/internal/projection"
)

// item is one memory, turn, passage, result or command, before it is written.
type item struct {
	tag        string // what it is: "memory"
	attributes []attribute
	head       string // what stands before the text in Markdown,
	lead       string // and what the text begins with there
	text       string // tidy
	more       int    // characters of it that were left out already
	sequence   int64  // of the event that recorded it; with index it names the item
	index      int
}

// attribute is something that is known of an item besides its text. Empty ones are not written.
type attribute struct{ name, value string }

// written returns the text, and how much of it was left out.
func (i item) written() string {
	if i.more == 0 {
		return i.text
	}
	return fmt.Sprintf("%s … (%d more characters left out)", i.text, i.more)
}

// attributeNames are what items may tell, by tag. A template may use these, and "text".
var attributeNames = map[string][]string{
	"instruction": {},
	"memory":      {"id", "kind", "time", "importance", "saidBy"},
	"turn":        {"role", "saidBy", "time"},
	"passage":     {"collection", "document", "heading", "source", "time", "summary"},
	"result":      {"command", "operation", "arguments", "phase", "reason", "time"},
	"command":     {"command", "type", "operation", "arguments", "time"},
	"observation": {"name", "object", "missing", "time"},
}

// tag returns what the block's items are.
func (b Block) tag() string {
	switch {
	case b.Instructions != nil:
		return "instruction"
	case b.Memories != nil:
		return "memory"
	case b.Documents != nil:
		return "passage"
	case b.Results != nil:
		return "result"
	case b.Pending != nil:
		return "command"
	case b.Observations != nil:
		return "observation"
	}
	return "turn"
}

// made returns an item with the values of its tag's attributes, in their order.
// What is certainly more than a budget need not be counted: text is clipped to
// about clip bytes.
func made(tag, head, text string, clip int, values ...string) item {
	i := item{tag: tag, head: head}
	for n, name := range attributeNames[tag] {
		if values[n] != "" {
			i.attributes = append(i.attributes, attribute{name, values[n]})
		}
	}
	if len(text) > clip {
		kept := strings.ToValidUTF8(text[:clip], "")
		i.more = utf8.RuneCountInString(text[len(kept):])
		text = kept
	}
	i.text = tidy(text)
	return i
}

func memoryItem(m projection.Memory, clip int) item {
	head := "- " + inline(m.ID) + " (" + listed(m.Kind, stamp(m.Time), m.SaidBy) + "):"
	i := made("memory", head, m.Content, clip, inline(m.ID), inline(m.Kind), stamp(m.Time), number(m.Importance), inline(m.SaidBy))
	i.sequence = m.Sequence
	return i
}

func turnItem(m projection.Message, clip int) item {
	head := "- " + string(m.Role) + " (" + listed(m.SaidBy, stamp(m.Time)) + "):"
	i := made("turn", head, m.Text, clip, string(m.Role), inline(m.SaidBy), stamp(m.Time))
	i.sequence = m.Sequence
	return i
}

// summaryRole is the role of a summary among the turns of a conversation.
const summaryRole = "summary"

func summaryItem(s projection.Summary, clip int) item {
	head := "- " + summaryRole + " (of what was said before, " + stamp(s.Time) + "):"
	i := made("turn", head, s.Text, clip, summaryRole, "", stamp(s.Time))
	i.sequence = s.Sequence
	return i
}

func passageItem(c projection.Chunk, clip int) item {
	head := "- " + inline(c.Document)
	if c.Heading != "" {
		head += ", " + inline(c.Heading)
	}
	head += " (" + inline(c.Collection) + "):"
	i := made("passage", head, c.Text, clip, inline(c.Collection), inline(c.Document), inline(c.Heading), inline(c.Source), stamp(c.Time), "")
	i.sequence, i.index = c.Sequence, c.Index
	return i
}

func resultItem(r projection.Result, clip int) item {
	phase := string(r.Phase)
	if r.Reason != "" {
		phase += ": " + inline(r.Reason)
	}
	arguments := argumentsOf(r.Arguments)
	head := fmt.Sprintf("- %s (%s, %s): %s", inline(r.Command), phase, stamp(r.Time), inline(r.Operation))
	i := made("result", head, r.Text, clip, inline(r.Command), inline(r.Operation), arguments, string(r.Phase), inline(r.Reason), stamp(r.Time))
	i.sequence, i.lead = r.Sequence, arguments
	return i
}

func pendingItem(p projection.Pending) item {
	arguments := argumentsOf(p.Arguments)
	head := fmt.Sprintf("- %s (%s, open since %s):", inline(p.Command), p.Type, stamp(p.Time))
	if p.Operation != "" {
		head += " " + inline(p.Operation)
	}
	i := made("command", head, "", 0, inline(p.Command), string(p.Type), inline(p.Operation), arguments, stamp(p.Time))
	i.sequence, i.lead = p.Sequence, arguments
	return i
}

// argumentsOf returns the arguments of a call as they may stand beside what came of it.
func argumentsOf(arguments string) string {
	const most = 1000
	arguments = tidy(arguments)
	if utf8.RuneCountInString(arguments) > most {
		arguments = string([]rune(arguments)[:most]) + "…"
	}
	return arguments
}

// listed joins the names that are there.
func listed(words ...string) string {
	var there []string
	for _, w := range words {
		if w = inline(w); w != "" {
			there = append(there, w)
		}
	}
	return strings.Join(there, ", ")
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// tidy returns clean text without empty lines around it and spaces at the ends of lines.
func tidy(text string) string {
	lines := strings.Split(strings.TrimSpace(clean(text)), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRightFunc(line, unicode.IsSpace)
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
		if unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF' { // no characters to XML
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

// passedItem returns the item of a passage that was searched for.
func passedItem(p projection.Passage, clip int) item {
	switch p.Shelf {
	case projection.Memories:
		return memoryItem(projection.Memory{Sequence: p.Sequence, Time: p.Time, ID: p.Name, Kind: p.Within, Content: p.Text,
			Importance: p.Importance, SaidBy: p.Speaker}, clip)
	case projection.Turns:
		m := projection.Message{Sequence: p.Sequence, Time: p.Time, Role: projection.Role(p.Source), SaidBy: p.Speaker, Text: p.Text}
		if p.Speaker == p.Source {
			m.SaidBy = ""
		}
		return turnItem(m, clip)
	}
	return passageItem(projection.Chunk{Sequence: p.Sequence, Time: p.Time, Collection: p.Within, Document: p.Name, Source: p.Source,
		Index: p.Index, Heading: p.Speaker, Text: p.Text}, clip)
}
