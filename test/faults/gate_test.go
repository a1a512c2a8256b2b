package faults

import (
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// kinds is the path under which the API server has Edict's kinds.
const kinds = "/apis/edict.dev/v1alpha1/"

// gate stands between the operators of one world and the API server. It shows them one namespace only, so that worlds
// do not meet on one control plane, and it counts what they write.
type gate struct {
	namespace string
	server    *httptest.Server

	mu     sync.Mutex
	writes map[string]int // by "METHOD resource/subresource"
}

// newGate starts a gate before the API server that config leads to. Who authenticates, authenticates by a token.
func newGate(config *rest.Config, namespace string) (*gate, error) {
	secure, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	g := &gate{namespace: namespace, writes: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.Path = g.scoped(r.In)
		},
		Transport:     &http.Transport{TLSClientConfig: secure, MaxIdleConnsPerHost: 64},
		FlushInterval: -1, // a watch tells at once
		// A server that cannot be reached looks as it would without the gate: the connection breaks.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.note(r)
		proxy.ServeHTTP(w, r)
	}))
	g.server.Config.ErrorLog = proxy.ErrorLog // operators are killed in the middle of a handshake
	g.server.EnableHTTP2 = true
	g.server.StartTLS() // a client sends no token without
	return g, nil
}

// scoped returns the request's path; a list or watch of a kind of Edict's in all namespaces becomes one of this one.
func (g *gate) scoped(r *http.Request) string {
	kind, found := strings.CutPrefix(r.URL.Path, kinds)
	if !found || r.Method != http.MethodGet || kind == "" || strings.Contains(kind, "/") {
		return r.URL.Path
	}
	return kinds + "namespaces/" + g.namespace + "/" + kind
}

// note counts a request that changes something.
func (g *gate) note(r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return
	}
	what := resource(r.URL.Path)
	if strings.HasSuffix(what, "reviews") {
		return // a question about rights, which is asked by POST
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writes[r.Method+" "+what]++
}

// resource returns the resource and subresource of an API path, such as commands/status.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 3 // apis, group, version
	if parts[0] == "api" {
		skip = 2
	}
	if len(parts) <= skip {
		return path
	}
	parts = parts[skip:]
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}

// counted returns the writes so far.
func (g *gate) counted() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.writes)
}

// config leads through the gate with that token.
func (g *gate) config(token string) *rest.Config {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw})
	return &rest.Config{Host: g.server.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}
}

func (g *gate) close() {
	g.server.CloseClientConnections() // watches end only so
	g.server.Close()
}
