package execution

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edict-dev/edict/internal/agent"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// TestAnAnswerOf50MB is Done, cut, and not read to its end.
func TestAnAnswerOf50MB(t *testing.T) {
	const size, chunk = 50 << 20, 64 << 10
	for _, status := range []int{200, 400} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			written := make(chan int, 1)
			server := testAPI(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				n := 0
				for n < size {
					if _, err := io.WriteString(w, strings.Repeat("ü", chunk/2)); err != nil {
						break
					}
					n += chunk
				}
				written <- n
			})
			got := testCaller(t).Call(t.Context(), apiPost(server.URL, `{}`))
			if status == 200 && got.Verdict != agent.Done || status == 400 && got.Verdict != agent.Rejected {
				t.Errorf("verdict %s", got.Verdict)
			}
			checkCut(t, got.Result, "ü")
			if n := <-written; n >= size/2 {
				t.Errorf("the server could write %d bytes before the connection was closed", n)
			}
		})
	}
}

func checkCut(t *testing.T, result, begins string) {
	t.Helper()
	if len(result) > apiMaxResult || !utf8.ValidString(result) || !strings.HasSuffix(result, apiCutNote) || !strings.HasPrefix(result, begins) {
		t.Errorf("a result of %d bytes, valid: %t, %.20q … %q", len(result), utf8.ValidString(result), result, result[max(0, len(result)-100):])
	}
}

func TestAnAnswerIsKeptAsText(t *testing.T) {
	long := `["` + strings.Repeat("x", 20<<10) + `"]`
	spaced := "[" + strings.Repeat(" 1,\n\n\n", 5000) + " 1]"
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", ""},
		{"text", "hello\r\n\tworld", "hello\r\n\tworld"},
		{"JSON loses its space", "{\n  \"a\": [1, 2],\n  \"b\": \"x  y\"\n}\n", `{"a":[1,2],"b":"x  y"}`},
		{"JSON that fits once it has lost its space", spaced, strings.Join(strings.Fields(spaced), "")},
		{"what is nearly JSON stays", `{"a": 1`, `{"a": 1`},
		{"bytes that are no UTF-8", "caf\xe9 au lait", "caf\uFFFD au lait"},
		{"control characters", "a\x1b[31mb" + strings.Repeat(" ", 600) + "\x00", "a\uFFFD[31mb" + strings.Repeat(" ", 600) + "\uFFFD"},
		{"an image", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", apiNoText},
		{"longer than is kept", long, long[:apiMaxResult-len(apiCutNote)] + apiCutNote},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := testAPI(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.body) })
			got := testCaller(t).Call(t.Context(), apiGet(server.URL))
			if got.Verdict != agent.Done || got.Result != test.want {
				t.Errorf("got %s %.200q (%d bytes)\nwant %.200q (%d bytes)", got.Verdict, got.Result, len(got.Result), test.want, len(test.want))
			}
		})
	}
}

// TestAnAnswerThatBreaksOff has a status that says that the effect happened, and
// half a result.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for _, ending := range []string{"hang-up", "hang"} {
		for _, effect := range []agent.EffectClass{agent.Idempotent, agent.NonIdempotent} {
			t.Run(ending+" "+string(effect), func(t *testing.T) {
				address := rawServer(t, func(_ int, conn net.Conn) {
					_, _ = http.ReadRequest(bufio.NewReader(conn))
					_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"id\":\"B-1\",\"key\":\"sesame-op")
					if ending == "hang" {
						<-hang
					}
				})
				r := apiPost("http://"+address, `{}`)
				r.Operation.Effect, r.Operation.Call.Timeout = effect, 100*time.Millisecond
				r.Headers = []APIHeader{{"X-Key", "sesame-open"}}
				got := testCaller(t).Call(withoutDeadline(t), r)
				reason := map[string]string{"hang": APIReasonTimeout, "hang-up": APIReasonConnectionLost}[ending]
				want := agent.Outcome{Verdict: agent.Ambiguous, Reason: reason, Status: 201, Message: got.Message}
				if effect == agent.NonIdempotent {
					want = agent.Outcome{Verdict: agent.Done, Status: 201, Message: got.Message, Result: `{"id":"B-1","key":"` + apiCutNote}
				}
				if got != want {
					t.Errorf("got %+v\nwant %+v", got, want)
				}
			})
		}
	}
}

