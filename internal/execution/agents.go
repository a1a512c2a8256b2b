package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// closingKey is the key of the batch that closes a stream.
const closingKey = "agent-deleted"

// Summary is what an agent's stream says of the agent as a whole.
type Summary struct {
	Stream       string
	Sequence     int64
	Open         int
	Today        agent.Usage
	LastDecision time.Time
	Embedding    *EmbeddingNews // nil: this process has asked the embedding server that the agent declares for nothing
}

// Summary returns it, folding the stream if need be, and takes the newest profile.
func (e *Engine) Summary(ctx context.Context, p agent.Profile) (Summary, error) {
	st, err := e.open(ctx, name{p.Namespace, p.Name})
	if err != nil {
		return Summary{}, err
	}
	e.adopt(st, p)
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.state
	sum := Summary{Stream: st.id, Sequence: s.Sequence, Open: len(s.Open), Today: s.TokensOn(e.Now()), LastDecision: s.LastDecision}
	if p.Embeddings != nil {
		sum.Embedding = st.embeddings(*p.Embeddings).news
	}
	return sum, nil
}

// Stream returns the name of the agent's newest stream: of its first life that
// was not closed. It asks the journal, whoever holds the agent's shard.
func (e *Engine) Stream(ctx context.Context, namespace, agentName string) (string, error) {
	return NewestStream(ctx, e.Journal, namespace, agentName)
}

// NewestStream is Engine.Stream for who has no engine, and only reads the journal.
func NewestStream(ctx context.Context, j interface {
	Find(ctx context.Context, stream, key string) (span journal.Span, found bool, err error)
}, namespace, agentName string) (string, error) {
	for life := 1; ; life++ {
		id := agent.StreamName(namespace, agentName, life)
		_, closed, err := j.Find(ctx, id, closingKey)
		if err != nil {
			return "", fmt.Errorf("find the end of stream %s: %w", id, err)
		}
		if !closed {
			return id, nil
		}
	}
}

// Retire ends a deleted agent: its open commands are stopped, and unless retain
// is set its stream is closed, so that a new agent of that name starts another.
// It returns a Wait while commands are still ending.
func (e *Engine) Retire(ctx context.Context, namespace, agentName string, retain bool) error {
	n := name{namespace, agentName}
	st, err := e.open(ctx, n)
	if err != nil {
		return err
	}
	st.mu.Lock()
	keys, head := st.state.OpenKeys(), st.state.Sequence
	st.mu.Unlock()
	for _, key := range keys {
		if _, err := e.stop(ctx, st, key, "AgentDeleted"); err != nil {
			return err
		}
		e.schedule(st, key) // also if a process that is gone has stopped it: nobody else looks at it now
	}
	if len(keys) > 0 {
		return fault.NewWait(time.Second, "CommandsEnding", "%d open commands are being stopped; calls under way are let finish.", len(keys))
	}
	if head > 0 && !retain {
		if err := e.close(ctx, st); err != nil {
			return err
		}
	}
	e.mu.Lock()
	delete(e.streams, n)
	e.mu.Unlock()
	return nil
}

// close appends the stream's last event, if no command came in meanwhile.
func (e *Engine) close(ctx context.Context, st *stream) error {
	st.door.Lock()
	defer st.door.Unlock()
	st.mu.Lock()
	open, head := len(st.state.Open), st.state.Sequence
	st.mu.Unlock()
	if open > 0 {
		return fault.NewConflict("StreamMoved", "Stream %s moved on while it was being closed.", st.id)
	}
	b := batch(st.id, "", 0, []agent.Event{agent.AgentDeleted{}})
	b.Key, b.Expected = closingKey, head
	records, err := e.append(ctx, b)
	var version *journal.VersionError
	var duplicate *journal.DuplicateKeyError
	if err != nil && !errors.As(err, &version) && !errors.As(err, &duplicate) {
		return fmt.Errorf("close stream %s: %w", st.id, err)
	}
	if err := e.take(ctx, st, records, ""); err != nil {
		return err
	}
	if version != nil {
		return fault.NewConflict("StreamMoved", "Stream %s moved on while it was being closed.", st.id)
	}
	return nil
}
