package execution

import (
	"context"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Transcripts reads what summaries are written from.
type Transcripts interface {
	// Transcript returns the newest summary, and what came after it. Its errors are faults: Wait if the read side is behind.
	Transcript(ctx context.Context, r agent.TranscriptRequest) (agent.Transcript, error)
}

// Summarizer asks a model for a summary. Its errors are as a Decider's.
type Summarizer interface {
	Summarize(ctx context.Context, q agent.SummaryInquiry) (agent.SummaryAnswer, error)
}

// summarize carries a summarize out: read what is to be covered, make the attempt
// durable, ask the model once, record what it wrote. If nothing is new, no model
// is asked, and the command succeeds with the words that say so.
func (e *Engine) summarize(st *stream, c *agent.Command, p agent.Profile) error {
	inquiry, read := agent.SummaryInquiry{Profile: p, Of: c.Intent.Summarize(), User: c.Key}, false
	err := e.slot(e.preparing, func() (err error) {
		inquiry.Transcript, err = e.Transcripts.Transcript(e.ctx, agent.TranscriptRequest{Stream: st.id, Of: inquiry.Of, UpTo: c.UpTo(), Seen: st.sequence()})
		read = err == nil
		return err
	})
	if err != nil || !read {
		return err
	}
	if len(inquiry.Transcript.Items) == 0 {
		_, err := e.record(st, c, c.NothingToSummarize())
		return err
	}
	if p.Model.APIKey != nil {
		if inquiry.APIKey, err = e.Secrets.Value(e.ctx, p.Namespace, *p.Model.APIKey); err != nil {
			return err
		}
	}
	return e.slot(e.slots, func() error { return e.askForSummary(st, c, inquiry) })
}

// askForSummary makes the attempt at a summary of what was read.
func (e *Engine) askForSummary(st *stream, c *agent.Command, inquiry agent.SummaryInquiry) error {
	p := inquiry.Profile
	attempt, bound := e.attempt(c, 0, p.Model.Timeout)
	first, err := e.record(st, c, []agent.Event{attempt})
	if err != nil || !first {
		return err
	}
	started := time.Now()
	var answer agent.SummaryAnswer
	err = e.ask(st, c.Key, bound, func(ctx context.Context) (err error) {
		answer, err = e.Summarizer.Summarize(ctx, inquiry)
		return err
	})
	if err != nil {
		return e.unanswered(st, c.Key, attempt.Attempt, err, answer.Usage)
	}
	request := journal.NewBlob(answer.Request)
	written := agent.SummaryWritten{Attempt: attempt.Attempt, Conversation: inquiry.Of.Conversation, Collection: inquiry.Of.Collection,
		From: inquiry.Transcript.From, To: inquiry.Transcript.To, Text: answer.Text, Model: answer.Model, Usage: answer.Usage,
		Latency: time.Since(started), Request: request.Digest}
	return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event { return c.Summarized(written) }, request)
}

// sequence returns how far this process has seen the stream.
func (st *stream) sequence() int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.state.Sequence
}