// TestASecretIsNotEchoed: a server returns what it was sent, in every dress.
func TestASecretIsNotEchoed(t *testing.T) {
	const token, password = `s3<sam&/"öpen" +=\x9~`, "hunter2-hunter3"
	basic := base64.StdEncoding.EncodeToString([]byte("ada:" + password))
	quoted, _ := json.Marshal(token)
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(token)
	dresses := map[string]string{
		"as it is":          "x" + token + "x",
		"with its scheme":   "Bearer " + token,
		"in a query":        "/?t=" + url.QueryEscape(token),
		"in a path":         "/" + url.PathEscape(token),
		"in JSON":           `{"token":` + string(quoted) + `}`,
		"in plain JSON":     `{"token":` + plain.String() + `}`,
		"in base64":         base64.StdEncoding.EncodeToString([]byte(token)),
		"in base64 for URL": base64.URLEncoding.EncodeToString([]byte(token)),
		"in hexadecimal":    hex.EncodeToString([]byte(token)),
		"in basic":          "Basic " + basic,
		"the password":      `{"password":"` + password + `"}`,
		"the pair":          "ada:" + password,
		"after a megabyte":  strings.Repeat(" ", apiMaxRead-10) + token,
		"where it is cut":   strings.Repeat("-", apiMaxResult-len(apiCutNote)-5) + token + strings.Repeat("-", 100),
	}
	for n := range 3 {
		dresses[fmt.Sprintf("in base64 after %d bytes", n)] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat(":", n) + token + "::"))
	}
	leaks := []string{token[:8], strings.Trim(string(quoted), `"`)[:8], url.QueryEscape(token)[:8], url.PathEscape(token)[:8], password, basic[:8],
		base64.RawStdEncoding.EncodeToString([]byte(token))[4:16], hex.EncodeToString([]byte(token))[:12]}
	for name, dress := range dresses {
		for _, status := range []int{200, 400} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				server := testAPI(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, dress)
				})
				r := apiPost(server.URL, `{}`)
				r.Headers = []APIHeader{{"Authorization", "Bearer " + token}, {"X-Basic", "basic " + basic}}
				got := testCaller(t).Call(t.Context(), r)
				for _, leak := range leaks {
					if strings.Contains(got.Result, leak) || strings.Contains(got.Message, leak) {
						t.Errorf("%q leaks in %.100q", leak, got.Result)
					}
				}
				if name != "after a megabyte" && name != "where it is cut" && !strings.Contains(got.Result, apiRedacted) {
					t.Errorf("result %q", got.Result)
				}
			})
		}
	}
}

func TestWhatIsTooShortForASecretIsLeft(t *testing.T) {
	s := newAPIScrubber([]APIHeader{{"X-Api-Version", "2"}, {"X-Empty", ""}, {"X-Key", "abcd"}})
	if got := s.text([]byte(`{"id":2,"key":"abcd"}`), true); got != `{"id":2,"key":"[redacted]"}` {
		t.Errorf("got %s", got)
	}
}

func TestAHeaderDoesNotPrintItsValue(t *testing.T) {
	h := APIHeader{"Authorization", "sesame"}
	r := APIRequest{Headers: []APIHeader{h}}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprint(h), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r), fmt.Sprintf("%v", &r), fmt.Sprintf("%q", h), string(raw)} {
		if strings.Contains(printed, "sesame") {
			t.Errorf("printed as %s", printed)
		}
	}
}

// withoutDeadline lets the operation's timeout bound the call.
func withoutDeadline(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}
