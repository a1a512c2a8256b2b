package flaky

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// APIFaults says how bad the connection to kube-apiserver is. The zero value is a good one. Shares go from 0 (never) to 1
// (always).
type APIFaults struct {
	Latency time.Duration // each request but a watch waits up to this long before it is forwarded

	RefuseWrites float64 // share of the writes that are answered 409, 429, 500 or 504, and never forwarded
	LoseAnswers  float64 // share of the writes that happen, and whose client is told 409, 429, 500 or 504, or nothing
	Drop         float64 // share of the requests, also watches, whose connection breaks before they are forwarded

	WatchDelay time.Duration // each event of a watch is held back so long
	CutWatches float64       // share of the events after which their watch breaks
	Replays    float64       // share of the changes before which the watch tells an older version of the object once more
	StaleReads float64       // share of the GETs and LISTs that are answered as they were answered before

	Exempt []string // resources, such as "leases", that none of the above happens to
	Outage bool     // every connection is cut, and none is served
}

// Injection is a kind of fault that happened.
type Injection string

// The kinds of faults of an API.
const (
	Delayed      Injection = "request delayed"
	Refused      Injection = "write refused" // followed by the status
	LostAnswer   Injection = "answer lost"   // followed by the status told instead, if any
	Dropped      Injection = "request dropped"
	DelayedEvent Injection = "watch event delayed"
	CutWatch     Injection = "watch cut"
	Replayed     Injection = "old version replayed"
	StaleRead    Injection = "stale read"
	NotServed    Injection = "connection refused" // in an outage
	CutOff       Injection = "connection cut"
)

// Write is a kind of request that changed what is stored.
type Write struct {
	Verb      string // create, update, patch, delete, deletecollection
	Resource  string // with group and subresource: "commands.edict.dev/status"
	UserAgent string
}

// API is a proxy in front of one kube-apiserver. Its methods may be called from any goroutine.
type API struct {
	// URL is where the proxy listens.
	URL string

	authority []byte
	server    *http.Server
	proxy     *httputil.ReverseProxy
	dice      *dice
	injected  counters[Injection]
	written   counters[Write]
	clients   connections
	versions  versions
	answers   answers

	mu     sync.Mutex
	faults APIFaults
}

// NewAPI starts a proxy in front of the API server that config names. Of config only the address and the authority are
// used: a client authenticates by its own bearer token, which is passed on. Client certificates are not.
func NewAPI(config *rest.Config, seed uint64) (*API, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", config.Host, err)
	}
	upstream, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", config.Host, err)
	}
	certificate, authority, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", config.Host, err)
	}
	listener, err := net.Listen("tcp", loopback)
	if err != nil {
		return nil, err
	}
	silent := log.New(io.Discard, "", 0) // broken connections are what it is for
	p := &API{URL: "https://" + listener.Addr().String(), authority: authority, dice: newDice(seed)}
	p.proxy = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      &http.Transport{TLSClientConfig: upstream, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64},
		FlushInterval:  -1, // at once: a watch sends a little at a time
		ModifyResponse: p.answered,
		ErrorHandler:   fail,
		ErrorLog:       silent,
	}
	p.server = &http.Server{
		Handler:           p,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          silent,
	}
	go func() { _ = p.server.ServeTLS(&gate{listener, p}, "", "") }() // it ends with Close
	return p, nil
}

// gate lets no connection in during an outage, and knows those that it let in.
type gate struct {
	net.Listener
	api *API
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		// Under the lock that switches faults, so that no connection slips in while an outage begins.
		g.api.mu.Lock()
		refused := g.api.faults.Outage
		if !refused {
			g.api.clients.add(conn)
		}
		g.api.mu.Unlock()
		if !refused {
			return &admitted{conn, &g.api.clients}, nil
		}
		g.api.injected.add(NotServed, 1)
		reset(conn)
	}
}

type admitted struct {
	net.Conn
	among *connections
}

func (a *admitted) Close() error {
	a.among.remove(a.Conn)
	return a.Conn.Close()
}

