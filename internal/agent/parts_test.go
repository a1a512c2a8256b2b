package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkParts holds what is promised of the events of one document, and returns how many there are.
func checkParts(t *testing.T, doc Read) int {
	t.Helper()
	events := parts("rules", doc)
	var text []byte
	var chunks []Chunk
	for i, event := range events {
		e := event.(DocumentIndexed)
		if size := len(Encode("key", e).Data); size > maxPart {
			t.Errorf("part %d has %d bytes", i+1, size)
		}
		if e.Part != i+1 || e.Parts != len(events) {
			t.Errorf("part %d says that it is %d of %d", i+1, e.Part, e.Parts)
		}
		if e.Collection != "rules" || e.Document != doc.Name || e.Source != doc.Source || e.Digest != doc.Digest || e.Chunks == nil {
			t.Errorf("part %d is of %+v", i+1, e)
		}
		for _, c := range e.Chunks {
			text = append(text, c.Text...)
			if !utf8.ValidString(c.Text) {
				t.Errorf("a character was split at %d", c.Offset)
			}
		}
		chunks = append(chunks, e.Chunks...)
	}
	var want []byte
	for _, c := range doc.Chunks {
		want = append(want, c.Text...)
		at := c.Offset
		for len(chunks) > 0 && at < c.Offset+max(1, len(c.Text)) {
			if chunks[0].Offset != at || chunks[0].Text != c.Text[at-c.Offset:at-c.Offset+len(chunks[0].Text)] {
				t.Fatalf("a piece at %d begins at %d", at, chunks[0].Offset)
			}
			at += max(1, len(chunks[0].Text))
			chunks = chunks[1:]
		}
	}
	if !slices.Equal(text, want) || len(chunks) > 0 {
		t.Errorf("%d bytes of text in, %d out, %d chunks over", len(want), len(text), len(chunks))
	}
	return len(events)
}

func TestADocumentIsRecordedInPartsThatFitTheJournal(t *testing.T) {
	many := func(n int, text string) (chunks []Chunk) {
		for i := range n {
			chunks = append(chunks, Chunk{Heading: "A > B", Text: text, Offset: i * len(text)})
		}
		return chunks
	}
	for _, tc := range []struct {
		name   string
		chunks []Chunk
		least  int
		most   int
	}{
		{"no text", nil, 1, 1},
		{"a little", many(3, "text"), 1, 1},
		{"half a megabyte", many(300, strings.Repeat("word ", 350)), 4, 6},
		{"much that JSON spells in six bytes", many(100, strings.Repeat("\x01", 2000)), 10, 12},
		{"one chunk that no event could hold", many(1, strings.Repeat("x", 300_000)), 3, 4},
		{"one of characters of three bytes", many(1, strings.Repeat("語", 100_000)), 3, 4},
		{"a chunk of control characters that no event could hold", many(1, strings.Repeat("\x02", 100_000)), 5, 7},
		{"a million tiny lines", many(20_000, "x\n"), 8, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := checkParts(t, Read{Name: strings.Repeat("n", 2048), Source: strings.Repeat("\x03", 2100), Digest: "sha256:" + strings.Repeat("0", 64), Chunks: tc.chunks})
			if got < tc.least || got > tc.most {
				t.Errorf("%d parts, want %d to %d", got, tc.least, tc.most)
			}
		})
	}
}

func TestALongHeadingIsCut(t *testing.T) {
	events := parts("rules", Read{Name: "d", Chunks: []Chunk{{Heading: strings.Repeat("h", 100_000), Text: "text"}}})
	if c := events[0].(DocumentIndexed).Chunks[0]; len(c.Heading) > maxHeading+len("…") || c.Text != "text" {
		t.Errorf("%d bytes of headings, and the text %q", len(c.Heading), c.Text)
	}
}

func TestManyRemovalsAreRecordedInEventsThatFitTheJournal(t *testing.T) {
	var documents []string
	for i := range 1000 {
		documents = append(documents, fmt.Sprintf("%04d-%s", i, strings.Repeat("ä", 1000)))
	}
	var got []string
	for _, event := range removals("rules", documents) {
		if size := len(Encode("key", event).Data); size > maxPart {
			t.Errorf("an event of %d bytes", size)
		}
		got = append(got, event.(DocumentsRemoved).Documents...)
	}
	if !slices.Equal(got, documents) {
		t.Errorf("%d documents in, %d out", len(documents), len(got))
	}
}

// FuzzParts holds it for any text: no event is too large, no byte is lost, no character is split.
func FuzzParts(f *testing.F) {
	f.Add("heading", "text", 3)
	f.Add("", strings.Repeat("語\x01", 9000), 40)
	f.Fuzz(func(t *testing.T, heading, text string, n int) {
		if !utf8.ValidString(text) || !utf8.ValidString(heading) || n < 0 || n > 200 {
			t.Skip("no text that is read, or more than is cut into parts here")
		}
		doc := Read{Name: "d", Source: "inline", Digest: "1"}
		for i := range n {
			doc.Chunks = append(doc.Chunks, Chunk{Heading: heading, Text: text, Offset: i * len(text)})
		}
		checkParts(t, doc)
	})
}
