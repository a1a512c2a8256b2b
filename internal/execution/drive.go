package execution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	// lateAfter is when a command that could not be moved on is looked at again.
	lateAfter = time.Second
	// restAtMost bounds a rest: a time to wait for is one of the wall clock, which
	// may be set meanwhile, and a timer does not notice.
	restAtMost = time.Minute
)

// schedule lets an open command move: one goroutine at a time drives it.
func (e *Engine) schedule(st *stream, key string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state.Open[key] == nil || st.left || e.ctx.Err() != nil {
		if r := st.runs[key]; r != nil && !r.active {
			r.stopTimer()
			delete(st.runs, key)
		}
		return
	}
	r := st.runs[key]
	if r == nil {
		r = &run{}
		st.runs[key] = r
	}
	r.stopTimer()
	if r.active {
		r.again = true
		return
	}
	r.active = true
	e.work.Go(func() { e.drive(st, key, r) })
}

func (r *run) stopTimer() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// late returns why the command could not be moved on the last time.
func (e *Engine) late(st *stream, key string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if r := st.runs[key]; r != nil {
		return r.late
	}
	return nil
}

// drive carries out one action after the other until the command rests.
func (e *Engine) drive(st *stream, key string, r *run) {
	for {
		st.mu.Lock()
		r.again = false
		action := st.next(key, e.Now())
		resting := action.Kind == agent.Rest || st.left || e.ctx.Err() != nil
		if resting {
			e.rest(st, key, r, action.At)
			st.mu.Unlock()
			return
		}
		c, p := st.state.Open[key].Clone(), st.profile
		st.mu.Unlock()
		err := e.act(st, c, p, action)
		st.mu.Lock()
		news := (err != nil) != (r.late != nil)
		r.late = err
		if err != nil {
			e.rest(st, key, r, e.Now().Add(waitOf(err)))
		}
		st.mu.Unlock()
		if news && reasonOf(err) != NotHere {
			e.Poke(st.namespace, c.Name)
		}
		if err != nil {
			e.Log.Info("a command cannot move on now", "stream", st.id, "command", c.Name, "error", err.Error())
			return
		}
	}
}

// next returns the command's next action. Without its profile (the agent's object
// is not there, or was not seen yet) or while the agent is suspended, a command
// can end, but nothing is started for it. The caller holds the lock.
func (st *stream) next(key string, now time.Time) agent.Action {
	known := st.profile.Name != ""
	steps := math.MaxInt
	if known {
		steps = st.profile.MaxSteps
	}
	action := st.state.Next(key, now, steps)
	starts := action.Kind == agent.Decide || action.Kind == agent.Execute
	if c := st.state.Open[key]; starts && (!known || st.profile.Suspended) {
		return agent.Action{At: c.Deadline}
	}
	return action
}

// rest ends a drive; the caller holds the lock. A poke that came meanwhile, or
// the time at, starts the next.
func (e *Engine) rest(st *stream, key string, r *run, at time.Time) {
	r.active = false
	switch {
	case st.state.Open[key] == nil || st.left || e.ctx.Err() != nil:
		delete(st.runs, key)
	case r.again:
		r.active = true
		e.work.Go(func() { e.drive(st, key, r) })
	case !at.IsZero():
		wait := min(max(at.Sub(e.Now()), time.Millisecond), e.relook)
		r.timer = time.AfterFunc(wait, func() { e.schedule(st, key) })
	}
}

func reasonOf(err error) string {
	if f := fault.Of(err); f != nil {
		return f.Reason
	}
	return ""
}

func waitOf(err error) time.Duration {
	if f := fault.Of(err); f.Kind == fault.Wait && f.After > 0 {
		return f.After
	}
	return lateAfter
}

func (e *Engine) act(st *stream, c *agent.Command, p agent.Profile, action agent.Action) error {
	switch action.Kind {
	case agent.Record:
		return e.recordAt(st, c, action)
	case agent.Decide:
		return e.decide(st, c, p) // it takes its places itself
	case agent.Execute:
		if c.Intent.Type == agent.Summarize {
			return e.summarize(st, c, p) // likewise
		}
		return e.slot(e.slotsFor(c.Intent.Type), func() error { return e.execute(st, c, p) })
	}
	return nil
}

// slot bounds the calls that are under way at the same time.
func (e *Engine) slot(slots chan struct{}, call func() error) error {
	select {
	case <-e.ctx.Done():
		return nil
	case slots <- struct{}{}:
	}
	defer func() { <-slots }()
	return call()
}

// record appends events about the command as it was seen. It reports false if
// somebody else was first; the state has then caught up.
func (e *Engine) record(st *stream, c *agent.Command, events []agent.Event, blobs ...journal.Blob) (bool, error) {
	if st.hasLeft() {
		return false, notHere(st.name, nil)
	}
	b := batch(st.id, c.Key, c.Version, events)
	b.Blobs = blobs
	return e.write(st, c, b)
}

func (st *stream) hasLeft() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.left
}

func (e *Engine) write(st *stream, c *agent.Command, b journal.Batch) (bool, error) {
	ctx := context.WithoutCancel(e.ctx) // an append that is under way when the engine stops is let finish
	records, err := e.append(ctx, b)
	var duplicate *journal.DuplicateKeyError
	if err != nil && !errors.As(err, &duplicate) {
		return false, fmt.Errorf("record %s of %s: %w", b.Events[0].Type, c.Key, err)
	}
	return err == nil, e.take(ctx, st, records, "")
}

// settle records how an attempt ended, however long the journal refuses: the
// outcome is known here and nowhere else. It does so also after the shard was
// lost, from the state as this process knows it, unless somebody who was allowed
// to has closed the attempt meanwhile. Only the process's end loses the outcome,
// or a store that takes nothing from a writer whose epoch is over; the attempt is
// then found open.
func (e *Engine) settle(st *stream, key string, attempt int, outcome func(c *agent.Command) []agent.Event, blobs ...journal.Blob) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		st.mu.Lock()
		c := st.state.Open[key]
		if c == nil || c.Attempt == nil || c.Attempt.Number != attempt {
			st.mu.Unlock()
			return nil // somebody who was allowed to has closed it
		}
		c = c.Clone()
		st.mu.Unlock()
		b := batch(st.id, key, c.Version, outcome(c))
		b.Blobs, b.Late = blobs, true
		done, err := e.write(st, c, b)
		switch {
		case done && err == nil:
			return nil
		case errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrClosed), fault.Is(err, fault.Corrupt):
			return err
		case err != nil:
			e.Log.Warn("an outcome is not recorded yet", "stream", st.id, "command", c.Name, "error", err.Error())
			time.Sleep(wait) // even while stopping: Stop's caller bounds the wait
		}
	}
}
