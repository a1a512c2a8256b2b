// Package decision asks a language model what an agent does next. It writes the
// prompt and the JSON Schema of the answer from an Inquiry, calls an
// OpenAI-compatible server, and lets an answer pass only if it fits the agent's
// menu; an answer that does not fit is sent back once with what was wrong.
//
// It can read and it cannot execute: it does not know how a chosen operation is
// carried out, where events are stored, what a command object looks like, or
// that Kubernetes exists. Its errors are faults (package fault) whose messages
// are written here: they hold no key and nothing that the server or the model
// wrote.
package decision

import (
	"context"
	"net/http"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/edict-dev/edict/internal/agent"
)

const (
	// defaultAnswerBytes bounds the body of one model answer. A decision of the
	// largest allowed size, with the envelope around it, is well below it.
	defaultAnswerBytes = 2 << 20
	// defaultTimeout bounds one model call if the profile sets no timeout.
	defaultTimeout = time.Minute
	// maxRepairs is how often an answer that does not fit is sent back. A model
	// that misses twice with the error before its eyes seldom hits a third time,
	// and each round costs the whole prompt again.
	maxRepairs = 1
)

// Options says how a Decider reaches model servers. The zero value is usable.
type Options struct {
	// Transport carries the calls; nil is a transport of its own without a proxy.
	// It is where a caller restricts the addresses that may be reached.
	Transport http.RoundTripper
	// Denied reads from an error of Transport that it refuses to connect to an
	// address, and which. Without it such an error is one like any other.
	Denied func(error) (address string, denied bool)
	// MaxAnswerBytes bounds the body of one answer, after decompression; 0 is 2 MiB.
	MaxAnswerBytes int64
	// Now is the clock against which a Retry-After date is read; nil is time.Now.
	Now func() time.Time
}

// Decider asks models for decisions. It is safe for concurrent use, and keeps
// connections and compiled menus between asks, but no keys.
type Decider struct {
	client *http.Client
	limit  int64
	now    func() time.Time
	denied func(error) (string, bool)
	menus  menus
}

// New returns a Decider.
func New(o Options) *Decider {
	d := &Decider{limit: o.MaxAnswerBytes, now: o.Now, denied: o.Denied}
	if d.limit <= 0 {
		d.limit = defaultAnswerBytes
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.denied == nil {
		d.denied = func(error) (string, bool) { return "", false }
	}
	transport := o.Transport
	if transport == nil {
		transport = ownTransport()
	}
	d.client = &http.Client{
		Transport: transport,
		// A redirect would take the key and the prompt to an address that nobody declared.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return d
}

// ownTransport takes no proxy from the environment, and keeps more idle
// connections to one server than the two of net/http: most agents share a model.
func ownTransport() http.RoundTripper {
	t := &http.Transport{}
	if std, ok := http.DefaultTransport.(*http.Transport); ok {
		t = std.Clone()
	}
	t.Proxy = nil
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 64
	return t
}

// Decide asks the model of q's profile for a decision and returns it validated.
//
// The prompt is a pure function of q; only a repair round depends on more, on
// the answer it repairs. With an error the Answer still says what was spent:
// Usage of all rounds, Repairs, and the last Request. The error is a fault, or
// wraps context.Canceled if ctx was cancelled.
func (d *Decider) Decide(ctx context.Context, q agent.Inquiry) (agent.Answer, error) {
	answer := agent.Answer{Model: q.Profile.Model.Name}
	menu, err := d.menus.of(q.Profile)
	if err != nil {
		return answer, err
	}
	call, err := d.call(q)
	if err != nil {
		return answer, err
	}
	messages := prompt(q, menu)
	for {
		reply, err := call.ask(ctx, menu, messages)
		answer.Request = call.request
		if err != nil {
			return answer, err
		}
		answer.Usage.Input += reply.usage.Input
		answer.Usage.Output += reply.usage.Output
		if reply.model != "" {
			answer.Model = reply.model
		}
		decision, wrong := menu.read(reply)
		if wrong == nil {
			answer.Decision = decision
			return answer, nil
		}
		if answer.Repairs == maxRepairs {
			return answer, call.server.undecided(wrong)
		}
		answer.Repairs++
		messages = append(messages, repair(q, reply.text, wrong)...)
	}
}

// call prepares the calls of one Decide. The key lives in it, and so no longer than it.
func (d *Decider) call(q agent.Inquiry) (*call, error) {
	s, err := serverOf(q.Profile.Model)
	if err != nil {
		return nil, err
	}
	s.now, s.denied = d.now, d.denied
	c := &call{http: d.client, limit: d.limit, key: q.APIKey, server: s, user: q.User}
	config := openai.DefaultConfig(q.APIKey)
	config.BaseURL = q.Profile.Model.BaseURL
	config.HTTPClient = c
	c.client = openai.NewClientWithConfig(config)
	return c, nil
}
