package execution

import (
	"context"
	"errors"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

const (
	// embedTimeouts is what an attempt at an indexDocuments has for vectors, in spec.embeddings.timeout: as long as an open
	// attempt is judged by nobody, a process that dies holds its documents up, so it is no more than most need.
	embedTimeouts = 12
	// maxVectors bounds the vectors of one append, in bytes: the journal commits them in one transaction, and they are in
	// memory until then. It is enough for 5,000 chunks in 1,536 dimensions.
	maxVectors = 32 << 20
)

// reasonEmbeddingTimeout is why documents were not indexed: not all of them could be embedded in time.
const reasonEmbeddingTimeout = "EmbeddingTimeout"

// embedChunks has all chunks embedded that will be recorded of the documents. A
// command that is cancelled cuts it off.
func (e *Engine) embedChunks(st *stream, c *agent.Command, r *round, bound limit, read []agent.Read) error {
	ctx, cut := bound(e.ctx)
	defer cut()
	st.setCut(c.Key, cut)
	defer st.setCut(c.Key, nil)
	st.mu.Lock()
	texts := st.state.Embeddable(c, read)
	r.inquiry.Known = st.state.Dimensions[r.inquiry.Embeddings.Model]
	st.mu.Unlock()
	if len(texts) == 0 {
		return nil
	}
	if err := st.full(); err != nil {
		return err
	}
	if err := tooManyVectors(len(texts), r.inquiry.Known); err != nil {
		return err
	}
	r.patient = true
	r.until, _ = ctx.Deadline()
	first := min(r.atOnce, len(texts))
	err := r.all(ctx, texts[:first])
	if err == nil {
		if err := tooManyVectors(len(texts), r.inquiry.Known); err != nil {
			return err
		}
		err = r.all(ctx, texts[first:])
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	e.toldOfEmbeddings(st, r.inquiry.Embeddings, err)
	if err != nil && ctx.Err() != nil {
		return &fault.Error{Kind: fault.Wait, Reason: reasonEmbeddingTimeout, Err: err, Message: fmt.Sprintf(
			"Of %d chunks %d were embedded in the time that an attempt has for it, %d times spec.embeddings.timeout of the agent. "+
				"Raise that, index fewer at once, or look at why the embedding server is slow.", len(texts), r.embedded, embedTimeouts)}
	}
	return err
}

// tooManyVectors returns why vectors of so many texts cannot be recorded at once, nil if they can, or their dimensions are not known.
func tooManyVectors(texts, dimensions int) error {
	size := 4 * texts * dimensions
	if size <= maxVectors {
		return nil
	}
	return fault.NewInvalid(ReasonTooManyVectors,
		"The vectors of %d chunks in %d dimensions take %d MiB, and at most %d MiB are recorded at once: lower spec.embeddings.dimensions of the agent if its model allows that, "+
			"raise spec.indexDocuments.chunking.maxTokens, or index by several commands.", texts, dimensions, size>>20, maxVectors>>20)
}
