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

// title is a heading, with its line or lines.
type title struct {
	start, end int
	level      int
	text       string
}

// sectionsOf cuts a text at its headings.
func sectionsOf(text string) []section {
	titles, fences := titlesOf(text)
	var out []section
	var path outline
	open := section{}
	body := 0 // where what stands under the last heading begins
	finish := func(end int) {
		n := 0
		for n < len(fences) && fences[n].start < end {
			n++
		}
		open.end, open.fences, fences = end, fences[:n:n], fences[n:]
		out = append(out, open)
	}
	for _, t := range titles {
		if strings.TrimSpace(text[body:t.start]) != "" {
			finish(t.start)
			open = section{start: t.start}
		}
		open.heading, body = path.enter(t.level, t.text), t.end
	}
	finish(len(text))
	return out
}

// titlesOf returns the Markdown headings of a text, and its fenced code, in which
// there are none.
func titlesOf(text string) (titles []title, fences []fence) {
	var fenced fencing
	var above underlinable
	for at := 0; at < len(text); {
		line, next := lineAt(text, at)
		inside := fenced.inside()
		if was, closed := fenced.read(line, at); closed {
			fences = append(fences, fence{was, next})
		}
		t := title{start: at, end: next}
		if !inside && !fenced.inside() {
			if t.level, t.text = headingOf(line); t.level == 0 {
				if level := underlineOf(line); level > 0 && above.alone {
					t = title{above.start, next, level, above.text}
				}
			}
		}
		if t.level > 0 {
			titles = append(titles, t)
		}
		above = above.next(line, at, t.level > 0 || inside || fenced.inside())
		at = next
	}
	if fenced.inside() { // never closed: it is code to the end
		fences = append(fences, fence{fenced.from, len(text)})
	}
	return titles, fences
}

// underlinable is the line above, which is a heading if a line of = or - follows
// (CommonMark 0.31, section 4.3): here only if it is a paragraph of its own, so that
// neither a rule below a text nor the front matter of a page makes one.
type underlinable struct {
	start  int
	text   string
	within bool // a line after it would go on with what it stands in
	alone  bool // it goes on with nothing, and it is no item of a list, no quote and no row of a table
}

// next returns what the line is to the one below it; other is what no line goes on with.
func (u underlinable) next(line string, at int, other bool) underlinable {
	text := strings.TrimSpace(line)
	if other || text == "" {
		return underlinable{}
	}
	indent := len(line) - len(strings.TrimLeft(line, " "))
	plain := indent <= 3 && line[0] != '\t' && !strings.ContainsRune(">|-+*=", rune(text[0]))
	return underlinable{start: at, text: text, within: true, alone: plain && !u.within}
}

// underlineOf returns the level of the heading that a line makes of the one above
// it, 0 if it is none. One of less than three marks may be a list with nothing in it.
func underlineOf(line string) int {
	rest := strings.TrimLeft(line, " ")
	marks := strings.TrimRight(rest, " \t")
	switch {
	case len(line)-len(rest) > 3 || len(marks) < 3:
	case strings.Trim(marks, "=") == "":
		return 1
	case strings.Trim(marks, "-") == "":
		return 2
	}
	return 0
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
