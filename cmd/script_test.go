package main

import (
	"sync"
	"time"

	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// script is what the model says in all specs.
var script = scriptedmodel.Script{Rules: []scriptedmodel.Rule{
	{When: scriptedmodel.When{Step: 1, Question: `^Book (?P<flight>\w+) for (?P<name>\w+)`}, Then: scriptedmodel.Issue(scriptedmodel.Command{
		Operation: "book_flight", Arguments: map[string]any{"flight": "${flight}", "passenger": "${name}"}})},
	{When: scriptedmodel.When{Step: 2, Question: `^Book`, Results: `"id":"(?P<id>\w+)"`}, Then: scriptedmodel.Respond("Booked as ${id}.")},
	{When: scriptedmodel.When{Question: `^Together`}, Decide: func(scriptedmodel.Ask) scriptedmodel.Decision { return together.arrive() }},
	{When: scriptedmodel.When{Question: `^In turn`}, Decide: func(a scriptedmodel.Ask) scriptedmodel.Decision { return inTurn.take(a.Question) }},
	{When: scriptedmodel.When{Question: `^Which seat`, Prompt: `window seats`}, Then: scriptedmodel.Respond("A window seat.")},
	{Then: scriptedmodel.Respond("Hello.")},
}}

// meeting lets its guests go when all have arrived.
type meeting struct {
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

var together meeting

// of prepares the meeting for so many guests.
func (m *meeting) of(guests int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing, m.all = guests, make(chan struct{})
}

// arrive waits for the others, and says whether they came.
func (m *meeting) arrive() scriptedmodel.Decision {
	m.mu.Lock()
	m.missing--
	all := m.all
	if m.missing == 0 {
		close(all)
	}
	m.mu.Unlock()
	select {
	case <-all:
		return scriptedmodel.Respond("We met.")
	case <-time.After(20 * time.Second):
		return scriptedmodel.Respond("Nobody came.")
	}
}

// turns notes who was asked in which order, and how many were asked at the same time.
type turns struct {
	mu        sync.Mutex
	questions []string
	at, most  int
}

var inTurn turns

func (t *turns) take(question string) scriptedmodel.Decision {
	t.mu.Lock()
	t.questions = append(t.questions, question)
	t.at++
	t.most = max(t.most, t.at)
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.at--
	}()
	return scriptedmodel.Respond("Yes, " + question)
}

func (t *turns) taken() (questions []string, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.questions, t.most
}
