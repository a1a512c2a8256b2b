package view

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Every piece of a context (a heading, a note, an item) begins with a mark or a
// letter and ends with a newline, so that no token reaches from one into the
// next, and the tokens of the whole are the sum of the tokens of its pieces.

// style is how the pieces of a block are written. What stands in an item is data:
// no line of it passes for a heading, a tag or an item of ours.
type style interface {
	open(s *section) string
	item(i item, last bool) string
	none() string                          // what stands in the place of items if there are none
	note(words string) string              // says what was left out; empty if close says it
	close(s *section, words string) string // words is empty if nothing was left out
}

func styleOf(r Rendering) style {
	switch r {
	case XML:
		return elements{}
	case JSON:
		return objects{}
	}
	return lines{}
}

// lines is Markdown: a heading, and a list item for each.
type lines struct{}

const none = "(none)\n"

func (lines) open(s *section) string {
	return fmt.Sprintf("%s %s (%s)\n", strings.Repeat("#", s.depth+1), s.block.Name, s.label)
}

func (lines) item(i item, _ bool) string {
	text := i.written()
	if i.lead != "" && text != "" {
		text = i.lead + "\n" + text
	} else {
		text = i.lead + text
	}
	if text == "" {
		return i.head + "\n"
	}
	return i.head + " " + indented(text) + "\n"
}

func (lines) none() string                  { return none }
func (lines) note(words string) string      { return "… " + words + "\n" }
func (lines) close(*section, string) string { return "" }

// indented returns text in which every line but the first is indented, so that
// no line of it passes for a heading or for another item.
func indented(text string) string {
	all := strings.Split(text, "\n")
	for i, line := range all {
		if i > 0 && line != "" {
			all[i] = "  " + line
		}
	}
	return strings.Join(all, "\n")
}

// elements is XML: an element for each item in one of the block. Lines are
// indented as in Markdown, because the blocks beside this one may be that.
type elements struct{}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;")

// escaped returns text as it may stand between tags.
func escaped(text string) string {
	text = strings.ReplaceAll(text, "&", "&amp;")
	return strings.ReplaceAll(strings.ReplaceAll(text, "<", "&lt;"), ">", "&gt;")
}

func (elements) open(s *section) string {
	return fmt.Sprintf("<block name=\"%s\" source=\"%s\">\n", s.block.Name, entities.Replace(s.label))
}

func (elements) item(i item, _ bool) string {
	var b strings.Builder
	b.WriteString("<" + i.tag)
	for _, a := range i.attributes {
		b.WriteString(" " + a.name + `="` + entities.Replace(a.value) + `"`)
	}
	text := indented(i.written())
	if text == "" {
		b.WriteString("/>\n")
		return b.String()
	}
	b.WriteString(">" + escaped(text) + "</" + i.tag + ">\n")
	return b.String()
}

func (elements) none() string                  { return "<none/>\n" }
func (elements) note(words string) string      { return "<note>" + words + "</note>\n" }
func (elements) close(*section, string) string { return "</block>\n" }

// objects is JSON: an object with the list of items, each on a line of its own.
type objects struct{}

func (objects) open(s *section) string {
	return fmt.Sprintf("{\"block\":%s,\"source\":%s,\"items\":[\n", quoted(s.block.Name), quoted(s.label))
}

func (objects) item(i item, last bool) string {
	var b strings.Builder
	b.WriteString("{")
	for _, a := range i.attributes {
		b.WriteString(quoted(a.name) + ":" + quoted(a.value) + ",")
	}
	b.WriteString(`"text":` + quoted(i.written()) + "}")
	if !last {
		b.WriteString(",")
	}
	b.WriteString("\n")
	return b.String()
}

func (objects) none() string       { return "" }
func (objects) note(string) string { return "" }

func (objects) close(_ *section, words string) string {
	if words == "" {
		return "]}\n"
	}
	return "],\"note\":" + quoted(words) + "}\n"
}

// quoted returns text as a JSON string, with the characters that HTML knows as they are.
func quoted(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// titles is the heading of a view that a block shows.
type titles struct{ lines }

func (titles) none() string { return "" }
