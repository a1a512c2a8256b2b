package execution

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/defect"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	// page is how many records are read at once.
	page = 1000
	// preparedAtOnce is for how many asks of one stream contexts are built at the same time.
	preparedAtOnce = 16
)

// stream is one agent's state in memory, folded from its records. Appends to a
// stream run side by side, so that the journal can commit them together; each is
// numbered by the command's version, so of two that saw the same state one loses.
type stream struct {
	name  // the agent
	id    string
	shard int

	// door is held for reading while a command is accepted, and for writing while
	// the stream is closed, so that nothing comes in after its last event.
	door sync.RWMutex

	mu      sync.Mutex
	state   *agent.State
	profile agent.Profile
	runs    map[string]*run
	ended   recent
	left    bool // another process has the shard, or will: nothing new starts

	// preparing is how many of the engine's places the stream's asks have at most: those of one whose read side is behind
	// leave some to others.
	preparing chan struct{}

	embedding embeddings // see the method embeddings
	filling   bool       // an ask has passages embedded
}

// recent holds the commands that ended last, because their status is about to be
// written: it spares the journal a question. It is bounded, and may be empty.
type recent struct {
	byKey map[string]*agent.Command
	keys  []string
}

const recentCommands = 512

func (r *recent) add(c *agent.Command) {
	if r.byKey == nil {
		r.byKey = map[string]*agent.Command{}
	}
	if len(r.keys) == recentCommands {
		delete(r.byKey, r.keys[0])
		r.keys = r.keys[1:]
	}
	r.byKey[c.Key] = c
	r.keys = append(r.keys, c.Key)
}

// run is what the engine holds about an open command, beside its state.
type run struct {
	active bool               // a goroutine drives it
	again  bool               // it was poked meanwhile
	timer  *time.Timer        // looks at it later
	cut    context.CancelFunc // ends the request to the model under way
	late   error              // why the last try to drive it failed
}

// open returns the agent's stream, folding it from the journal the first time.
// It returns the fault NotHere if this process does not hold the agent's shard.
func (e *Engine) open(ctx context.Context, n name) (*stream, error) {
	shard, err := e.Shard(ctx, n.namespace, n.agent)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	st, epoch := e.streams[n], e.epochs[shard]
	e.mu.Unlock()
	switch {
	case st != nil:
		return st, nil
	case epoch == 0:
		return nil, notHere(n, nil)
	}
	if st, err = e.load(ctx, n, shard); err != nil {
		return nil, err
	}
	e.mu.Lock()
	first, still := e.streams[n], e.epochs[shard]
	if first == nil && still == epoch {
		e.streams[n] = st
	}
	e.mu.Unlock()
	switch {
	case first != nil:
		return first, nil
	case still != epoch:
		return nil, notHere(n, nil) // the shard went while the stream was folded
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, c := range st.state.Open {
		e.Poke(n.namespace, c.Name) // so that one whose object is gone is noticed
	}
	return st, nil
}

// load folds the newest life of the agent's stream: the first that is not closed.
func (e *Engine) load(ctx context.Context, n name, shard int) (*stream, error) {
	for life := 1; ; life++ {
		st := &stream{name: n, id: agent.StreamName(n.namespace, n.agent, life), shard: shard, state: agent.NewState(), runs: map[string]*run{},
			preparing: make(chan struct{}, preparedAtOnce)}
		if _, err := e.catchUp(ctx, st); err != nil {
			return nil, err
		}
		if !st.state.Closed {
			return st, nil
		}
	}
}

// catchUp folds what the journal has beyond the state, and returns the commands
// that it moved. The caller holds the stream's lock, or is its only holder.
func (e *Engine) catchUp(ctx context.Context, st *stream) ([]moved, error) {
	var all []moved
	for {
		records, err := e.Journal.ReadStream(ctx, st.id, st.state.Sequence+1, page)
		if err != nil {
			return all, fmt.Errorf("read stream %s: %w", st.id, err)
		}
		m, err := st.fold(records)
		all = append(all, m...)
		if err != nil || len(records) < page {
			return all, err
		}
	}
}

// moved is a command that an event let move.
type moved struct {
	key, command string
	tell         bool // its status has news that people should see
}

// fold applies records to the state. The caller holds the lock.
func (st *stream) fold(records []journal.Record) ([]moved, error) {
	var all []moved
	for _, r := range records {
		if r.Sequence <= st.state.Sequence {
			continue
		}
		recorded, err := decode(r)
		if err != nil {
			return all, err
		}
		all = append(all, st.apply(recorded)...)
	}
	return all, nil
}

// apply folds one event, and returns the commands that it moved. The caller holds the lock.
func (st *stream) apply(recorded agent.Recorded) []moved {
	var all []moved
	before := st.current(recorded.Subject)
	reopened := before != nil && before.Phase.Final()
	for _, key := range st.state.Apply(recorded) {
		c := st.current(key)
		if c == nil {
			c = before
		}
		if c == nil || c.Key != key {
			continue
		}
		if c.Phase.Final() {
			st.ended.add(c)
		}
		news := c.Phase.Final() || c == before && reopened
		all = append(all, moved{key: key, command: c.Name, tell: news || len(c.Unaccepted()) > 0})
	}
	return all
}

func decode(r journal.Record) (agent.Recorded, error) {
	event, err := agent.Decode(agent.Stored(r.Event))
	if err != nil {
		return agent.Recorded{}, fault.NewCorrupt("UnreadableEvent", err,
			"Event %d of stream %s (%s, version %d) cannot be read by this version of Edict; upgrade it. Nothing of this agent runs until then.",
			r.Sequence, r.Stream, r.Type, r.Version)
	}
	return agent.Recorded{Sequence: r.Sequence, Time: r.Time, Subject: r.Subject, Event: event}, nil
}

// take folds records that were just appended, reading what lies between them and
// the state from the journal, and lets the commands move that they concern. Quiet
// is a command whose caller looks at it anyway.
func (e *Engine) take(ctx context.Context, st *stream, records []journal.Record, quiet string) error {
	st.mu.Lock()
	var all []moved
	var err error
	if len(records) > 0 && records[0].Sequence <= st.state.Sequence+1 {
		all, err = st.fold(records)
	} else {
		all, err = e.catchUp(ctx, st)
	}
	st.mu.Unlock()
	for _, m := range all {
		e.schedule(st, m.key)
		if m.tell && m.key != quiet {
			e.Poke(st.namespace, m.command)
		}
	}
	return err
}

// batch numbers the events by the version of the command that they are about:
// whoever saw the same version and comes second is refused by the journal.
func batch(stream, key string, version int, events []agent.Event) journal.Batch {
	b := journal.Batch{Stream: stream, Expected: journal.AnyVersion, Key: fmt.Sprintf("%s#%d", key, version)}
	if defect.DropVersion {
		b.Key = ""
	}
	for _, event := range events {
		b.Events = append(b.Events, journal.Event(agent.Encode(key, event)))
	}
	return b
}
