package execution

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/failpoint"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// NotHere is the reason of the fault that the engine's methods return for an
// agent whose shard another process writes. Who holds the shard looks at the
// agent's objects; there is nothing for this process to do, and nothing to tell.
const NotHere = "NotHere"

// claimsAtOnce is how many shards are claimed side by side: each takes the
// journal's disk, and 64 one after the other would take a second.
const claimsAtOnce = 8

func notHere(n name, cause error) error {
	return &fault.Error{Kind: fault.Wait, Reason: NotHere, Err: cause,
		Message: fmt.Sprintf("Another replica works for agent %q in namespace %q.", n.agent, n.namespace)}
}

// Start holds every shard of the journal: it is for a process that works alone.
func (e *Engine) Start(ctx context.Context) error {
	all := make([]int, e.Journal.Shards())
	for i := range all {
		all[i] = i
	}
	_, err := e.Hold(ctx, all)
	return err
}

// Hold makes these shards the ones that this process writes, and returns those
// that it did not hold before. It claims them; the others it gives up: nothing
// new starts for their agents, and attempts under way finish and are recorded.
//
// If some cannot be claimed it holds the others, and the error says why. Shards
// that it was fenced from are claimed again only here, so who calls Hold has
// looked anew at whose they are.
func (e *Engine) Hold(ctx context.Context, shards []int) ([]int, error) {
	e.holding.Lock()
	defer e.holding.Unlock()
	for _, shard := range e.Held() {
		if !slices.Contains(shards, shard) {
			e.drop(shard, 0)
			e.Log.Info("a shard was given up", "shard", shard)
		}
	}
	held := e.Held()
	wanted := slices.DeleteFunc(slices.Clone(shards), func(shard int) bool { return slices.Contains(held, shard) })
	failures := make([]error, len(wanted))
	var claims sync.WaitGroup
	slots := make(chan struct{}, claimsAtOnce)
	for i, shard := range wanted {
		slots <- struct{}{}
		claims.Go(func() {
			defer func() { <-slots }()
			if err := e.claim(ctx, shard); err != nil {
				failures[i] = fmt.Errorf("claim shard %d of the journal: %w", shard, err)
			}
		})
	}
	claims.Wait()
	var gained []int
	for i, shard := range wanted {
		if failures[i] == nil {
			gained = append(gained, shard)
		}
	}
	return gained, errors.Join(failures...)
}

func (e *Engine) claim(ctx context.Context, shard int) error {
	epoch, err := e.Journal.Claim(ctx, shard)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.ShardClaimed)
	e.mu.Lock()
	e.epochs[shard] = epoch
	e.mu.Unlock()
	e.Log.Info("this process writes a shard of the journal", "shard", shard, "epoch", epoch)
	return nil
}

// Held returns the shards that this process writes, sorted.
func (e *Engine) Held() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	shards := make([]int, 0, len(e.epochs))
	for shard := range e.epochs {
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	return shards
}

// Holds reports whether this process writes for an agent now.
func (e *Engine) Holds(ctx context.Context, namespace, agentName string) (bool, error) {
	shard, err := e.Shard(ctx, namespace, agentName)
	return err == nil && e.epoch(shard) != 0, err
}

// Shard returns the shard of an agent. All lives of the agent share it, so it
// is asked for once.
func (e *Engine) Shard(ctx context.Context, namespace, agentName string) (int, error) {
	n := name{namespace, agentName}
	e.mu.Lock()
	shard, known := e.shards[n]
	e.mu.Unlock()
	if known {
		return shard, nil
	}
	stream := agent.StreamName(namespace, agentName, 1)
	shard, err := e.Journal.Shard(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("find the shard of stream %s: %w", stream, err)
	}
	e.mu.Lock()
	e.shards[n] = shard
	e.mu.Unlock()
	return shard, nil
}

// epoch returns the epoch under which a shard is held, 0 if it is not.
func (e *Engine) epoch(shard int) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epochs[shard]
}

// drop forgets a shard and its streams. An epoch other than 0 is the one that
// the caller saw: if the shard was claimed again since, nothing is dropped. It
// reports whether the shard was held.
func (e *Engine) drop(shard int, epoch int64) bool {
	e.mu.Lock()
	held := e.epochs[shard]
	if held == 0 || epoch != 0 && epoch != held {
		e.mu.Unlock()
		return false
	}
	delete(e.epochs, shard)
	var dropped []*stream
	for n, st := range e.streams {
		if st.shard == shard {
			dropped = append(dropped, st)
			delete(e.streams, n)
		}
	}
	e.mu.Unlock()
	for _, st := range dropped {
		st.leave()
	}
	return true
}

// leave ends what the engine does for a stream, but for attempts under way: they
// keep the stream's state to record their outcomes from.
func (st *stream) leave() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.left = true
	for key, r := range st.runs {
		r.stopTimer()
		if !r.active {
			delete(st.runs, key)
		}
	}
}

// fenced takes note that an append was refused, because another process has
// claimed the shard since the epoch that the caller saw.
func (e *Engine) fenced(n name, shard int, epoch int64, cause error) error {
	if epoch != 0 && e.drop(shard, epoch) {
		e.Log.Warn("another process has claimed a shard of the journal", "shard", shard)
		e.Lost(shard)
	}
	return notHere(n, cause)
}

// Moved is told that a stream grew by whoever follows the journal. If an attempt
// is open that this process did not make, that may be its outcome, recorded by
// the process that held the shard before; its command need not rest until the
// deadline then. It does not block.
func (e *Engine) Moved(id string) {
	namespace, agentName := agent.ParseStream(id)
	e.mu.Lock()
	st := e.streams[name{namespace, agentName}]
	e.mu.Unlock()
	if st == nil || st.id != id || !st.awaits() || e.ctx.Err() != nil {
		return
	}
	e.work.Go(func() {
		if err := e.take(e.ctx, st, nil, ""); err != nil && e.ctx.Err() == nil {
			e.Log.Warn("a stream that moved cannot be read; it is read again at the attempt's deadline", "stream", id, "error", err.Error())
		}
	})
}

// awaits reports whether an attempt is open that nothing in this process carries out.
func (st *stream) awaits() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for key, c := range st.state.Open {
		if r := st.runs[key]; c.Attempt != nil && (r == nil || !r.active) {
			return true
		}
	}
	return false
}

// append appends, and keeps watch on the journal's health and on whose the shard is.
func (e *Engine) append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	namespace, agentName := agent.ParseStream(b.Stream)
	shard, err := e.Shard(ctx, namespace, agentName)
	if err != nil {
		return nil, err
	}
	epoch := e.epoch(shard)
	if epoch == 0 && !b.Late {
		return nil, notHere(name{namespace, agentName}, nil)
	}
	failpoint.Hit(failpoint.Append + b.Events[0].Type)
	records, err := e.Journal.Append(ctx, b)
	switch {
	case err == nil:
		failpoint.Hit(failpoint.Appended + b.Events[0].Type)
	case errors.Is(err, journal.ErrFenced):
		return nil, e.fenced(name{namespace, agentName}, shard, epoch, err)
	case errors.Is(err, journal.ErrUnavailable):
		if e.ill.Swap(&err) == nil {
			e.Health(err)
			e.work.Go(e.nurse)
		}
	}
	return records, err
}
