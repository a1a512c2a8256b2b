// Package scriptedmodel is an OpenAI-compatible chat-completions server whose decisions are written in a script. There
// is no model inside: nothing is understood, inferred or generated. Tests, the demo and the benchmark use it where a
// decision has to be the same every time, has to be wrong in a certain way, or must not cost anything.
//
// It reads the prompts that package decision writes, well enough to know what is asked, at which step of the ask, and
// what came of the step before. It knows nothing of what the operations do.
//
//	POST /v1/chat/completions   in the decision modes json_schema, tools and json_object; not streamed
//	POST /v1/embeddings         vectors of words, see Embeddings
//	GET  /stats                 what it was asked and how often, as JSON
//	GET  /healthz
package scriptedmodel

import (
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// maxRequest bounds the body of a request in bytes; more than any model's context holds.
const maxRequest = 32 << 20

// Options say what a Server answers. The zero value answers every question with the words that it has no script.
type Options struct {
	Script  Script
	APIKey  string        // the bearer token to ask for; empty asks for none
	Latency time.Duration // how long every answer takes
	Keep    int           // how many of the latest requests Requests returns; 0 is 100, negative none

	Embeddings Embeddings
}

// Server is an http.Handler. It may be used concurrently.
type Server struct {
	options Options
	rules   atomic.Pointer[[]rule]
	vectors atomic.Pointer[Embeddings]
	record  record
	mux     *http.ServeMux
}

// New returns a server, or what is wrong with the script.
func New(options Options) (*Server, error) {
	if options.Keep == 0 {
		options.Keep = 100
	}
	s := &Server{options: options, mux: http.NewServeMux()}
	if err := s.SetScript(options.Script); err != nil {
		return nil, err
	}
	s.record.reset()
	s.SetEmbeddings(options.Embeddings)
	s.mux.HandleFunc("POST /v1/chat/completions", s.complete)
	s.mux.HandleFunc("POST /v1/embeddings", s.embed)
	s.mux.HandleFunc("GET /stats", s.stats)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	return s, nil
}

// SetScript replaces the script while the server runs. A call under way keeps the one it began with.
func (s *Server) SetScript(script Script) error {
	rules, err := compile(script)
	if err != nil {
		return err
	}
	s.rules.Store(&rules)
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Stats returns what was asked since the start or the last Reset.
func (s *Server) Stats() Stats { return s.record.stats() }

// Requests returns the latest requests, oldest first.
func (s *Server) Requests() []Request { return s.record.latest() }

// Reset forgets all that was asked.
func (s *Server) Reset() { s.record.reset() }

func (s *Server) stats(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(s.Stats())
}

// admit returns the body of a call that may be made; otherwise it has answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if s.options.APIKey != "" && r.Header.Get("Authorization") != "Bearer "+s.options.APIKey {
		s.record.unauthorized()
		writeError(w, http.StatusUnauthorized, "invalid_api_key", "Incorrect API key provided.")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "The request could not be read.")
	}
	return body, err == nil
}

// complete answers one call: who asks, what, which rule, and then what the rule says.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	body, ok := s.admit(w, r)
	if !ok {
		return
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil || len(q.Messages) == 0 {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "The request is no chat completion with messages.")
		return
	}
	if q.Stream {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "This server does not stream.")
		return
	}
	ask := newAsk(q.Messages)
	ask.User, ask.Model = q.User, q.Model
	rule, found := s.find(ask)
	nth := s.record.call(ask, rule, Request{Ask: ask, Mode: q.mode(), Body: body, Header: r.Header}, s.options.Keep)
	s.perform(w, r, performance{request: &q, ask: ask, rule: rule, found: found, nth: nth})
}

// find returns the first rule that is for the ask and what it captured, or nil.
func (s *Server) find(ask Ask) (*rule, captures) {
	rules := *s.rules.Load()
	for i := range rules {
		if found, ok := rules[i].match(ask); ok {
			return &rules[i], found
		}
	}
	return nil, nil
}

// performance is one answer about to be given.
type performance struct {
	request *request
	ask     Ask
	rule    *rule // nil: nothing in the script is for this call
	found   captures
	nth     int // how often this question met this rule at this step, from 1
}

func (s *Server) perform(w http.ResponseWriter, r *http.Request, p performance) {
	if !pause(r, s.options.Latency) {
		return
	}
	if p.rule == nil {
		p.request.answer(w, p.decision(), Misbehaviour{})
		return
	}
	if !pause(r, time.Duration(p.rule.LatencyMillis)*time.Millisecond) {
		return
	}
	var wrong Misbehaviour
	if m := p.rule.Misbehave; m != nil && (m.Times == 0 || p.nth <= m.Times) {
		wrong = *m
	}
	if wrong.beforeContent(w, r) {
		return
	}
	p.request.answer(w, p.decision(), wrong)
}

func (p performance) decision() Decision {
	asIs := func(text string) string { return text }
	switch {
	case p.rule == nil:
		return Respond("I have no script for this question: " + p.ask.Question).expand(asIs)
	case p.rule.Decide != nil:
		return p.rule.Decide(p.ask).expand(asIs)
	default:
		return p.rule.Then.expand(p.found.fill)
	}
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
