package agent

import "fmt"

// UpTo returns the last sequence that a summarize may cover: what it asks for, but
// nothing that came after it was accepted.
func (c *Command) UpTo() int64 {
	accepted := c.acceptedAt()
	if asked := c.Intent.Summarize().UpTo; asked > 0 && asked < accepted {
		return asked
	}
	return accepted
}

// acceptedAt returns the sequence of the command's acceptance.
func (c *Command) acceptedAt() int64 {
	for _, m := range c.Marks {
		if m.Stage == StageAccepted {
			return m.Sequence
		}
	}
	return 0
}

// Summarized returns the events of a model's summary: it closes the attempt that asked for it, and ends the command.
func (c *Command) Summarized(written SummaryWritten) []Event {
	return []Event{written, CommandSucceeded{Message: fmt.Sprintf("Summarised %s, sequences %d to %d, with %s (%d tokens).",
		summarized(written.Conversation, written.Collection), written.From, written.To, bound(written.Model, 60), written.Usage.Total())}}
}

// NothingToSummarize returns the event that ends a summarize which found nothing
// that the newest summary does not cover. No attempt is open: no model was asked.
func (c *Command) NothingToSummarize() []Event {
	p := c.Intent.Summarize()
	return []Event{CommandSucceeded{Message: fmt.Sprintf("Up to sequence %d there is nothing in %s that is not summarised already; no model was asked.",
		c.UpTo(), summarized(p.Conversation, p.Collection))}}
}

func summaryResult(e SummaryWritten) string {
	return fmt.Sprintf("summarised %s up to sequence %d", summarized(e.Conversation, e.Collection), e.To)
}

func summarized(conversation, collection string) string {
	if collection != "" {
		return "the collection " + bound(collection, 100)
	}
	return "the conversation " + bound(conversation, 100)
}
