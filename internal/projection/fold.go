package projection

import (
	"fmt"
	"strings"

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
		conversation, command, text string
		role                        Role
	}
	memoryAdded     struct{ id, kind, content string }
	memoryForgotten struct{ id string }
	// callAccepted remembers what a call is, for the result that comes of it.
	callAccepted struct{ key, name, operation, arguments, conversation, issuedBy string }
	// askReopened takes back that the ask's messages are past, until it ends again.
	askReopened struct{ key string }
	// callEnded is about any command: an ask's messages become past, and an accepted
	// call gets its result. An earlier result of the same call is replaced: a person may settle
	// what was unknown.
	callEnded struct {
		key, reason, text string
		phase             agent.Phase
		status            int
	}
)

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
		return messageAdded{conversation: e.Conversation, command: record.Subject, role: User, text: e.Text}, nil
	case agent.ResponseGiven:
		return messageAdded{conversation: e.Conversation, command: record.Subject, role: Agent, text: e.Text}, nil
	case agent.MemorySaved:
		return memoryAdded{id: e.ID, kind: e.Kind, content: e.Content}, nil
	case agent.MemoryForgotten:
		return memoryForgotten{id: e.ID}, nil
	case agent.CommandAccepted:
		return accepted(record.Subject, e), nil
	case agent.CommandReopened:
		return askReopened{key: record.Subject}, nil
	}
	return ended(record.Subject, event), nil
}

// silent reports whether an event is known to project to nothing, so that its
// payload need not be decoded. It may lag behind the events there are: what it
// does not list is decoded, and found to project to nothing.
func silent(name string, version int) bool {
	switch name {
	case "CommandApproved", "ContextBuilt", "AttemptStarted", "AttemptFailed", "AttemptAbandoned",
		"DecisionMade", "CommandSucceeded", "CancelRequested", "AgentDeleted":
		return version == 1
	}
	return false
}

func accepted(key string, e agent.CommandAccepted) change {
	if e.Intent.Type != agent.CallAPI {
		return nil
	}
	call := e.Intent.CallAPI()
	added := callAccepted{
		key: key, name: e.Name, operation: call.Operation, conversation: e.Conversation,
		arguments: bound(string(call.Arguments), MaxArguments),
	}
	if e.IssuedBy != nil {
		added.issuedBy = e.IssuedBy.Command
	}
	return added
}

func ended(key string, event agent.Event) change {
	switch e := event.(type) {
	case agent.AttemptSucceeded:
		return callEnded{key: key, phase: agent.Succeeded, status: e.Status, text: bound(e.Result, MaxText)}
	case agent.CommandRefused:
		return callEnded{key: key, phase: agent.Failed, reason: e.Reason, text: bound(e.Message, MaxText)}
	case agent.CommandFailed:
		return callEnded{key: key, phase: agent.Failed, reason: e.Reason, text: bound(e.Message, MaxText)}
	case agent.CommandCancelled:
		return callEnded{key: key, phase: agent.Cancelled, reason: e.Reason, text: bound(e.Message, MaxText)}
	case agent.OutcomeLost:
		return callEnded{key: key, phase: agent.OutcomeUnknown, reason: e.Reason, text: bound(e.Message, MaxText)}
	case agent.OutcomeSettled:
		return settled(key, e)
	}
	return nil
}

// settled returns the result that a person gave a call. A call that runs again
// keeps its unknown outcome until it has another.
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
