package agent

import (
	"iter"
	"unicode/utf8"
)

const (
	// maxPart bounds the JSON of an event that tells of documents, in bytes: half of what a journal takes.
	maxPart = 128 << 10
	// maxText bounds the text of one chunk, in bytes. JSON may need six for each.
	maxText = 16 << 10
	// maxHeading bounds the headings of one chunk, in bytes.
	maxHeading = 1 << 10
	// besides bounds what else there is in a DocumentIndexed, in bytes: numbers, a digest and the fields' names.
	besides = 512
)

// parts returns the events that record one document. A document without text is recorded too: it has no chunks.
func parts(collection string, doc Read) []Event {
	var chunks []Chunk
	for _, c := range doc.Chunks {
		chunks = append(chunks, pieces(c)...)
	}
	room := maxPart - besides - encodedSize(collection) - encodedSize(doc.Name) - encodedSize(doc.Source)
	size := func(c Chunk) int { return encodedSize(c) + 1 }
	var events []DocumentIndexed
	for batch := range batches(chunks, size, room) {
		events = append(events, DocumentIndexed{Collection: collection, Document: doc.Name, Source: doc.Source, Digest: doc.Digest, Chunks: batch})
	}
	if len(events) == 0 {
		events = []DocumentIndexed{{Collection: collection, Document: doc.Name, Source: doc.Source, Digest: doc.Digest, Chunks: []Chunk{}}}
	}
	out := make([]Event, 0, len(events))
	for i, e := range events {
		e.Part, e.Parts = i+1, len(events)
		out = append(out, e)
	}
	return out
}

// pieces cuts a chunk that no event could hold: one of very long words. Nothing is lost, and no character is split.
func pieces(c Chunk) []Chunk {
	c.Heading = bound(c.Heading, maxHeading)
	var all []Chunk
	for len(c.Text) > maxText {
		cut := maxText
		for cut > maxText-utf8.UTFMax && !utf8.RuneStart(c.Text[cut]) {
			cut--
		}
		all = append(all, Chunk{Heading: c.Heading, Text: c.Text[:cut], Offset: c.Offset})
		c.Text, c.Offset = c.Text[cut:], c.Offset+cut
	}
	return append(all, c)
}

// batches yields the items in groups whose sizes add up to no more than room. An
// item that alone is larger makes a group by itself.
func batches[T any](items []T, size func(T) int, room int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		from, used := 0, 0
		for i, item := range items {
			n := size(item)
			if i > from && used+n > room {
				if !yield(items[from:i:i]) {
					return
				}
				from, used = i, 0
			}
			used += n
		}
		if from < len(items) {
			yield(items[from:])
		}
	}
}

// encodedSize returns how many bytes a value takes in an event.
func encodedSize(v any) int {
	raw, err := marshal(v)
	if err != nil {
		return 0 // of strings and numbers nothing fails
	}
	return len(raw)
}
