package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Event is something that happened. The types below are all there are; each has
// a stored name and a version, spelled out beside it.
type Event interface {
	stored() (name string, version int)
}

// The events. All are about one command, which is the record's subject, except AgentDeleted.
type (
	// CommandAccepted opens a command's life: from here on its key is taken.
	CommandAccepted struct {
		Name         string        `json:"name"`
		Intent       Intent        `json:"intent"`
		Effect       EffectClass   `json:"effect"`
		Conversation string        `json:"conversation,omitempty"` // of the ask itself, or of the ask that issued the command
		Timeout      time.Duration `json:"timeout"`                // nanoseconds, from this event's time
		Retry        Retry         `json:"retry"`
		IssuedBy     *Issue        `json:"issuedBy,omitempty"` // nil: applied by a person or by GitOps
		Origin       string        `json:"origin,omitempty"`   // uid of the Kubernetes object that brought it; another object of the same key runs nothing
	}
	// CommandApproved says that policy let the command pass.
	CommandApproved struct {
		Rule string `json:"rule"` // what let it pass, for people
	}
	// CommandRefused says that the rules said no. It is final.
	CommandRefused struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	// MessageReceived is what somebody said to the agent.
	MessageReceived struct {
		Conversation string `json:"conversation"`
		Text         string `json:"text"`
		SaidBy       string `json:"saidBy,omitempty"` // where several talk to the agent: who
	}
	// ContextBuilt says what the agent knew when it decided. The text is a blob by Digest.
	ContextBuilt struct {
		Step       int            `json:"step"`
		View       string         `json:"view"`
		Definition string         `json:"definition"`
		Digest     string         `json:"digest"`
		Sequence   int64          `json:"sequence"`
		Tokens     int            `json:"tokens"`
		Budget     int            `json:"budget"`
		Blocks     []ContextBlock `json:"blocks"`
	}
	// AttemptStarted is durable before the effect, or the model call, goes out.
	AttemptStarted struct {
		Attempt  int       `json:"attempt"`        // from 1, over the command's whole life
		Step     int       `json:"step,omitempty"` // with a model call: the step it decides; 0 with an effect
		Deadline time.Time `json:"deadline"`       // bounds the call
	}
	// AttemptSucceeded says that the effect happened.
	AttemptSucceeded struct {
		Attempt int    `json:"attempt"`
		Status  int    `json:"status,omitempty"`
		Result  string `json:"result,omitempty"`
	}
	// AttemptFailed says that the attempt came to nothing.
	AttemptFailed struct {
		Attempt int       `json:"attempt"`
		Status  int       `json:"status,omitempty"`
		Reason  string    `json:"reason"`
		Message string    `json:"message"`
		RetryAt time.Time `json:"retryAt,omitzero"` // zero: it is not tried again
		Usage   Usage     `json:"usage,omitzero"`   // what a model's unusable answers cost
	}
	// AttemptAbandoned says that an attempt was found open after its deadline, because the process that made it is
	// gone, or that a request to a model was cut off. It does not count as a failure.
	AttemptAbandoned struct {
		Attempt int `json:"attempt"`
	}
	// DecisionMade is the model's validated answer. It closes the attempt that asked for it.
	DecisionMade struct {
		Attempt  int             `json:"attempt"`
		Step     int             `json:"step"`
		Decision Decision        `json:"decision"`
		Issued   []IssuedCommand `json:"issued,omitempty"` // one per Decision.Commands
		Model    string          `json:"model"`
		Usage    Usage           `json:"usage"`
		Repairs  int             `json:"repairs,omitempty"`
		Latency  time.Duration   `json:"latency"` // nanoseconds
		Request  string          `json:"request"` // digest of the request, a blob
	}
	// MemorySaved says that something is remembered from here on.
	MemorySaved struct {
		ID         string        `json:"id"`
		Kind       string        `json:"kind"`
		Content    string        `json:"content"`
		Importance int           `json:"importance,omitempty"` // 1 to 10; 0: not said, which counts as 5
		SaidBy     string        `json:"saidBy,omitempty"`     // who said it, in the words of who saved it
		Supersedes string        `json:"supersedes,omitempty"` // id of the memory that holds no longer from here on
		TTL        time.Duration `json:"ttl,omitempty"`        // nanoseconds that it holds, from this event's time; 0: for good
	}
	// MemoryForgotten says that a memory is in no context from here on.
	MemoryForgotten struct {
		ID string `json:"id"`
	}
	// DocumentIndexed holds a part of a document. The parts of one indexing are one append; with the last one the document
	// is in the collection, in the place of all that the collection held under its name.
	DocumentIndexed struct {
		Collection string  `json:"collection"`
		Document   string  `json:"document"` // its name in the collection
		Source     string  `json:"source"`   // where it was read, for people: "inline", "configMap rules, key visa.md", a URL
		Digest     string  `json:"digest"`   // of the whole document and how it was split: the same again is indexed no second time
		Part       int     `json:"part"`     // from 1
		Parts      int     `json:"parts"`
		Chunks     []Chunk `json:"chunks"`
	}
	// DocumentsRemoved says that these documents are in no context from here on.
	DocumentsRemoved struct {
		Collection string   `json:"collection"`
		Documents  []string `json:"documents"`
	}
	// SummaryWritten is a model's summary of what a conversation said, or of what a collection holds. It closes the attempt
	// that asked for it. Exactly one of Conversation and Collection is set.
	SummaryWritten struct {
		Attempt      int           `json:"attempt"`
		Conversation string        `json:"conversation,omitempty"`
		Collection   string        `json:"collection,omitempty"`
		From         int64         `json:"from"` // it covers what the stream held from this sequence
		To           int64         `json:"to"`   // to this one, both inclusive
		Text         string        `json:"text"`
		Model        string        `json:"model"`
		Usage        Usage         `json:"usage"`
		Latency      time.Duration `json:"latency"` // nanoseconds
		Request      string        `json:"request"` // digest of the request, a blob
	}
	// TextsEmbedded says which vectors a model gave for texts of the stream. Its subject is the command that had them
	// embedded. From its sequence on, whoever searches for one of these texts, or among them, can compare by meaning.
	TextsEmbedded struct {
		Model      string   `json:"model"` // as the agent's author named it: vectors of different models are never compared
		Dimensions int      `json:"dimensions"`
		Texts      []string `json:"texts"`   // TextDigest of each
		Vectors    string   `json:"vectors"` // digest of the blob that holds them in the same order; see EncodeVectors
		Usage      Usage    `json:"usage"`
	}
	// ObjectObserved is what a Kubernetes object said when the agent's service account read it. It takes the place of
	// what was observed under the same name before.
	ObjectObserved struct {
		Observation     string          `json:"observation"` // the name that views show it by
		APIVersion      string          `json:"apiVersion"`
		Kind            string          `json:"kind"`
		Namespace       string          `json:"namespace,omitempty"` // empty: the kind has none
		Name            string          `json:"name"`
		UID             string          `json:"uid,omitempty"`
		ResourceVersion string          `json:"resourceVersion,omitempty"`
		Missing         bool            `json:"missing,omitempty"` // there was no such object; it has no fields then
		Fields          json.RawMessage `json:"fields,omitempty"`  // canonical JSON: an object with a value for each field that was asked for
	}
	// ResponseGiven is what the agent said.
	ResponseGiven struct {
		Conversation string `json:"conversation"`
		Text         string `json:"text"`
	}
	// CommandSucceeded is final.
	CommandSucceeded struct {
		Message string `json:"message"`
	}
	// CommandFailed is final: it did not happen, and will not by itself.
	CommandFailed struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	// CancelRequested says that somebody wants the command stopped.
	CancelRequested struct {
		Reason string `json:"reason"` // CancelRequested, CommandDeleted, AgentDeleted
	}
	// CommandCancelled is final.
	CommandCancelled struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	// OutcomeLost is final until a person settles it: the effect may or may not have happened.
	OutcomeLost struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	// OutcomeSettled is what a person, who knows more, says of a command whose outcome was unknown. Its subject is
	// that command.
	OutcomeSettled struct {
		Outcome Settlement `json:"outcome"`
		Reason  string     `json:"reason"`     // in the person's words
		By      string     `json:"by"`         // the person, by the name that Kubernetes knows
		Command string     `json:"resolvedBy"` // key of the resolve command
	}
	// CommandReopened says that an ask which had ended, because the outcome of a command that it issued was unknown,
	// goes on: that outcome was settled, or the command runs again. Its subject is the ask.
	CommandReopened struct {
		Message string `json:"message"`
	}
	// AgentDeleted closes the stream: a new agent of that name begins another.
	AgentDeleted struct{}
)

