package scriptedmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The wire format is that of https://platform.openai.com/docs/api-reference/chat, as far as a decider uses it.

// request is a chat completion request.
type request struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Stream   bool      `json:"stream"`
	User     string    `json:"user"`
	Format   struct {
		Type string `json:"type"`
	} `json:"response_format"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
	ToolChoice toolChoice `json:"tool_choice"`
}

// mode names how the decision is asked for: tools, json_schema, json_object or text.
func (q *request) mode() string {
	switch {
	case len(q.Tools) > 0:
		return "tools"
	case q.Format.Type != "":
		return q.Format.Type
	default:
		return "text"
	}
}

// content is a message's text, which a client may send whole or in parts.
type content string

func (c *content) UnmarshalJSON(raw []byte) error {
	var whole string
	if json.Unmarshal(raw, &whole) == nil { // null, too: it leaves the empty text
		*c = content(whole)
		return nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return fmt.Errorf("content is neither a text nor parts: %w", err)
	}
	for _, part := range parts {
		*c += content(part.Text)
	}
	return nil
}

// toolChoice is the name of the tool that the client insists on; a mode such as "auto" insists on none.
type toolChoice string

func (c *toolChoice) UnmarshalJSON(raw []byte) error {
	var choice struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if json.Unmarshal(raw, &choice) == nil {
		*c = toolChoice(choice.Function.Name)
	}
	return nil
}

type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   usage    `json:"usage"`
}

type choice struct {
	Index        int    `json:"index"`
	Message      reply  `json:"message"`
	FinishReason string `json:"finish_reason"`
}

type reply struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// bytesPerToken is the usual rule of thumb. It makes usage plausible and, above all, the same every time.
const bytesPerToken = 4

// answer writes the decision in the mode that was asked for, in the way that wrong says.
func (q *request) answer(w http.ResponseWriter, decision Decision, wrong Misbehaviour) {
	text := wrong.text(decision)
	said := choice{Message: q.reply(text, wrong), FinishReason: "stop"}
	if len(said.Message.ToolCalls) > 0 {
		said.FinishReason = "tool_calls"
	}
	if wrong.FinishReason != "" {
		said.FinishReason = wrong.FinishReason
	}
	c := completion{
		ID: "scripted", Object: "chat.completion", Created: time.Now().Unix(), Model: q.Model,
		Choices: []choice{said}, Usage: q.usage(text),
	}
	if wrong.NoChoices {
		c.Choices = []choice{}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(c))
}

func (q *request) reply(text string, wrong Misbehaviour) reply {
	r := reply{Role: "assistant"}
	switch {
	case wrong.Refusal != "":
		r.Refusal = &wrong.Refusal
	case wrong.Prose != "":
		r.Content = &wrong.Prose
	case len(q.Tools) > 0:
		call := toolCall{ID: "call_scripted", Type: "function"}
		call.Function.Name, call.Function.Arguments = q.tool(), text
		r.ToolCalls = []toolCall{call}
	default:
		r.Content = &text
	}
	return r
}

// tool is the one that the client insists on, or its first.
func (q *request) tool() string {
	if q.ToolChoice != "" {
		return string(q.ToolChoice)
	}
	return q.Tools[0].Function.Name
}

func (q *request) usage(answer string) usage {
	prompt := 0
	for _, m := range q.Messages {
		prompt += len(m.Content)
	}
	u := usage{Prompt: prompt / bytesPerToken, Completion: len(answer) / bytesPerToken}
	u.Total = u.Prompt + u.Completion
	return u
}

// encode writes JSON as a model does, without the escapes for HTML.
func encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // strings, numbers and what was read from YAML or JSON: it cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}

func writeError(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]any{"error": map[string]any{"message": text, "type": kind, "code": kind}}))
}

// beforeContent does what a server does wrong before it has anything of a model to say, and reports whether that was
// the whole answer.
func (m Misbehaviour) beforeContent(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case m.Hang:
		<-r.Context().Done()
	case m.Status != 0:
		if m.RetryAfter != "" {
			w.Header().Set("Retry-After", m.RetryAfter)
		}
		text := "The server was told to fail."
		if m.EchoKey {
			text += " You sent " + r.Header.Get("Authorization") + "."
		}
		writeError(w, m.Status, "scripted_failure", text)
	case m.Body != "":
		_, _ = w.Write([]byte(m.Body))
	default:
		return false
	}
	return true
}

// text is what stands in the place of the decision.
func (m Misbehaviour) text(decision Decision) string {
	if m.Raw != "" {
		return m.Raw
	}
	if m.Commands > 0 && len(decision.Commands) > 0 {
		first := decision.Commands[0]
		decision.Commands = make([]Command, m.Commands)
		for i := range decision.Commands {
			decision.Commands[i] = first
		}
	}
	if m.Bytes > 0 {
		long := strings.Repeat("x", m.Bytes)
		decision.Response = &long
	}
	return string(encode(decision))
}
