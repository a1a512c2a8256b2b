package view

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/retrieval"
)

// source is what a stream's racks are filled from.
type source struct {
	passages PassageReader
	blobs    BlobReader
}

// content is what began or ceased to hold, and what was embedded, after one sequence and not after another.
type content struct {
	passages []projection.Passage
	embedded []embedded
}

// embedded is what a model made of some texts.
type embedded struct {
	projection.Embedded
	vectors [][]float32 // by text
}

// read returns all that has to be read before any of it is added.
func (s source) read(ctx context.Context, stream string, after, upTo int64) (content, error) {
	passages, err := s.passages.Passages(ctx, stream, after, upTo)
	if err != nil {
		return content{}, err
	}
	rows, err := s.passages.Embedded(ctx, stream, after, upTo)
	if err != nil {
		return content{}, err
	}
	read := content{passages: passages, embedded: make([]embedded, len(rows))}
	for i, row := range rows {
		blob, err := s.blobs.Blob(ctx, row.Vectors)
		if err != nil {
			return content{}, fmt.Errorf("read the vectors of sequence %d: %w", row.Sequence, err)
		}
		vectors, err := agent.DecodeVectors(blob, len(row.Texts), row.Dimensions)
		if err != nil {
			return content{}, notVectors(row, err)
		}
		read.embedded[i] = embedded{row, vectors}
	}
	return read, nil
}

func notVectors(row projection.Embedded, cause error) error {
	return fault.NewCorrupt("UnreadableVectors", cause,
		"The vectors of model %s that sequence %d recorded cannot be read. Nothing is skipped; restore the journal.", row.Model, row.Sequence)
}

// meaning is what the texts of one stream were embedded as. Texts are numbered: those of passages, and those of questions.
type meaning struct {
	numbers map[textDigest]int32
	spaces  []*space
	missing missing
}

// space is the vectors that can be compared with each other.
type space struct {
	model      string
	dimensions int
	vectors    retrieval.Vectors // by text
}

// textDigest is agent.TextDigest without its spelling.
type textDigest [32]byte

// digestOf reads a digest; false is what no text has.
func digestOf(spelled string) (d textDigest, is bool) {
	n, err := hex.Decode(d[:], []byte(spelled[:min(len(spelled), 2*len(d))]))
	return d, err == nil && n == len(d) && len(spelled) == 2*len(d)
}

// bytes is about what the vectors take.
func (m *meaning) bytes() (bytes int) {
	if m == nil {
		return 0
	}
	for _, space := range m.spaces {
		bytes += space.vectors.Bytes()
	}
	return bytes
}

// asked returns the vector of a question as of a sequence, and those that it can be compared with: of the model that
// embedded it last. Both are nil if none had by then.
func (m *meaning) asked(question string, asOf int64) (*retrieval.Vectors, []float32) {
	if m == nil {
		return nil, nil
	}
	digest, _ := digestOf(agent.TextDigest(agent.EmbeddingText("", question)))
	number, known := m.numbers[digest]
	if !known {
		return nil, nil
	}
	var among *retrieval.Vectors
	var vector []float32
	last := int64(-1)
	for _, space := range m.spaces {
		if v, since := space.vectors.Of(int(number), asOf); v != nil && since > last {
			among, vector, last = &space.vectors, v, since
		}
	}
	return among, vector
}

// space returns that of a model's vectors of so many dimensions, which it makes when they are the first.
func (m *meaning) space(model string, dimensions int) *space {
	for _, space := range m.spaces {
		if space.model == model && space.dimensions == dimensions {
			return space
		}
	}
	made := &space{model: model, dimensions: dimensions}
	m.spaces = append(m.spaces, made)
	return made
}

// number returns the number of a text, which it gets when it is new.
func (m *meaning) number(digest textDigest) int32 {
	number, known := m.numbers[digest]
	if !known {
		number = int32(len(m.numbers))
		m.numbers[digest] = number
	}
	return number
}

// knows numbers the texts of passages that were added since it last did.
func (r *racks) knows() *meaning {
	if r.meaning == nil {
		r.meaning = &meaning{numbers: map[textDigest]int32{}}
	}
	for _, shelf := range allShelves {
		rack := r.of[shelf]
		for _, p := range rack.passages[len(rack.texts):] {
			digest, _ := digestOf(agent.TextDigest(p.Embeddable()))
			rack.texts = append(rack.texts, r.meaning.number(digest))
		}
	}
	return r.meaning
}

// addVectors gives texts their vectors.
func (r *racks) addVectors(e embedded) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	m := r.knows()
	space := m.space(e.Model, e.Dimensions)
	for i, text := range e.Texts {
		digest, is := digestOf(text)
		if !is {
			continue // nobody will ever look for it
		}
		if err := space.vectors.Set(int(m.number(digest)), e.Sequence, e.vectors[i]); err != nil {
			r.broken = true
			return notVectors(e.Embedded, err)
		}
	}
	return nil
}