// Settlement is what a person says of an outcome that could not be known.
type Settlement string

// The settlements. RunAgain lets the command run once more, under the same key.
const (
	SettledSucceeded Settlement = "Succeeded"
	SettledFailed    Settlement = "Failed"
	RunAgain         Settlement = "RunAgain"
)

// Chunk is a passage of a document, read and ranked by itself.
type Chunk struct {
	Heading string `json:"heading,omitempty"` // the headings that it stands under, outermost first, joined by " > "
	Text    string `json:"text"`
	Offset  int    `json:"offset"` // of Text in the document, in bytes
}

// Issue says which decision issued a command.
type Issue struct {
	Command string `json:"command"` // the ask's key
	Step    int    `json:"step"`
	Index   int    `json:"index"`
}

// IssuedCommand is a command that a decision issued.
type IssuedCommand struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Intent Intent `json:"intent"`
}

func (CommandAccepted) stored() (string, int)  { return "CommandAccepted", 2 }
func (CommandApproved) stored() (string, int)  { return "CommandApproved", 1 }
func (CommandRefused) stored() (string, int)   { return "CommandRefused", 1 }
func (MessageReceived) stored() (string, int)  { return "MessageReceived", 2 }
func (ContextBuilt) stored() (string, int)     { return "ContextBuilt", 1 }
func (AttemptStarted) stored() (string, int)   { return "AttemptStarted", 1 }
func (AttemptSucceeded) stored() (string, int) { return "AttemptSucceeded", 1 }
func (AttemptFailed) stored() (string, int)    { return "AttemptFailed", 1 }
func (AttemptAbandoned) stored() (string, int) { return "AttemptAbandoned", 1 }
func (DecisionMade) stored() (string, int)     { return "DecisionMade", 1 }
func (MemorySaved) stored() (string, int)      { return "MemorySaved", 2 }
func (MemoryForgotten) stored() (string, int)  { return "MemoryForgotten", 1 }
func (DocumentIndexed) stored() (string, int)  { return "DocumentIndexed", 1 }
func (DocumentsRemoved) stored() (string, int) { return "DocumentsRemoved", 1 }
func (SummaryWritten) stored() (string, int)   { return "SummaryWritten", 1 }
func (TextsEmbedded) stored() (string, int)    { return "TextsEmbedded", 1 }
func (ObjectObserved) stored() (string, int)   { return "ObjectObserved", 1 }
func (ResponseGiven) stored() (string, int)    { return "ResponseGiven", 1 }
func (CommandSucceeded) stored() (string, int) { return "CommandSucceeded", 1 }
func (CommandFailed) stored() (string, int)    { return "CommandFailed", 1 }
func (CancelRequested) stored() (string, int)  { return "CancelRequested", 1 }
func (CommandCancelled) stored() (string, int) { return "CommandCancelled", 1 }
func (OutcomeLost) stored() (string, int)      { return "OutcomeLost", 1 }
func (OutcomeSettled) stored() (string, int)   { return "OutcomeSettled", 1 }
func (CommandReopened) stored() (string, int)  { return "CommandReopened", 1 }
func (AgentDeleted) stored() (string, int)     { return "AgentDeleted", 1 }

