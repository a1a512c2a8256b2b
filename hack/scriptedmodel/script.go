package scriptedmodel

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Script is what the model says. The first rule that matches a call decides; a call that none matches is answered with
// a response that says so, and counted in Stats.Unscripted.
type Script struct {
	Rules []Rule `json:"rules"`
}

// Rule is one line of the script.
type Rule struct {
	Name string `json:"name,omitempty"` // for the author; errors mention it
	When When   `json:"when,omitempty"`
	// Then is the decision. Its texts and the strings within its arguments may refer to what the expressions of When
	// captured: ${1} and ${name} are groups of Question; ${results.1}, ${results.name}, ${prompt.1} and ${prompt.name}
	// those of the other two, whose names may also stand alone where Question has none of that name; ${question} and
	// ${results} are the whole texts.
	Then Decision `json:"then,omitempty"`
	// Decide, when set, is asked instead of Then.
	Decide func(Ask) Decision `json:"-"`
	// LatencyMillis delays the answer, in addition to the latency of the server.
	LatencyMillis int `json:"latencyMillis,omitempty"`
	// Misbehave, when set, comes before the decision, or instead of it.
	Misbehave *Misbehaviour `json:"misbehave,omitempty"`
}

// When says which calls a rule is for. All that is set has to hold; the zero value matches every call. The expressions
// are regular expressions of package regexp, and match anywhere in the text.
type When struct {
	Step     int            `json:"step,omitempty"`     // of the ask, from 1; 0 is any
	Question string         `json:"question,omitempty"` // in the current question
	Prompt   string         `json:"prompt,omitempty"`   // anywhere in what the model was given, such as a memory
	Results  string         `json:"results,omitempty"`  // in the results of the step before
	Match    func(Ask) bool `json:"-"`                  // what an expression cannot say
}

// Decision is the answer that Edict's schema asks for.
type Decision struct {
	Response  *string   `json:"response"` // nil while the ask goes on
	Rationale string    `json:"rationale"`
	Commands  []Command `json:"commands"`
}

// Command is one entry of a decision.
type Command struct {
	Operation string         `json:"operation"`
	Arguments map[string]any `json:"arguments"`
}

// Respond is a decision that only answers.
func Respond(text string) Decision { return Decision{Response: &text} }

// Issue is a decision that only issues commands.
func Issue(commands ...Command) Decision { return Decision{Commands: commands} }

// Misbehaviour is what a model or the server before it may do wrong. Several fields may be combined; HTTP comes before
// content.
type Misbehaviour struct {
	// Times is how many calls of one question and step meet it before the rule's decision is given; 0 is every call.
	Times int `json:"times,omitempty"`

	Hang       bool   `json:"hang,omitempty"`       // no answer until the client leaves
	Status     int    `json:"status,omitempty"`     // an HTTP error with the usual error body
	RetryAfter string `json:"retryAfter,omitempty"` // the header of that name, beside Status
	EchoKey    bool   `json:"echoKey,omitempty"`    // the error body repeats the Authorization header, beside Status
	Body       string `json:"body,omitempty"`       // the whole HTTP body, with status 200

	Prose        string `json:"prose,omitempty"`        // a message in words where a decision was asked for
	Raw          string `json:"raw,omitempty"`          // this text in the place of the decision's JSON
	Refusal      string `json:"refusal,omitempty"`      // the message is a refusal
	Bytes        int    `json:"bytes,omitempty"`        // the decision's response is this long
	Commands     int    `json:"commands,omitempty"`     // the decision's first command is given this many times
	FinishReason string `json:"finishReason,omitempty"` // in the place of "stop"
	NoChoices    bool   `json:"noChoices,omitempty"`    // an answer that holds none
}

// Load reads a script from a YAML or JSON file. A field that it does not know is an error.
func Load(path string) (Script, error) {
	var script Script
	content, err := os.ReadFile(path)
	if err != nil {
		return script, err
	}
	if err := yaml.UnmarshalStrict(content, &script); err != nil {
		return script, fmt.Errorf("read script %s: %w", path, err)
	}
	return script, nil
}
