package flaky

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// fakeServer is an API server with one object, whose versions are sent to whoever watches when the test says so.
type fakeServer struct {
	mu      sync.Mutex
	writes  int
	version int
	events  chan string
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Get("watch") == "true":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case e := <-f.events:
				fmt.Fprint(w, e) // and no line end, as kube-apiserver does
				w.(http.Flusher).Flush()
			}
		}
	case r.Method == http.MethodGet:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.version++
		fmt.Fprintf(w, `{"version":%d}`, f.version)
	default:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.writes++
		fmt.Fprint(w, `{}`)
	}
}

func (f *fakeServer) written() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

const widgets = "/apis/edict.dev/v1alpha1/namespaces/n/widgets"

// stage is a fake server, a proxy before it, and a client of the proxy.
func stage(t *testing.T, http2 bool) (*fakeServer, *API, *http.Client) {
	t.Helper()
	fake := &fakeServer{events: make(chan string)}
	upstream := httptest.NewUnstartedServer(fake)
	upstream.EnableHTTP2 = http2
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	config := &rest.Config{Host: upstream.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	p, err := NewAPI(config, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	trusted, err := rest.TLSConfigFor(p.Config(config))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trusted, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return fake, p, &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func do(t *testing.T, client *http.Client, method, url string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "tester")
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), errors.Join(err, response.Body.Close())
}

// watch returns the lines of a watch, and the channel is closed when it breaks.
func watch(t *testing.T, client *http.Client, p *API) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+widgets+"?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r) // returns with the header, before any event
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10)
	go func() {
		defer close(lines)
		defer func() { _ = response.Body.Close() }()
		scanner := bufio.NewScanner(response.Body)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	return lines
}

func widget(kind string, version int) string {
	return fmt.Sprintf(`{"type":%q,"object":{"metadata":{"uid":"u","resourceVersion":"%d"}}}`, kind, version)
}

func next(t *testing.T, lines <-chan string) (line string, open bool) {
	t.Helper()
	select {
	case line, open = <-lines:
		return line, open
	case <-time.After(20 * time.Second):
		t.Fatal("the watch says nothing")
		return "", false
	}
}

func TestWithoutFaultsAllPassesAtOnce(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			fake, p, client := stage(t, http2)
			lines := watch(t, client, p)
			for i := 1; i <= 3; i++ { // each is seen before the next is sent
				fake.events <- widget("MODIFIED", i)
				if line, _ := next(t, lines); line != widget("MODIFIED", i) {
					t.Errorf("event %d came as %s", i, line)
				}
			}
			if status, body, err := do(t, client, http.MethodPost, p.URL+widgets); status != 200 || body != "{}" || err != nil {
				t.Errorf("got %d %s %v", status, body, err)
			}
			if got := p.Injected(); len(got) != 0 {
				t.Errorf("faults: %v", got)
			}
		})
	}
}

func TestEventsAreHeldBackAndKeepTheirOrder(t *testing.T) {
	fake, p, client := stage(t, true)
	lines := watch(t, client, p)
	p.Set(APIFaults{WatchDelay: 300 * time.Millisecond})
	sent := time.Now()
	fake.events <- widget("ADDED", 1)
	fake.events <- widget("MODIFIED", 2)
	for _, want := range []string{widget("ADDED", 1), widget("MODIFIED", 2)} {
		if line, _ := next(t, lines); line != want {
			t.Errorf("got %s, not %s", line, want)
		}
	}
	if took := time.Since(sent); took < 300*time.Millisecond {
		t.Errorf("they came after %v", took)
	}
	if n := p.Injected()[DelayedEvent]; n != 2 {
		t.Errorf("%d delayed events were counted", n)
	}
}

func TestAnOlderVersionIsToldOnceMore(t *testing.T) {
	fake, p, client := stage(t, false)
	p.Set(APIFaults{Replays: 1})
	lines := watch(t, client, p)
	fake.events <- widget("ADDED", 1)
	fake.events <- widget("MODIFIED", 2)
	for _, want := range []string{widget("ADDED", 1), widget("MODIFIED", 1), widget("MODIFIED", 2)} {
		if line, _ := next(t, lines); line != want {
			t.Errorf("got %s, not %s", line, want)
		}
	}
	if n := p.Injected()[Replayed]; n != 1 {
		t.Errorf("%d replays were counted", n)
	}
}

func TestWatchesBreak(t *testing.T) {
	for name, faults := range map[string]APIFaults{"after an event": {CutWatches: 1}, "in an outage": {Outage: true}} {
		t.Run(name, func(t *testing.T) {
			fake, p, client := stage(t, true)
			lines := watch(t, client, p)
			fake.events <- widget("ADDED", 1)
			next(t, lines)
			p.Set(faults)
			if !faults.Outage {
				fake.events <- widget("MODIFIED", 2)
				next(t, lines)
			}
			if line, open := next(t, lines); open {
				t.Errorf("it went on with %s", line)
			}
			p.Set(APIFaults{})
			if status, _, err := do(t, client, http.MethodGet, p.URL+widgets); status != 200 || err != nil {
				t.Errorf("afterwards: %d, %v", status, err)
			}
		})
	}
}