// Set replaces the faults. They hold for every request, and every event of a watch, from then on; an outage also ends
// what is open.
func (p *API) Set(faults APIFaults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
	if faults.Outage {
		p.injected.add(CutOff, p.clients.cut())
	}
}

// Faults returns the faults that hold.
func (p *API) Faults() APIFaults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// Cut breaks every connection of a client once, and with it the watches and requests under way.
func (p *API) Cut() { p.injected.add(CutOff, p.clients.cut()) }

// Injected returns how often which fault happened so far.
func (p *API) Injected() map[Injection]int { return p.injected.snapshot() }

// Writes returns the writes that the API server carried out so far, whatever their client was told. Dry runs, reviews of
// access and requests for tokens are none.
func (p *API) Writes() map[Write]int { return p.written.snapshot() }

// Since returns what after has more than before, both from Writes.
func Since(before, after map[Write]int) map[Write]int {
	more := map[Write]int{}
	for w, n := range after {
		if n > before[w] {
			more[w] = n - before[w]
		}
	}
	return more
}

// Close stops the proxy at once.
func (p *API) Close() error {
	err := p.server.Close()
	p.clients.cut()
	if t, ok := p.proxy.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Config returns config, which authenticates by a bearer token, with the proxy's address and authority.
func (p *API) Config(config *rest.Config) *rest.Config {
	out := rest.AnonymousClientConfig(config)
	out.BearerToken = config.BearerToken
	out.QPS, out.Burst, out.UserAgent = config.QPS, config.Burst, config.UserAgent
	out.Host = p.URL
	out.TLSClientConfig = rest.TLSClientConfig{CAData: p.authority}
	return out
}

// passage is one request on its way through the proxy.
type passage struct {
	request

	faults APIFaults
	form   string // what the same request is known by
}

type passageKey struct{}

// ServeHTTP implements http.Handler.
func (p *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	way := &passage{request: parse(r), faults: p.Faults(), form: formOf(r)}
	if slices.Contains(way.faults.Exempt, way.plain) {
		way.faults = APIFaults{}
	}
	if p.dice.happens(way.faults.Drop) {
		p.injected.add(Dropped, 1)
		panic(http.ErrAbortHandler)
	}
	if way.faults.Latency > 0 && way.verb != "watch" {
		p.injected.add(Delayed, 1)
		if !sleep(r.Context(), p.dice.upTo(way.faults.Latency)) {
			panic(http.ErrAbortHandler)
		}
	}
	if way.writes() && p.dice.happens(way.faults.RefuseWrites) {
		said := lies[p.dice.pick(len(lies))]
		p.injected.add(Refused+Injection(fmt.Sprintf(" %d", said)), 1)
		tell(w, said)
		return
	}
	if way.reads() && p.dice.happens(way.faults.StaleReads) {
		if old := p.answers.older(way.form, p.dice); old != nil {
			p.injected.add(StaleRead, 1)
			old.write(w)
			return
		}
	}
	p.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), passageKey{}, way)))
}

// answered looks at what the API server answered, before the client sees it.
func (p *API) answered(response *http.Response) error {
	way, ok := response.Request.Context().Value(passageKey{}).(*passage)
	good := response.StatusCode >= 200 && response.StatusCode < 300
	switch {
	case !ok || !good:
		return nil
	case way.verb == "watch":
		response.Body = p.watchBody(response)
	case way.reads():
		return p.answers.remember(way.form, response)
	case way.writes():
		p.written.add(Write{Verb: way.verb, Resource: way.resource, UserAgent: response.Request.UserAgent()}, 1)
		if p.dice.happens(way.faults.LoseAnswers) {
			return p.lose()
		}
	}
	return nil
}

// lose returns a lie, or a break, in place of the answer to a write that happened.
func (p *API) lose() error {
	i := p.dice.pick(len(lies) + 1)
	if i == len(lies) {
		p.injected.add(LostAnswer, 1)
		return errLost
	}
	p.injected.add(LostAnswer+Injection(fmt.Sprintf(", told %d", lies[i])), 1)
	return lie(lies[i])
}
