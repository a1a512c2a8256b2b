package execution

import (
	"context"
	"errors"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// Most transitions depend on the state of their own command alone, and go
// wherever the stream's head is. A resolve command also changes others, some
// orders follow from what others did (agent.Order.FollowsOthers), and the end of
// an ask follows from the unknown outcome of one that it issued: these are
// appended only at the head that they were decided on, and otherwise decided again.

// decisions bounds how often an order is decided again because the stream moved on meanwhile.
const decisions = 20

// find returns the order's command: open, ended, or accepted just now.
func (e *Engine) find(ctx context.Context, st *stream, o agent.Order, suspended bool) (*agent.Command, error) {
	for range decisions {
		c, err := e.admit(ctx, st, o, suspended)
		var version *journal.VersionError
		if !errors.As(err, &version) {
			return c, err
		}
		if err := e.take(ctx, st, nil, ""); err != nil {
			return nil, err
		}
	}
	return nil, fault.NewConflict("StreamMoved", "Stream %s moved on each time that %s was decided.", st.id, o.Name)
}

// accept returns the batch with which an order comes through the door. The caller holds the lock.
func (st *stream) accept(o agent.Order, a agent.Approval) journal.Batch {
	b := batch(st.id, o.Key, 0, st.state.Accept(o, a))
	if a.Allowed && o.FollowsOthers() {
		b.Expected = st.state.Sequence
	}
	return b
}

// recordAt appends the events of an action at the head that they hold at, if they
// name one. It reports no error if the stream moved on: the state has then caught
// up, and the next look decides again.
func (e *Engine) recordAt(st *stream, c *agent.Command, action agent.Action) error {
	if action.Head == 0 {
		_, err := e.record(st, c, action.Events)
		return err
	}
	if st.hasLeft() {
		return notHere(st.name, nil)
	}
	b := batch(st.id, c.Key, c.Version, action.Events)
	b.Expected = action.Head
	_, err := e.write(st, c, b)
	var version *journal.VersionError
	if errors.As(err, &version) {
		return e.take(e.ctx, st, nil, "")
	}
	return err
}

// current returns a command that is open, or whose outcome is to be settled, or
// nil. The caller holds the lock.
func (st *stream) current(key string) *agent.Command {
	if c := st.state.Open[key]; c != nil {
		return c
	}
	return st.state.Unknown[key]
}

// Unsettled returns the name of the command of an agent that a resolve command of
// that name or key would settle, empty if there is not exactly one.
func (e *Engine) Unsettled(ctx context.Context, namespace, agentName, command string) (string, error) {
	st, err := e.open(ctx, name{namespace, agentName})
	if err != nil {
		return "", err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.state.Unsettled(command), nil
}

// Told returns what a stream's records say of a command, nil if they say nothing of it.
func (e *Engine) Told(ctx context.Context, stream, key string) (*agent.Command, error) {
	records, err := e.Journal.ReadSubject(ctx, stream, key)
	if err != nil {
		return nil, fmt.Errorf("read command %s of stream %s: %w", key, stream, err)
	}
	return fold(records)
}
