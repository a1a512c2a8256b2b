package decision

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// scripted is an OpenAI-compatible server that answers the n-th request with its n-th answer, and the last one again after that.
type scripted struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []http.HandlerFunc
	requests []map[string]any
	headers  []http.Header
}

func serve(t testing.TB, answers ...http.HandlerFunc) *scripted {
	t.Helper()
	s := &scripted{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request map[string]any
	_ = json.Unmarshal(body, &request)
	s.mu.Lock()
	n := min(len(s.requests), len(s.answers)-1)
	s.requests, s.headers = append(s.requests, request), append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	s.answers[n](w, r)
}

// serveNothingElse answers and does not look at what it is asked.
func serveNothingElse(b *testing.B, answer http.HandlerFunc) *httptest.Server {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, r)
	}))
	b.Cleanup(s.Close)
	return s
}

func (s *scripted) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// sent returns the role and content of the n-th request's messages.
func (s *scripted) sent(t testing.TB, n int) (roles, contents []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.requests) {
		t.Fatalf("there were %d requests, not %d", len(s.requests), n+1)
	}
	messages, _ := s.requests[n]["messages"].([]any)
	for _, m := range messages {
		roles = append(roles, fmt.Sprint(at(m, "role")))
		contents = append(contents, fmt.Sprint(at(m, "content")))
	}
	return roles, contents
}

// at returns what stands at a path of JSON objects, nil if there is nothing.
func at(v any, path ...string) any {
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// completion answers with a chat completion whose one message has this content.
func completion(content string) http.HandlerFunc {
	return choice(map[string]any{"finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": content}})
}

// choice answers with a chat completion of these choices, at a price of 10 tokens in and 5 out.
func choice(choices ...any) http.HandlerFunc {
	if choices == nil {
		choices = []any{}
	}
	body, _ := json.Marshal(map[string]any{
		"id": "c1", "object": "chat.completion", "model": "scripted-1", "choices": choices,
		"usage": map[string]any{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}

func function(name, arguments string) map[string]any {
	return map[string]any{"id": "f1", "type": "function", "function": map[string]any{"name": name, "arguments": arguments}}
}

func called(calls ...any) http.HandlerFunc {
	return choice(map[string]any{"finish_reason": "tool_calls", "message": map[string]any{"role": "assistant", "content": nil, "tool_calls": calls}})
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"error":{"message":"upstream says `+r.Header.Get("Authorization")+`","code":"boom"}}`)
	}
}

const (
	flightParameters = `{"type":"object","required":["from","to","date"],"properties":{` +
		`"from":{"type":"string","minLength":3,"maxLength":3},"to":{"type":"string","minLength":3},` +
		`"date":{"type":"string","format":"date","pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},"seats":{"type":"integer","minimum":1}}}`
	apiKey = "sk-planted-0123456789"
)

func menuOfTravel() []agent.Operation {
	return []agent.Operation{
		{Name: "save_memory", Type: agent.SaveMemory, Effect: agent.Internal},
		{Name: "forget_memory", Type: agent.ForgetMemory, Effect: agent.Internal},
		{Name: "search_flights", Description: "Find flights between two airports on a day.", Type: agent.CallAPI, Effect: agent.Idempotent,
			Parameters: json.RawMessage(flightParameters)},
		{Name: "ping", Type: agent.CallAPI, Effect: agent.NonIdempotent},
	}
}

func inquiry(baseURL string) agent.Inquiry {
	return agent.Inquiry{
		Profile: agent.Profile{
			Namespace: "travel", Name: "concierge", Instructions: "You help people travel.",
			Model: agent.Model{BaseURL: baseURL, Name: "scripted", Mode: agent.ModeJSONSchema, Timeout: 5 * time.Second,
				APIKey: &agent.SecretKey{Name: "model-key", Key: "api-key"}},
			Operations: menuOfTravel(), MaxSteps: 8, MaxCommands: 4,
		},
		Contexts: []agent.Context{{View: "concierge", Text: "profile:\n- likes window seats"}},
		Question: agent.Question{Conversation: "ada", Text: "Find me flights from Zurich to Lisbon."},
		Step:     1, APIKey: apiKey, User: "ask-1",
	}
}

// decisionJSON writes a decision as a model would.
func decisionJSON(response string, commands ...string) string {
	r := "null"
	if response != "" {
		raw, _ := json.Marshal(response)
		r = string(raw)
	}
	return `{"rationale":"because","response":` + r + `,"commands":[` + strings.Join(commands, ",") + `]}`
}

func command(operation, arguments string) string {
	return `{"operation":"` + operation + `","arguments":` + arguments + `}`
}
