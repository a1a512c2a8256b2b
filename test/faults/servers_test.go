package faults

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/hack/travelapi"
)

// What a call names as its flight decides how its receiver behaves the first time.
const (
	flightPlain  = "LX1" // it books
	flightBusy   = "LX2" // it answers 429 at first, and books the second time
	flightBroken = "LX3" // it books and answers 503, the first time
	flightFull   = "LX4" // it answers 429 for ever, and wants to be asked in an hour
)

// receiver takes bookings, and counts them by passenger. It serves a request whether its sender still waits or not, as
// a receiver does that has read it, and it outlives the operators.
type receiver struct {
	*travelapi.Server
	url     string
	server  *httptest.Server
	latency func() time.Duration // before it books, and again before it answers

	mu       sync.Mutex
	requests map[string]int // by passenger
}

// newReceiver starts one; with ignoreKeys it books at every request, whatever its Idempotency-Key.
func newReceiver(ignoreKeys bool, latency func() time.Duration) *receiver {
	r := &receiver{latency: latency, requests: map[string]int{}}
	r.Server = travelapi.New(travelapi.Options{IgnoreKeys: ignoreKeys, Committed: func(travelapi.Booking) { time.Sleep(r.latency()) }})
	r.server = httptest.NewServer(r)
	r.url = r.server.URL + "/bookings"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // it never came whole
	}
	var wish travelapi.Wish
	_ = json.Unmarshal(body, &wish) // what is no wish is refused below
	r.mu.Lock()
	r.requests[wish.Passenger]++
	first := r.requests[wish.Passenger] == 1
	r.mu.Unlock()
	time.Sleep(r.latency())
	switch {
	case wish.Flight == flightFull:
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case wish.Flight == flightBusy && first:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	if wish.Flight == flightBroken && first {
		r.Server.ServeHTTP(httptest.NewRecorder(), q)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.Server.ServeHTTP(w, q)
}

// effects returns how many bookings were made for each passenger.
func (r *receiver) effects() map[string]int {
	n := map[string]int{}
	for _, b := range r.Bookings() {
		n[b.Passenger]++
	}
	return n
}

// asked returns how many requests came for a passenger.
func (r *receiver) asked(passenger string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[passenger]
}

// model is a scripted model that notes when it was asked what. It outlives the operators.
type model struct {
	*scriptedmodel.Server
	url     string // for spec.model.baseURL
	server  *httptest.Server
	latency func() time.Duration

	mu    sync.Mutex
	calls []modelCall
}

// modelCall is one request to the model.
type modelCall struct {
	key  string // of the ask: the request's user
	step int    // from 1
	at   time.Time
}

// script is what the model decides: it does what the message says.
func script() scriptedmodel.Script {
	issue := func(operation string, arguments map[string]any) *scriptedmodel.Decision {
		d := scriptedmodel.Issue(scriptedmodel.Command{Operation: operation, Arguments: arguments})
		return &d
	}
	book := map[string]any{"flight": "${flight}", "passenger": "${who}"}
	saying := issue("put", book)
	said := "It is done."
	saying.Response = &said
	step1 := func(question string) scriptedmodel.When { return scriptedmodel.When{Step: 1, Question: question} }
	return scriptedmodel.Script{Rules: []scriptedmodel.Rule{
		{When: step1(`^Remember (?P<what>\S+)$`), Then: *issue("save_memory", map[string]any{"kind": "note", "content": "${what}"})},
		{When: step1(`^Put (?P<flight>\S+) for (?P<who>\S+)$`), Then: *issue("put", book)},
		{When: step1(`^Post (?P<flight>\S+) for (?P<who>\S+)$`), Then: *issue("post", book)},
		{When: step1(`^Put and say (?P<flight>\S+) for (?P<who>\S+)$`), Then: *saying},
		{When: step1(`^Stumble`), Misbehave: &scriptedmodel.Misbehaviour{Times: 1, Status: http.StatusServiceUnavailable}, Then: scriptedmodel.Respond(said)},
		{Then: scriptedmodel.Respond(said)},
	}}
}

func newModel(latency func() time.Duration) (*model, error) {
	server, err := scriptedmodel.New(scriptedmodel.Options{Script: script(), Keep: -1})
	if err != nil {
		return nil, err
	}
	m := &model{Server: server, latency: latency}
	m.server = httptest.NewServer(m)
	m.url = m.server.URL + "/v1"
	return m, nil
}

// ServeHTTP notes the request, takes its time, and answers.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := modelCall{step: 1, at: time.Now()}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it never came whole
	}
	var request struct {
		User     string
		Messages []struct{ Role string }
	}
	if json.Unmarshal(body, &request) == nil && request.Messages != nil {
		call.key = request.User
		for _, message := range request.Messages {
			if message.Role == "assistant" {
				call.step++
			}
		}
		m.mu.Lock()
		m.calls = append(m.calls, call)
		m.mu.Unlock()
	}
	time.Sleep(m.latency())
	r.Body = io.NopCloser(bytes.NewReader(body))
	m.Server.ServeHTTP(w, r)
}

// requests returns all that it was asked, in order.
func (m *model) requests() []modelCall {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]modelCall(nil), m.calls...)
}

// stop ends a server, and what hangs in it.
func stop(s *httptest.Server) {
	s.CloseClientConnections()
	s.Close()
}
