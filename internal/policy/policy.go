// Package policy answers one question: may this command run now? It looks at the
// agent's menu, at who wants the command, and at its arguments, and says yes or
// no in a sentence for people. It is pure: the same three give the same answer,
// and to refuse is an answer, not an error.
//
// It does not know the journal, how a command is executed, what a Secret holds,
// or whether an agent is suspended, which is a matter of when and not of whether.
package policy

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/field"
)

// Why a command is refused, as Approval.Reason says it.
const (
	// ReasonOperationUnknown: no operation of the agent's menu lets the command pass.
	ReasonOperationUnknown = "OperationUnknown"
	// ReasonArgumentsInvalid: the arguments do not fit the operation's parameters.
	ReasonArgumentsInvalid = "ArgumentsInvalid"
	// ReasonParametersInvalid: the operation's parameters are no JSON Schema that can be used.
	ReasonParametersInvalid = "ParametersInvalid"
	// ReasonAskNotIssuable: an agent decided to ask, which only people and programs may.
	ReasonAskNotIssuable = "AskNotIssuable"
	// ReasonResolveNotIssuable: an agent decided to settle an outcome, which only people may.
	ReasonResolveNotIssuable = "ResolveNotIssuable"
	// ReasonNotIssuable: an agent decided to index or remove documents, to have a summary written, or to observe an object, which people and the operator do.
	ReasonNotIssuable = "NotIssuable"
	// ReasonServiceAccountUnset: the agent names no service account to read objects as.
	ReasonServiceAccountUnset = "ServiceAccountUnset"
	// ReasonSecretNotObservable: the object to observe is a Secret.
	ReasonSecretNotObservable = "SecretNotObservable"
	// ReasonTypeUnknown: no rule knows the command's type.
	ReasonTypeUnknown = "CommandTypeUnknown"
)

// applyAgain ends a refusal: the refused name and intent stay refused, because
// together they are the command's idempotency key.
const applyAgain = "and apply the command under another name."

// DefaultEffect returns the effect class of an HTTP method whose operation names
// none: what RFC 9110, section 9.2.2, calls idempotent is taken at its word, and
// everything else must never be repeated blindly.
func DefaultEffect(method string) agent.EffectClass {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return agent.Idempotent
	}
	return agent.NonIdempotent
}

// Authorise says whether the agent of that profile may carry out the intent;
// issued says that a decision of the agent itself wants it, rather than a person
// or GitOps. The effect class is set with a refusal too; where there is no
// operation to declare one, it is the careful one.
//
// If several arguments do not fit, the message names one of them.
func Authorise(profile agent.Profile, intent agent.Intent, issued bool) agent.Approval {
	switch intent.Type {
	case agent.Ask:
		return authoriseAsk(profile, issued)
	case agent.SaveMemory, agent.ForgetMemory:
		return authoriseMemory(profile, intent, issued)
	case agent.CallAPI:
		return authoriseCall(profile, intent.CallAPI())
	case agent.Resolve:
		return authoriseResolve(profile, intent.Resolve(), issued)
	case agent.IndexDocuments, agent.RemoveDocuments, agent.Summarize:
		return authoriseUpkeep(profile, intent.Type, issued)
	case agent.Observe:
		return authoriseObserve(profile, intent.Observe(), issued)
	}
	return refuse(agent.NonIdempotent, ReasonTypeUnknown, "Commands of the type %q are not known to this version of Edict.", bound(string(intent.Type), 60))
}

func allow(effect agent.EffectClass, format string, args ...any) agent.Approval {
	return agent.Approval{Allowed: true, Effect: effect, Message: fmt.Sprintf(format, args...)}
}

