package execution

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	// textsAtOnce is how many texts one request has embedded, and one TextsEmbedded tells of.
	textsAtOnce = 64
	// mostVectorBytes bounds the vectors of a stream: 100,000 of 1,536 dimensions.
	mostVectorBytes = 4 * 1536 * 100_000
	// passagesAtOnce is how many passages of the stream an ask has embedded besides its question.
	passagesAtOnce = 512
	// leaveAlone is how long an embedding server that failed is asked for nothing by asks.
	leaveAlone = 30 * time.Second
	// embeddingRejected is the reason of the fault that says that a request's texts are what is wrong with it.
	embeddingRejected = "EmbeddingRejected"
)

// Embedder asks a model for vectors. Its errors are as a Decider's; one with the reason EmbeddingRejected may be due to
// the texts, or to how many they are.
type Embedder interface {
	Embed(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error)
}

// Passages says what can be searched in a stream and has no vector.
type Passages interface {
	// Unembedded returns texts, at most limit, of passages that hold as of a sequence and of which the model gave no vector.
	// Its errors are faults: Wait if the read side is behind.
	Unembedded(ctx context.Context, stream, model string, asOf int64, limit int) ([]string, error)
}

// EmbeddingNews is what came of the newest request to an agent's embedding server.
type EmbeddingNews struct {
	Failed error // a fault; nil: it brought vectors
}

// embeddings is what this process knows of an agent's embedding server. It is lost with the process, and with a change of
// the agent's spec.embeddings.
type embeddings struct {
	of      agent.Embeddings
	news    *EmbeddingNews      // nil: nothing was asked yet
	alone   time.Time           // asks leave the server alone until then
	atOnce  int                 // texts in one request: fewer once the server did not answer in time
	refused map[string]struct{} // digests of texts that it takes not even alone
}

// embeddings returns what is known of the server that the agent declares; the caller holds the lock.
func (st *stream) embeddings(of agent.Embeddings) *embeddings {
	known := &st.embedding
	if !sameServer(known.of, of) {
		*known = embeddings{of: of, atOnce: textsAtOnce, refused: map[string]struct{}{}}
	}
	return known
}

func sameServer(a, b agent.Embeddings) bool {
	if a.APIKey != nil && b.APIKey != nil && *a.APIKey == *b.APIKey {
		a.APIKey, b.APIKey = nil, nil
	}
	return a == b
}

// embedQuestion has the question of an ask embedded before its contexts are built,
// and with it, in the same requests, passages of the stream that have no vector
// yet. It returns the command as it is then; nil: it has to be looked at again.
//
// An ask does not fail because of an embedding server: without a vector of its
// question it goes on by words alone, and Summary tells why.
func (e *Engine) embedQuestion(st *stream, c *agent.Command, p agent.Profile) (*agent.Command, error) {
	question := agent.EmbeddingText("", c.Intent.Ask().Message)
	if p.Embeddings == nil || e.Embedder == nil || c.Embedded == p.Embeddings.Model || agent.Blank(question) || !st.mayEmbed(*p.Embeddings) {
		return c, nil
	}
	if err := st.full(); err != nil {
		e.toldOfEmbeddings(st, *p.Embeddings, err)
		return c, nil
	}
	r, err := e.round(st, c, p)
	if err == nil {
		if st.fill() {
			defer st.filled() // when what it has embedded is recorded, so that nobody has it embedded again
			r.fills = true
		}
		err = e.ofAsk(st, c, r, question)
	}
	if errors.Is(err, context.Canceled) {
		return nil, nil // the command was cancelled, or the operator is stopping
	}
	e.toldOfEmbeddings(st, *p.Embeddings, err)
	if len(r.events) == 0 {
		return c, nil
	}
	if first, err := e.record(st, c, r.events, r.blobs...); err != nil || !first {
		return nil, err
	}
	return st.clone(c.Key), nil
}

// full returns why nothing more of the stream is embedded, nil if it is: whoever searches a stream has all of its vectors
// in memory.
func (st *stream) full() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state.VectorBytes < mostVectorBytes {
		return nil
	}
	return fault.NewInvalid(ReasonEmbeddingsFull, "The vectors of this agent's stream take %d MiB, and there may be no more of them: every process that searches them has them in memory. "+
		"What has a vector is still found by meaning if the same was asked before, all else by words. Give what is to be searched to a new agent, with fewer spec.embeddings.dimensions, or remove spec.embeddings.", st.state.VectorBytes>>20)
}

