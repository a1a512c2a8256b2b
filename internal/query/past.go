package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/view"
)

// pastContexts is what one ask knew before each of its decisions.
type pastContexts struct {
	Command      string        `json:"command"`
	Key          string        `json:"key"`
	Stream       string        `json:"stream"`
	Conversation string        `json:"conversation"`
	Question     string        `json:"question"`
	Contexts     []pastContext `json:"contexts"`
}

// pastContext is a context that a decision saw. Its text is a blob of the agent, by its digest.
type pastContext struct {
	Step       int                  `json:"step"`
	View       string               `json:"view"`
	Sequence   int64                `json:"sequence"` // that it had seen
	Recorded   int64                `json:"recorded"` // the sequence of the event that tells of it
	Digest     string               `json:"digest"`
	Definition string               `json:"definition"`
	Tokens     int                  `json:"tokens"`
	Budget     int                  `json:"budget"`
	Blocks     []agent.ContextBlock `json:"blocks"`
	Rebuilt    *rebuilt             `json:"rebuilt,omitempty"` // if it was to be verified
}

// rebuilt is the same context built again, by the view as it is declared now.
type rebuilt struct {
	Same              bool   `json:"same"` // byte for byte
	Digest            string `json:"digest,omitempty"`
	Definition        string `json:"definition,omitempty"`
	DefinitionChanged bool   `json:"definitionChanged"` // so that it need not be the same
	Reason            string `json:"reason,omitempty"`  // why it could not be built
	Detail            string `json:"detail,omitempty"`
}

// pastContexts answers with the contexts that the decisions of an ask saw and, if
// that is wanted, whether each comes out the same when it is built again from the
// journal as of then.
func (h *handler) pastContexts(w http.ResponseWriter, r *http.Request) error {
	p := parametersOf(r, "life", "verify")
	life, verify := p.number("life", 1), p.flag("verify")
	if p.bad != nil {
		return p.bad
	}
	if _, err := accepted(r, jsonType); err != nil {
		return err
	}
	stream, err := h.agentStream(r, int(life))
	if err != nil {
		return err
	}
	answer, err := inPast(h, func() (pastContexts, error) { return h.toldOf(r, stream, verify) })
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// toldOf returns what the command of the path knew, verified if that is wanted.
func (h *handler) toldOf(r *http.Request, stream string, verify bool) (pastContexts, error) {
	records, err := h.command(r.Context(), stream, r.PathValue("command"))
	if err != nil {
		return pastContexts{}, err
	}
	answer := told(stream, records)
	if !verify {
		return answer, nil
	}
	for i := range answer.Contexts {
		if err := h.rebuild(r.Context(), r.PathValue("namespace"), r.PathValue("name"), &answer, i); err != nil {
			return pastContexts{}, err
		}
	}
	return answer, nil
}

// command returns the records about the command of that idempotency key or, if
// there is none, about the last that was accepted under that name.
func (h *handler) command(ctx context.Context, stream, command string) ([]journal.Record, error) {
	records, err := h.subject(ctx, stream, command)
	if err != nil || len(records) > 0 {
		return records, err
	}
	key := ""
	for want := (reading{stream: stream, next: 1, left: -1}); ; {
		records, err := h.readPage(ctx, &want)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			break
		}
		for _, record := range records {
			if accepted, ok := decoded[agent.CommandAccepted](record, "CommandAccepted"); ok && accepted.Name == command {
				key = record.Subject
			}
		}
	}
	if key == "" {
		return nil, &problem{Status: http.StatusNotFound, Reason: "NotFound",
			Detail: "The journal of this agent tells of no command of that name or idempotency key.",
			Remedy: "Take the key from the Command's status.idempotencyKey, its / written %2F; for a command of an earlier agent of the name, say which life."}
	}
	return h.subject(ctx, stream, key)
}

func (h *handler) subject(ctx context.Context, stream, key string) ([]journal.Record, error) {
	records, err := h.Journal.ReadSubject(ctx, stream, key)
	if err != nil {
		return nil, fmt.Errorf("read %s about %s: %w", stream, key, err)
	}
	return records, nil
}

// decoded returns a record's event if it is stored under that name and can be read.
func decoded[E agent.Event](record journal.Record, name string) (e E, ok bool) {
	if record.Type != name {
		return e, false // most records, and their payload need not be decoded
	}
	event, err := agent.Decode(agent.Stored(record.Event))
	if err != nil {
		return e, false
	}
	e, ok = event.(E)
	return e, ok
}

// told returns what the records of a command tell of the contexts that it saw.
func told(stream string, records []journal.Record) pastContexts {
	past := pastContexts{Key: records[0].Subject, Stream: stream, Contexts: []pastContext{}}
	for _, record := range records {
		if accepted, ok := decoded[agent.CommandAccepted](record, "CommandAccepted"); ok {
			question := questionOf(accepted)
			past.Command, past.Conversation, past.Question = accepted.Name, question.Conversation, question.Text
		}
		if built, ok := decoded[agent.ContextBuilt](record, "ContextBuilt"); ok {
			past.Contexts = append(past.Contexts, pastContext{Step: built.Step, View: built.View, Sequence: built.Sequence, Recorded: record.Sequence,
				Digest: built.Digest, Definition: built.Definition, Tokens: built.Tokens, Budget: built.Budget, Blocks: built.Blocks})
		}
	}
	return past
}

// questionOf returns what an ask asked, and nothing for other commands.
func questionOf(c agent.CommandAccepted) agent.Question {
	if c.Intent.Type != agent.Ask {
		return agent.Question{}
	}
	ask := c.Intent.Ask()
	return agent.Question{Conversation: ask.Conversation, Text: ask.Message}
}

// rebuild builds one of the contexts again. That it cannot be built is an answer,
// too, unless that is for another moment to tell.
func (h *handler) rebuild(ctx context.Context, namespace, agentName string, past *pastContexts, i int) error {
	then := &past.Contexts[i]
	then.Rebuilt = &rebuilt{DefinitionChanged: true}
	definition, err := h.declared(ctx, namespace, then.View, agentName)
	if err != nil {
		return then.Rebuilt.failed(err)
	}
	then.Rebuilt.Definition = definition.Digest()
	then.Rebuilt.DefinitionChanged = then.Rebuilt.Definition != then.Definition
	built, err := h.Contexts.Build(ctx, view.Request{Definition: definition, Stream: past.Stream, Sequence: then.Sequence,
		Question: agent.Question{Conversation: past.Conversation, Text: past.Question}})
	if err != nil {
		return then.Rebuilt.failed(err)
	}
	then.Rebuilt.Digest, then.Rebuilt.Same = built.Digest, built.Digest == then.Digest
	return nil
}

// declared returns a view of the agent as it is declared now.
func (h *handler) declared(ctx context.Context, namespace, name, agentName string) (view.Definition, error) {
	d, err := h.Views.View(ctx, namespace, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return d, fault.NewInvalid("ViewNotFound", "There is no ContextView %s any more.", name)
	case err != nil:
		return d, fmt.Errorf("find view %s/%s: %w", namespace, name, err)
	case d.Agent != agentName:
		return d, fault.NewInvalid("ViewOfOtherAgent", "ContextView %s reads the journal of agent %s by now.", name, d.Agent)
	}
	return d, nil
}

// failed takes in why a context could not be built, or returns what may be another time.
func (r *rebuilt) failed(err error) error {
	f := fault.Of(err)
	if f.Kind == fault.Retry {
		return err
	}
	r.Reason, r.Detail = f.Reason, f.Message
	return nil
}
