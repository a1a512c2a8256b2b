package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/policy"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// pastAsks is how many asks TestEveryDecisionsContextCanBeHadAgain lets run.
var pastAsks = flag.Int("past-asks", 200, "asks in the journal whose contexts are built again")

// past is an engine over a real journal, with the read side and the HTTP API over it, and no Kubernetes: the views are
// given, and model and API are functions.
type past struct {
	*testing.T
	dir     string
	journal *sqlite.Journal
	store   *projection.Store
	builder *view.Builder
	engine  *execution.Engine
	api     http.Handler

	objects map[string]agent.Order
	ended   map[string]bool
	news    chan string
}

var pastProfile = agent.Profile{
	Namespace: "travel", Name: "concierge", MaxSteps: 4, MaxCommands: 4, Views: []string{"all", "small"},
	Model: agent.Model{Name: "m", Timeout: 10 * time.Second},
	Operations: []agent.Operation{
		{Name: "save", Type: agent.SaveMemory, Effect: agent.Internal},
		{Name: "forget", Type: agent.ForgetMemory, Effect: agent.Internal},
		{Name: "book", Type: agent.CallAPI, Effect: agent.Idempotent, Call: &agent.Call{Method: "POST", Timeout: 10 * time.Second}},
	},
}

func newPast(t *testing.T) *past {
	t.Helper()
	p := &past{T: t, dir: t.TempDir(), objects: map[string]agent.Order{}, ended: map[string]bool{}, news: make(chan string, 1<<16)}
	j, err := sqlite.Open(t.Context(), filepath.Join(p.dir, "journal.db"), sqlite.Options{})
	p.must(err)
	t.Cleanup(func() { p.must(j.Close()) })
	p.journal = j
	p.rebuild("first.db")
	p.engine = execution.New(execution.Options{
		Journal: j, Authorise: policy.Authorise, Contexts: p, Decider: p, Caller: p,
		Summarizer: p, Transcripts: &view.Transcripts{Reader: p.store}, Tokens: func(text string) int { return len(text) / 4 },
		Poke: func(_, command string) { p.news <- command }, Health: func(error) {}, Lost: func(int) {},
	})
	p.must(p.engine.Start(t.Context()))
	t.Cleanup(func() { p.engine.Stop(context.Background()) })
	return p
}

func (p *past) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// rebuild projects the journal from its beginning into a new file, and lets the API answer from that.
func (p *past) rebuild(file string) {
	p.Helper()
	store, err := projection.Open(p.Context(), filepath.Join(p.dir, file), p.journal, projection.Options{})
	p.must(err)
	p.Cleanup(func() { _ = store.Close() })
	go func() { _ = store.Follow(context.Background()) }() // until it is closed
	p.store = store
	p.builder, err = view.NewBuilder(store, view.NewFinder(store, p.journal, 0))
	p.must(err)
	p.api = query.New(query.Sources{Views: p, Access: p, Streams: p, Contexts: p.builder, Projection: store, Journal: p.journal}, query.Options{Timeout: time.Minute})
}

// definition returns one of the two views: one with blocks of every source, and one whose budget cuts most of it.
func definition(name string) view.Definition {
	if name == "small" {
		return view.Definition{Namespace: "travel", Name: name, Agent: "concierge", Budget: 200, Blocks: []view.Block{
			{Name: "profile", Memories: &view.Memories{Limit: 20}}, {Name: "history", Conversation: &view.Conversation{Turns: 12}}}}
	}
	return view.Definition{Namespace: "travel", Name: name, Agent: "concierge", Budget: 2000, Blocks: []view.Block{
		{Name: "profile", Memories: &view.Memories{Limit: 20}, Ranking: view.Blended},
		{Name: "recent", Memories: &view.Memories{Limit: 5}, Ranking: view.Newest},
		{Name: "history", Conversation: &view.Conversation{Turns: 12, Summary: true}},
		{Name: "earlier", Turns: &view.Turns{Limit: 5}},
		{Name: "rules", Documents: &view.Documents{Limit: 3}},
		{Name: "results", Results: &view.Results{Limit: 10}},
		{Name: "pending", Pending: &view.Pending{Limit: 5}},
	}}
}

// Build is what the engine has its contexts from.
func (p *past) Build(ctx context.Context, r execution.ContextRequest) (agent.Context, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return p.builder.Build(ctx, view.Request{Definition: definition(r.View), Stream: r.Stream, Question: r.Question, Min: r.Min})
}

