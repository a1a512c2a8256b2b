package query

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/view"
)

// asks lets an agent answer a question, and returns the digest of what it saw.
func (h *house) asks(name, conversation, message string) string {
	h.t.Helper()
	key := name + "/1f2e"
	h.appendAbout(key,
		agent.CommandAccepted{Name: name, Intent: agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: conversation, Message: message})},
		agent.MessageReceived{Conversation: conversation, Text: message}, agent.CommandApproved{})
	head, err := h.journal.Head(h.t.Context(), streamName)
	if err != nil {
		h.t.Fatal(err)
	}
	d := h.views["travel/concierge"]
	built, err := h.sources.Contexts.Build(h.t.Context(), view.Request{Definition: d, Stream: streamName, Min: head,
		Question: agent.Question{Conversation: conversation, Text: message}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.remember(1) // by somebody else, between the context and its record
	h.appendAbout(key, agent.ContextBuilt{Step: 1, View: built.View, Definition: built.Definition, Digest: built.Digest, Sequence: built.Sequence,
		Tokens: built.Tokens, Budget: built.Budget, Blocks: built.Blocks}, agent.AttemptStarted{Attempt: 1, Step: 1})
	h.appendAbout(key, agent.DecisionMade{Attempt: 1, Step: 1}, agent.ResponseGiven{Conversation: conversation, Text: "Answer to " + message}, agent.CommandSucceeded{})
	return built.Digest
}

func (h *house) appendAbout(key string, events ...agent.Event) {
	h.t.Helper()
	h.settled(h.appendAs(key, streamName, nil, events...))
}

// past asks for what a command saw.
func (h *house) past(command, parameters string) pastContexts {
	h.t.Helper()
	got := h.get("/agents/concierge/commands/" + url.PathEscape(command) + "/contexts" + parameters)
	var past pastContexts
	if err := json.Unmarshal([]byte(got.body), &past); err != nil || got.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %d %s: %v", command, got.StatusCode, got.body, err)
	}
	return past
}

func TestWhatADecisionSawIsToldByNameAndByKey(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	h.asks("other", "bob", "Where am I?")
	digest := h.asks("trip", "ada", "Where to?")
	for _, command := range []string{"trip", "trip/1f2e"} {
		past := h.past(command, "")
		if past.Command != "trip" || past.Key != "trip/1f2e" || past.Conversation != "ada" || past.Question != "Where to?" || past.Stream != streamName || len(past.Contexts) != 1 {
			t.Fatalf("%s: %+v", command, past)
		}
		c := past.Contexts[0]
		if c.Step != 1 || c.View != "concierge" || c.Digest != digest || c.Sequence != 12 || c.Recorded != 14 || c.Tokens == 0 || len(c.Blocks) != 2 || c.Rebuilt != nil {
			t.Errorf("%s: %+v", command, c)
		}
		again := h.past(command, "?verify=true").Contexts[0].Rebuilt
		if again == nil || !again.Same || again.DefinitionChanged || again.Digest != digest {
			t.Errorf("%s: built again it is %+v", command, again)
		}
	}
	h.appendAbout("seat/7", agent.CommandAccepted{Name: "seat", Intent: agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "note", Content: "x"})})
	if past := h.past("seat", "?verify=true"); past.Key != "seat/7" || past.Question != "" || past.Contexts == nil || len(past.Contexts) != 0 {
		t.Errorf("a command that asks nothing: %+v", past)
	}
	h.get("/agents/concierge/commands/none/contexts").wantProblem(t, http.StatusNotFound, "NotFound")
}

func TestAChangedViewIsSaidToBeChanged(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	digest := h.asks("trip", "ada", "Where to?")
	declare := func(change func(d *view.Definition)) *rebuilt {
		t.Helper()
		h.mu.Lock()
		d := h.views["travel/concierge"]
		change(&d)
		h.views["travel/concierge"] = d
		h.mu.Unlock()
		return h.past("trip", "?verify=1").Contexts[0].Rebuilt
	}
	if got := declare(func(d *view.Definition) { d.Budget = 1999 }); !got.Same || !got.DefinitionChanged || got.Digest != digest {
		t.Errorf("another budget that leaves as much room: %+v", got)
	}
	if got := declare(func(d *view.Definition) { d.Blocks = d.Blocks[:1] }); got.Same || !got.DefinitionChanged || got.Digest == digest {
		t.Errorf("a block less: %+v", got)
	}
	if got := declare(func(d *view.Definition) { d.Budget = 0 }); got.Same || got.Reason != "InvalidView" || got.Detail == "" {
		t.Errorf("no budget: %+v", got)
	}
	if got := declare(func(d *view.Definition) { d.Agent = "other" }); got.Same || got.Reason != "ViewOfOtherAgent" {
		t.Errorf("another agent's: %+v", got)
	}
	h.mu.Lock()
	delete(h.views, "travel/concierge")
	h.mu.Unlock()
	if got := h.past("trip", "?verify=1").Contexts[0].Rebuilt; got.Same || got.Reason != "ViewNotFound" || !strings.Contains(got.Detail, "concierge") {
		t.Errorf("none any more: %+v", got)
	}
}