func refuse(effect agent.EffectClass, reason, format string, args ...any) agent.Approval {
	return agent.Approval{Effect: effect, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func authoriseAsk(profile agent.Profile, issued bool) agent.Approval {
	if issued {
		return refuse(agent.Idempotent, ReasonAskNotIssuable, "The agent %s decided to ask; only people and programs put questions to an agent.", profile.Name)
	}
	return allow(agent.Idempotent, "Whoever may create a Command may ask the agent.")
}

// authoriseMemory lets people save and forget as they like. A decision needs an
// operation of that type on the menu, and has to fit one of them: an intent does
// not say which of several it was chosen as.
func authoriseMemory(profile agent.Profile, intent agent.Intent, issued bool) agent.Approval {
	if !issued {
		return allow(agent.Internal, "Whoever may create a Command may change what the agent remembers.")
	}
	var misfit error
	for _, op := range profile.Operations {
		if op.Type != intent.Type {
			continue
		}
		err := fits(op, intent.Payload)
		if err == nil {
			return allowOperation(agent.Internal, op)
		}
		if misfit == nil {
			misfit = err
		}
	}
	if misfit != nil {
		return refuseMisfit(agent.Internal, misfit)
	}
	return refuse(agent.Internal, ReasonOperationUnknown, "The menu of the agent %s has no operation of type %s. %s Add one to spec.operations if the agent may do this.",
		profile.Name, typeName(intent.Type), menu(profile, ""))
}

// authoriseResolve lets people settle outcomes. That the author has the right to,
// and is who spec.resolve.by says, was asked when the Command was created.
func authoriseResolve(profile agent.Profile, payload agent.ResolvePayload, issued bool) agent.Approval {
	if issued {
		return refuse(agent.Internal, ReasonResolveNotIssuable, "The agent %s decided to settle an outcome; only people do that.", profile.Name)
	}
	switch payload.Outcome {
	case agent.SettledSucceeded, agent.SettledFailed, agent.RunAgain:
		return allow(agent.Internal, "Whoever is allowed the verb resolve on commands may settle an unknown outcome.")
	}
	return refuse(agent.Internal, ReasonArgumentsInvalid, "The outcome of a resolve command is Succeeded, Failed or RunAgain. Correct spec.resolve.outcome %s", applyAgain)
}

// authoriseUpkeep lets people, GitOps and the operator keep what an agent can look
// up. An agent does not choose what it is to find later: what documents say would
// then be able to choose it.
func authoriseUpkeep(profile agent.Profile, t agent.Type, issued bool) agent.Approval {
	if issued {
		return refuse(agent.Internal, ReasonNotIssuable, "The agent %s decided on a command of type %s; only people, GitOps and the operator itself do that.", profile.Name, t)
	}
	return allow(agent.Internal, "Whoever may create a Command may change which documents and summaries the agent can look up.")
}

// authoriseObserve lets those observe who may, which was asked when the Command was
// created, if the agent says as whom, and if the fields can be read of some object.
func authoriseObserve(profile agent.Profile, payload agent.ObservePayload, issued bool) agent.Approval {
	_, wrong := field.Compile(payload.Fields)
	switch {
	case issued:
		return refuse(agent.Internal, ReasonNotIssuable, "The agent %s decided on a command of type observe; only people, GitOps and the operator itself do that.", profile.Name)
	case profile.ServiceAccount == "":
		return refuse(agent.Internal, ReasonServiceAccountUnset, "The agent %s has no spec.serviceAccountName, so there is nobody to read the object as. Name a service account there %s", profile.Name, applyAgain)
	case payload.Object.Secret():
		return refuse(agent.Internal, ReasonSecretNotObservable, "A Secret is not observed: what it holds would stay in the journal. Observe an object that says what people may know.")
	case wrong != nil:
		return refuse(agent.Internal, fault.Of(wrong).Reason, "%s Correct it %s", fault.Of(wrong).Message, applyAgain)
	}
	return allow(agent.Internal, "Whoever is allowed the verb observe on the agent may have an object observed.")
}

func authoriseCall(profile agent.Profile, payload agent.CallAPIPayload) agent.Approval {
	op, ok := profile.Operation(payload.Operation)
	if !ok || op.Type != agent.CallAPI {
		return refuse(agent.NonIdempotent, ReasonOperationUnknown, "The agent %s has no operation %s. %s Add the operation to the agent %s",
			profile.Name, callNamed(payload.Operation), menu(profile, agent.CallAPI), applyAgain)
	}
	effect := effectOf(op)
	if err := fits(op, payload.Arguments); err != nil {
		return refuseMisfit(effect, err)
	}
	return allowOperation(effect, op)
}

func allowOperation(effect agent.EffectClass, op agent.Operation) agent.Approval {
	return allow(effect, "The operation %s is on the agent's menu, and the arguments fit it.", op.Name)
}

// effectOf returns what the operation declares, or what goes with its method.
func effectOf(op agent.Operation) agent.EffectClass {
	switch {
	case op.Effect == agent.Idempotent || op.Effect == agent.NonIdempotent:
		return op.Effect
	case op.Call != nil:
		return DefaultEffect(op.Call.Method)
	}
	return agent.NonIdempotent
}

// refuseMisfit refuses arguments, or the schema that they were to fit.
func refuseMisfit(effect agent.EffectClass, err error) agent.Approval {
	var schema *SchemaError
	if errors.As(err, &schema) {
		return refuse(effect, ReasonParametersInvalid, "%s Correct them %s", err, applyAgain)
	}
	return refuse(effect, ReasonArgumentsInvalid, "%s Correct the arguments %s", err, applyAgain)
}

// menu names the operations of that type, all if it is empty: a sentence.
func menu(profile agent.Profile, t agent.Type) string {
	const most = 20
	var names []string
	more := 0
	for _, op := range profile.Operations {
		switch {
		case t != "" && op.Type != t:
		case len(names) == most:
			more++
		default:
			names = append(names, op.Name)
		}
	}
	switch {
	case len(names) == 0:
		return "Its menu has none."
	case more > 0:
		return fmt.Sprintf("Its menu has %s and %d more.", strings.Join(names, ", "), more)
	}
	return fmt.Sprintf("Its menu has %s.", strings.Join(names, ", "))
}

// typeName is the type as an Agent's manifest spells it.
func typeName(t agent.Type) string { return strings.ToUpper(string(t[:1])) + string(t[1:]) }

// simple are the names that a message repeats. Others may be of a model's
// making, and sentences in disguise; messages go where people trust what they read.
var simple = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)

// callNamed says which operation was looked for; it quotes a name that is one.
func callNamed(name string) string {
	if simple.MatchString(name) {
		return fmt.Sprintf("%q of type CallAPI", name)
	}
	return "of type CallAPI by the name that the command gives"
}

// bound cuts s to at most n bytes without splitting a character.
func bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
