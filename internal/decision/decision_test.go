package decision

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

const search = `{"from":"ZRH","to":"LIS","date":"2027-03-04"}`

func decide(t *testing.T, q agent.Inquiry) agent.Answer {
	t.Helper()
	answer, err := New(Options{}).Decide(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestADecisionIsReadInEachMode(t *testing.T) {
	chosen := decisionJSON("Looking.", command("search_flights", search), command("save_memory", `{"kind":"preference","content":"window"}`))
	want := agent.Decision{Response: "Looking.", Rationale: "because", Commands: []agent.Choice{
		{Operation: "search_flights", Arguments: json.RawMessage(`{"date":"2027-03-04","from":"ZRH","to":"LIS"}`)},
		{Operation: "save_memory", Arguments: json.RawMessage(`{"content":"window","kind":"preference"}`)},
	}}
	for mode, answer := range map[agent.DecisionMode]http.HandlerFunc{
		agent.ModeJSONSchema: completion(chosen),
		"":                   completion(chosen),
		agent.ModeTools:      called(function("decide", chosen)),
		agent.ModeJSONObject: completion(chosen),
	} {
		t.Run("mode "+string(mode), func(t *testing.T) {
			s := serve(t, answer)
			q := inquiry(s.URL + "/v1/")
			q.Profile.Model.Mode = mode
			got := decide(t, q)
			if diff := cmp.Diff(want, got.Decision); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if got.Model != "scripted-1" || got.Usage != (agent.Usage{Input: 10, Output: 5}) || got.Repairs != 0 {
				t.Errorf("answer is %+v", got)
			}
			if s.headers[0].Get("Authorization") != "Bearer "+apiKey {
				t.Errorf("the key was not sent: %q", s.headers[0].Get("Authorization"))
			}
			var sent map[string]any
			if err := json.Unmarshal(got.Request, &sent); err != nil || !cmp.Equal(sent, s.requests[0]) {
				t.Errorf("Request is not what was sent: %v %s", err, got.Request)
			}
		})
	}
}

func TestEachModeAsksInItsForm(t *testing.T) {
	for _, c := range []struct {
		mode  agent.DecisionMode
		check func(t *testing.T, request map[string]any, system string)
	}{
		{agent.ModeJSONSchema, func(t *testing.T, r map[string]any, system string) {
			if at(r, "response_format", "json_schema", "strict") != true || at(r, "response_format", "json_schema", "name") != "decision" || r["tools"] != nil || r["max_completion_tokens"] != 500.0 || r["max_tokens"] != nil {
				t.Errorf("request is %v", r)
			}
		}},
		{agent.ModeTools, func(t *testing.T, r map[string]any, system string) {
			tools, _ := r["tools"].([]any)
			if len(tools) != 1 || at(tools[0], "function", "strict") != true || at(tools[0], "function", "name") != "decide" ||
				at(r, "tool_choice", "function", "name") != "decide" || r["response_format"] != nil || r["max_tokens"] != 500.0 {
				t.Errorf("request is %v", r)
			}
			if !strings.Contains(system, "calling the function decide") {
				t.Error("the system message does not say how to answer")
			}
		}},
		{agent.ModeJSONObject, func(t *testing.T, r map[string]any, system string) {
			if at(r, "response_format", "type") != "json_object" || r["tools"] != nil || r["max_tokens"] != 500.0 {
				t.Errorf("request is %v", r)
			}
			if !strings.Contains(system, `"const":"search_flights"`) || !strings.Contains(system, `"maxLength":16384`) {
				t.Errorf("the system message does not hold the schema as declared:\n%s", system)
			}
		}},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			s := serve(t, completion(decisionJSON("Hi.")))
			q := inquiry(s.URL)
			q.Profile.Model.Mode, q.Profile.Model.MaxOutputTokens = c.mode, 500
			decide(t, q)
			_, contents := s.sent(t, 0)
			c.check(t, s.requests[0], contents[0])
			if s.requests[0]["user"] != "ask-1" || s.requests[0]["model"] != "scripted" {
				t.Errorf("user or model are not sent: %v", s.requests[0])
			}
		})
	}
}

func TestTemperatureAndOutputBoundFollowTheModel(t *testing.T) {
	zero, warm := 0.0, 0.5
	s := serve(t, completion(decisionJSON("Hi.")))
	q := inquiry(s.URL)
	decide(t, q)
	if _, sent := s.requests[0]["temperature"]; sent {
		t.Error("a temperature was sent that nobody asked for")
	}
	q.Profile.Model.Temperature = &zero
	decide(t, q)
	if v, sent := s.requests[1]["temperature"].(float64); !sent || v > 1e-9 {
		t.Errorf("temperature 0 was sent as %v", s.requests[1]["temperature"])
	}
	q.Profile.Model.Temperature, q.Profile.Model.Name = &warm, "gpt-5-mini"
	if _, err := New(Options{}).Decide(t.Context(), q); fault.Of(err).Reason != ReasonRejected || !strings.Contains(err.Error(), "remove spec.model.temperature") {
		t.Errorf("error is %v", err)
	}
	q.Profile.Model.Temperature, q.Profile.Model.Mode, q.Profile.Model.MaxOutputTokens = nil, agent.ModeTools, 99
	decide(t, q)
	if last := s.requests[len(s.requests)-1]; last["max_completion_tokens"] != 99.0 || last["max_tokens"] != nil {
		t.Errorf("a model that refuses max_tokens was sent %v", last)
	}
}

