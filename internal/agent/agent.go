// Package agent is the pure core: the events of an agent's stream and their
// stored names, the state that they fold into, and the rules that say which
// events a command causes next. It takes no clock, no I/O and no context, it
// cannot fail (to refuse is an event), and it imports the standard library
// alone. It does not know how events are stored, how a model is asked, or that
// Kubernetes exists.
package agent

import (
	"encoding/json"
	"time"
)

// Type is the type of a command, spelled as the field of a Command's spec that carries its payload.
type Type string

// The command types.
const (
	Ask          Type = "ask"
	SaveMemory   Type = "saveMemory"
	ForgetMemory Type = "forgetMemory"
	CallAPI      Type = "callAPI"
	Resolve      Type = "resolve" // people only: it is on no menu

	// People and GitOps only, and, where an agent says so, the operator itself.
	IndexDocuments  Type = "indexDocuments"
	RemoveDocuments Type = "removeDocuments"
	Summarize       Type = "summarize"
	Observe         Type = "observe"
)

// EffectClass says what a repeat of an effect would do.
type EffectClass string

const (
	// Internal effects commit in the journal's own transaction: there is no between.
	Internal EffectClass = "Internal"
	// Idempotent effects may be repeated with the same key.
	Idempotent EffectClass = "Idempotent"
	// NonIdempotent effects must never be repeated blindly.
	NonIdempotent EffectClass = "NonIdempotent"
)

// Phase is where a command is in its life.
type Phase string

// The phases. Succeeded, Failed, Cancelled and OutcomeUnknown are final; of these, a person can lift OutcomeUnknown.
const (
	Pending        Phase = "Pending"
	Running        Phase = "Running"
	Succeeded      Phase = "Succeeded"
	Failed         Phase = "Failed"
	Cancelled      Phase = "Cancelled"
	OutcomeUnknown Phase = "OutcomeUnknown"
)

// Final reports whether nothing follows the phase by itself.
func (p Phase) Final() bool {
	return p == Succeeded || p == Failed || p == Cancelled || p == OutcomeUnknown
}

// Profile is an agent as its author declared it: what the write side needs to
// know to authorise, decide and execute. Secrets are named in it, never held.
type Profile struct {
	Namespace, Name string
	Instructions    string
	Model           Model
	Embeddings      *Embeddings // nil: texts are compared by their words alone
	ServiceAccount  string      // in the agent's namespace: who reads what is observed; empty: nothing is
	Views           []string    // names of ContextViews in the agent's namespace, in order
	Operations      []Operation
	MaxSteps        int // decisions per ask, at least 1
	MaxCommands     int // commands per decision, at least 1
	Suspended       bool
}

// Operation returns the menu's entry of that name.
func (p Profile) Operation(name string) (Operation, bool) {
	for _, op := range p.Operations {
		if op.Name == name {
			return op, true
		}
	}
	return Operation{}, false
}

// SecretKey names one value of a Kubernetes Secret in the agent's namespace.
type SecretKey struct{ Name, Key string }

// DecisionMode is how a model is asked for a structured answer.
type DecisionMode string

// The decision modes that OpenAI-compatible servers offer.
const (
	ModeJSONSchema DecisionMode = "JSONSchema" // response_format json_schema, strict
	ModeTools      DecisionMode = "Tools"      // one forced function call
	ModeJSONObject DecisionMode = "JSONObject" // response_format json_object, the schema in the prompt
)

// Model says which model decides, and how it is asked.
type Model struct {
	BaseURL         string
	Name            string
	APIKey          *SecretKey // nil: no Authorization header
	Mode            DecisionMode
	Timeout         time.Duration
	Temperature     *float64
	MaxOutputTokens int // 0: the server's own limit
}

// Embeddings says which model turns texts into vectors, and how it is asked.
type Embeddings struct {
	BaseURL    string // of an OpenAI-compatible server, up to and without /embeddings
	Model      string
	Dimensions int        // that are asked for; 0: the model's own
	APIKey     *SecretKey // nil: no Authorization header
	Timeout    time.Duration
}