// Decide is the model: what it decides goes by the question.
func (p *past) Decide(_ context.Context, q agent.Inquiry) (agent.Answer, error) {
	a := agent.Answer{Model: "scripted", Usage: agent.Usage{Input: 3, Output: 2}, Request: []byte("{}")}
	var i int
	_, _ = fmt.Sscanf(q.Question.Text, "Question %d", &i)
	choice := func(operation, arguments string) { // in the first step
		a.Decision.Commands = append(a.Decision.Commands, agent.Choice{Operation: operation, Arguments: json.RawMessage(arguments)})
	}
	switch {
	case i%7 == 6:
		return a, fault.NewInvalid("DecisionInvalid", "it is none")
	case q.Step > 1 || i%3 == 0:
		a.Decision.Response = fmt.Sprintf("Answer %d, in %d steps.", i, q.Step)
	case i%3 == 1:
		choice("save", fmt.Sprintf(`{"kind":"preference","content":"Preference %d of somebody"}`, i))
	default:
		choice("book", fmt.Sprintf(`{"flight":"LX%d"}`, i))
		choice("save", fmt.Sprintf(`{"kind":"fact","content":"Flight LX%d"}`, i))
	}
	return a, nil
}

// Call is the API.
func (p *past) Call(_ context.Context, r execution.APIRequest) agent.Outcome {
	return agent.Outcome{Verdict: agent.Done, Status: 200, Result: fmt.Sprintf(`{"booked":%s}`, r.Arguments), Message: "Booked."}
}

// Summarize is the model, too.
func (p *past) Summarize(_ context.Context, q agent.SummaryInquiry) (agent.SummaryAnswer, error) {
	return agent.SummaryAnswer{Text: fmt.Sprintf("They spoke of legs of a trip, up to event %d.", q.Of.UpTo), Model: "scripted", Request: []byte("{}")}, nil
}

func (p *past) View(_ context.Context, _, name string) (view.Definition, error) {
	return definition(name), nil
}

func (p *past) List(context.Context, string) ([]view.Definition, error) {
	return []view.Definition{definition("all"), definition("small")}, nil
}

func (p *past) Candidate(context.Context, string, string, []byte) (view.Definition, error) {
	return definition("all"), nil
}

func (p *past) Stream(context.Context, string, string) (string, error) {
	return "travel/concierge", nil
}

func (p *past) Allow(*http.Request, string, string, string, string) error { return nil }

// order hands a command in.
func (p *past) order(name string, intent agent.Intent) {
	p.objects[name] = agent.Order{Name: name, Key: agent.DefaultKey(name, intent), Intent: intent, Timeout: 5 * time.Minute, Retry: agent.Retry{MaxAttempts: 1}}
	p.news <- name
}

// settle does what the controller would, until every command has ended.
func (p *past) settle() {
	p.Helper()
	for len(p.ended) < len(p.objects) {
		select {
		case name := <-p.news:
			if o, known := p.objects[name]; known && !p.ended[name] {
				p.look(o)
			}
		case <-time.After(time.Minute):
			p.Fatalf("%d of %d commands have not ended", len(p.objects)-len(p.ended), len(p.objects))
		}
	}
}

// look submits a command, and those that it has issued.
func (p *past) look(o agent.Order) {
	p.Helper()
	receipt, err := p.engine.Submit(p.Context(), pastProfile, o, false)
	p.must(err)
	c := receipt.Command
	if c.Phase.Final() {
		p.ended[o.Name] = true
		return
	}
	for _, issued := range c.Unaccepted() {
		if _, known := p.objects[issued.Name]; !known {
			p.objects[issued.Name] = agent.Order{Name: issued.Name, Key: issued.Key, Intent: issued.Intent, Timeout: o.Timeout, Retry: o.Retry}
			p.news <- issued.Name
		}
	}
}

