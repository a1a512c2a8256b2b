package agent

import (
	"fmt"
	"strings"
)

// The sentences that people read in conditions. They hold names, numbers and
// digests, and nothing that a model or a remote party wrote, but operation names,
// which come from the agent's own menu.

func contextMessage(e ContextBuilt) string {
	return fmt.Sprintf("View %s gave %d of %d tokens as of sequence %d (%s).", e.View, e.Tokens, e.Budget, e.Sequence, shortDigest(e.Digest))
}

func decisionMessage(e DecisionMade) string {
	if len(e.Decision.Commands) == 0 {
		return fmt.Sprintf("Decision %d was to respond (%s, %d tokens).", e.Step, bound(e.Model, 60), e.Usage.Total())
	}
	var names []string
	for _, c := range e.Decision.Commands {
		names = append(names, c.Operation)
	}
	return fmt.Sprintf("Decision %d issued %s (%s, %d tokens).", e.Step, bound(strings.Join(names, ", "), 300), bound(e.Model, 60), e.Usage.Total())
}

func cancelMessage(reason string) string {
	switch reason {
	case "CommandDeleted":
		return "The Command object was deleted before the command ended; what was done by then stands in the journal."
	case "AgentDeleted":
		return "The agent was deleted before the command ended; what was done by then stands in the journal."
	case "ParentEnded":
		return "The ask that issued this command ended first."
	}
	return "The command was stopped because spec.cancel was set; what was done by then stands in the journal."
}

func deadlineMessage(c *Command) string {
	message := fmt.Sprintf("It did not end within spec.timeout, %s.", c.Timeout)
	if c.Message != "" {
		message += " The last failure: " + c.Message
	}
	return message + " Apply it under another name to try again, with a longer timeout if it needs one."
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func shortDigest(d string) string {
	d = strings.TrimPrefix(d, "sha256:")
	return d[:min(len(d), 12)]
}

// bound cuts s to at most n bytes without splitting a character.
func bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