// decoders has one entry for each stored name and version that ever shipped. A
// version that is no longer written stays here, followed by its upcaster.
var decoders = map[string]func([]byte) (Event, error){
	"CommandAccepted.v1":  as[CommandAccepted], // without an origin, which stays empty
	"CommandAccepted.v2":  as[CommandAccepted],
	"CommandApproved.v1":  as[CommandApproved],
	"CommandRefused.v1":   as[CommandRefused],
	"MessageReceived.v1":  as[MessageReceived], // without who said it, which stays empty
	"MessageReceived.v2":  as[MessageReceived],
	"ContextBuilt.v1":     as[ContextBuilt],
	"AttemptStarted.v1":   as[AttemptStarted],
	"AttemptSucceeded.v1": as[AttemptSucceeded],
	"AttemptFailed.v1":    as[AttemptFailed],
	"AttemptAbandoned.v1": as[AttemptAbandoned],
	"DecisionMade.v1":     as[DecisionMade],
	"MemorySaved.v1":      as[MemorySaved], // without importance, author, predecessor and end, which stay empty
	"MemorySaved.v2":      as[MemorySaved],
	"MemoryForgotten.v1":  as[MemoryForgotten],
	"DocumentIndexed.v1":  as[DocumentIndexed],
	"DocumentsRemoved.v1": as[DocumentsRemoved],
	"SummaryWritten.v1":   as[SummaryWritten],
	"TextsEmbedded.v1":    as[TextsEmbedded],
	"ObjectObserved.v1":   as[ObjectObserved],
	"ResponseGiven.v1":    as[ResponseGiven],
	"CommandSucceeded.v1": as[CommandSucceeded],
	"CommandFailed.v1":    as[CommandFailed],
	"CancelRequested.v1":  as[CancelRequested],
	"CommandCancelled.v1": as[CommandCancelled],
	"OutcomeLost.v1":      as[OutcomeLost],
	"OutcomeSettled.v1":   as[OutcomeSettled],
	"CommandReopened.v1":  as[CommandReopened],
	"AgentDeleted.v1":     as[AgentDeleted],
}

