package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

var errClosed = errors.New("the projection is closed")

// How often the tables are looked at for what another process has projected: at
// first soon, and seldom once somebody waits for longer than a context does.
const (
	firstLook = 5 * time.Millisecond
	nextLooks = 50 * time.Millisecond
	lateLooks = 500 * time.Millisecond
	late      = 5 * time.Second
)

var (
	selectHead    = portable(`SELECT ` + headColumns + ` WHERE s.name = $1`)
	selectStopped = portable(`SELECT ` + headColumns + ` WHERE x.sequence > 0`)
)

// head reads a stream's head from the tables; that of a stream without records is zero.
func (s *Store) head(ctx context.Context, stream string) (head, error) {
	heads, err := again(ctx, s, func() (map[string]head, error) { return gather(s.db.query(ctx, selectHead, stream)) })
	return heads[stream], err
}

// reached returns a stream's head, from memory if that says that it has reached
// the sequence, otherwise from the tables.
func (s *Store) reached(ctx context.Context, stream string, sequence int64) (head, error) {
	if h := s.heads.get(stream); h.stream > 0 && h.sequence >= sequence {
		return h, nil
	}
	return s.head(ctx, stream)
}

// Head returns the sequence of the last record of a stream that is projected, 0
// for a stream without records. If the stream stopped at an event that cannot be
// read, it returns the last sequence before it and a fault of kind Corrupt: what
// is older can still be read, by asking for it.
func (s *Store) Head(ctx context.Context, stream string) (int64, error) {
	h, err := s.head(ctx, stream)
	if err == nil && h.stop != nil {
		err = h.stop.fault(stream)
	}
	return h.sequence, err
}

// WaitFor returns nil once at least the first least records of a stream are
// projected. When the context's deadline comes first, it returns a fault of kind
// Wait that says how far the projection is; when the stream stopped before that,
// one of kind Corrupt, at once. What this store projects ends a wait at once,
// what another process projects some milliseconds later.
func (s *Store) WaitFor(ctx context.Context, stream string, least int64) error {
	var seen int64
	began := time.Now()
	for pause := firstLook; ; pause = min(2*pause, nextLooks) {
		if time.Since(began) > late {
			pause = lateLooks
		}
		h, err := s.look(ctx, stream, least, pause)
		seen = max(seen, h.sequence)
		switch {
		case err == nil && h.sequence >= least:
			return nil
		case err == nil && h.stop != nil:
			return h.stop.fault(stream)
		case err == nil:
			continue
		case s.isClosed():
			return errClosed
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return s.behind(ctx, stream, seen, least)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return err
	}
}

// look returns a stream's head, and rests until it is time to look again if that
// is not far enough, or if a connection was lost on the way.
func (s *Store) look(ctx context.Context, stream string, least int64, pause time.Duration) (head, error) {
	w := s.heads.watch(stream) // before the look, so that nothing falls in between
	defer s.heads.leave(stream, w)
	h, err := s.reached(ctx, stream, least)
	if err != nil && !s.db.passing(err) || err == nil && (h.sequence >= least || h.stop != nil) {
		return h, err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-w.grown:
		return h, nil
	case <-timer.C:
		return h, nil
	case <-s.closed:
		return h, errClosed
	case <-ctx.Done():
		return h, ctx.Err()
	}
}

// behind says how far the projection is when it is not as far as it was asked to be.
func (s *Store) behind(ctx context.Context, stream string, seen, least int64) error {
	const soon = time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), soon) // the caller's own time is over
	defer cancel()
	held := ""
	if n, err := s.log.Head(ctx, stream); err == nil {
		held = fmt.Sprintf(", the journal holds %d", n)
	}
	return fault.NewWait(soon, "ProjectionBehind",
		"Sequence %d of stream %s was asked for; the projection has seen %d%s. Ask again shortly, or for less.", least, stream, seen, held)
}

// Lag returns how many records of a stream the journal holds that are not yet projected.
func (s *Store) Lag(ctx context.Context, stream string) (int64, error) {
	held, err := s.log.Head(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	h, err := s.reached(ctx, stream, held)
	return max(0, held-h.sequence), err // the projection may have moved on since the first look
}

// Stopped returns the fault of every stream that stopped at an event that cannot be read.
func (s *Store) Stopped(ctx context.Context) (map[string]error, error) {
	heads, err := again(ctx, s, func() (map[string]head, error) { return gather(s.db.query(ctx, selectStopped)) })
	if err != nil {
		return nil, err
	}
	stopped := map[string]error{}
	for stream, h := range heads {
		stopped[stream] = h.stop.fault(stream)
	}
	return stopped, nil
}

// again does what reads alone once more when the connection was lost: as often as
// there may be connections that were lost with it, and once.
func again[T any](ctx context.Context, s *Store, read func() (T, error)) (T, error) {
	for range s.options.Readers + 1 {
		if found, err := read(); err == nil || ctx.Err() != nil || s.isClosed() || !s.db.passing(err) {
			return found, err
		}
	}
	return read()
}
