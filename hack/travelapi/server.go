// Package travelapi is a small travel agency behind HTTP, for samples, tests and the demo: it finds flights that do not
// exist and books them in memory. What makes it worth having is its bookkeeping: it counts what really happened, so
// that "booked once" can be read from the receiver and not from the caller's own account.
//
//	GET    /flights?from=&to=&date=   a few flights, the same for the same question
//	POST   /bookings                  {"flight", "passenger", "seat"}; honours Idempotency-Key
//	GET    /bookings, /bookings/{id}
//	PUT    /bookings/{id}             the same body; makes or replaces it
//	DELETE /bookings/{id}
//	GET    /stats                     requests, bookings, and requests per Idempotency-Key
//	GET    /healthz
//
// And, of any method, what an API may do wrong:
//
//	/status/{code}?times=&retryAfter=   that status; with times, only that often, and then 200
//	/redirect?to=                       302
//	/big?bytes=                         a body of that size
//	/hang                               nothing until the client leaves
//	/echo                               the request with its headers
package travelapi

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Options say how the server behaves. The zero value asks for no token and honours Idempotency-Key at once.
type Options struct {
	Token      string        // the bearer token that flights and bookings ask for; empty asks for none
	Latency    time.Duration // before anything happens
	Hold       time.Duration // between a change of bookings and its answer: the moment to kill a caller in
	IgnoreKeys bool          // be a receiver that does not know Idempotency-Key and books at every request
	// Committed, when set, is called after a booking has been made and before Hold, without any lock held.
	Committed func(Booking)
}

// Server is an http.Handler. It may be used concurrently.
type Server struct {
	options Options
	ledger  ledger
	mux     *http.ServeMux
}

// New returns a server without bookings.
func New(options Options) *Server {
	s := &Server{options: options, mux: http.NewServeMux()}
	s.ledger.reset()
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /flights":          s.flights,
		"POST /bookings":        s.book,
		"GET /bookings":         s.list,
		"GET /bookings/{id}":    s.get,
		"PUT /bookings/{id}":    s.put,
		"DELETE /bookings/{id}": s.remove,
	} {
		s.mux.HandleFunc(pattern, s.guarded(handle))
	}
	s.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	s.misbehave()
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Stats returns what happened since the start or the last Reset.
func (s *Server) Stats() Stats { return s.ledger.stats() }

// Bookings returns the bookings that stand, in the order in which they were made.
func (s *Server) Bookings() []Booking { return s.ledger.all() }

// Reset forgets every booking and every count.
func (s *Server) Reset() { s.ledger.reset() }

// guarded counts a request, asks for the token, and takes its time, before handle does anything.
func (s *Server) guarded(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.ledger.request(r.Header.Get("Idempotency-Key"))
		if s.options.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.options.Token {
			fail(w, http.StatusUnauthorized, "This API asks for a bearer token.")
			return
		}
		if !pause(r, s.options.Latency) {
			return
		}
		handle(w, r)
	}
}

// hold waits after a change as long as the server or the request's query `hold` says. That the client leaves meanwhile
// changes nothing: it has happened.
func (s *Server) hold(r *http.Request) {
	wait := s.options.Hold
	if asked, err := time.ParseDuration(r.URL.Query().Get("hold")); err == nil {
		wait = asked
	}
	pause(r, wait)
}

// pause waits, and reports false when the client left meanwhile.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have left
}

func fail(w http.ResponseWriter, status int, text string) {
	write(w, status, map[string]string{"error": text})
}