// ofAsk has the question embedded, and passages for as long as an ask waits for vectors: spec.embeddings.timeout.
func (e *Engine) ofAsk(st *stream, c *agent.Command, r *round, question string) error {
	timeout := min(r.inquiry.Embeddings.Timeout, c.Deadline.Sub(e.Now())/2) // the other half is the model's
	r.until = time.Now().Add(timeout)
	ctx, cut := context.WithTimeout(e.ctx, timeout)
	defer cut()
	st.setCut(c.Key, cut)
	defer st.setCut(c.Key, nil)
	texts := []string{question}
	if r.fills {
		texts = append(texts, e.backlog(ctx, st, r.inquiry.Embeddings, question)...)
	}
	err := r.question(ctx, texts)
	st.refuse(r.inquiry.Embeddings, r.refused)
	return err
}

// backlog returns the passages that an ask has embedded. If the read side cannot tell within a while, it is none: what is
// left of the time is for the question, and the contexts, which are built next, wait for the read side themselves.
func (e *Engine) backlog(ctx context.Context, st *stream, of agent.Embeddings, question string) []string {
	if e.Passages == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, of.Timeout/4)
	defer cancel()
	texts, err := e.Passages.Unembedded(ctx, st.id, of.Model, st.sequence(), passagesAtOnce)
	if err != nil {
		e.Log.Info("what has no vector yet cannot be told now", "stream", st.id, "error", err.Error())
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	refused := st.embeddings(of).refused
	return slices.DeleteFunc(texts, func(text string) bool {
		_, not := refused[agent.TextDigest(text)]
		return not || text == question || agent.Blank(text)
	})
}

// mayEmbed reports whether the server is to be asked: it is left alone for a while after a failure.
func (st *stream) mayEmbed(of agent.Embeddings) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !time.Now().Before(st.embeddings(of).alone)
}

// fill takes the turn of the one ask that has passages embedded, and reports whether it was to be had; others that run
// beside it leave the passages to it.
func (st *stream) fill() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.filling {
		return false
	}
	st.filling = true
	return true
}

// filled gives the turn back.
func (st *stream) filled() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.filling = false
}

// mostRefused bounds what is remembered of texts that a server takes not even alone.
const mostRefused = 1000

// refuse remembers texts that the server takes not even alone, so that asks do without them.
func (st *stream) refuse(of agent.Embeddings, digests []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	refused := st.embeddings(of).refused
	for _, digest := range digests {
		if len(refused) >= mostRefused {
			clear(refused)
		}
		refused[digest] = struct{}{}
	}
}

// toldOfEmbeddings takes note of what came of asking the server.
func (e *Engine) toldOfEmbeddings(st *stream, of agent.Embeddings, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	known := st.embeddings(of)
	known.news, known.alone = &EmbeddingNews{Failed: err}, time.Time{}
	if err != nil {
		known.alone = time.Now().Add(max(e.alone, fault.Of(err).After))
		if errors.Is(err, context.DeadlineExceeded) {
			known.atOnce = max(1, known.atOnce/4)
		}
		e.Log.Warn("texts could not be embedded; asks go on by words alone", "stream", st.id, "error", err.Error())
	}
}

// clone returns an open command as it is now, nil if it has ended.
func (st *stream) clone(key string) *agent.Command {
	st.mu.Lock()
	defer st.mu.Unlock()
	if c := st.state.Open[key]; c != nil {
		return c.Clone()
	}
	return nil
}

// round returns what has texts embedded for a command. It is usable, and holds nothing, with an error too.
func (e *Engine) round(st *stream, c *agent.Command, p agent.Profile) (*round, error) {
	r := &round{embedder: e.Embedder, inquiry: agent.EmbeddingInquiry{Embeddings: *p.Embeddings, User: c.Key}}
	st.mu.Lock()
	r.inquiry.Known, r.atOnce = st.state.Dimensions[p.Embeddings.Model], st.embeddings(*p.Embeddings).atOnce
	st.mu.Unlock()
	var err error
	if p.Embeddings.APIKey != nil {
		r.inquiry.APIKey, err = e.Secrets.Value(e.ctx, p.Namespace, *p.Embeddings.APIKey)
	}
	return r, err
}

