package decision

import (
	"fmt"
	"strings"
)

// maxDetail bounds what the model is told about one error: a schema library may quote the whole value.
const maxDetail = 2 << 10

// problem is why an answer is no decision.
type problem struct {
	people string // a clause for people, of words written here or by the agent's author, never by the model
	detail string // more of it for the model, which may read its own words
	remedy string // what a person can do; empty: the usual
}

func (p *problem) forModel() string {
	s := strings.ToUpper(p.people[:1]) + p.people[1:] + "."
	if p.detail != "" {
		s += " " + cut(p.detail, maxDetail)
	}
	return s
}

// The problems that say all there is to say.
var (
	noChoice = problem{
		people: "the server gave an empty list of answers",
		remedy: "Check that spec.model.baseURL is the address of an OpenAI-compatible API and that it serves this model",
	}
	cutOff = problem{
		people: "the answer was cut off at the limit of output tokens",
		detail: "Answer more briefly.",
		remedy: "Raise spec.model.maxOutputTokens, or the server's own limit if that is not set",
	}
	filtered = problem{
		people: "the answer was stopped by the server's content filter",
		remedy: "Look at the question and the context for what the filter takes offence at",
	}
	refusal = problem{
		people: "the model refused to answer",
		detail: "If you cannot help, say so in the response.",
		remedy: "Look at the question and the instructions for what it takes offence at, or choose another model",
	}
	manyCalls     = problem{people: "the answer calls more than one function", detail: "Call the function " + functionName + " once."}
	otherFunction = problem{people: "the answer calls a function that was not offered", detail: "Call the function " + functionName + "."}
	empty         = problem{people: "the answer is empty"}
	prose         = problem{people: "the answer is prose and not a JSON object"}
	manyObjects   = problem{people: "the answer holds more than one JSON object"}
	nothing       = problem{
		people: "the decision has neither a response nor a command",
		detail: "Give a response, or at least one command.",
	}
)

// broken says that JSON cannot be read; the reader's error quotes what the model wrote.
func broken(err error) *problem {
	return &problem{people: "the answer is broken JSON", detail: "The reader says: " + err.Error() + "."}
}

// misfit says that the decision's own fields are not as they should be.
func misfit(format string, args ...any) *problem {
	return &problem{people: "the answer is JSON, but not a decision: " + fmt.Sprintf(format, args...)}
}

// unfit says that arguments do not fit an operation's schema. Where in the
// schema they do not fit is the author's text; the values are the model's.
func unfit(operation string, err error) *problem {
	return &problem{
		people: fmt.Sprintf("the arguments of %s do not fit its parameters%s", operation, place(err)),
		detail: "The validator says: " + err.Error(),
		remedy: "Say in the operation's description and in the descriptions of its parameters what is wanted",
	}
}

// keywords are the schema keywords that may be told to people, with whether the rest of the validator's sentence
// is the author's text alone.
var keywords = map[string]bool{
	"type": false, "enum": false, "const": false, "pattern": false, "required": true,
	"multipleOf": false, "minimum": false, "maximum": false, "exclusiveMinimum": false, "exclusiveMaximum": false,
	"minLength": false, "maxLength": false, "minItems": false, "maxItems": false, "uniqueItems": false,
	"minProperties": false, "maxProperties": false, "anyOf": false, "oneOf": false, "not": false,
}

// place reads where in the schema a validation stopped from the validator's
// error, which is "validating PATH: " for each schema on the way in, then
// "KEYWORD: " and a text that quotes values. Only a path and a known keyword get
// out of here, and these are not the model's.
func place(err error) string {
	text, path := err.Error(), ""
	for {
		rest, ok := strings.CutPrefix(text, "validating ")
		if !ok {
			break
		}
		var found bool
		if path, text, found = strings.Cut(rest, ": "); !found {
			return ""
		}
	}
	keyword, rest, _ := strings.Cut(text, ": ")
	quotable, known := keywords[keyword]
	if !known {
		keyword = "additionalProperties"
		if !strings.HasPrefix(text, "unexpected additional properties") {
			return ""
		}
	}
	if path == "root" {
		path = ""
	} else {
		path = " at " + path
	}
	if quotable {
		return fmt.Sprintf(" (%s%s: %s)", keyword, path, rest)
	}
	return fmt.Sprintf(" (%s%s)", keyword, path)
}
