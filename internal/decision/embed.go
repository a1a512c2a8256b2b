package decision

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"

	"github.com/sashabaranov/go-openai"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// vectorBytes bounds what the vector of one text takes in an answer: 8,192 numbers, of which each is spelled out in 32
// bytes, line break and indentation included.
const vectorBytes = 256 << 10

// Embed asks the model of q for the vectors of texts, once. What it returns is
// whole: one vector for each text, in their order, of numbers that can be compared,
// and of the dimension that is asked for, or known.
//
// The error is a fault, or wraps context.Canceled if ctx was cancelled.
func (d *Decider) Embed(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
	s, err := d.embeddingServer(q)
	if err != nil {
		return agent.EmbeddingAnswer{}, err
	}
	call := &embedding{exchange: exchange{http: d.client, timeout: s.Timeout, limit: answerOverhead + int64(len(q.Texts))*vectorBytes, failures: s}, server: s}
	config := openai.DefaultConfig(q.APIKey)
	config.BaseURL, config.HTTPClient = q.Embeddings.BaseURL, call
	response, err := openai.NewClientWithConfig(config).CreateEmbeddings(ctx, openai.EmbeddingRequest{
		Input: q.Texts, Model: openai.EmbeddingModel(q.Embeddings.Model), User: q.User,
		EncodingFormat: openai.EmbeddingEncodingFormatFloat, Dimensions: q.Embeddings.Dimensions,
	})
	if err != nil {
		return agent.EmbeddingAnswer{}, s.local(err)
	}
	answer := agent.EmbeddingAnswer{Usage: agent.Usage{Input: max(0, response.Usage.PromptTokens)}}
	if answer.Vectors, err = s.vectors(q, response.Data); err != nil {
		return agent.EmbeddingAnswer{}, err
	}
	return answer, nil
}

// answerOverhead is what an answer may hold besides vectors, in bytes.
const answerOverhead = 64 << 10

// embedding stands between go-openai and net/http, as call does.
type embedding struct {
	exchange
	server embeddingServer
}

// inList is a null in a list, which go-openai would read as the number 0. JSON has no other way to spell a number that is none.
var inList = regexp.MustCompile(`[\[,]\s*null`)

// Do sends one request for go-openai.
func (e *embedding) Do(r *http.Request) (*http.Response, error) {
	response, text, err := e.send(r)
	if err != nil {
		return nil, err
	}
	if inList.Match(text) {
		return nil, e.server.unfit("a vector holds null where a number should be")
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response, nil
}

// vectors returns what was answered, in the order of the texts, or why it cannot be used.
func (s embeddingServer) vectors(q agent.EmbeddingInquiry, data []openai.Embedding) ([][]float32, error) {
	if len(data) != len(q.Texts) {
		return nil, s.unfit("%d texts were sent, and %d vectors came back", len(q.Texts), len(data))
	}
	vectors := make([][]float32, len(q.Texts))
	for _, one := range data {
		switch {
		case one.Index < 0 || one.Index >= len(vectors):
			return nil, s.unfit("a vector has the index %d, and the texts were %d", one.Index, len(vectors))
		case vectors[one.Index] != nil:
			return nil, s.unfit("two vectors have the index %d", one.Index)
		case len(one.Embedding) == 0:
			return nil, s.unfit("the vector of index %d holds no numbers", one.Index)
		case len(one.Embedding) != len(data[0].Embedding):
			return nil, s.unfit("one vector has %d dimensions, and another one %d", len(data[0].Embedding), len(one.Embedding))
		case !hasDirection(one.Embedding):
			return nil, s.unfit("the vector of index %d has no direction: it is zero, or too large", one.Index)
		}
		vectors[one.Index] = one.Embedding
	}
	return vectors, s.dimensions(q, len(data[0].Embedding))
}

// hasDirection reports whether a vector has a length that it can be divided by.
func hasDirection(vector []float32) bool {
	var square float64
	for _, number := range vector {
		square += float64(number) * float64(number)
	}
	length := float32(math.Sqrt(square))
	return length > 0 && !math.IsInf(float64(length), 0) && !math.IsNaN(float64(length))
}

// local translates what go-openai says without having an answer, or about one it cannot read.
func (s embeddingServer) local(err error) error {
	var f *fault.Error
	if errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.NewInvalid(ReasonEmbeddingUnreadable,
		"The embedding server %s answered, but not with whole embeddings: half an answer, numbers that are too large for one, or none at all. "+
			"Check that spec.embeddings.baseURL is the address of an OpenAI-compatible API; it usually ends in /v1.", s.host)
}
