package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/tokens"
	"github.com/edict-dev/edict/internal/view"
)

// search is a way to find the turns for a question in a journal.
type search struct {
	name string
	by   view.Ranking
	told bool // by category, too
}

// searches are what a view can declare of turns, the last one what it need not declare.
func searches(embedded bool) []search {
	if !embedded {
		return []search{
			{name: "recency", by: view.Recency},
			{name: "lexical and recency, fused", by: view.Blended},
			{name: "lexical: **what views use**", by: view.Relevance, told: true},
		}
	}
	return []search{
		{name: "recency", by: view.Recency},
		{name: "lexical, vectors and recency, fused", by: view.Blended},
		{name: "lexical alone", by: view.Lexical, told: true},
		{name: "vectors alone", by: view.Semantic, told: true},
		{name: "lexical and vectors, fused: **what views use**", by: view.Relevance, told: true},
	}
}

// found is a stream with the turns of one conversation, and what reads it.
type found struct {
	conversation conversation
	searches     []search
	embedding    *embedding // nil: nothing is embedded
	finder       *view.Catalog
	builder      *view.Builder
	turns        map[int64]string // the turn that a sequence recorded
	head         int64
	now          time.Time
	whole        int // tokens of the conversation, as lines of a prompt
}

// searched journals each conversation, asks its questions in each way, and returns what was found. Everything is in a
// directory that is removed again.
func searched(ctx context.Context, conversations []conversation, e *embedding) (results []result, err error) {
	dir, err := os.MkdirTemp("", "recall-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ways := searches(e != nil)
	results = make([]result, len(ways))
	for i, s := range ways {
		results[i] = result{name: s.name, told: s.told, categories: make([]share, len(categories))}
	}
	for _, c := range conversations {
		f := &found{conversation: c, searches: ways, embedding: e, turns: map[int64]string{}}
		if err := f.searched(ctx, filepath.Join(dir, c.name), results); err != nil {
			return nil, fmt.Errorf("conversation %s: %w", c.name, err)
		}
	}
	for i := range results {
		results[i].context /= float64(max(1, results[i].overall.questions))
	}
	return results, nil
}

// searched journals the conversation, projects it, has it embedded, and asks.
func (f *found) searched(ctx context.Context, path string, results []result) (err error) {
	said := time.Time{}
	j, err := sqlite.Open(ctx, path+".journal", sqlite.Options{Clock: func() time.Time { return said }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if _, err := j.Claim(ctx, 0); err != nil {
		return err
	}
	c := f.conversation
	for from := 0; from < len(c.items); {
		to := from + 1
		for to < len(c.items) && c.items[to].Time.Equal(c.items[from].Time) {
			to++
		}
		said = c.items[from].Time
		if err := f.record(ctx, j, from, to); err != nil {
			return err
		}
		from = to
	}
	s, err := projection.Open(ctx, path+".projection", j, projection.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	following, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = s.Follow(following) }() // what stops it, the reads tell
	if err := f.open(ctx, s, j); err != nil {
		return err
	}
	return f.ask(ctx, results)
}

// record appends the turns of one session: each is the message of an ask that ended without an answer.
func (f *found) record(ctx context.Context, j journal.Journal, from, to int) error {
	name := f.conversation.name
	batch := journal.Batch{Stream: stream(name), Expected: journal.AnyVersion}
	var turns []string
	for n, item := range f.conversation.items[from:to] {
		key := "turn-" + strconv.Itoa(from+n)
		payload, err := json.Marshal(agent.AskPayload{Conversation: name, Message: item.Text, SaidBy: item.Speaker})
		if err != nil {
			return err
		}
		for _, event := range []agent.Event{
			agent.CommandAccepted{Name: key, Intent: agent.Intent{Type: agent.Ask, Payload: payload}, Conversation: name},
			agent.MessageReceived{Conversation: name, Text: item.Text, SaidBy: item.Speaker},
			agent.CommandCancelled{Reason: "Recorded", Message: "nobody was to answer"},
		} {
			batch.Events = append(batch.Events, journal.Event(agent.Encode(key, event)))
			turns = append(turns, f.conversation.ids[from+n])
		}
	}
	records, err := j.Append(ctx, batch)
	if err != nil {
		return err
	}
	for i, r := range records {
		f.turns[r.Sequence] = turns[i]
		f.head = r.Sequence
	}
	return nil
}

func stream(conversation string) string { return "locomo/" + conversation }

// open makes what reads the stream, once all of it is projected, with the vectors that it gets then.
func (f *found) open(ctx context.Context, s *projection.Store, j journal.Journal) error {
	name := stream(f.conversation.name)
	if err := s.WaitFor(ctx, name, f.head); err != nil {
		return err
	}
	f.finder = view.NewFinder(s, j, 0)
	if f.embedding != nil {
		texts, err := f.texts(ctx, f.embedding.server.Model)
		if err != nil {
			return err
		}
		if f.head, err = f.embedding.record(ctx, j, name, texts); err != nil {
			return err
		}
		if err := s.WaitFor(ctx, name, f.head); err != nil {
			return err
		}
	}
	now, err := s.Time(ctx, name, f.head)
	if err != nil {
		return err
	}
	f.now = now
	if f.builder, err = view.NewBuilder(s, f.finder); err != nil {
		return err
	}
	counter, err := tokens.New()
	if err != nil {
		return err
	}
	for _, item := range f.conversation.items {
		f.whole += counter.Count(line(item))
	}
	return nil
}

// ask asks every question in each way.
func (f *found) ask(ctx context.Context, results []result) error {
	name := f.conversation.name
	for _, q := range f.conversation.questions {
		for i, s := range f.searches {
			hits, err := f.finder.Find(ctx, view.Search{Stream: stream(name), AsOf: f.head, Now: f.now, Shelf: projection.Turns,
				Within: []string{name}, Question: q.Text, Ranking: s.by, Limit: depths[len(depths)-1]})
			if err != nil {
				return err
			}
			ids := make([]string, len(hits))
			for n, hit := range hits {
				ids[n] = f.turns[hit.Sequence]
			}
			results[i].add(q, ids)
			context, err := f.builder.Build(ctx, view.Request{Definition: definition(name, s.by), Stream: stream(name),
				Question: agent.Question{Conversation: name, Text: q.Text}, Sequence: f.head})
			if err != nil {
				return err
			}
			results[i].context += float64(context.Tokens) / float64(f.whole)
		}
	}
	return nil
}

// definition is a view that shows the first turns, and nothing else.
func definition(agent string, by view.Ranking) view.Definition {
	return view.Definition{Namespace: "locomo", Name: "recall", Agent: agent, Budget: view.MaxBudget, Blocks: []view.Block{
		{Name: "turns", Ranking: by, Turns: &view.Turns{Limit: contextDepth}},
	}}
}