// round has texts embedded, by one request after the other.
type round struct {
	embedder Embedder
	inquiry  agent.EmbeddingInquiry // of every request, but for its texts
	atOnce   int                    // texts in one request
	until    time.Time              // no request begins that would probably not end by then
	fills    bool                   // it has passages embedded besides a question
	patient  bool                   // a server that has no time now is asked again, and no text is left out

	slowest  time.Duration  // of the requests
	embedded int            // texts
	events   []agent.Event  // a TextsEmbedded for each request
	blobs    []journal.Blob // their vectors
	cost     agent.Usage    // of all of them
	refused  []string       // digests of texts that the server takes not even alone
}

// question has texts embedded of which the first is what this is about: it goes out with the first request, and if that
// is rejected, alone. So it says whether it is some of the texts that are rejected, or every request. The others are
// embedded as long as there is time.
func (r *round) question(ctx context.Context, texts []string) error {
	first := texts[:min(r.atOnce, len(texts))]
	err := r.ask(ctx, first)
	if rejected(err) && len(first) > 1 {
		if err = r.ask(ctx, first[:1]); err == nil {
			err = r.halves(ctx, first[1:])
		}
	}
	if err != nil {
		return err
	}
	return r.all(ctx, texts[len(first):])
}

// all has texts embedded.
func (r *round) all(ctx context.Context, texts []string) error {
	for some := range slices.Chunk(texts, r.atOnce) {
		if err := r.some(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// some has texts embedded by one request or, where the server rejects that, for ever fewer of them. One that it takes not
// even alone is left out, or is the end of it.
func (r *round) some(ctx context.Context, texts []string) error {
	if !r.patient && time.Now().Add(r.slowest).After(r.until) {
		return nil // another ask goes on
	}
	err := r.ask(ctx, texts)
	switch {
	case !rejected(err):
		return err
	case len(texts) > 1:
		return r.halves(ctx, texts)
	case r.patient:
		return err
	}
	r.refused = append(r.refused, agent.TextDigest(texts[0]))
	return nil
}

func (r *round) halves(ctx context.Context, texts []string) error {
	half := (len(texts) + 1) / 2
	if err := r.some(ctx, texts[:half]); err != nil || half == len(texts) {
		return err
	}
	return r.some(ctx, texts[half:])
}

func rejected(err error) bool { return err != nil && fault.Of(err).Reason == embeddingRejected }

// ask makes one request. A server that asks for a pause gets it, if there is time for it.
func (r *round) ask(ctx context.Context, texts []string) error {
	q := r.inquiry
	q.Texts = texts
	for tries := 1; ; tries++ {
		began := time.Now()
		failpoint.Hit(failpoint.EmbedAsked)
		answer, err := r.embedder.Embed(ctx, q)
		failpoint.Hit(failpoint.EmbedAnswered)
		if err == nil {
			r.slowest = max(r.slowest, time.Since(began))
			r.took(texts, answer)
			return nil
		}
		pause := r.pause(err, tries)
		if pause == 0 || time.Now().Add(pause+r.slowest).After(r.until) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return err
		case <-time.After(pause):
		}
	}
}

// triesAtOnce bounds how often a request is made in a row that the server has no time for.
const triesAtOnce = 5

// pause returns how long to wait before a request is made again, 0 if it is not.
func (r *round) pause(err error, tries int) time.Duration {
	f := fault.Of(err)
	switch {
	case f.Kind != fault.Wait || tries >= triesAtOnce || errors.Is(err, context.DeadlineExceeded):
		return 0
	case f.After > 0 || !r.patient:
		return f.After
	}
	return time.Second << (tries - 1)
}

// took keeps an answer as it will be recorded.
func (r *round) took(texts []string, answer agent.EmbeddingAnswer) {
	digests := make([]string, len(texts))
	for i, text := range texts {
		digests[i] = agent.TextDigest(text)
	}
	blob := journal.NewBlob(agent.EncodeVectors(answer.Vectors))
	r.inquiry.Known = len(answer.Vectors[0])
	r.embedded += len(texts)
	r.cost = r.cost.Plus(answer.Usage)
	r.blobs = append(r.blobs, blob)
	r.events = append(r.events, agent.TextsEmbedded{Model: r.inquiry.Embeddings.Model, Dimensions: r.inquiry.Known,
		Texts: digests, Vectors: blob.Digest, Usage: answer.Usage})
}
