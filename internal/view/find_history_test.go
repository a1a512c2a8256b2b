package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
)

// history is the passages of one stream, as they will have been, and what was embedded of them.
type history struct {
	passages []projection.Passage
	embedded []projection.Embedded
	blobs    map[string][]byte

	mutex sync.Mutex
	reads int
	err   error
	gate  chan struct{} // where it is not nil, each read waits for it
}

func (h *history) Passages(ctx context.Context, _ string, after, upTo int64) ([]projection.Passage, error) {
	if h.gate != nil {
		select {
		case <-h.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.reads++
	if h.err != nil {
		return nil, h.err
	}
	var some []projection.Passage
	for _, p := range h.passages {
		in := func(sequence int64) bool { return after < sequence && sequence <= upTo }
		if in(p.Since) || in(p.Until) && p.Since <= after {
			if p.Until > upTo {
				p.Until = 0
			}
			some = append(some, p)
		}
	}
	return some, nil
}

// embed records what a model made of texts.
func (h *history) embed(sequence int64, model string, vectors map[string][]float32) {
	e := projection.Embedded{Sequence: sequence, Model: model, Vectors: fmt.Sprint("vectors-", sequence)}
	var all [][]float32
	for _, text := range slices.Sorted(maps.Keys(vectors)) {
		e.Texts = append(e.Texts, agent.TextDigest(text))
		all = append(all, vectors[text])
		e.Dimensions = len(vectors[text])
	}
	if h.blobs == nil {
		h.blobs = map[string][]byte{}
	}
	h.blobs[e.Vectors] = agent.EncodeVectors(all)
	h.embedded = append(h.embedded, e)
}

func (h *history) Embedded(_ context.Context, _ string, after, upTo int64) (some []projection.Embedded, err error) {
	for _, e := range h.embedded {
		if after < e.Sequence && e.Sequence <= upTo {
			some = append(some, e)
		}
	}
	return some, nil
}

func (h *history) Blob(_ context.Context, digest string) ([]byte, error) {
	blob, there := h.blobs[digest]
	if !there {
		return nil, errors.New("there is no such blob")
	}
	return blob, nil
}

// anyQuestion is one that may have been embedded.
func anyQuestion(t *rapid.T, h *history) string {
	if len(h.passages) > 0 && rapid.Bool().Draw(t, "says what was said") {
		return rapid.SampledFrom(h.passages).Draw(t, "passage").Text
	}
	return anySaying(t, "question")
}

// sayings are what is said, asked and embedded more often than by chance.
var sayings = []string{"boat", "harbour tea", "keeper ?"}

func anySaying(t *rapid.T, label string) string {
	if rapid.Bool().Draw(t, label+" is a saying") {
		return rapid.SampledFrom(sayings).Draw(t, label)
	}
	return anyWords(t, label)
}

// until is the history of a journal that ends with a sequence.
func (h *history) until(end int64) *history {
	alone := &history{blobs: h.blobs}
	for _, p := range h.passages {
		if p.Since <= end {
			if p.Until > end {
				p.Until = 0
			}
			alone.passages = append(alone.passages, p)
		}
	}
	for _, e := range h.embedded {
		if e.Sequence <= end {
			alone.embedded = append(alone.embedded, e)
		}
	}
	return alone
}

func anyWords(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"boat", "harbour", "tea", "keeper", "?", "yesterday"}), 0, 5).Draw(t, label), " ")
}

// anyHistory is passages in the order of their sequences, and what was embedded of them and of questions. A turn begins to
// hold later than it was recorded.
func anyHistory(t *rapid.T) *history {
	h := &history{passages: anyPassages(t)}
	texts := append([]string{anyWords(t, "question to come")}, sayings...)
	for _, p := range h.passages {
		texts = append(texts, p.Embeddable())
	}
	number := rapid.SampledFrom([]float32{-1, 0.5, 1, 2})
	for sequence := range int64(14) {
		if rapid.IntRange(0, 2).Draw(t, "embeds") > 0 {
			continue
		}
		model := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "model")
		dimensions := map[string]int{"one": 2, "two": 2, "three": 3}[model]
		vectors := map[string][]float32{}
		for _, text := range rapid.SliceOfN(rapid.SampledFrom(texts), 1, 4).Draw(t, "texts") {
			vectors[text] = rapid.SliceOfN(number, dimensions, dimensions).Draw(t, "vector")
		}
		h.embed(sequence+1, model, vectors)
	}
	return h
}

func anyPassages(t *rapid.T) []projection.Passage {
	var all []projection.Passage
	for sequence := int64(1); sequence <= 12; sequence++ {
		p := projection.Passage{
			Shelf:    rapid.SampledFrom([]projection.Shelf{projection.Memories, projection.Turns, projection.Documents}).Draw(t, "shelf"),
			Sequence: sequence, Since: sequence, Time: minute(sequence),
			Text:       anySaying(t, "text"),
			Name:       rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"),
			Within:     rapid.SampledFrom([]string{"a", "b"}).Draw(t, "within"),
			Importance: rapid.IntRange(1, 10).Draw(t, "importance"),
		}
		if p.Shelf == projection.Turns {
			p.Since += rapid.Int64Range(0, 3).Draw(t, "later")
		}
		if rapid.Bool().Draw(t, "ends") {
			p.Until = p.Since + rapid.Int64Range(1, 5).Draw(t, "holds")
		}
		if p.Shelf == projection.Memories && rapid.Bool().Draw(t, "expires") {
			p.Expires = minute(sequence + rapid.Int64Range(1, 6).Draw(t, "for"))
		}
		all = append(all, p)
		if p.Shelf == projection.Turns && p.Until > 0 && rapid.Bool().Draw(t, "again") { // an ask that was reopened
			p.Since, p.Until = p.Until+rapid.Int64Range(0, 2).Draw(t, "anew"), 0
			all = append(all, p)
		}
	}
	return all
}
