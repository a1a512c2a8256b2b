package decision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"github.com/sashabaranov/go-openai"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

const (
	// maxErrorBytes is how much of an error's body is read, for its machine-readable code and to keep the connection.
	maxErrorBytes = 64 << 10
	// minKeyLength is the shortest key that is blotted out of an answer; a shorter
	// one may be a word that the answer needs.
	minKeyLength = 8
	// maxModelName bounds the name by which a server calls its model.
	maxModelName = 128
)

// functionName is the one function of the mode Tools, and decisionName the name of the schema in the mode JSONSchema.
const (
	functionName = "decide"
	decisionName = "decision"
)

// call is one or more rounds with one server. It stands between go-openai and
// net/http as go-openai's HTTPDoer: go-openai itself sets no timeout, reads
// bodies without a bound, drops Retry-After, and puts the body of an error into
// the error's text.
type call struct {
	http    *http.Client
	client  *openai.Client
	limit   int64
	key     string
	user    string
	server  server
	request []byte // body of the last request as sent
}

// reply is what a server answered in one round.
type reply struct {
	text  string // what the model wrote, or the arguments of its function call
	model string
	usage agent.Usage
	wrong *problem // why text cannot hold a decision
}

// ask makes one round.
func (c *call) ask(ctx context.Context, m *menu, messages []openai.ChatCompletionMessage) (reply, error) {
	return c.send(ctx, c.compose(m, messages))
}

func (c *call) send(ctx context.Context, request openai.ChatCompletionRequest) (reply, error) {
	response, err := c.client.CreateChatCompletion(ctx, request)
	if err != nil {
		return reply{}, c.server.local(err)
	}
	r := reply{
		model: printable(response.Model),
		usage: agent.Usage{Input: max(0, response.Usage.PromptTokens), Output: max(0, response.Usage.CompletionTokens)},
	}
	if len(response.Choices) == 0 {
		r.wrong = &noChoice
		return r, nil
	}
	r.text, r.wrong = written(response.Choices[0])
	return r, nil
}

// compose returns the request of one round.
func (c *call) compose(m *menu, messages []openai.ChatCompletionMessage) openai.ChatCompletionRequest {
	model := c.server.model
	r := c.bare(messages, model.MaxOutputTokens)
	switch model.Mode {
	case agent.ModeTools:
		r.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
			Name: functionName, Description: "Give the decision.", Strict: m.strict, Parameters: m.wire,
		}}}
		r.ToolChoice = openai.ToolChoice{Type: openai.ToolTypeFunction, Function: openai.ToolFunction{Name: functionName}}
	case agent.ModeJSONObject:
		r.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	default:
		r.ResponseFormat = &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: decisionName, Strict: m.strict, Schema: m.wire},
		}
	}
	return r
}

// bare returns a request that says nothing of the answer's form.
//
// The bound on the output is sent as max_tokens, which every compatible server
// knows, except in the mode JSONSchema and to models that refuse it: these get
// its successor max_completion_tokens, and a server that offers json_schema is
// recent enough to know it.
func (c *call) bare(messages []openai.ChatCompletionMessage, maxOutput int) openai.ChatCompletionRequest {
	model := c.server.model
	r := openai.ChatCompletionRequest{Model: model.Name, Messages: messages, User: c.user}
	if model.Temperature != nil {
		r.Temperature = float32(*model.Temperature)
		if r.Temperature == 0 {
			// go-openai leaves a zero out, and the server's own default would take its place.
			r.Temperature = math.SmallestNonzeroFloat32
		}
	}
	r.MaxTokens = maxOutput //nolint:staticcheck // deprecated by OpenAI, and the only bound that many compatible servers know
	if model.Mode == agent.ModeJSONSchema || refusesMaxTokens(r) {
		r.MaxTokens, r.MaxCompletionTokens = 0, maxOutput //nolint:staticcheck // as above
	}
	return r
}

func refusesMaxTokens(r openai.ChatCompletionRequest) bool {
	return errors.Is(openai.NewReasoningValidator().Validate(r), openai.ErrReasoningModelMaxTokensDeprecated)
}

// Do sends one request for go-openai. Its errors are final: faults, or the
// cancellation of the caller's context.
func (c *call) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, c.server.broken(r.Context(), err)
	}
	c.request = body
	r.Body = io.NopCloser(bytes.NewReader(body))
	e := exchange{http: c.http, timeout: c.server.model.Timeout, limit: c.limit, failures: c.server}
	response, text, err := e.send(r)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(c.withoutKey(text)))
	return response, nil
}

// withoutKey blots the key out of an answer: a decision is stored and shown,
// and a server that echoes what it was sent must not put the key there. JSON may
// spell a character in several ways, and a decision is JSON within JSON.
func (c *call) withoutKey(text []byte) []byte {
	if len(c.key) < minKeyLength {
		return text
	}
	var spelled strings.Builder
	for _, r := range c.key {
		fmt.Fprintf(&spelled, `(?:%s|\\+%s|\\+u(?i:%04x))`, regexp.QuoteMeta(string(r)), regexp.QuoteMeta(string(r)), r)
	}
	return regexp.MustCompile(spelled.String()).ReplaceAll(text, []byte("[redacted]"))
}

// written returns what the model wrote in a choice.
func written(choice openai.ChatCompletionChoice) (string, *problem) {
	text := choice.Message.Content
	for _, part := range choice.Message.MultiContent {
		text += part.Text
	}
	calls := choice.Message.ToolCalls
	if len(calls) > 0 {
		text = calls[0].Function.Arguments
	}
	switch {
	case choice.FinishReason == openai.FinishReasonLength:
		return text, &cutOff
	case choice.FinishReason == openai.FinishReasonContentFilter:
		return text, &filtered
	case choice.Message.Refusal != "":
		return choice.Message.Refusal, &refusal
	case len(calls) > 1:
		return text, &manyCalls
	case len(calls) == 1 && calls[0].Function.Name != functionName:
		return text, &otherFunction
	}
	return text, nil
}

// printable returns a short form of a name that somebody else chose.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	return cut(name, maxModelName)
}

// cut returns at most the first n bytes of s, without half a character at the end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// local translates what go-openai says without having an answer, or about one it cannot read.
func (s server) local(err error) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, openai.ErrReasoningModelLimitationsOther), errors.Is(err, openai.ErrReasoningSamplingUnsupported):
		return fault.NewInvalid(ReasonRejected,
			"The model %s takes no temperature other than its own: remove spec.model.temperature.", s.model.Name)
	case errors.Is(err, openai.ErrReasoningToolsRequireResponses):
		return fault.NewInvalid(ReasonRejected,
			"The model %s does not take function calls here: set spec.model.decisionMode to JSONSchema.", s.model.Name)
	case errors.Is(err, openai.ErrChatCompletionInvalidModel):
		return fault.NewInvalid(ReasonRejected,
			"The model %s does not do chat completions: name one that does in spec.model.name.", s.model.Name)
	}
	return fault.NewInvalid(ReasonAnswerUnreadable,
		"The model server %s answered, but not with a chat completion: check that spec.model.baseURL is the address of "+
			"an OpenAI-compatible API; it usually ends in /v1.", s.host)
}
