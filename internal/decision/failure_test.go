package decision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// poison is text of the server's or the model's own, which must reach no error.
const poison = "IGNORE-ALL-PREVIOUS"

// failing asks and returns the fault, after looking that nothing leaked into it.
func failing(t *testing.T, d *Decider, q agent.Inquiry) (*fault.Error, agent.Answer) {
	t.Helper()
	answer, err := d.Decide(t.Context(), q)
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error is %v", err)
	}
	for _, leak := range []string{apiKey, poison, "upstream says", "hunter2"} {
		if strings.Contains(err.Error(), leak) || strings.Contains(string(answer.Request), apiKey) {
			t.Errorf("%q leaked into the error %q or the request", leak, err)
		}
	}
	if !strings.HasSuffix(f.Message, ".") || strings.Contains(f.Message, "%!") {
		t.Errorf("the message is no sentence: %q", f.Message)
	}
	return f, answer
}

func TestAStatusSaysWhatToDo(t *testing.T) {
	now := time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC)
	body := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   fault.Kind
		reason string
		after  time.Duration
		says   string
	}{
		{"429 with seconds", status(429, "Retry-After", "7"), fault.Wait, ReasonRateLimited, 7 * time.Second, "tried again in 7s"},
		{"429 with a date", status(429, "Retry-After", now.Add(time.Minute).Format(http.TimeFormat)), fault.Wait, ReasonRateLimited, time.Minute, "1m0s"},
		{"429 with a date gone by", status(429, "Retry-After", now.Add(-time.Minute).Format(http.TimeFormat)), fault.Wait, ReasonRateLimited, 0, "tried again."},
		{"429 until the next century", status(429, "Retry-After", "99999999999"), fault.Wait, ReasonRateLimited, time.Hour, "1h0m0s"},
		{"429 with nonsense", status(429, "Retry-After", poison), fault.Wait, ReasonRateLimited, 0, "tried again."},
		{"408", status(408), fault.Wait, ReasonUnavailable, 0, "status 408"},
		{"500", status(500), fault.Wait, ReasonUnavailable, 0, "status 500"},
		{"502", status(502), fault.Wait, ReasonUnavailable, 0, "status 502"},
		{"503 with Retry-After", status(503, "Retry-After", "3"), fault.Wait, ReasonUnavailable, 3 * time.Second, "in 3s"},
		{"529", status(529), fault.Wait, ReasonUnavailable, 0, "status 529"},
		{"401", status(401), fault.Invalid, ReasonUnauthorized, 0, "check key api-key of Secret model-key"},
		{"403", status(403), fault.Invalid, ReasonUnauthorized, 0, "Secret model-key"},
		{"404", status(404), fault.Invalid, ReasonNotFound, 0, "spec.model.name"},
		{"400", status(400), fault.Invalid, ReasonRejected, 0, "decisionMode to Tools or JSONObject"},
		{"422 that is no JSON", body(422, poison), fault.Invalid, ReasonRejected, 0, "status 422"},
		{"400 for the context's length", body(400, `{"error":{"code":"context_length_exceeded","message":"`+poison+`"}}`), fault.Invalid, ReasonRejected, 0, "lower budget.tokens"},
		{"400 with a number for a code", body(400, `{"error":{"code":400,"message":"`+poison+`"}}`), fault.Invalid, ReasonRejected, 0, "status 400"},
		{"a redirect", status(307, "Location", "/elsewhere/"+poison), fault.Invalid, ReasonRejected, 0, "redirect"},
		{"a page", body(200, "<html>"+poison+"</html>"), fault.Invalid, ReasonAnswerUnreadable, 0, "usually ends in /v1"},
		{"another JSON", body(200, `{"choices":"`+poison+`"}`), fault.Invalid, ReasonAnswerUnreadable, 0, "OpenAI-compatible"},
		{"nothing", body(204, ""), fault.Invalid, ReasonAnswerUnreadable, 0, "OpenAI-compatible"},
		{"10 MB", body(200, `{"choices":[{"message":{"content":"`+strings.Repeat("a", 10<<20)), fault.Invalid, ReasonAnswerTooLarge, 0, "maxOutputTokens"},
		{"10 MB of error", body(500, strings.Repeat("a", 10<<20)), fault.Wait, ReasonUnavailable, 0, "status 500"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"choices":[`)
		}, fault.Wait, ReasonUnreachable, 0, "broke before its answer was complete"},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Wait, ReasonUnreachable, 0, "no connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.answer)
			d := New(Options{Now: func() time.Time { return now }})
			f, answer := failing(t, d, inquiry(s.URL))
			if f.Kind != c.kind || f.Reason != c.reason || f.After != c.after || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
			if !strings.Contains(f.Message, strings.TrimPrefix(s.URL, "http://")) {
				t.Errorf("the message does not name the server: %s", f.Message)
			}
			if s.asked() != 1 || len(answer.Request) == 0 {
				t.Errorf("%d requests, the last of %d bytes", s.asked(), len(answer.Request))
			}
		})
	}
}

func TestAKeyThatIsMissingIsAskedFor(t *testing.T) {
	q := inquiry(serve(t, status(401)).URL)
	q.Profile.Model.APIKey, q.APIKey = nil, ""
	if f, _ := failing(t, New(Options{}), q); f.Reason != ReasonUnauthorized || !strings.Contains(f.Message, "set spec.model.apiKeySecretRef") {
		t.Errorf("fault is %+v", f)
	}
}

func TestAServerThatSaysNothingTimesOut(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	stalling := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"choices":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, answer := range map[string]http.HandlerFunc{"before the answer": silent, "in the answer": stalling} {
		t.Run(name, func(t *testing.T) {
			q := inquiry(serve(t, answer).URL)
			q.Profile.Model.Timeout = 50 * time.Millisecond
			f, _ := failing(t, New(Options{}), q)
			if f.Kind != fault.Wait || f.Reason != ReasonTimeout || !errors.Is(f, context.DeadlineExceeded) || !strings.Contains(f.Message, "50ms") {
				t.Errorf("fault is %+v", f)
			}
		})
	}
	t.Run("by the caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := New(Options{}).Decide(ctx, inquiry(serve(t, silent).URL))
		if f := fault.Of(err); f.Reason != ReasonTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestAServerThatCannotBeReachedIsWaitedFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	secure := serve(t, status(200)).URL
	for name, c := range map[string]struct {
		url       string
		transport http.RoundTripper
		says      string
	}{
		"refused":     {"http://" + closed, nil, "connection refused"},
		"no name":     {"http://models.example", transport(func(*http.Request) (*http.Response, error) { return nil, &net.DNSError{Err: poison} }), "does not resolve"},
		"not secure":  {strings.Replace(secure, "http:", "https:", 1), nil, "does not speak TLS"},
		"unspeakable": {"http://models.example", transport(func(*http.Request) (*http.Response, error) { return nil, errors.New(poison) }), "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := failing(t, New(Options{Transport: c.transport}), inquiry(c.url))
			if f.Kind != fault.Wait || f.Reason != ReasonUnreachable || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
		})
	}
}

func TestADeniedAddressIsNotWaitedFor(t *testing.T) {
	refusal := errors.New("not there")
	d := New(Options{
		Transport: transport(func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("dial: %w", refusal) }),
		Denied:    func(err error) (string, bool) { return "169.254.169.254", errors.Is(err, refusal) },
	})
	f, _ := failing(t, d, inquiry("http://metadata.example"))
	if f.Kind != fault.Invalid || f.Reason != ReasonAddressDenied || !strings.Contains(f.Message, "169.254.169.254") {
		t.Errorf("fault is %+v", f)
	}
}

func TestABaseURLThatIsNoneIsNotAsked(t *testing.T) {
	for _, url := range []string{"", "models.example/v1", "ftp://models.example", "http://", "http://ada:hunter2@models.example/v1?key=hunter2", "http://models.example/\x00hunter2"} {
		if f, _ := failing(t, New(Options{}), inquiry(url)); f.Kind != fault.Invalid || f.Reason != ReasonAddressInvalid {
			t.Errorf("%q: fault is %+v", url, f)
		}
	}
}

func TestCredentialsInTheBaseURLAreNotShown(t *testing.T) {
	s := serve(t, status(500))
	f, _ := failing(t, New(Options{}), inquiry(strings.Replace(s.URL, "http://", "http://ada:hunter2@", 1)))
	if f.Reason != ReasonUnavailable {
		t.Errorf("fault is %+v", f)
	}
}

func TestADecisionThatDoesNotFitTwiceIsRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(command("ping", "{}")+",", 1000), ",")
	message := func(m map[string]any, finish string) http.HandlerFunc {
		m["role"] = "assistant"
		return choice(map[string]any{"finish_reason": finish, "message": m})
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
		told   string // to the model
	}{
		{"prose", completion("Sure! " + poison), "prose", "prose"},
		{"broken JSON", completion(`{"response": "` + poison), "broken JSON", "in the middle"},
		{"an operation off the menu", completion(decisionJSON("", command(poison, "{}"))), "not on the agent's menu (save_memory, forget_memory, search_flights, ping)", poison},
		{"arguments that do not fit", completion(decisionJSON("", command("search_flights", `{"from":"ZRH","to":"LIS","date":"`+poison+`"}`))), "search_flights do not fit its parameters (pattern at /properties/date)", poison},
		{"arguments that are missing", completion(decisionJSON("", command("search_flights", `{"from":"ZRH"}`))), `missing properties: ["to" "date"]`, "to"},
		{"1,000 commands", completion(decisionJSON("", many)), "1000 commands, and at most 4", "at most 4"},
		{"no choices", choice(), "empty list", "empty list"},
		{"a refusal", message(map[string]any{"refusal": poison}, "stop"), "refused", "refused"},
		{"a cut answer", message(map[string]any{"content": decisionJSON("Hi.")}, "length"), "Raise spec.model.maxOutputTokens", "Answer more briefly"},
		{"a filtered answer", message(map[string]any{"content": ""}, "content_filter"), "content filter", "content filter"},
		{"nothing", completion(""), "empty", "empty"},
		{"two calls", called(function("decide", decisionJSON("a")), function("decide", decisionJSON("b"))), "more than one function", "once"},
		{"another function", called(function(poison, decisionJSON("a"))), "not offered", "decide"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.answer)
			f, answer := failing(t, New(Options{}), inquiry(s.URL))
			if f.Kind != fault.Invalid || f.Reason != ReasonDecisionInvalid || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
			if s.asked() != 2 || answer.Repairs != 1 || answer.Usage != (agent.Usage{Input: 20, Output: 10}) {
				t.Errorf("%d requests, answer %+v", s.asked(), answer)
			}
			if _, contents := s.sent(t, 1); !strings.Contains(contents[3], c.told) || contents[2] == "" {
				t.Errorf("the model was told %q", contents[3])
			}
		})
	}
}
