package execution

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// Receipt is what the door says of an order.
type Receipt struct {
	Stream  string
	Command *agent.Command // nil: it was not accepted, because the agent is suspended
	Late    error          // why it could not be moved on just now, nil if nothing is in its way
}

// Submit brings an order through the door, whoever sends it and however often:
// the first time it is accepted or refused, later its state is returned. Cancel
// asks to stop it. A caller may change what is returned.
//
// It returns a fault: Invalid with reason IdempotencyKeyConflict if another
// intent holds the key, Corrupt if the stream cannot be read, Retry if the
// journal cannot be read or written now.
func (e *Engine) Submit(ctx context.Context, p agent.Profile, o agent.Order, cancel bool) (Receipt, error) {
	st, err := e.open(ctx, name{p.Namespace, p.Name})
	if err != nil {
		return Receipt{}, err
	}
	e.adopt(st, p)
	c, err := e.find(ctx, st, o, p.Suspended)
	if err != nil || c == nil {
		return Receipt{Stream: st.id}, err
	}
	if c.Intent.Digest() != o.Intent.Digest() {
		return Receipt{Stream: st.id}, conflict(o.Key, fmt.Sprintf("command %q (event %d)", c.Name, c.Sequence))
	}
	if cancel && c.Cancel == "" && !c.CancelOverruled && !c.Phase.Final() {
		c, err = e.stop(ctx, st, c.Key, "CancelRequested")
		if err != nil {
			return Receipt{Stream: st.id}, err
		}
	}
	return Receipt{Stream: st.id, Command: c, Late: e.late(st, o.Key)}, nil
}

func conflict(key, owner string) error {
	return fault.NewInvalid("IdempotencyKeyConflict",
		"The idempotency key %q belongs to %s, which wants something else. Give this command a key of its own.", key, owner)
}

// adopt takes the newest profile, and lets everything move if that may help.
func (e *Engine) adopt(st *stream, p agent.Profile) {
	st.mu.Lock()
	resumed := st.profile.Suspended && !p.Suspended
	fresh := st.profile.Name == ""
	st.profile = p
	var keys []string
	if resumed || fresh {
		keys = st.state.OpenKeys()
	}
	st.mu.Unlock()
	for _, key := range keys {
		e.schedule(st, key)
	}
}

// admit returns the order's command: open, ended, or accepted just now. It
// returns a VersionError if the command depends on others, and the stream moved.
func (e *Engine) admit(ctx context.Context, st *stream, o agent.Order, suspended bool) (*agent.Command, error) {
	st.door.RLock()
	defer st.door.RUnlock()
	st.mu.Lock()
	if c := st.known(o.Key); c != nil {
		defer st.mu.Unlock()
		return c.Clone(), nil
	}
	if st.state.Closed {
		st.mu.Unlock()
		return nil, fault.NewConflict("StreamClosed", "Stream %s was closed; the agent's next life has another.", st.id)
	}
	digest, issued := st.state.Issued(o.Key)
	if issued && digest != o.Intent.Digest() {
		st.mu.Unlock()
		return nil, conflict(o.Key, "a command that an ask issued")
	}
	b := st.accept(o, e.Authorise(st.profile, o.Intent, issued))
	st.mu.Unlock()
	if suspended {
		return e.recall(ctx, st, o.Key)
	}
	records, err := e.append(ctx, b)
	var duplicate *journal.DuplicateKeyError
	switch {
	case errors.As(err, &duplicate):
		if err := e.take(ctx, st, nil, o.Key); err != nil {
			return nil, err
		}
		return e.recall(ctx, st, o.Key)
	case errors.Is(err, journal.ErrInvalid):
		return nil, fault.NewInvalid("CommandTooLarge", "The command does not fit into an event of %d KiB; send less at once, under another name.", journal.MaxData>>10)
	case err != nil:
		return nil, fmt.Errorf("accept %s: %w", o.Key, err)
	}
	if err := e.take(ctx, st, records, o.Key); err != nil {
		return nil, err
	}
	return e.snapshot(st, o.Key, records)
}

// snapshot returns the open command, or the ended one that the records tell whole.
func (e *Engine) snapshot(st *stream, key string, records []journal.Record) (*agent.Command, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if c := st.known(key); c != nil {
		return c.Clone(), nil
	}
	return fold(slices.DeleteFunc(records, func(r journal.Record) bool { return r.Subject != key }))
}