// live lets the agent be asked in several conversations at the same time, while others let it remember and forget.
func (p *past) live(asks int) {
	p.Helper()
	for i := range asks {
		p.order(fmt.Sprintf("ask-%d", i), agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: fmt.Sprintf("c%d", i%11), Message: fmt.Sprintf("Question %d: where to?", i)}))
		switch i % 20 {
		case 7:
			p.order(fmt.Sprintf("index-%d", i), agent.NewIntent(agent.IndexDocuments, agent.IndexDocumentsPayload{Collection: fmt.Sprintf("rules-%d", i%3),
				Inline:   []agent.InlineDocument{{Name: "seats", Text: fmt.Sprintf("# Seats\n\nOn leg %d, to where Question %d leads, sit left.\n\n# Meals\n\nThere are none.", i, i)}},
				Chunking: agent.Chunking{MaxTokens: 20, OverlapTokens: 2}}))
		case 13:
			p.order(fmt.Sprintf("summarize-%d", i), agent.NewIntent(agent.Summarize, agent.SummarizePayload{Conversation: fmt.Sprintf("c%d", i%11)}))
		case 19:
			p.order(fmt.Sprintf("remove-%d", i), agent.NewIntent(agent.RemoveDocuments, agent.RemoveDocumentsPayload{Collection: fmt.Sprintf("rules-%d", (i-12)%3)}))
		}
		if i%5 == 0 {
			name := fmt.Sprintf("remember-%d", i)
			note := agent.SaveMemoryPayload{Kind: "note", Content: fmt.Sprintf("Note %d.", i), Importance: 1 + i%10}
			if i%3 == 0 {
				note.TTLSeconds = 1 // by the journal's time, which goes on meanwhile
			}
			p.order(name, agent.NewIntent(agent.SaveMemory, note))
			if i%10 == 0 {
				p.order(fmt.Sprintf("forget-%d", i), agent.NewIntent(agent.ForgetMemory, agent.ForgetMemoryPayload{ID: agent.MemoryID(p.objects[name].Key)}))
			}
		}
	}
	p.settle()
}

// rebuiltPast is what the API tells of a context that a decision saw.
type rebuiltPast struct {
	Contexts []struct {
		View     string
		Sequence int64
		Digest   string
		Rebuilt  struct {
			Same, DefinitionChanged bool
			Reason                  string
		}
	}
}

// again asks the API whether each context that an ask saw comes out the same now, and returns how many there are.
func (p *past) again(o agent.Order) int {
	p.Helper()
	path := "/v1/namespaces/travel/agents/concierge/commands/" + url.PathEscape(o.Key) + "/contexts?verify=true"
	answer := httptest.NewRecorder()
	p.api.ServeHTTP(answer, httptest.NewRequestWithContext(p.Context(), http.MethodGet, path, nil))
	var told rebuiltPast
	if err := json.Unmarshal(answer.Body.Bytes(), &told); err != nil || answer.Code != http.StatusOK {
		p.Fatalf("%s: %d %s: %v", path, answer.Code, answer.Body, err)
	}
	for _, c := range told.Contexts {
		if !c.Rebuilt.Same || c.Rebuilt.DefinitionChanged {
			p.Errorf("%s saw %s of view %s at %d, and built again: %+v", o.Name, c.Digest, c.View, c.Sequence, c.Rebuilt)
		}
	}
	return len(told.Contexts)
}

// told counts the events of the journal by their type.
func (p *past) told() map[string]int {
	p.Helper()
	told := map[string]int{}
	for next := int64(1); ; {
		records, err := p.journal.ReadStream(p.Context(), "travel/concierge", next, 1000)
		p.must(err)
		if len(records) == 0 {
			return told
		}
		for _, r := range records {
			told[r.Type]++
		}
		next = records[len(records)-1].Sequence + 1
	}
}

// TestEveryDecisionsContextCanBeHadAgain holds what every decision of a journal saw against what is built for the same
// question as of the same sequence: from the tables that were there all the time, and from new ones.
func TestEveryDecisionsContextCanBeHadAgain(t *testing.T) {
	p := newPast(t)
	p.live(*pastAsks)
	told := p.told()
	contexts := told["ContextBuilt"]
	if contexts < 2**pastAsks || told["CommandAccepted"] != len(p.objects) || len(p.objects) < 2**pastAsks {
		t.Fatalf("after %d asks the journal tells of %v", *pastAsks, told)
	}
	for _, kind := range []string{"MemorySaved", "MemoryForgotten", "DocumentIndexed", "DocumentsRemoved", "SummaryWritten", "AttemptSucceeded", "AttemptFailed"} {
		if told[kind] == 0 {
			t.Errorf("the journal tells of no %s: the asks are not mixed", kind)
		}
	}
	for _, file := range []string{"first.db", "anew.db"} {
		if file != "first.db" {
			p.rebuild(file)
		}
		head, err := p.journal.Head(t.Context(), "travel/concierge")
		p.must(err)
		p.must(p.store.WaitFor(t.Context(), "travel/concierge", head))
		seen := 0
		for _, o := range p.objects {
			seen += p.again(o)
		}
		if seen != contexts {
			t.Errorf("%s: %d contexts were built again, and the journal tells of %d", file, seen, contexts)
		}
		t.Logf("%s: the contexts that %d asks saw, %d of them, among %d events", file, *pastAsks, seen, head)
	}
}
