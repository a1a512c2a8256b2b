package projection

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// A change is what one record does to the tables: one of the types below, or nil
// for nothing. It holds nothing of when and where: that is the record's place.
type change interface {
	writes(at place) []write
}

type (
	messageAdded struct {
		conversation, command, text, saidBy string
		role                                Role
	}
	memoryAdded struct {
		id, kind, content, saidBy string
		importance                int
		supersedes                string        // empty: nothing
		ttl                       time.Duration // 0: for good
	}
	memoryForgotten struct{ id string }
	// documentIndexed is a part of a document. All parts of all documents of a command are
	// one append with its end, which lets them hold, each in the place of what the
	// collection held under its name.
	documentIndexed struct {
		command, collection, document, source, digest string
		part, parts                                   int
		chunks                                        []agent.Chunk
	}
	documentsRemoved struct {
		collection string
		documents  []string
	}
	summaryAdded struct {
		conversation, collection, command, text string
		from, to                                int64
	}
	textsEmbedded struct {
		model, vectors string
		dimensions     int
		texts          string // a JSON array
	}
	objectObserved struct {
		name, object, fields string
		missing              bool
	}
	// commandAccepted opens a command, and remembers what it is, for the result that comes of a call.
	commandAccepted struct {
		key, name                                    string
		kind                                         agent.Type
		operation, arguments, conversation, issuedBy string
	}
	// commandSucceeded ends a command, and lets the documents that it indexed hold.
	commandSucceeded struct{ key string }
	// commandReopened opens a command that had ended.
	commandReopened struct{ key string }
	// askReopened takes back that the ask's messages are past, until it ends again.
	askReopened struct{ key string }
	// callEnded is about any command: an ask's messages become past, and an accepted
	// call gets its result. An earlier result of the same call is replaced: a person may settle
	// what was unknown.
	callEnded struct {
		key, reason, text string
		phase             agent.Phase
		status            int
		final             bool // it ends the command too, if that is open
	}
)

// usual is the importance of a memory of which nobody said how important it is.
const usual = 5

// reasonSettled is the reason of a result that a person settled as failed.
const reasonSettled = "SettledAsFailed"

// fold returns what a record does to the tables. It is pure. An event that this
// version of Edict does not know, or cannot decode, is an error.
func fold(record journal.Record) (change, error) {
	if silent(record.Type, record.Version) {
		return nil, nil
	}
	event, err := agent.Decode(agent.Stored(record.Event))
	if err != nil {
		return nil, err
	}
	switch e := event.(type) {
	case agent.MessageReceived:
		return messageAdded{conversation: e.Conversation, command: record.Subject, role: User, text: e.Text, saidBy: e.SaidBy}, nil
	case agent.ResponseGiven:
		return messageAdded{conversation: e.Conversation, command: record.Subject, role: Agent, text: e.Text}, nil
	case agent.MemorySaved:
		return memoryAdded{
			id: e.ID, kind: e.Kind, content: e.Content, saidBy: e.SaidBy, importance: cmp.Or(e.Importance, usual),
			supersedes: e.Supersedes, ttl: e.TTL,
		}, nil
	case agent.MemoryForgotten:
		return memoryForgotten{id: e.ID}, nil
	case agent.CommandAccepted:
		return accepted(record.Subject, e), nil
	case agent.CommandReopened:
		return askReopened{key: record.Subject}, nil
	}
	if made := learned(record.Subject, event); made != nil {
		return made, nil
	}
	return ended(record.Subject, event), nil
}

// learned returns what an event changes that tells what a source or a model gave, nil if it is another.
func learned(key string, event agent.Event) change {
	switch e := event.(type) {
	case agent.DocumentIndexed:
		return documentIndexed{
			command: key, collection: e.Collection, document: e.Document, source: e.Source, digest: e.Digest,
			part: e.Part, parts: e.Parts, chunks: e.Chunks,
		}
	case agent.DocumentsRemoved:
		return documentsRemoved{collection: e.Collection, documents: e.Documents}
	case agent.SummaryWritten:
		return summaryAdded{
			conversation: e.Conversation, collection: e.Collection, command: key, text: e.Text, from: e.From, to: e.To,
		}
	case agent.TextsEmbedded:
		texts, _ := json.Marshal(e.Texts) // of strings nothing fails
		return textsEmbedded{model: e.Model, dimensions: e.Dimensions, texts: string(texts), vectors: e.Vectors}
	case agent.ObjectObserved:
		seen := objectObserved{name: e.Observation, object: e.Object(), missing: e.Missing}
		if !e.Missing {
			seen.fields = string(e.Fields)
		}
		return seen
	}
	return nil
}

// silent reports whether an event is known to project to nothing, so that its
// payload need not be decoded. It may lag behind the events there are: what it
// does not list is decoded, and found to project to nothing.
func silent(name string, version int) bool {
	switch name {
	case "CommandApproved", "ContextBuilt", "AttemptStarted", "AttemptFailed", "AttemptAbandoned",
		"DecisionMade", "CancelRequested", "AgentDeleted":
		return version == 1
	}
	return false
}

func accepted(key string, e agent.CommandAccepted) change {
	added := commandAccepted{key: key, name: e.Name, kind: e.Intent.Type, conversation: e.Conversation}
	if e.IssuedBy != nil {
		added.issuedBy = e.IssuedBy.Command
	}
	if e.Intent.Type == agent.CallAPI {
		call := e.Intent.CallAPI()
		added.operation, added.arguments = call.Operation, bound(string(call.Arguments), MaxArguments)
	}
	return added
}

func ended(key string, event agent.Event) change {
	switch e := event.(type) {
	case agent.CommandSucceeded:
		return commandSucceeded{key: key}
	case agent.AttemptSucceeded:
		return callEnded{key: key, phase: agent.Succeeded, status: e.Status, text: bound(e.Result, MaxText)}
	case agent.CommandRefused:
		return callEnded{key: key, phase: agent.Failed, reason: e.Reason, text: bound(e.Message, MaxText), final: true}
	case agent.CommandFailed:
		return callEnded{key: key, phase: agent.Failed, reason: e.Reason, text: bound(e.Message, MaxText), final: true}
	case agent.CommandCancelled:
		return callEnded{key: key, phase: agent.Cancelled, reason: e.Reason, text: bound(e.Message, MaxText), final: true}
	case agent.OutcomeLost:
		return callEnded{key: key, phase: agent.OutcomeUnknown, reason: e.Reason, text: bound(e.Message, MaxText), final: true}
	case agent.OutcomeSettled:
		return settled(key, e)
	}
	return nil
}

// settled returns the result that a person gave a call. A call that runs again is
// open, and keeps its unknown outcome until it has another.
func settled(key string, e agent.OutcomeSettled) change {
	end := callEnded{key: key, text: fmt.Sprintf("settled as %s by %s", e.Outcome, e.By)}
	if e.Reason != "" {
		end.text += ": " + e.Reason
	}
	end.text = bound(end.text, MaxText)
	switch e.Outcome {
	case agent.SettledSucceeded:
		end.phase = agent.Succeeded
	case agent.SettledFailed:
		end.phase, end.reason = agent.Failed, reasonSettled
	case agent.RunAgain:
		return commandReopened{key: key}
	default:
		return nil
	}
	return end
}

// bound cuts text to at most limit bytes, without splitting a character, and says what it cut.
func bound(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	kept := strings.ToValidUTF8(text[:limit], "")
	return fmt.Sprintf("%s … (%d more bytes are in the journal)", kept, len(text)-len(kept))
}
