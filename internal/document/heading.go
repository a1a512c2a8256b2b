package document

import (
	"strings"
	"unicode/utf8"
)

// section is a part of a text under one heading. It begins with its heading line,
// and with those above it that have no text of their own, so that no line of the
// text is in no section.
type section struct {
	start, end int
	heading    string  // the headings that it stands under, joined
	fences     []fence // the code in it
}

// fence is fenced code, with the lines that open and close it.
type fence struct{ start, end int }

const (
	headingBetween = " > "
	headingMost    = 200 // bytes of one heading in the path
)

// sectionsOf cuts a text at its Markdown headings of the form "## Visa". A # in
// fenced code is none.
func sectionsOf(text string) []section {
	var out []section
	var path outline
	open := section{}
	var fenced fencing
	bare := true // the open section has no line yet but headings and blank ones
	for at := 0; at < len(text); {
		line, next := lineAt(text, at)
		inside := fenced.inside()
		if was, closed := fenced.read(line, at); closed {
			open.fences = append(open.fences, fence{was, next})
		}
		level, title := 0, ""
		if !inside && !fenced.inside() {
			level, title = headingOf(line)
		}
		switch {
		case level == 0:
			bare = bare && strings.TrimSpace(line) == ""
		case bare:
			open.heading = path.enter(level, title)
		default:
			open.end = at
			out = append(out, open)
			open = section{start: at, heading: path.enter(level, title)}
			bare = true
		}
		at = next
	}
	if fenced.inside() { // never closed: it is code to the end
		open.fences = append(open.fences, fence{fenced.from, len(text)})
	}
	open.end = len(text)
	return append(out, open)
}

// lineAt returns the line that begins there, without its end, and where the next begins.
func lineAt(text string, at int) (line string, next int) {
	if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
		return strings.TrimSuffix(text[at:at+n], "\r"), at + n + 1
	}
	return text[at:], len(text)
}

// headingOf returns the level of a heading line, 0 if it is none, and its text
// (CommonMark 0.31, section 4.2).
func headingOf(line string) (level int, title string) {
	rest := strings.TrimLeft(line, " ")
	if len(line)-len(rest) > 3 {
		return 0, ""
	}
	title = strings.TrimLeft(rest, "#")
	level = len(rest) - len(title)
	if level == 0 || level > 6 || title != "" && title[0] != ' ' && title[0] != '\t' {
		return 0, ""
	}
	title = strings.TrimSpace(title)
	if closed := strings.TrimRight(title, "#"); closed == "" || strings.HasSuffix(closed, " ") || strings.HasSuffix(closed, "\t") {
		title = strings.TrimSpace(closed)
	}
	return level, title
}

// outline holds the headings that a line stands under.
type outline []entry

type entry struct {
	level int
	title string
}

// enter goes to a heading, and returns the path to it.
func (o *outline) enter(level int, title string) string {
	for len(*o) > 0 && (*o)[len(*o)-1].level >= level {
		*o = (*o)[:len(*o)-1]
	}
	*o = append(*o, entry{level, cut(title, headingMost)})
	var titles []string
	for _, e := range *o {
		if e.title != "" {
			titles = append(titles, e.title)
		}
	}
	return strings.Join(titles, headingBetween)
}

// cut returns at most n bytes of text, and no half of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.TrimSpace(text[:n]) + "…"
}

// fencing follows the lines of a text through fenced code (CommonMark 0.31,
// section 4.5).
type fencing struct {
	mark byte // 0: outside
	long int  // of the opening mark
	from int  // where the opening line begins
}

func (f *fencing) inside() bool { return f.mark != 0 }

// read takes the next line. It returns where the code began that the line closes.
func (f *fencing) read(line string, at int) (from int, closed bool) {
	rest := strings.TrimLeft(line, " ")
	if rest == "" || len(line)-len(rest) > 3 || rest[0] != '`' && rest[0] != '~' {
		return 0, false
	}
	info := strings.TrimLeft(rest, rest[:1])
	long := len(rest) - len(info)
	switch {
	case long < 3:
	case !f.inside():
		if rest[0] == '~' || !strings.Contains(info, "`") {
			*f = fencing{mark: rest[0], long: long, from: at}
		}
	case rest[0] == f.mark && long >= f.long && strings.TrimSpace(info) == "":
		from = f.from
		*f = fencing{}
		return from, true
	}
	return 0, false
}
