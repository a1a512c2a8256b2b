package query

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/view"
)

const streamName = "travel/concierge"

// house is the API over a real journal, a real projection and a real server. What
// Kubernetes knows is in maps.
type house struct {
	t          *testing.T
	dir        string
	journal    *sqlite.Journal
	projection *projection.Store
	server     *httptest.Server
	handler    http.Handler
	sources    Sources

	mu      sync.Mutex
	views   map[string]view.Definition
	streams map[string]string
	denied  map[string]error // "verb resource namespace/name"
	asked   []string
}

func newHouse(t *testing.T, options Options) *house {
	t.Helper()
	return newHouseOver(t, options, sqlite.Options{})
}

func newHouseOver(t *testing.T, options Options, storage sqlite.Options) *house {
	t.Helper()
	dir := t.TempDir()
	j, err := sqlite.Open(t.Context(), filepath.Join(dir, "journal.db"), storage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	if _, err := j.Claim(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s, err := projection.Open(t.Context(), filepath.Join(dir, "projection.db"), j, projection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b, err := view.NewBuilder(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		t: t, dir: dir, journal: j, projection: s, denied: map[string]error{},
		streams: map[string]string{"travel/concierge": streamName, "travel/other": "travel/other"},
		views: map[string]view.Definition{"travel/concierge": {
			Namespace: "travel", Name: "concierge", Agent: "concierge", Budget: 2000,
			Blocks: []view.Block{{Name: "profile", Memories: &view.Memories{Limit: 50}}, {Name: "history", Conversation: &view.Conversation{Turns: 20}}},
		}},
	}
	h.sources = Sources{Views: h, Access: h, Streams: h, Contexts: b, Projection: s, Journal: j}
	h.serve(options)
	return h
}

func (h *house) serve(options Options) {
	h.handler = New(h.sources, options)
	h.server = httptest.NewServer(h.handler)
	h.t.Cleanup(h.server.Close)
}

// project follows the journal until the test ends.
func (h *house) project() { go func() { _ = h.projection.Follow(h.t.Context()) }() }

func (h *house) View(_ context.Context, namespace, name string) (view.Definition, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.views[namespace+"/"+name]
	if !ok {
		return d, fmt.Errorf("view %s: %w", name, ErrNotFound)
	}
	return d, nil
}

func (h *house) List(_ context.Context, namespace string) (all []view.Definition, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.views {
		if d.Namespace == namespace {
			all = append(all, d)
		}
	}
	return all, nil
}

// Candidate reads a definition as it is, for no API server defaults it here.
func (h *house) Candidate(_ context.Context, namespace, name string, manifest []byte) (view.Definition, error) {
	d := view.Definition{Namespace: namespace, Name: name}
	if err := json.Unmarshal(manifest, &d); err != nil {
		return d, fault.NewInvalid("InvalidView", "the body is no ContextView: %s", err)
	}
	return d, nil
}

func (h *house) Stream(_ context.Context, namespace, name string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stream, ok := h.streams[namespace+"/"+name]
	if !ok {
		return "", fmt.Errorf("agent %s: %w", name, ErrNotFound)
	}
	return stream, nil
}

func (h *house) Allow(_ *http.Request, verb, resource, namespace, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	what := fmt.Sprintf("%s %s %s/%s", verb, resource, namespace, name)
	h.asked = append(h.asked, what)
	return h.denied[what]
}

func (h *house) deny(what string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.denied[what] = err
}

func (h *house) append(stream string, blobs []journal.Blob, events ...agent.Event) int64 {
	h.t.Helper()
	return h.appendAs("key", stream, blobs, events...)
}

func (h *house) appendAs(key, stream string, blobs []journal.Blob, events ...agent.Event) int64 {
	h.t.Helper()
	b := journal.Batch{Stream: stream, Expected: journal.AnyVersion, Blobs: blobs}
	for _, e := range events {
		b.Events = append(b.Events, journal.Event(agent.Encode(key, e)))
	}
	records, err := h.journal.Append(h.t.Context(), b)
	if err != nil {
		h.t.Fatal(err)
	}
	return records[len(records)-1].Sequence
}

// remember appends n memories at once.
func (h *house) remember(n int) int64 {
	h.t.Helper()
	var events []agent.Event
	for i := range n {
		events = append(events, agent.MemorySaved{ID: fmt.Sprint("mem-", i), Kind: "note", Content: "more"})
	}
	return h.append(streamName, nil, events...)
}

type reply struct {
	*http.Response
	body string
}

// get asks for a path below /v1/namespaces/travel; headers are name and value in turn.
func (h *house) get(path string, headers ...string) reply {
	h.t.Helper()
	return h.do(http.MethodGet, "/v1/namespaces/travel"+path, headers...)
}

func (h *house) do(method, path string, headers ...string) reply {
	h.t.Helper()
	return h.send(method, path, "", headers...)
}

func (h *house) send(method, path, body string, headers ...string) reply {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := h.server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return reply{answer, string(text)}
}

// wantProblem holds a reply against the problem that it should be, and returns it.
func (r reply) wantProblem(t *testing.T, status int, reason string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
	if r.StatusCode != status || p.Status != status || p.Reason != reason || p.Title == "" || p.Detail == "" || p.Remedy == "" ||
		r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s, want %d %s", r.StatusCode, r.body, status, reason)
	}
	return p
}

// sse is an event as a browser has it.
type sse struct{ id, event, data string }

// listener follows a journal.
type listener struct {
	t      *testing.T
	events chan sse // closed when the server ends the answer
	beats  chan struct{}
	stop   context.CancelFunc
}

func (h *house) listen(path string, headers ...string) *listener {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.server.URL+"/v1/namespaces/travel"+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Accept", eventsType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := h.server.Client().Do(r)
	if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != eventsType {
		h.t.Fatalf("got %v, %v", answer, err)
	}
	l := &listener{t: h.t, events: make(chan sse, 1000), beats: make(chan struct{}, 1000), stop: stop}
	h.t.Cleanup(stop)
	go func() {
		defer func() { _ = answer.Body.Close() }()
		l.read(answer.Body)
	}()
	return l
}

func (l *listener) read(body io.Reader) {
	defer close(l.events)
	var e sse
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if value == "heartbeat" {
				l.beats <- struct{}{}
			} else if e != (sse{}) {
				l.events <- e
				e = sse{}
			}
		}
	}
}

func (l *listener) next() sse {
	l.t.Helper()
	select {
	case e := <-l.events:
		return e
	case <-time.After(10 * time.Second):
		l.t.Fatal("no event came")
		return sse{}
	}
}