// known returns a command that is open, to be settled, or ended just now, or nil.
// The caller holds the lock.
func (st *stream) known(key string) *agent.Command {
	if c := st.current(key); c != nil {
		return c
	}
	return st.ended.byKey[key]
}

// recall returns a command from its records, with what the state adds if it is
// open, or nil if there is none.
func (e *Engine) recall(ctx context.Context, st *stream, key string) (*agent.Command, error) {
	records, err := e.Journal.ReadSubject(ctx, st.id, key)
	if err != nil {
		return nil, fmt.Errorf("read command %s of stream %s: %w", key, st.id, err)
	}
	return e.snapshot(st, key, records)
}

func fold(records []journal.Record) (*agent.Command, error) {
	recorded := make([]agent.Recorded, 0, len(records))
	for _, r := range records {
		one, err := decode(r)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, one)
	}
	return agent.Fold(recorded), nil
}

// stop records that an open command is to be stopped, and returns it.
func (e *Engine) stop(ctx context.Context, st *stream, key, reason string) (*agent.Command, error) {
	for {
		st.mu.Lock()
		c := st.state.Open[key]
		if c == nil {
			st.mu.Unlock()
			return e.recall(ctx, st, key)
		}
		if c.Cancel != "" {
			defer st.mu.Unlock()
			return c.Clone(), nil
		}
		version := c.Version
		st.mu.Unlock()
		records, err := e.append(ctx, batch(st.id, key, version, []agent.Event{agent.CancelRequested{Reason: reason}}))
		var duplicate *journal.DuplicateKeyError
		if err != nil && !errors.As(err, &duplicate) {
			return nil, fmt.Errorf("cancel %s: %w", key, err)
		}
		if err := e.take(ctx, st, records, ""); err != nil {
			return nil, err
		}
		st.cutOff(key)
	}
}

// cutOff ends the request to a model that is under way for the command.
func (st *stream) cutOff(key string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if r := st.runs[key]; r != nil && r.cut != nil {
		r.cut()
	}
}

// Refuse ends a command that a decision issued and that cannot come through the
// door, because its name is taken.
func (e *Engine) Refuse(ctx context.Context, namespace, agentName string, child agent.IssuedCommand, a agent.Approval) error {
	st, err := e.open(ctx, name{namespace, agentName})
	if err != nil {
		return err
	}
	st.mu.Lock()
	order := agent.Order{Name: child.Name, Key: child.Key, Intent: child.Intent, Retry: agent.Retry{MaxAttempts: 1}}
	b := st.accept(order, a)
	st.mu.Unlock()
	records, err := e.append(ctx, b)
	var duplicate *journal.DuplicateKeyError
	if err != nil && !errors.As(err, &duplicate) {
		return fmt.Errorf("refuse %s: %w", child.Key, err)
	}
	return e.take(ctx, st, records, "")
}

// OpenByName reports whether a command with that name is open in a stream of
// the namespace that this process has folded.
func (e *Engine) OpenByName(namespace, command string) bool {
	return len(e.named(namespace, command)) > 0
}

// Withdraw stops the open commands with that name: their object is gone.
func (e *Engine) Withdraw(ctx context.Context, namespace, command string) error {
	for _, found := range e.named(namespace, command) {
		if _, err := e.stop(ctx, found.st, found.key, "CommandDeleted"); err != nil {
			return err
		}
	}
	return nil
}

type place struct {
	st  *stream
	key string
}

func (e *Engine) named(namespace, command string) []place {
	var found []place
	for _, st := range e.all() {
		if st.namespace != namespace {
			continue
		}
		st.mu.Lock()
		for key, c := range st.state.Open {
			if c.Name == command {
				found = append(found, place{st, key})
			}
		}
		st.mu.Unlock()
	}
	return found
}

// Recall returns what the journal says of a command in the newest life of the
// agent that knows it, and that stream's name; nil if none does. It serves for
// commands whose agent is gone.
func (e *Engine) Recall(ctx context.Context, namespace, agentName, key string) (*agent.Command, string, error) {
	var command *agent.Command
	var stream string
	for life := 1; ; life++ {
		id := agent.StreamName(namespace, agentName, life)
		head, err := e.Journal.Head(ctx, id)
		if err != nil || head == 0 {
			return command, stream, err
		}
		c, err := e.Told(ctx, id, key)
		if err != nil {
			return nil, "", err
		}
		if c != nil {
			command, stream = c, id
		}
	}
}
