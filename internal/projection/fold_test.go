package projection

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

func TestFold(t *testing.T) {
	call := accept("book-1", "ada", callIntent("book", `{"b":2,"a":1}`))
	call.IssuedBy = &agent.Issue{Command: "ask-key", Step: 1}
	ask := agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "ada", Message: "hello"})
	cases := map[string]struct {
		event agent.Event
		want  change
	}{
		"a message is a turn of the user":   {agent.MessageReceived{Conversation: "ada", Text: "hi"}, messageAdded{conversation: "ada", command: "k", role: User, text: "hi"}},
		"a response is a turn of the agent": {agent.ResponseGiven{Conversation: "ada", Text: "hi"}, messageAdded{conversation: "ada", command: "k", role: Agent, text: "hi"}},
		"a memory is saved":                 {agent.MemorySaved{ID: "m", Kind: "preference", Content: "window"}, memoryAdded{id: "m", kind: "preference", content: "window", importance: 5}},
		"a memory says who said it, how important it is, what it supersedes and how long it holds": {
			agent.MemorySaved{ID: "m", Importance: 9, SaidBy: "ada", Supersedes: "l", TTL: time.Hour},
			memoryAdded{id: "m", importance: 9, saidBy: "ada", supersedes: "l", ttl: time.Hour},
		},
		"a message says who said it": {
			agent.MessageReceived{Conversation: "ada", Text: "hi", SaidBy: "bob"},
			messageAdded{conversation: "ada", command: "k", role: User, text: "hi", saidBy: "bob"},
		},
		"a part of a document is indexed": {
			agent.DocumentIndexed{Collection: "rules", Document: "visa.md", Source: "inline", Digest: "d", Part: 1, Parts: 2, Chunks: []agent.Chunk{{Heading: "Visa", Text: "none", Offset: 7}}},
			documentIndexed{command: "k", collection: "rules", document: "visa.md", source: "inline", digest: "d", part: 1, parts: 2, chunks: []agent.Chunk{{Heading: "Visa", Text: "none", Offset: 7}}},
		},
		"documents are removed": {
			agent.DocumentsRemoved{Collection: "rules", Documents: []string{"a", "b"}}, documentsRemoved{collection: "rules", documents: []string{"a", "b"}},
		},
		"a summary is written": {
			agent.SummaryWritten{Attempt: 1, Conversation: "ada", From: 2, To: 9, Text: "they talked", Model: "m"},
			summaryAdded{conversation: "ada", command: "k", from: 2, to: 9, text: "they talked"},
		},
		"texts are embedded": {
			agent.TextsEmbedded{Model: "small", Dimensions: 2, Texts: []string{"t1", "t2"}, Vectors: "v", Usage: agent.Usage{Input: 7}},
			textsEmbedded{model: "small", dimensions: 2, texts: `["t1","t2"]`, vectors: "v"},
		},
		"an object is observed": {
			agent.ObjectObserved{Observation: "web", APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web", Fields: json.RawMessage(`{"ready":3}`)},
			objectObserved{name: "web", object: "Deployment default/web", fields: `{"ready":3}`},
		},
		"an object that no namespace holds is missing, and has no fields": {
			agent.ObjectObserved{Observation: "zone", APIVersion: "v1", Kind: "Zone", Name: "eu", Missing: true, Fields: json.RawMessage(`{"ready":3}`)},
			objectObserved{name: "zone", object: "Zone eu", missing: true},
		},
		"a memory is forgotten":               {agent.MemoryForgotten{ID: "m"}, memoryForgotten{id: "m"}},
		"a call is remembered for its result": {call, commandAccepted{key: "k", name: "book-1", kind: agent.CallAPI, operation: "book", arguments: `{"a":1,"b":2}`, conversation: "ada", issuedBy: "ask-key"}},
		"an ask is open":                      {accept("ask", "ada", ask), commandAccepted{key: "k", name: "ask", kind: agent.Ask, conversation: "ada"}},
		"an effect's answer is a result":      {agent.AttemptSucceeded{Status: 200, Result: "ok"}, callEnded{key: "k", phase: agent.Succeeded, status: 200, text: "ok"}},
		"a refusal is a result":               {agent.CommandRefused{Reason: "NotOnMenu", Message: "no"}, callEnded{key: "k", phase: agent.Failed, reason: "NotOnMenu", text: "no", final: true}},
		"a failure is a result":               {agent.CommandFailed{Reason: "Timeout", Message: "no"}, callEnded{key: "k", phase: agent.Failed, reason: "Timeout", text: "no", final: true}},
		"a cancellation is a result":          {agent.CommandCancelled{Reason: "ParentEnded", Message: "no"}, callEnded{key: "k", phase: agent.Cancelled, reason: "ParentEnded", text: "no", final: true}},
		"a lost outcome is a result":          {agent.OutcomeLost{Reason: "AttemptInterrupted", Message: "?"}, callEnded{key: "k", phase: agent.OutcomeUnknown, reason: "AttemptInterrupted", text: "?", final: true}},
		"an outcome settled as succeeded is a result": {
			agent.OutcomeSettled{Outcome: agent.SettledSucceeded, By: "ada@example.com", Reason: "the booking is in the travel system"},
			callEnded{key: "k", phase: agent.Succeeded, text: "settled as Succeeded by ada@example.com: the booking is in the travel system"},
		},
		"an outcome settled as failed is a result": {
			agent.OutcomeSettled{Outcome: agent.SettledFailed, By: "ada@example.com"},
			callEnded{key: "k", phase: agent.Failed, reason: "SettledAsFailed", text: "settled as Failed by ada@example.com"},
		},
		"a command that runs again is open, and has its outcome to come": {
			agent.OutcomeSettled{Outcome: agent.RunAgain, By: "ada@example.com"}, commandReopened{key: "k"},
		},
		"a reopened ask takes its messages back":  {agent.CommandReopened{Message: "m"}, askReopened{key: "k"}},
		"an approval changes nothing":             {agent.CommandApproved{}, nil},
		"a context changes nothing":               {agent.ContextBuilt{}, nil},
		"a decision changes nothing":              {agent.DecisionMade{}, nil},
		"an attempt changes nothing":              {agent.AttemptStarted{}, nil},
		"a failed attempt changes nothing":        {agent.AttemptFailed{}, nil},
		"an abandoned attempt changes nothing":    {agent.AttemptAbandoned{}, nil},
		"a command that is over is open no more":  {agent.CommandSucceeded{}, commandSucceeded{key: "k"}},
		"a wish to cancel changes nothing":        {agent.CancelRequested{}, nil},
		"the agent's deletion changes nothing":    {agent.AgentDeleted{}, nil},
		"a long answer is cut, and says how much": {agent.AttemptSucceeded{Result: strings.Repeat("ä", MaxText)}, callEnded{key: "k", phase: agent.Succeeded, text: strings.Repeat("ä", MaxText/2) + " … (32768 more bytes are in the journal)"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := fold(journal.Record{Sequence: 1, Event: journal.Event(agent.Encode("k", c.event))})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(messageAdded{}, memoryAdded{}, memoryForgotten{}, documentIndexed{}, documentsRemoved{}, summaryAdded{}, textsEmbedded{}, objectObserved{},
				commandAccepted{}, commandSucceeded{}, commandReopened{}, callEnded{}, askReopened{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFoldRefusesWhatItCannotRead(t *testing.T) {
	cases := map[string]journal.Event{
		"an unknown type":                      {Type: "MoodChanged", Version: 1, Data: json.RawMessage(`{}`)},
		"a later version":                      {Type: "MemorySaved", Version: 3, Data: json.RawMessage(`{}`)},
		"a later version of a silent event":    {Type: "DecisionMade", Version: 2, Data: json.RawMessage(`{}`)},
		"a payload of another shape":           {Type: "MemorySaved", Version: 1, Data: json.RawMessage(`{"id":7}`)},
		"a payload that is no object":          {Type: "CommandFailed", Version: 1, Data: json.RawMessage(`"x"`)},
		"an acceptance without a known intent": {Type: "CommandAccepted", Version: 1, Data: json.RawMessage(`{"intent":5}`)},
	}
	for name, e := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := fold(journal.Record{Sequence: 1, Event: e}); err == nil {
				t.Errorf("got %v", got)
			}
		})
	}
}

func FuzzFold(f *testing.F) {
	f.Add("MemorySaved", 1, "k", []byte(`{"id":"m"}`))
	f.Add("CommandAccepted", 1, "k", []byte(`{"intent":{"type":"callAPI","payload":{"arguments":[1]}}}`))
	f.Fuzz(func(t *testing.T, kind string, version int, subject string, data []byte) {
		got, err := fold(journal.Record{Sequence: 1, Event: journal.Event{Type: kind, Version: version, Subject: subject, Data: data}})
		if ended, ok := got.(callEnded); err == nil && ok && !utf8.ValidString(ended.text) {
			t.Errorf("a text that is no UTF-8: %q", ended.text)
		}
	})
}
