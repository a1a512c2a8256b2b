package decision

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func embeddingInquiry(baseURL string, texts ...string) agent.EmbeddingInquiry {
	return agent.EmbeddingInquiry{
		Embeddings: agent.Embeddings{BaseURL: baseURL, Model: "vectors-1", Timeout: 5 * time.Second, APIKey: &agent.SecretKey{Name: "vector-key", Key: "api-key"}},
		Texts:      texts, APIKey: apiKey, User: "ask-1",
	}
}

// vectorServer serves scripted vectors, and returns the base URL.
func vectorServer(t *testing.T, e scriptedmodel.Embeddings) string {
	t.Helper()
	s, err := scriptedmodel.New(scriptedmodel.Options{Embeddings: e, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL + "/v1"
}

func embedded(t *testing.T, q agent.EmbeddingInquiry) agent.EmbeddingAnswer {
	t.Helper()
	answer, err := New(Options{}).Embed(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func cosine(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestTextsThatMeanTheSameGetVectorsThatPointTheSameWay(t *testing.T) {
	for name, e := range map[string]scriptedmodel.Embeddings{"in order": {}, "in another order, by their indexes": {Backwards: true}} {
		t.Run(name, func(t *testing.T) {
			got := embedded(t, embeddingInquiry(vectorServer(t, e), "Ada prefers the corridor", "ada likes the aisle", "a visa takes ten days"))
			if len(got.Vectors) != 3 || len(got.Vectors[0]) != 64 || got.Usage.Input < 10 || got.Usage.Output != 0 {
				t.Fatalf("%d vectors, used %+v", len(got.Vectors), got.Usage)
			}
			if same, other := cosine(got.Vectors[0], got.Vectors[1]), cosine(got.Vectors[0], got.Vectors[2]); same < 0.99 || other > 0.9 {
				t.Errorf("the first is %.2f like the second, and %.2f like the third", same, other)
			}
		})
	}
}

func TestARequestForVectorsIsAsAgreed(t *testing.T) {
	s := serve(t, body(200, `{"data":[{"index":0,"embedding":[0.5,-1e-3]}],"usage":{"prompt_tokens":7,"total_tokens":7}}`))
	q := embeddingInquiry(s.URL, "hello")
	q.Embeddings.Dimensions = 2
	got := embedded(t, q)
	if diff := cmp.Diff(agent.EmbeddingAnswer{Vectors: [][]float32{{0.5, -1e-3}}, Usage: agent.Usage{Input: 7}}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	want := map[string]any{"model": "vectors-1", "input": []any{"hello"}, "user": "ask-1", "encoding_format": "float", "dimensions": 2.0}
	if diff := cmp.Diff(want, s.requests[0]); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if s.headers[0].Get("Authorization") != "Bearer "+apiKey {
		t.Error("the key was not sent")
	}
}

func body(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

// unembedded asks and returns the fault, after looking that nothing leaked into it.
func unembedded(t *testing.T, d *Decider, q agent.EmbeddingInquiry) *fault.Error {
	t.Helper()
	answer, err := d.Embed(t.Context(), q)
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error is %v", err)
	}
	if len(answer.Vectors) != 0 {
		t.Errorf("with an error came %d vectors", len(answer.Vectors))
	}
	for _, leak := range []string{apiKey, poison, "upstream says", "told to fail"} {
		if strings.Contains(err.Error(), leak) {
			t.Errorf("%q leaked into the error %q", leak, err)
		}
	}
	if !strings.HasSuffix(f.Message, ".") || strings.Contains(f.Message, "%!") {
		t.Errorf("the message is no sentence: %q", f.Message)
	}
	return f
}

func TestVectorsThatCannotBeUsedAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		name   string
		server scriptedmodel.Embeddings
		reason string
		says   string
	}{
		{"null where a number should be", scriptedmodel.Embeddings{First: "null"}, ReasonEmbeddingUnfit, "holds null"},
		{"a number that no float holds", scriptedmodel.Embeddings{First: "1e400"}, ReasonEmbeddingUnreadable, "too large"},
		{"a number that only a longer float holds", scriptedmodel.Embeddings{First: "1e39"}, ReasonEmbeddingUnreadable, "too large"},
		{"numbers whose length no float holds", scriptedmodel.Embeddings{First: "3.4e38", Dimensions: 1}, "", ""},
		{"a text", scriptedmodel.Embeddings{First: `"0.5"`}, ReasonEmbeddingUnreadable, "not with whole embeddings"},
		{"a vector that is zero", scriptedmodel.Embeddings{Zero: true}, ReasonEmbeddingUnfit, "has no direction"},
		{"fewer vectors than texts", scriptedmodel.Embeddings{Fewer: 1}, ReasonEmbeddingUnfit, "2 texts were sent, and 1 vectors came back"},
		{"no vectors", scriptedmodel.Embeddings{Fewer: 2}, ReasonEmbeddingUnfit, "0 vectors came back"},
		{"the same index twice", scriptedmodel.Embeddings{SameIndex: true}, ReasonEmbeddingUnfit, "two vectors have the index 0"},
		{"half an answer", scriptedmodel.Embeddings{Half: true}, ReasonEmbeddingUnreadable, "half an answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := embeddingInquiry(vectorServer(t, c.server), "hello", "there")
			if c.reason == "" { // the control: large and alone it is a vector like any other
				embedded(t, q)
				return
			}
			if f := unembedded(t, New(Options{}), q); f.Kind != fault.Invalid || f.Reason != c.reason || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
		})
	}
}

func TestAnswersOfWhichIndexesOrLengthsAreWrongAreRefused(t *testing.T) {
	data := func(vectors string) http.HandlerFunc { return body(200, `{"data":[`+vectors+`]}`) }
	for _, c := range []struct{ name, data, says string }{
		{"an index too large", `{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}`, "the index 2, and the texts were 2"},
		{"a negative index", `{"index":-1,"embedding":[1]},{"index":0,"embedding":[1]}`, "the index -1"},
		{"indexes that are missing", `{"embedding":[1]},{"embedding":[1]}`, "two vectors have the index 0"},
		{"a vector too many", `{"index":0,"embedding":[1]},{"index":1,"embedding":[1]},{"index":2,"embedding":[1]}`, "3 vectors came back"},
		{"an empty vector", `{"index":0,"embedding":[]},{"index":1,"embedding":[]}`, "holds no numbers"},
		{"a vector that is null", `{"index":0,"embedding":[1]},{"index":1,"embedding":null}`, "holds no numbers"},
		{"two dimensions in one answer", `{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}`, "1 dimensions, and another one 2"},
		{"a length beyond every float", `{"index":0,"embedding":[3e38,3e38]},{"index":1,"embedding":[1,2]}`, "no direction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := unembedded(t, New(Options{}), embeddingInquiry(serve(t, data(c.data)).URL, "a", "b"))
			if f.Kind != fault.Invalid || f.Reason != ReasonEmbeddingUnfit || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
		})
	}
}

func TestAnotherDimensionIsRefusedWithBothNumbers(t *testing.T) {
	url := vectorServer(t, scriptedmodel.Embeddings{Dimensions: 8, Fixed: true})
	for _, c := range []struct {
		name         string
		asked, known int
		says         []string
	}{
		{"than was asked for", 16, 0, []string{"of 8 dimensions", "spec.embeddings.dimensions asks for 16"}},
		{"than yesterday", 0, 4, []string{"of 8 dimensions", "of it have 4", "name another model in spec.embeddings.model"}},
		{"than yesterday, as asked for today", 8, 4, []string{"of 8 dimensions", "give 4 again (spec.embeddings.dimensions)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := embeddingInquiry(url, "a")
			q.Embeddings.Dimensions, q.Known = c.asked, c.known
			f := unembedded(t, New(Options{}), q)
			if f.Kind != fault.Invalid || f.Reason != ReasonEmbeddingDimensions {
				t.Errorf("fault is %+v", f)
			}
			for _, says := range c.says {
				if !strings.Contains(f.Message, says) {
					t.Errorf("%q does not say %q", f.Message, says)
				}
			}
		})
	}
	q := embeddingInquiry(url, "a")
	q.Embeddings.Dimensions, q.Known = 8, 8
	embedded(t, q)
}

func TestAStatusOfAnEmbeddingServerSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   fault.Kind
		reason string
		after  time.Duration
		says   string
	}{
		{"429", status(429, "Retry-After", "7"), fault.Wait, ReasonEmbeddingRateLimited, 7 * time.Second, "status 429"},
		{"408", status(408), fault.Wait, ReasonEmbeddingUnavailable, 0, "status 408"},
		{"500", status(500), fault.Wait, ReasonEmbeddingUnavailable, 0, "status 500"},
		{"503", status(503, "Retry-After", "3"), fault.Wait, ReasonEmbeddingUnavailable, 3 * time.Second, "not available"},
		{"401", status(401), fault.Invalid, ReasonEmbeddingUnauthorized, 0, "check key api-key of Secret vector-key"},
		{"403", status(403), fault.Invalid, ReasonEmbeddingUnauthorized, 0, "Secret vector-key"},
		{"404", status(404), fault.Invalid, ReasonEmbeddingNotFound, 0, "spec.embeddings.model"},
		{"400", status(400), fault.Invalid, ReasonEmbeddingRejected, 0, "too long for the model"},
		{"413", status(413), fault.Invalid, ReasonEmbeddingRejected, 0, "status 413"},
		{"a redirect", status(307, "Location", "/elsewhere/"+poison), fault.Invalid, ReasonEmbeddingRedirected, 0, "redirect"},
		{"a page", body(200, "<html>"+poison+"</html>"), fault.Invalid, ReasonEmbeddingUnreadable, 0, "usually ends in /v1"},
		{"another JSON", body(200, `{"data":"`+poison+`"}`), fault.Invalid, ReasonEmbeddingUnreadable, 0, "OpenAI-compatible"},
		{"10 MB", body(200, `{"data":[{"embedding":[`+strings.Repeat("1,", 5<<20)), fault.Invalid, ReasonEmbeddingTooLarge, 0, "8192 dimensions"},
		{"a connection that breaks", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"data":[`)
		}, fault.Wait, ReasonEmbeddingUnreachable, 0, "broke before its answer was complete"},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Wait, ReasonEmbeddingUnreachable, 0, "no connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.answer)
			f := unembedded(t, New(Options{}), embeddingInquiry(s.URL, "a"))
			if f.Kind != c.kind || f.Reason != c.reason || f.After != c.after || !strings.Contains(f.Message, c.says) {
				t.Errorf("fault is %+v", f)
			}
			if !strings.Contains(f.Message, strings.TrimPrefix(s.URL, "http://")) || s.asked() != 1 {
				t.Errorf("after %d requests the message is: %s", s.asked(), f.Message)
			}
		})
	}
}

func TestAnEmbeddingServerThatIsNowhereIsNamed(t *testing.T) {
	for address, reason := range map[string]string{
		"nowhere": ReasonEmbeddingAddressInvalid, "http://host/v1?key=hunter2": ReasonEmbeddingAddressInvalid, "http://127.0.0.1:1": ReasonEmbeddingUnreachable,
	} {
		if f := unembedded(t, New(Options{}), embeddingInquiry(address, "a")); f.Reason != reason || !strings.Contains(f.Message, "spec.embeddings.baseURL") || strings.Contains(f.Message, "hunter2") {
			t.Errorf("%s: fault is %+v", address, f)
		}
	}
	d := New(Options{Denied: func(error) (string, bool) { return "10.0.0.1", true }})
	if f := unembedded(t, d, embeddingInquiry("http://127.0.0.1:1", "a")); f.Reason != ReasonEmbeddingAddressDenied || !strings.Contains(f.Message, "10.0.0.1") {
		t.Errorf("fault is %+v", f)
	}
	q := embeddingInquiry(serve(t, status(401)).URL, "a")
	q.Embeddings.APIKey, q.APIKey = nil, ""
	if f := unembedded(t, New(Options{}), q); !strings.Contains(f.Message, "set spec.embeddings.apiKeySecretRef") {
		t.Errorf("fault is %+v", f)
	}
}

func TestWhoWaitsForVectorsWaitsNoLongerThanAskedFor(t *testing.T) {
	url := vectorServer(t, scriptedmodel.Embeddings{Hang: true})
	q := embeddingInquiry(url, "a")
	q.Embeddings.Timeout = 50 * time.Millisecond
	f := unembedded(t, New(Options{}), q)
	if f.Kind != fault.Wait || f.Reason != ReasonEmbeddingTimeout || !errors.Is(f, context.DeadlineExceeded) || !strings.Contains(f.Message, "spec.embeddings.timeout is 50ms") {
		t.Errorf("fault is %+v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := New(Options{}).Embed(ctx, embeddingInquiry(url, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, it returned %v", err)
	}
}

// FuzzEmbed holds that whatever a server answers, what comes out of it is a vector for each text, of numbers that can be
// compared, or a fault.
func FuzzEmbed(f *testing.F) {
	f.Add(`{"data":[{"index":0,"embedding":[0.5]},{"index":1,"embedding":[1e-30]}]}`)
	f.Add(`{"data":[{"index":0,"embedding":[null]},{"index":1,"embedding":[3.4e38]}]}`)
	f.Add(`{"data":[{"index":1,"embedding":[-0]},{"embedding":[1, 2]}],"usage":{"prompt_tokens":-4}}`)
	f.Add(`[`)
	var text string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	f.Cleanup(server.Close)
	d := New(Options{})
	f.Fuzz(func(t *testing.T, answer string) {
		text = answer
		got, err := d.Embed(t.Context(), embeddingInquiry(server.URL, "a", "b"))
		if err != nil {
			if fault.Of(err).Reason == "" || len(got.Vectors) > 0 {
				t.Fatalf("%v, with %d vectors", err, len(got.Vectors))
			}
			return
		}
		if len(got.Vectors) != 2 || len(got.Vectors[0]) == 0 || len(got.Vectors[0]) != len(got.Vectors[1]) || got.Usage.Input < 0 {
			t.Fatalf("%q gave %+v", answer, got)
		}
		for _, vector := range got.Vectors {
			if length := math.Sqrt(cosine(vector, vector)); !(length > 0) || math.IsInf(length, 0) {
				t.Fatalf("%q gave a vector of length %v", answer, length)
			}
		}
	})
}