// Operation is an entry of an agent's menu.
type Operation struct {
	Name        string
	Description string
	Type        Type
	Effect      EffectClass
	Parameters  json.RawMessage // JSON Schema of the arguments, an object schema; empty: the type's own
	Call        *Call           // with type CallAPI
}

// Call is an HTTP request with places for arguments.
type Call struct {
	Method  string
	URL     string // {name} in the path is replaced by that argument
	Headers []Header
	Timeout time.Duration // of one attempt
}

// Header is a request header whose value comes from a Secret.
type Header struct {
	Name  string
	Value SecretKey
}

// Question is what a context is built for.
type Question struct {
	Conversation string `json:"conversation,omitempty"`
	Text         string `json:"text,omitempty"`
}

// Context is what a ContextView renders for one question.
type Context struct {
	View       string
	Definition string // digest of the view's definition
	Text       string // prompt-ready
	Digest     string // of Text
	Sequence   int64  // the stream's sequence that it has seen
	Tokens     int
	Budget     int
	Blocks     []ContextBlock
}

// ContextBlock says what one block of a context took.
type ContextBlock struct {
	Name   string `json:"name"`
	Tokens int    `json:"tokens"`
	Items  int    `json:"items"`         // rendered
	Cut    int    `json:"cut,omitempty"` // left out because the budget was used up
}

// Decision is the model's structured answer, after it was validated.
type Decision struct {
	Response  string   `json:"response,omitempty"`
	Rationale string   `json:"rationale,omitempty"`
	Commands  []Choice `json:"commands,omitempty"`
}

// Choice is one operation that a decision chose, with its arguments.
type Choice struct {
	Operation string          `json:"operation"`
	Arguments json.RawMessage `json:"arguments"`
}

// Usage is what a decision cost, in tokens.
type Usage struct {
	Input  int `json:"input"`
	Output int `json:"output"`
}

// Total returns the tokens in and out.
func (u Usage) Total() int { return u.Input + u.Output }

// Plus returns the sum.
func (u Usage) Plus(v Usage) Usage {
	return Usage{Input: u.Input + v.Input, Output: u.Output + v.Output}
}

// Inquiry is everything a decider may know when it asks for a decision.
type Inquiry struct {
	Profile  Profile
	Contexts []Context
	Question Question
	SaidBy   string // who asks, where several talk to the agent; empty: nobody says
	Trail    []Turn // the earlier steps of the same ask, in order
	Step     int    // from 1
	APIKey   string // the value of Profile.Model.APIKey; never stored
	User     string // an opaque id of the ask, sent as the request's user
}

// Turn is an earlier step of an ask: what was decided, and what came of it.
type Turn struct {
	Decision Decision
	Outcomes []ChoiceOutcome // one per Decision.Commands, in order
}

// ChoiceOutcome is what came of one chosen operation.
type ChoiceOutcome struct {
	Command string // the issued command's name
	Phase   Phase
	Reason  string
	Text    string // the result, or the error's message
}

// Answer is a decision with what it took to get it.
type Answer struct {
	Decision Decision
	Model    string // as the server named it
	Usage    Usage  // all rounds together
	Repairs  int    // rounds that sent a validation error back
	Request  []byte // the last request as sent, without credentials
}

// Verdict is what an attempt at an effect came to.
type Verdict string

const (
	// Done means that the effect happened.
	Done Verdict = "Done"
	// Rejected means that it did not happen and a repeat would be rejected again.
	Rejected Verdict = "Rejected"
	// NotDone means that it is known not to have happened, and that a repeat may help.
	NotDone Verdict = "NotDone"
	// Ambiguous means that it may or may not have happened.
	Ambiguous Verdict = "Ambiguous"
)

// Outcome is how an attempt ended. Message is a sentence for people; it holds
// no secret, and nothing that the remote party wrote.
type Outcome struct {
	Verdict    Verdict
	Result     string // with Done: what the receiver answered, bounded
	Status     int    // HTTP status, 0 if there was none
	Reason     string // CamelCase, unless Done
	Message    string
	RetryAfter time.Duration // what the receiver asked for, 0 if nothing
}
