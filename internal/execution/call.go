package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// decide takes one step of an ask: have the question embedded, build the contexts,
// make the attempt durable, ask the model, record what it decided. Whoever waits
// for an embedding server, or for the read side, keeps no place from those who call.
func (e *Engine) decide(st *stream, c *agent.Command, p agent.Profile) error {
	if len(c.Steps) == 0 {
		err := e.slot(e.embedding, func() (err error) {
			c, err = e.embedQuestion(st, c, p)
			return err
		})
		if err != nil || c == nil {
			return err
		}
	}
	var q *prepared
	err := e.slot(st.preparing, func() error {
		return e.slot(e.preparing, func() (err error) {
			q, err = e.prepare(st, c, p)
			return err
		})
	})
	if err != nil || q == nil {
		return err
	}
	return e.slot(e.slots, func() error { return e.askModel(st, c, q) })
}

// prepared is a step of an ask that has all that it needs to be decided.
type prepared struct {
	inquiry agent.Inquiry
	events  []agent.Event // that tell which contexts it has seen
	blobs   []journal.Blob
}

func (e *Engine) prepare(st *stream, c *agent.Command, p agent.Profile) (*prepared, error) {
	ask := c.Intent.Ask()
	q := &prepared{inquiry: agent.Inquiry{
		Profile: p, Question: agent.Question{Conversation: ask.Conversation, Text: ask.Message}, SaidBy: ask.SaidBy,
		Trail: c.Trail(), Step: len(c.Steps) + 1, User: c.Key,
	}}
	var err error
	if q.events, q.blobs, err = e.contexts(st, c, &q.inquiry); err != nil {
		return nil, err
	}
	if p.Model.APIKey != nil {
		q.inquiry.APIKey, err = e.Secrets.Value(e.ctx, p.Namespace, *p.Model.APIKey)
	}
	return q, err
}

// askModel makes the attempt at a step that is prepared.
func (e *Engine) askModel(st *stream, c *agent.Command, q *prepared) error {
	inquiry, p, step := q.inquiry, q.inquiry.Profile, q.inquiry.Step
	// One request may be followed by one that repairs the answer.
	attempt, bound := e.attempt(c, step, 2*p.Model.Timeout)
	first, err := e.record(st, c, append(q.events, attempt), q.blobs...)
	if err != nil || !first {
		return err
	}
	started := time.Now()
	var answer agent.Answer
	err = e.ask(st, c.Key, bound, func(ctx context.Context) (err error) {
		answer, err = e.Decider.Decide(ctx, inquiry)
		return err
	})
	if err != nil {
		return e.unanswered(st, c.Key, attempt.Attempt, err, answer.Usage)
	}
	request := journal.NewBlob(answer.Request)
	made := agent.DecisionMade{Attempt: attempt.Attempt, Step: step, Decision: answer.Decision, Model: answer.Model,
		Usage: answer.Usage, Repairs: answer.Repairs, Latency: time.Since(started), Request: request.Digest}
	if err := batch(st.id, c.Key, 0, c.Decided(made, p)).Validate(); err != nil {
		o := agent.Outcome{Verdict: agent.Rejected, Reason: "DecisionTooLarge", Message: fmt.Sprintf(
			"The model's decision does not fit into an event of %d KiB; ask for less at once, or lower spec.model.maxOutputTokens of the agent.", journal.MaxData>>10)}
		return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event { return c.Undecided(e.Now(), o, answer.Usage) })
	}
	return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event { return c.Decided(made, p) }, request)
}

// ask makes a request to a model, in an attempt that is durable. A command that is cancelled cuts it off.
func (e *Engine) ask(st *stream, key string, bound limit, request func(context.Context) error) error {
	ctx, cut := bound(e.ctx)
	defer cut()
	st.setCut(key, cut)
	failpoint.Hit(failpoint.ModelAsked)
	err := request(ctx)
	failpoint.Hit(failpoint.ModelAnswered)
	st.setCut(key, nil)
	return err
}

// unanswered records that a request to a model brought no answer that can be used; cost is what it took.
func (e *Engine) unanswered(st *stream, key string, attempt int, err error, cost agent.Usage) error {
	if errors.Is(err, context.Canceled) {
		// The command was cancelled, and the next look ends it; or the operator is stopping, and the next process asks
		// again without waiting for the deadline. Neither is the model's failure.
		return e.settle(st, key, attempt, func(*agent.Command) []agent.Event {
			return []agent.Event{agent.AttemptAbandoned{Attempt: attempt}}
		})
	}
	o := undecided(err)
	return e.settle(st, key, attempt, func(c *agent.Command) []agent.Event { return c.Undecided(e.Now(), o, cost) })
}