func TestAModelKnownNotToTakeARequestIsNotAsked(t *testing.T) {
	for name, says := range map[string]string{"gpt-6-sol": "decisionMode to JSONSchema", "text-davinci-003": "spec.model.name"} {
		s := serve(t, completion(decisionJSON("Hi.")))
		q := inquiry(s.URL)
		q.Profile.Model.Name, q.Profile.Model.Mode = name, agent.ModeTools
		_, err := New(Options{}).Decide(t.Context(), q)
		if !fault.Is(err, fault.Invalid) || fault.Of(err).Reason != ReasonRejected || !strings.Contains(err.Error(), says) || s.asked() != 0 {
			t.Errorf("%s: error is %v after %d requests", name, err, s.asked())
		}
	}
}

func TestAModelWithoutKeyIsAskedWithoutHeader(t *testing.T) {
	s := serve(t, completion(decisionJSON("Hi.")))
	q := inquiry(s.URL)
	q.Profile.Model.APIKey, q.APIKey = nil, ""
	decide(t, q)
	if _, sent := s.headers[0]["Authorization"]; sent {
		t.Error("an Authorization header was sent")
	}
}

func TestAnAnswerThatDoesNotFitIsSentBackOnce(t *testing.T) {
	s := serve(t, completion("I would book a flight."), completion(decisionJSON("Done.")))
	got := decide(t, inquiry(s.URL))
	if got.Decision.Response != "Done." || got.Repairs != 1 || got.Usage != (agent.Usage{Input: 20, Output: 10}) {
		t.Errorf("answer is %+v", got)
	}
	roles, contents := s.sent(t, 1)
	if want := []string{"system", "user", "assistant", "user"}; !cmp.Equal(want, roles) {
		t.Fatalf("roles are %v", roles)
	}
	if contents[2] != "I would book a flight." || !strings.Contains(contents[3], "<<<error ") || !strings.Contains(contents[3], "prose") {
		t.Errorf("repair is %q, %q", contents[2], contents[3])
	}
}

func TestWhatWasSpentIsToldWithAnError(t *testing.T) {
	s := serve(t, completion("No."), status(503))
	got, err := New(Options{}).Decide(t.Context(), inquiry(s.URL))
	if fault.Of(err).Reason != ReasonUnavailable {
		t.Errorf("error is %v", err)
	}
	if got.Usage != (agent.Usage{Input: 10, Output: 5}) || got.Repairs != 1 || got.Model != "scripted-1" || !strings.Contains(string(got.Request), "error ") {
		t.Errorf("answer is %+v", got)
	}
}

func TestAnOversizedAnswerIsCutInTheRepair(t *testing.T) {
	s := serve(t, completion(strings.Repeat("é", maxEchoed)), completion(decisionJSON("Done.")))
	decide(t, inquiry(s.URL))
	if _, contents := s.sent(t, 1); len(contents[2]) > maxEchoed || !strings.HasPrefix(contents[2], "éé") {
		t.Errorf("%d bytes were sent back", len(contents[2]))
	}
}

func TestAKeyThatTheServerEchoesIsBlottedOut(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		completion(decisionJSON("Your key is "+r.Header.Get("Authorization")+"."))(w, r)
	})
	got := decide(t, inquiry(s.URL))
	if got.Decision.Response != "Your key is Bearer [redacted]." {
		t.Errorf("response is %q", got.Decision.Response)
	}
}

func TestACancelledAskIsNoFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := New(Options{}).Decide(ctx, inquiry(s.URL))
	var f *fault.Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &f) {
		t.Errorf("error is %v", err)
	}
}

func TestADeciderServesManyAsksAtOnce(t *testing.T) {
	s := serve(t, completion(decisionJSON("Hi.", command("search_flights", search))))
	d := New(Options{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			q := inquiry(s.URL)
			q.Profile.MaxCommands = 1 + i%3
			if got, err := d.Decide(t.Context(), q); err != nil || len(got.Decision.Commands) != 1 {
				t.Errorf("answer is %+v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestConnectionsAreReused(t *testing.T) {
	addresses := map[string]bool{}
	var mu sync.Mutex
	note := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			addresses[r.RemoteAddr] = true
			mu.Unlock()
			next(w, r)
		}
	}
	s := serve(t, note(completion(decisionJSON("Hi."))), note(status(503)), note(completion("prose")), note(completion(decisionJSON("Hi."))))
	d := New(Options{})
	for range 4 {
		_, _ = d.Decide(t.Context(), inquiry(s.URL))
	}
	if s.asked() < 5 || len(addresses) != 1 {
		t.Errorf("%d requests took %d connections", s.asked(), len(addresses))
	}
}

func TestMenusAreKeptAndBounded(t *testing.T) {
	var s menus
	q := inquiry("")
	first, err := s.of(q.Profile)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := s.of(q.Profile); again != first {
		t.Error("the same menu was compiled twice")
	}
	for i := range 2 * maxMenus {
		q.Profile.MaxCommands = 10 + i
		if _, err := s.of(q.Profile); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.kept) != maxMenus {
		t.Errorf("%d menus are kept", len(s.kept))
	}
}

// BenchmarkDecide is one ask with a model that takes no time: what Edict, net/http on both sides and the loopback take.
func BenchmarkDecide(b *testing.B) {
	s := serveNothingElse(b, completion(decisionJSON("Looking.", command("search_flights", search))))
	d := New(Options{})
	q := inquiry(s.URL)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decide(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareCall is the same call without Edict, to compare with.
func BenchmarkBareCall(b *testing.B) {
	s := serveNothingElse(b, completion(decisionJSON("Looking.", command("search_flights", search))))
	answer, err := New(Options{}).Decide(b.Context(), inquiry(s.URL))
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: ownTransport()}
	b.ReportAllocs()
	for b.Loop() {
		r, err := client.Post(s.URL+"/chat/completions", "application/json", bytes.NewReader(answer.Request))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
}
