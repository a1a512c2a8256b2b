package execution

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

const remote = "what the server wrote"

func TestAPageIsReadOrItIsSaidWhyNot(t *testing.T) {
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		send := func(status int, kind, body string) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body)) // the reader may have gone
		}
		switch r.URL.Path {
		case "/visa.md":
			send(200, "text/markdown; charset=UTF-8", r.Header.Get("Accept")+r.Header.Get("Authorization"))
		case "/json":
			send(200, "application/ld+json", "{}")
		case "/image":
			send(200, "image/png", remote)
		case "/untold":
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte(remote))
		case "/latin":
			send(200, "text/plain; charset=ISO-8859-1", remote)
		case "/gone":
			send(404, "text/plain", remote)
		case "/private":
			send(401, "text/plain", remote)
		case "/busy":
			send(429, "text/plain", remote)
		case "/broken":
			send(503, "text/plain", remote)
		case "/moved":
			w.Header().Set("Location", "/followed")
			send(302, "text/plain", remote)
		case "/followed":
			followed = true
		case "/large":
			send(200, "text/plain", strings.Repeat("a", MaxDocument+1))
		case "/half":
			w.Header().Set("Content-Length", "100")
			send(200, "text/plain", "half")
		}
	}))
	defer server.Close()
	reader := NewPageReader(OutboundOptions{Allow: loopback})
	if got, err := reader.Read(t.Context(), server.URL+"/visa.md?key=k#part"); err != nil || string(got) != pageAccept {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := reader.Read(t.Context(), server.URL+"/json"); err != nil || string(got) != "{}" {
		t.Errorf("got %q, %v", got, err)
	}
	for path, want := range map[string]fault.Error{
		"/image":   {Kind: fault.Invalid, Reason: "DocumentType"},
		"/untold":  {Kind: fault.Invalid, Reason: "DocumentType"},
		"/latin":   {Kind: fault.Invalid, Reason: "DocumentEncoding"},
		"/gone":    {Kind: fault.Invalid, Reason: "SourceNotFound"},
		"/private": {Kind: fault.Invalid, Reason: "SourceRejected"},
		"/busy":    {Kind: fault.Wait, Reason: "SourceUnavailable", After: 7 * time.Second},
		"/broken":  {Kind: fault.Wait, Reason: "SourceUnavailable", After: 7 * time.Second},
		"/moved":   {Kind: fault.Invalid, Reason: "SourceRedirected"},
		"/large":   {Kind: fault.Invalid, Reason: "DocumentTooLarge"},
		"/half":    {Kind: fault.Wait, Reason: "SourceUnavailable"},
	} {
		data, err := reader.Read(t.Context(), server.URL+path+"?key=hidden")
		got := fault.Of(err)
		if got == nil || got.Kind != want.Kind || got.Reason != want.Reason || got.After != want.After || data != nil {
			t.Errorf("%s: %q, %v", path, data, err)
			continue
		}
		if strings.Contains(got.Error(), remote) || strings.Contains(got.Error(), "hidden") {
			t.Errorf("%s tells too much: %s", path, got)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestAPageIsNotReadFromWhereTheOperatorMayNotConnect(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := NewPageReader(OutboundOptions{}).Read(t.Context(), server.URL); fault.Of(err).Reason != APIReasonAddressDenied || !fault.Is(err, fault.Invalid) {
		t.Errorf("loopback: %v", err)
	}
	for _, address := range []string{"file:///etc/passwd", "ftp://docs.example.com/a", "http://", "docs.example.com", "http://ada:secret@docs.example.com/a", "http://docs.example.com/%zz"} {
		_, err := NewPageReader(OutboundOptions{}).Read(t.Context(), address)
		if fault.Of(err).Reason != "SourceInvalid" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
	server.Close()
	if _, err := NewPageReader(OutboundOptions{Allow: loopback}).Read(t.Context(), server.URL); !fault.Is(err, fault.Wait) || !strings.Contains(err.Error(), "the connection was refused") {
		t.Errorf("a server that is not there: %v", err)
	}
}

func TestReadingAPageEndsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := NewPageReader(OutboundOptions{Allow: loopback}).Read(ctx, server.URL)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if o := unread(err); o.Verdict != agent.NotDone || o.Reason != ReasonSourceUnavailable {
		t.Errorf("it comes to %+v", o)
	}
}

func TestADocumentAtAURLIsIndexedUnderIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("Ten days.")) }))
	defer server.Close()
	w, s := newWorld(t), &shelf{}
	p := s.life(w, nil)
	defer p.end()
	p.engine.Pages = NewPageReader(OutboundOptions{Allow: loopback})
	c := p.brought(indexOrder("index", agent.IndexDocumentsPayload{URL: server.URL + "/visa.txt"}))
	if got := p.shelved()[server.URL+"/visa.txt"]; c.Phase != agent.Succeeded || len(got) != 1 || got[0] != "Ten days." {
		t.Errorf("%s: %s, and it holds %q", c.Phase, c.Message, got)
	}
}
