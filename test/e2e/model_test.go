package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// model is a scripted model that notes when it was asked what. It outlives the operator's lives.
type model struct {
	*scriptedmodel.Server
	url string // for spec.model.baseURL

	mu      sync.Mutex
	asked   []asked
	latency func() time.Duration // nil: none
}

// asked is one request to the model.
type asked struct {
	key  string // of the ask: the request's user
	step int    // from 1; a repair counts as one more
	at   time.Time
}

func newModel(t *testing.T, rules ...scriptedmodel.Rule) *model {
	t.Helper()
	server, err := scriptedmodel.New(scriptedmodel.Options{Script: scriptedmodel.Script{Rules: rules}, Keep: -1})
	if err != nil {
		t.Fatal(err)
	}
	m := &model{Server: server}
	listener := httptest.NewServer(m)
	t.Cleanup(func() {
		listener.CloseClientConnections() // a handler that hangs on purpose ends with its connection
		listener.Close()
	})
	m.url = listener.URL + "/v1"
	return m
}

// play gives it a script.
func (m *model) play(t *testing.T, rules ...scriptedmodel.Rule) {
	t.Helper()
	if err := m.SetScript(scriptedmodel.Script{Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP notes the request and passes it on.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	var request struct {
		User     string
		Messages []struct{ Role string }
	}
	if json.Unmarshal(body, &request) == nil && request.Messages != nil {
		a := asked{key: request.User, step: 1, at: at}
		for _, message := range request.Messages {
			if message.Role == "assistant" {
				a.step++
			}
		}
		m.mu.Lock()
		m.asked = append(m.asked, a)
		latency := m.latency
		m.mu.Unlock()
		if latency != nil {
			time.Sleep(latency())
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m.Server.ServeHTTP(w, r)
}

// requests returns what it was asked for the command of that name, in order; all, if the name is empty.
func (m *model) requests(command string) []asked {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []asked
	for _, a := range m.asked {
		if command == "" || strings.HasPrefix(a.key, command+"/") {
			found = append(found, a)
		}
	}
	return found
}

// issue is a decision that issues one command.
func issue(operation string, arguments map[string]any) scriptedmodel.Decision {
	return scriptedmodel.Issue(scriptedmodel.Command{Operation: operation, Arguments: arguments})
}

// gate is closed until somebody opens it.
type gate struct {
	once sync.Once
	open chan struct{}
}

// newGate returns a closed gate, which the end of the test opens. Make it after the server whose requests wait for it:
// that one ends only when they do.
func newGate(t *testing.T) *gate {
	g := &gate{open: make(chan struct{})}
	t.Cleanup(g.release)
	return g
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// then returns a rule's Decide that waits for the gate.
func (g *gate) then(d scriptedmodel.Decision) func(scriptedmodel.Ask) scriptedmodel.Decision {
	return func(scriptedmodel.Ask) scriptedmodel.Decision {
		<-g.open
		return d
	}
}
