package history

import (
	"slices"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// line is one event of a story. The label names it for who changes the story.
type line struct {
	label   string
	subject string
	event   agent.Event
	epoch   int64  // 0: 1
	stream  string // empty: "n/a"
}

var (
	pay      = agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "pay"})
	child    = agent.IssuedCommand{Name: "ask-1-0", Key: agent.IssuedKey("ask", "ask-1-0", pay), Intent: pay}
	question = agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: "c", Message: "?"})
)

func asks(name string) agent.CommandAccepted {
	return agent.CommandAccepted{Name: name, Intent: question, Conversation: "c"}
}

func pays(name string, class agent.EffectClass) agent.CommandAccepted {
	return agent.CommandAccepted{Name: name, Intent: pay, Effect: class}
}

// story is two agents' streams in which nothing is wrong: an ask that issues a payment, whose outcome is lost, settled
// to run again, and then succeeds; another ask of the same conversation; a payment that a fenced writer finishes; and a
// memory.
func story() []line {
	paying := pays(child.Name, agent.NonIdempotent)
	paying.IssuedBy = &agent.Issue{Command: "ask", Step: 1, Index: 0}
	decided := agent.DecisionMade{Attempt: 1, Step: 1, Issued: []agent.IssuedCommand{child},
		Decision: agent.Decision{Commands: []agent.Choice{{Operation: "pay", Arguments: []byte("{}")}}}}
	return []line{
		{label: "ask", subject: "ask", event: asks("ask")},
		{subject: "ask", event: agent.CommandApproved{}},
		{subject: "ask", event: agent.ContextBuilt{Step: 1}},
		{subject: "ask", event: agent.AttemptStarted{Attempt: 1, Step: 1}},
		{label: "decided", subject: "ask", event: decided},
		{label: "child", subject: child.Key, event: paying},
		{subject: child.Key, event: agent.CommandApproved{}},
		{label: "paying", subject: child.Key, event: agent.AttemptStarted{Attempt: 1}},
		{label: "lost", subject: child.Key, event: agent.OutcomeLost{}},
		{label: "ask lost", subject: "ask", event: agent.OutcomeLost{}},
		{subject: "resolve", event: agent.CommandAccepted{Name: "resolve", Intent: agent.NewIntent(agent.Resolve, agent.ResolvePayload{}), Effect: agent.Internal}},
		{label: "settled", subject: child.Key, event: agent.OutcomeSettled{Outcome: agent.RunAgain, Command: "resolve"}},
		{label: "reopened", subject: "ask", event: agent.CommandReopened{}},
		{subject: "resolve", event: agent.CommandSucceeded{}},
		{label: "again", subject: child.Key, event: agent.AttemptStarted{Attempt: 2}},
		{label: "failed", subject: child.Key, event: agent.AttemptFailed{Attempt: 2}},
		{label: "third", subject: child.Key, event: agent.AttemptStarted{Attempt: 3}},
		{label: "paid", subject: child.Key, event: agent.AttemptSucceeded{Attempt: 3}},
		{label: "child done", subject: child.Key, event: agent.CommandSucceeded{}},
		{label: "next", subject: "next", event: asks("next")},
		{subject: "ask", event: agent.ContextBuilt{Step: 2}},
		{subject: "ask", event: agent.AttemptStarted{Attempt: 2, Step: 2}},
		{label: "abandoned", subject: "ask", event: agent.AttemptAbandoned{Attempt: 2}},
		{label: "asked again", subject: "ask", event: agent.AttemptStarted{Attempt: 3, Step: 2}},
		{label: "decided again", subject: "ask", event: agent.DecisionMade{Attempt: 3, Step: 2}},
		{label: "response", subject: "ask", event: agent.ResponseGiven{}},
		{label: "ask done", subject: "ask", event: agent.CommandSucceeded{}},
		{label: "next runs", subject: "next", event: agent.ContextBuilt{Step: 1}},
		{subject: "next", event: agent.AttemptStarted{Attempt: 1, Step: 1}},
		{subject: "next", event: agent.AttemptFailed{Attempt: 1}},
		{subject: "next", event: agent.CommandFailed{}},
		{stream: "n/b", subject: "put", event: pays("put", agent.Idempotent)},
		{label: "putting", stream: "n/b", subject: "put", event: agent.AttemptStarted{Attempt: 1}},
		{label: "fence", epoch: 2, stream: "n/b", subject: "memory", event: agent.CommandAccepted{Name: "memory", Effect: agent.Internal,
			Intent: agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: "c"})}},
		{label: "saved", epoch: 2, stream: "n/b", subject: "memory", event: agent.MemorySaved{ID: "m"}},
		{label: "memory done", epoch: 2, stream: "n/b", subject: "memory", event: agent.CommandSucceeded{}},
		{label: "put", stream: "n/b", subject: "put", event: agent.AttemptSucceeded{Attempt: 1}},
		{label: "put done", stream: "n/b", subject: "put", event: agent.CommandSucceeded{}},
		{epoch: 2, stream: "n/b", event: agent.AgentDeleted{}},
	}
}

// records are what a journal with one shard holds after the story.
func records(lines []line) []journal.Record {
	tips := map[string]journal.Record{}
	var out []journal.Record
	for i, l := range lines {
		r := journal.Record{Position: int64(i) + 1, Stream: l.stream, Epoch: max(l.epoch, 1), Time: time.Unix(int64(i), 0).UTC(),
			Event: journal.Event(agent.Encode(l.subject, l.event))}
		if r.Stream == "" {
			r.Stream = "n/a"
		}
		if last, ok := tips[r.Stream]; ok {
			r.Previous = last.Hash()
		}
		r.Sequence = tips[r.Stream].Sequence + 1
		tips[r.Stream] = r
		out = append(out, r)
	}
	return out
}

// where returns the index of the line with that label.
func where(t *testing.T, lines []line, label string) int {
	t.Helper()
	i := slices.IndexFunc(lines, func(l line) bool { return l.label == label })
	if i < 0 {
		t.Fatalf("no line is labelled %s", label)
	}
	return i
}
