package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/view"
)

// contextResult is how long the contexts of one definition took.
type contextResult struct {
	Name      string  `json:"name"`
	Questions int     `json:"questions"`
	P50       float64 `json:"p50Millis"`
	P99       float64 `json:"p99Millis"`
	Tokens    float64 `json:"tokens"` // the mean

	took []time.Duration
}

// lagResult is how long after an append had returned all of it was in the projection.
type lagResult struct {
	PerSecond float64 `json:"eventsPerSecond"`
	Appends   int     `json:"appends"`
	P50       float64 `json:"p50Millis"`
	P99       float64 `json:"p99Millis"`
}

const (
	// warmQuestions are asked of each definition before any is measured.
	warmQuestions = 10
	contextBudget = 4000
)

// measuredView is a definition that questions are put to.
type measuredView struct {
	name       string
	definition view.Definition
}

func measuredViews() []measuredView {
	memories := func(by view.Ranking) view.Block {
		return view.Block{Name: "memories", Ranking: by, Memories: &view.Memories{Limit: 20}}
	}
	conversation := view.Block{Name: "conversation", Conversation: &view.Conversation{Turns: 20, Summary: true}}
	all := []view.Block{
		{Name: "instructions", Instructions: &view.Instructions{Text: "Answer in one sentence.\n\nSay what you do not know."}},
		memories(""),
		conversation,
		{Name: "documents", Documents: &view.Documents{Limit: 5}},
		{Name: "turns", Turns: &view.Turns{Limit: 10}},
		{Name: "results", Results: &view.Results{Limit: 10, Latest: true}},
		{Name: "pending", Pending: &view.Pending{Limit: 10}},
		{Name: "observations", Observations: &view.Observations{}},
	}
	defined := func(name string, blocks ...view.Block) view.Definition {
		return view.Definition{Namespace: namespace, Name: name, Agent: "rememberer", Budget: contextBudget, Blocks: blocks}
	}
	plans := defined("plans", view.Block{Name: "plans", Ranking: view.Newest, Memories: &view.Memories{Kinds: []string{"plan"}, Limit: 10}})
	return []measuredView{
		{"memories and conversation", defined("default", memories(""), conversation)},
		{"the same, memories by relevance", defined("relevance", memories(view.Relevance), conversation)},
		{"a block of every source", defined("everything", append(all, view.Block{Name: "view", View: &plans})...)},
	}
}

// measureContexts asks as an agent does that has just started, and then goes on with one more memory between any two
// questions. What is measured is the context alone: how long a memory takes to be there is told by the lag.
func (m *reader) measureContexts(ctx context.Context, r *readModelResult) error {
	views := measuredViews()
	seen, err := m.journal.Head(ctx, rememberer)
	if err != nil {
		return err
	}
	began := time.Now()
	m.builder, err = view.NewBuilder(m.projection, view.NewFinder(m.projection, m.journal, 0))
	if err != nil {
		return err
	}
	if _, err := m.ask(ctx, views[0].definition, seen); err != nil {
		return err
	}
	r.First = millis(time.Since(began))
	r.Contexts = make([]contextResult, len(views))
	for n := range len(views) * (warmQuestions + m.size.questions) {
		which := n % len(views)
		seen, err := m.append(ctx, m.corpus.remember())
		if err != nil {
			return err
		}
		if err := m.projection.WaitFor(ctx, rememberer, seen); err != nil {
			return err
		}
		began := time.Now()
		made, err := m.ask(ctx, views[which].definition, seen)
		if err != nil {
			return err
		}
		if n >= len(views)*warmQuestions {
			c := &r.Contexts[which]
			c.took = append(c.took, time.Since(began))
			c.Tokens += float64(made.Tokens) / float64(m.size.questions)
		}
	}
	for i := range r.Contexts {
		c := &r.Contexts[i]
		c.Name, c.Questions = views[i].name, len(c.took)
		c.P50, c.P99 = millis(quantile(c.took, 0.50)), millis(quantile(c.took, 0.99))
	}
	return nil
}

// ask builds the context for a question that nobody asked before.
func (m *reader) ask(ctx context.Context, d view.Definition, seen int64) (agent.Context, error) {
	q := agent.Question{Conversation: conversationOf(m.corpus.random.IntN(conversations)), Text: m.corpus.say(9) + " Was it last week?"}
	made, err := m.builder.Build(ctx, view.Request{Definition: d, Stream: rememberer, Question: q, Min: seen})
	if err == nil && (made.Sequence < seen || made.Tokens == 0) {
		err = fmt.Errorf("view %s: %d tokens as of sequence %d, of %d", d.Name, made.Tokens, made.Sequence, seen)
	}
	return made, err
}

// append appends a life, and returns the sequence of its end.
func (m *reader) append(ctx context.Context, l *life) (int64, error) {
	records, err := m.journal.Append(ctx, journal.Batch{Stream: l.stream, Expected: journal.AnyVersion, Events: l.events})
	if err != nil {
		return 0, err
	}
	return records[len(records)-1].Sequence, nil
}

// measureLag has commands happen as often as the size says, whether those before are there or not.
func (m *reader) measureLag(ctx context.Context) (lagResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var waiting sync.WaitGroup
	var mutex sync.Mutex
	var took []time.Duration
	look := func(l *life) {
		seen, err := m.append(ctx, l)
		durable := time.Now()
		if err == nil {
			err = m.projection.WaitFor(ctx, l.stream, seen)
		}
		if err != nil {
			cancel(err)
			return
		}
		mutex.Lock()
		defer mutex.Unlock()
		took = append(took, time.Since(durable))
	}
	began, events := time.Now(), 0
	for events < m.size.rate*int(m.size.lag/time.Second) && ctx.Err() == nil {
		l := m.corpus.next()
		events += len(l.events)
		waiting.Go(func() { look(l) })
		time.Sleep(time.Until(began.Add(time.Duration(events) * time.Second / time.Duration(m.size.rate))))
	}
	waiting.Wait()
	if err := context.Cause(ctx); err != nil {
		return lagResult{}, err
	}
	return lagResult{
		PerSecond: float64(events) / time.Since(began).Seconds(), Appends: len(took),
		P50: millis(quantile(took, 0.50)), P99: millis(quantile(took, 0.99)),
	}, nil
}