// limit bounds a call.
type limit func(context.Context) (context.Context, context.CancelFunc)

// attempt returns the event that makes an attempt durable, and what bounds the
// call: its deadline, measured from here by a clock that nobody can set.
func (e *Engine) attempt(c *agent.Command, step int, timeout time.Duration) (agent.AttemptStarted, limit) {
	now, began := e.Now(), time.Now()
	attempt := c.StartAttempt(now, step, timeout)
	left := attempt.Deadline.Sub(now)
	return attempt, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, left-time.Since(began))
	}
}

// contexts builds the agent's views at no less than the newest event about the ask and what it issued.
func (e *Engine) contexts(st *stream, c *agent.Command, q *agent.Inquiry) (events []agent.Event, blobs []journal.Blob, err error) {
	for _, view := range q.Profile.Views {
		built, err := e.Contexts.Build(e.ctx, ContextRequest{
			Namespace: st.namespace, View: view, Stream: st.id, Min: c.Seen, Question: q.Question,
		})
		if err != nil {
			return nil, nil, err
		}
		q.Contexts = append(q.Contexts, built)
		blobs = append(blobs, journal.NewBlob([]byte(built.Text)))
		events = append(events, agent.ContextBuilt{Step: q.Step, View: built.View, Definition: built.Definition, Digest: built.Digest,
			Sequence: built.Sequence, Tokens: built.Tokens, Budget: built.Budget, Blocks: built.Blocks})
	}
	return events, blobs, nil
}

// undecided says what a decider's error means for the attempt.
func undecided(err error) agent.Outcome {
	f := fault.Of(err)
	switch {
	case f.Kind == fault.Retry && errors.Is(err, context.DeadlineExceeded):
		return agent.Outcome{Verdict: agent.NotDone, Reason: "ModelTimeout", Message: "The model did not answer in time; raise spec.model.timeout of the agent if it needs longer."}
	case f.Kind == fault.Invalid || f.Kind == fault.Corrupt:
		return agent.Outcome{Verdict: agent.Rejected, Reason: f.Reason, Message: f.Message}
	}
	return agent.Outcome{Verdict: agent.NotDone, Reason: f.Reason, Message: f.Message, RetryAfter: f.After}
}

func (st *stream) setCut(key string, cut context.CancelFunc) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r := st.runs[key]
	if r == nil {
		return
	}
	r.cut = cut
	if c := st.state.Open[key]; cut != nil && c != nil && c.Cancel != "" {
		cut()
	}
}

// execute carries a command out whose effect is more than what its acceptance recorded.
func (e *Engine) execute(st *stream, c *agent.Command, p agent.Profile) error {
	switch c.Intent.Type {
	case agent.IndexDocuments:
		return e.index(st, c, p)
	case agent.Summarize:
		return e.summarize(st, c, p)
	case agent.Observe:
		return e.observe(st, c, p)
	default:
		return e.callAPI(st, c, p)
	}
}

// callAPI makes one attempt at the effect of a callAPI.
func (e *Engine) callAPI(st *stream, c *agent.Command, p agent.Profile) error {
	payload := c.Intent.CallAPI()
	op, ok := p.Operation(payload.Operation)
	if !ok || op.Call == nil {
		_, err := e.record(st, c, []agent.Event{agent.CommandFailed{Reason: "OperationUnknown",
			Message: "The operation was taken off the agent's menu before the command ran; put it back and apply the command under another name."}})
		return err
	}
	op.Effect = c.Effect // as it was when the command was accepted
	request := APIRequest{Operation: op, Arguments: payload.Arguments, Key: c.Key}
	for _, h := range op.Call.Headers {
		value, err := e.Secrets.Value(e.ctx, p.Namespace, h.Value)
		if err != nil {
			return err
		}
		request.Headers = append(request.Headers, APIHeader{Name: h.Name, Value: value})
	}
	attempt, bound := e.attempt(c, 0, op.Call.Timeout)
	var outcome agent.Outcome
	if defect.ActFirst {
		outcome = e.call(bound, request)
	}
	first, err := e.record(st, c, []agent.Event{attempt})
	if err != nil || !first {
		return err
	}
	if !defect.ActFirst {
		outcome = e.call(bound, request)
	}
	return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event { return c.Executed(e.Now(), outcome) })
}

// call makes the request of an attempt that is durable. One that is under way
// when the engine stops is let finish: its outcome is worth the wait.
func (e *Engine) call(bound limit, request APIRequest) agent.Outcome {
	ctx, cancel := bound(context.WithoutCancel(e.ctx))
	defer cancel()
	failpoint.Hit(failpoint.CallSent)
	defer failpoint.Hit(failpoint.CallAnswered)
	return e.Caller.Call(ctx, request)
}