func as[E Event](data []byte) (Event, error) {
	var e E
	err := json.Unmarshal(data, &e)
	return e, err
}

// Stored is an event in the form that a journal keeps. Its fields are those of
// the journal's own event type, so that one converts to the other.
type Stored struct {
	Type    string
	Version int
	Subject string
	Data    json.RawMessage
}

// About is an event whose subject is another command than that of the batch it
// is in. It is stored as the event, with that subject.
type About struct {
	Event
	Command string // key
}

// Encode returns the stored form of an event about the command with that key,
// unless the event is About another one.
func Encode(subject string, e Event) Stored {
	if about, ok := e.(About); ok {
		subject, e = about.Command, about.Event
	}
	name, version := e.stored()
	data, err := marshal(e)
	if err != nil { // only an invalid json.RawMessage can do this, and those are canonical before they get here
		data, _ = json.Marshal(map[string]string{"unencodable": err.Error()})
	}
	return Stored{Type: name, Version: version, Subject: subject, Data: data}
}

// Decode returns the event in its newest version. An unknown name or version is
// an error: nothing in a journal is skipped.
func Decode(s Stored) (Event, error) {
	name := fmt.Sprintf("%s.v%d", s.Type, s.Version)
	decoder, ok := decoders[name]
	if !ok {
		return nil, fmt.Errorf("event %s is unknown to this version of Edict", name)
	}
	e, err := decoder(s.Data)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return e, nil
}

// Recorded is an event with its place in the stream.
type Recorded struct {
	Sequence int64
	Time     time.Time
	Subject  string // the command's key, empty for AgentDeleted
	Event    Event
}

// StreamName returns the name of an agent's stream in its life number life (from
// 1): a name that was given up and taken again starts a new stream.
func StreamName(namespace, name string, life int) string {
	if life <= 1 {
		return namespace + "/" + name
	}
	return fmt.Sprintf("%s/%s@%d", namespace, name, life)
}

// ParseStream returns the namespace and name of the agent whose stream that is.
func ParseStream(stream string) (namespace, name string) {
	namespace, name, _ = strings.Cut(stream, "/")
	name, _, _ = strings.Cut(name, "@")
	return namespace, name
}