func TestARefusedWriteDidNotHappen(t *testing.T) {
	fake, p, client := stage(t, false)
	p.Set(APIFaults{RefuseWrites: 1})
	seen := map[int]bool{}
	for range 40 {
		status, body, err := do(t, client, http.MethodPut, p.URL+widgets+"/w")
		var told struct {
			Kind string
			Code int
		}
		if err != nil || json.Unmarshal([]byte(body), &told) != nil || told.Kind != "Status" || told.Code != status {
			t.Fatalf("got %d %s, %v", status, body, err)
		}
		seen[status] = true
	}
	if fake.written() != 0 || len(p.Writes()) != 0 {
		t.Errorf("%d happened, %v were counted", fake.written(), p.Writes())
	}
	for _, status := range lies {
		if !seen[status] || p.Injected()[Refused+Injection(fmt.Sprintf(" %d", status))] == 0 {
			t.Errorf("no %d among 40; counted %v", status, p.Injected())
		}
	}
	if status, _, _ := do(t, client, http.MethodGet, p.URL+widgets); status != 200 {
		t.Errorf("a read got %d", status)
	}
}

func TestAWriteWhoseAnswerIsLostHappened(t *testing.T) {
	fake, p, client := stage(t, true)
	p.Set(APIFaults{LoseAnswers: 1})
	broken := 0
	for range 40 {
		status, _, err := do(t, client, http.MethodPost, p.URL+widgets)
		if err != nil {
			broken++
		} else if status == 200 {
			t.Error("the client was told the truth")
		}
	}
	if fake.written() != 40 || broken == 0 || p.Injected()[LostAnswer] != broken {
		t.Errorf("%d happened, %d broke, counted %v", fake.written(), broken, p.Injected())
	}
	want := Write{Verb: "create", Resource: "widgets.edict.dev", UserAgent: "tester"}
	if got := p.Writes(); len(got) != 1 || got[want] != 40 {
		t.Errorf("counted %v", got)
	}
}

func TestARequestIsDropped(t *testing.T) {
	fake, p, client := stage(t, false)
	p.Set(APIFaults{Drop: 1})
	if _, _, err := do(t, client, http.MethodPost, p.URL+widgets); err == nil || fake.written() != 0 || p.Injected()[Dropped] == 0 {
		t.Errorf("%v, %d happened, counted %v", err, fake.written(), p.Injected())
	}
}

func TestAReadIsAnsweredAsBefore(t *testing.T) {
	_, p, client := stage(t, false)
	for range 2 {
		if _, _, err := do(t, client, http.MethodGet, p.URL+widgets+"/w"); err != nil {
			t.Fatal(err)
		}
	}
	p.Set(APIFaults{StaleReads: 1})
	_, body, err := do(t, client, http.MethodGet, p.URL+widgets+"/w")
	if err != nil || body != `{"version":1}` || p.Injected()[StaleRead] != 1 {
		t.Errorf("got %s, %v, counted %v", body, err, p.Injected())
	}
	_, body, err = do(t, client, http.MethodGet, p.URL+widgets+"/other")
	if err != nil || body != `{"version":3}` {
		t.Errorf("what was never asked got %s, %v", body, err)
	}
}

func TestAnExemptResourceIsLeftAlone(t *testing.T) {
	_, p, client := stage(t, false)
	p.Set(APIFaults{Drop: 1, RefuseWrites: 1, Exempt: []string{"leases"}})
	status, _, err := do(t, client, http.MethodPut, p.URL+"/apis/coordination.k8s.io/v1/namespaces/n/leases/l")
	if status != 200 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
}

func TestRequestsAreNamedAsRBACNamesThem(t *testing.T) {
	for _, c := range []struct {
		method, path   string
		verb, resource string
		writes         bool
	}{
		{"GET", "/api/v1/namespaces/n/pods", "list", "pods", false},
		{"GET", "/api/v1/pods?watch=true", "watch", "pods", false},
		{"GET", "/api/v1/namespaces/n", "get", "namespaces", false},
		{"PUT", "/api/v1/namespaces/n/finalize", "update", "namespaces/finalize", true},
		{"POST", widgets, "create", "widgets.edict.dev", true},
		{"POST", widgets + "?dryRun=All", "create", "widgets.edict.dev", false},
		{"PATCH", widgets + "/w/status", "patch", "widgets.edict.dev/status", true},
		{"DELETE", widgets + "/w", "delete", "widgets.edict.dev", true},
		{"DELETE", widgets, "deletecollection", "widgets.edict.dev", true},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "create", "subjectaccessreviews.authorization.k8s.io", false},
		{"POST", "/api/v1/namespaces/n/serviceaccounts/s/token", "create", "serviceaccounts/token", false},
		{"GET", "/apis/edict.dev/v1alpha1", "", "", false},
		{"GET", "/readyz", "", "", false},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if q := parse(r); q.verb != c.verb || q.resource != c.resource || q.writes() != c.writes {
			t.Errorf("%s %s: %s %s, writes %v", c.method, c.path, q.verb, q.resource, q.writes())
		}
	}
}
