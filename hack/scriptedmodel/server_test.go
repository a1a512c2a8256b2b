package scriptedmodel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// The form in which package decision writes a question and results.
const (
	flights = "<<<context concierge 0a\n%\n<<<end 0a\n\n<<<question 1f\nFind flights from Zurich to Lisbon on 2027-03-04\n<<<end 1f\n\nDecide step 1."
	decided = `{"rationale":"…","response":null,"commands":[{"operation":"search_flights","arguments":{}}]}`
	results = "Outcome 1 of 1, of search_flights:\n<<<result c-1-0 Succeeded 2e\n[{\"flight\": \"TP931\"}]\n<<<end 2e\n\nDecide step 2."
)

func travel(t *testing.T) scriptedmodel.Script {
	t.Helper()
	script, err := scriptedmodel.Load("testdata/travel.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return script
}

func TestTheScriptDecides(t *testing.T) {
	for name, c := range map[string]struct {
		memory   string
		messages []string // user and assistant in turn
		want     scriptedmodel.Decision
	}{
		"what the question says goes into the arguments": {
			messages: []string{flights},
			want: scriptedmodel.Decision{Rationale: "Somebody asks for flights, so look for some.",
				Commands: []scriptedmodel.Command{{Operation: "search_flights",
					Arguments: map[string]any{"from": "Zurich", "to": "Lisbon", "date": "2027-03-04"}}}},
		},
		"the second step reads the results": {
			messages: []string{flights, decided, results},
			want:     respond("TP931 would suit you."),
		},
		"what the context holds makes a difference": {
			memory:   "- likes window seats",
			messages: []string{flights, decided, results},
			want:     respond("TP931 is free; I would take a window seat, as you like it."),
		},
		"data that looks like a question is not one": {
			// In the fence stand a question whose fence does not end, and the end of somebody else's.
			messages: []string{"<<<question 9\nRemember that I like \\<<<angles and\n\\<<<question 7\n<<<end 1f\n<<<end 9"},
			want: scriptedmodel.Decision{Response: new("I will remember that."), Commands: []scriptedmodel.Command{
				{Operation: "save_memory", Arguments: map[string]any{
					"kind": "preference", "content": "I like <<<angles and\n<<<question 7\n<<<end 1f"}}}},
		},
		"a repair is the same step": {
			messages: []string{flights, decided, results, "prose", "<<<error 3\nnot JSON\n<<<end 3"},
			want:     respond("TP931 would suit you."),
		},
		"without a rule it says so": {
			messages: []string{"What is the time?"},
			want:     respond("I have no script for this question: What is the time?"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, scriptedmodel.Options{Script: travel(t)})
			c.messages[0] = strings.Replace(c.messages[0], "%", c.memory, 1)
			if diff := cmp.Diff(c.want, server.ask(t, c.messages...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEachModeCarriesTheDecision(t *testing.T) {
	for mode, c := range map[string]struct{ extra, path string }{
		"json_schema": {`,"response_format":{"type":"json_schema","json_schema":{"name":"d","schema":{}}}`, "content"},
		"json_object": {`,"response_format":{"type":"json_object"}`, "content"},
		"tools": {`,"tools":[{"type":"function","function":{"name":"other"}},{"type":"function","function":{"name":"decide"}}],
			"tool_choice":{"type":"function","function":{"name":"decide"}}`, "decide"},
		"tools, none forced": {`,"tools":[{"type":"function","function":{"name":"decide"}}],"tool_choice":"auto"`, "decide"},
	} {
		t.Run(mode, func(t *testing.T) {
			server := serve(t, scriptedmodel.Options{Script: scriptedmodel.Script{Rules: []scriptedmodel.Rule{
				{Then: scriptedmodel.Respond("yes")}}}})
			answer := server.post(t, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"well?"}]}]`+c.extra+`}`)
			choice := answer.Choices[0]
			text, finish := choice.Message.Content, "stop"
			if c.path == "decide" {
				call := choice.Message.ToolCalls[0].Function
				text, finish = call.Arguments, "tool_calls"
				if call.Name != c.path || choice.Message.Content != "" {
					t.Errorf("called %q, and said %q", call.Name, choice.Message.Content)
				}
			}
			if text != `{"response":"yes","rationale":"","commands":[]}` || choice.FinishReason != finish {
				t.Errorf("%s, finished by %s", text, choice.FinishReason)
			}
			if answer.Usage.PromptTokens != 1 || answer.Usage.CompletionTokens != len(text)/4 {
				t.Errorf("usage is %+v", answer.Usage)
			}
		})
	}
}

func TestCallsAreCountedByStep(t *testing.T) {
	server := serve(t, scriptedmodel.Options{Script: travel(t)})
	server.ask(t, flights)
	server.ask(t, flights, decided, results)
	server.ask(t, flights, decided, results)
	server.ask(t, flights, decided, results, "prose", "<<<error 3\nnot JSON\n<<<end 3")
	server.ask(t, "Unheard of")

	stats := server.Stats()
	if stats.Calls != 5 || stats.Repairs != 1 || stats.Unscripted != 1 {
		t.Errorf("%+v", stats)
	}
	const question = "Find flights from Zurich to Lisbon on 2027-03-04"
	want := []scriptedmodel.Asked{{Question: question, User: "ask-1", Step: 2, Calls: 2, Repairs: 1}}
	if diff := cmp.Diff(want, stats.Repeated); diff != "" {
		t.Error(diff)
	}
	response, err := http.Get(server.url + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var served scriptedmodel.Stats
	if err := json.NewDecoder(response.Body).Decode(&served); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stats, served); diff != "" {
		t.Error(diff)
	}
	if kept := server.Requests(); len(kept) != 5 || kept[1].Step != 2 || !bytes.Contains(kept[1].Body, []byte("TP931")) {
		t.Errorf("kept %d requests", len(kept))
	}
}

func TestItMisbehavesAsTold(t *testing.T) {
	good := scriptedmodel.Issue(scriptedmodel.Command{Operation: "save_memory"})
	for name, c := range map[string]struct {
		wrong scriptedmodel.Misbehaviour
		check func(t *testing.T, status int, header http.Header, body string)
	}{
		"prose":  {scriptedmodel.Misbehaviour{Prose: "I would rather talk."}, bodyHas(200, `"content":"I would rather talk."`)},
		"broken": {scriptedmodel.Misbehaviour{Raw: `{"response": `}, bodyHas(200, `"content":"{\"response\": "`)},
		"refuse": {scriptedmodel.Misbehaviour{Refusal: "No."}, bodyHas(200, `"content":null,"refusal":"No."`)},
		"cut":    {scriptedmodel.Misbehaviour{FinishReason: "length"}, bodyHas(200, `"finish_reason":"length"`)},
		"none":   {scriptedmodel.Misbehaviour{NoChoices: true}, bodyHas(200, `"choices":[]`)},
		"body":   {scriptedmodel.Misbehaviour{Body: "<html>"}, bodyHas(200, "<html>")},
		"status": {scriptedmodel.Misbehaviour{Status: 500, EchoKey: true}, bodyHas(500, "Bearer secret-of-the-test")},
		"later": {scriptedmodel.Misbehaviour{Status: 429, RetryAfter: "7"}, func(t *testing.T, status int, header http.Header, _ string) {
			if status != 429 || header.Get("Retry-After") != "7" {
				t.Errorf("%d %v", status, header)
			}
		}},
		"commands": {scriptedmodel.Misbehaviour{Commands: 1000}, func(t *testing.T, _ int, _ http.Header, body string) {
			if n := strings.Count(body, "save_memory"); n != 1000 {
				t.Errorf("%d commands", n)
			}
		}},
		"bytes": {scriptedmodel.Misbehaviour{Bytes: 1 << 20}, func(t *testing.T, _ int, _ http.Header, body string) {
			if len(body) < 1<<20 {
				t.Errorf("%d bytes", len(body))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.wrong.Times = 1
			server := serve(t, scriptedmodel.Options{APIKey: "secret-of-the-test", Script: scriptedmodel.Script{
				Rules: []scriptedmodel.Rule{{Then: good, Misbehave: &c.wrong}}}})
			server.key = "secret-of-the-test"
			status, header, body := server.send(t, `{"user":"ask-1","messages":[{"role":"user","content":"q"}]}`)
			c.check(t, status, header, body)
			if got := server.ask(t, "q"); len(got.Commands) != 1 {
				t.Errorf("the second time it gave %d commands", len(got.Commands))
			}
			status, header, body = server.send(t, `{"messages":[{"role":"user","content":"another"}]}`)
			c.check(t, status, header, body) // each question has a count of its own
		})
	}
}

func bodyHas(status int, text string) func(*testing.T, int, http.Header, string) {
	return func(t *testing.T, got int, _ http.Header, body string) {
		if got != status || !strings.Contains(body, text) {
			t.Errorf("%d %s", got, body)
		}
	}
}

func TestItHangsUntilTheClientLeaves(t *testing.T) {
	server := serve(t, scriptedmodel.Options{Script: scriptedmodel.Script{Rules: []scriptedmodel.Rule{
		{Misbehave: &scriptedmodel.Misbehaviour{Hang: true}}}}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.url+"/v1/chat/completions",
		strings.NewReader(`{"messages":[{"role":"user","content":"q"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", response, err)
	}
}

func TestAWrongKeyIsRefused(t *testing.T) {
	server := serve(t, scriptedmodel.Options{APIKey: "right"})
	server.key = "wrong"
	status, _, body := server.send(t, `{"user":"ask-1","messages":[{"role":"user","content":"q"}]}`)
	if status != http.StatusUnauthorized || strings.Contains(body, "wrong") || server.Stats().Unauthorized != 1 {
		t.Errorf("%d %s, %+v", status, body, server.Stats())
	}
}

func TestAMistakeInTheScriptIsFoundAtOnce(t *testing.T) {
	for want, rule := range map[string]scriptedmodel.Rule{
		"${nobody}":     {Then: scriptedmodel.Respond("I saw ${nobody}")},
		"when.question": {When: scriptedmodel.When{Question: "("}},
		"${prompt.1}":   {When: scriptedmodel.When{Question: "(a)"}, Then: scriptedmodel.Respond("${1} ${prompt.1}")},
	} {
		_, err := scriptedmodel.New(scriptedmodel.Options{Script: scriptedmodel.Script{Rules: []scriptedmodel.Rule{rule}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v for %s", err, want)
		}
	}
}

// testServer is a Server behind HTTP.
type testServer struct {
	*scriptedmodel.Server
	url, key string
}

func serve(t *testing.T, options scriptedmodel.Options) *testServer {
	t.Helper()
	server, err := scriptedmodel.New(options)
	if err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return &testServer{Server: server, url: listening.URL}
}

func (s *testServer) send(t *testing.T, body string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

type answer struct {
	Choices []struct {
		Message struct {
			Content   string
			ToolCalls []struct {
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
	Usage struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	}
}

func (s *testServer) post(t *testing.T, body string) answer {
	t.Helper()
	status, _, text := s.send(t, body)
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	return a
}

// ask sends messages of the user and the assistant in turn and returns the decision.
func (s *testServer) ask(t *testing.T, texts ...string) scriptedmodel.Decision {
	t.Helper()
	messages := []map[string]string{{"role": "system", "content": "Decide."}}
	for i, text := range texts {
		messages = append(messages, map[string]string{"role": []string{"user", "assistant"}[i%2], "content": text})
	}
	body, err := json.Marshal(map[string]any{"model": "m", "user": "ask-1", "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	var decision scriptedmodel.Decision
	content := s.post(t, string(body)).Choices[0].Message.Content
	if err := json.Unmarshal([]byte(content), &decision); err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return decision
}

func respond(text string) scriptedmodel.Decision {
	d := scriptedmodel.Respond(text)
	d.Commands = []scriptedmodel.Command{}
	return d
}
