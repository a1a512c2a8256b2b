package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

var errClosed = errors.New("the projection is closed")

// head is how far one stream is projected.
type head struct {
	stream   int64 // its number in the file
	sequence int64
	stop     *stop // nil: it goes on
}

// stop is the record at which a stream stopped.
type stop struct {
	sequence int64
	kind     string
	version  int
	cause    string
}

func (s *stop) fault(stream string) error {
	return fault.NewCorrupt("UnreadableEvent", errors.New(s.cause),
		"Stream %s cannot be projected beyond sequence %d: its event %s.v%d at sequence %d cannot be read. Nothing is skipped; run a version of Edict that knows this event, or restore the journal.",
		stream, s.sequence-1, s.kind, s.version, s.sequence)
}

// heads is how far every stream is projected, and who waits for more. It is what
// was committed, never what is about to be.
type heads struct {
	mu      sync.RWMutex
	all     map[string]head
	waiting map[string]*wake
}

// wake is closed when its stream grows or stops.
type wake struct {
	grown   chan struct{}
	waiters int
}

func newHeads(all map[string]head) *heads { return &heads{all: all, waiting: map[string]*wake{}} }

func (h *heads) get(stream string) (head, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	one, ok := h.all[stream]
	return one, ok
}

func (h *heads) publish(touched map[string]head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.all, touched)
	for stream := range touched {
		if w := h.waiting[stream]; w != nil {
			close(w.grown)
			delete(h.waiting, stream)
		}
	}
}

// watch returns a stream's head, and a wake that comes when it is another. The
// caller hands the wake back with leave.
func (h *heads) watch(stream string) (head, *wake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiting[stream]
	if w == nil {
		w = &wake{grown: make(chan struct{})}
		h.waiting[stream] = w
	}
	w.waiters++
	return h.all[stream], w
}

func (h *heads) leave(stream string, w *wake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.waiters--; w.waiters == 0 && h.waiting[stream] == w {
		delete(h.waiting, stream)
	}
}

// Head returns the sequence of the last record of a stream that is projected, 0
// for a stream without records. If the stream stopped at an event that cannot be
// read, it returns the last sequence before it and a fault of kind Corrupt: what
// is older can still be read, by asking for it.
func (s *Store) Head(_ context.Context, stream string) (int64, error) {
	h, _ := s.heads.get(stream)
	if h.stop != nil {
		return h.sequence, h.stop.fault(stream)
	}
	return h.sequence, nil
}

// WaitFor returns nil once at least the first min records of a stream are
// projected. When the context's deadline comes first, it returns a fault of kind
// Wait that says how far the projection is; when the stream stopped before that,
// one of kind Corrupt, at once.
func (s *Store) WaitFor(ctx context.Context, stream string, min int64) error {
	for {
		h, w := s.heads.watch(stream)
		if h.sequence >= min || h.stop != nil {
			s.heads.leave(stream, w)
			if h.sequence >= min {
				return nil
			}
			return h.stop.fault(stream)
		}
		select {
		case <-w.grown:
			continue // the wake is no longer listed
		case <-s.closed:
			s.heads.leave(stream, w)
			return errClosed
		case <-ctx.Done():
			s.heads.leave(stream, w)
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s.behind(ctx, stream, h.sequence, min)
			}
			return ctx.Err()
		}
	}
}

// behind says how far the projection is when it is not as far as it was asked to be.
func (s *Store) behind(ctx context.Context, stream string, seen, min int64) error {
	const soon = time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), soon) // the caller's own time is over
	defer cancel()
	held := ""
	if n, err := s.log.Head(ctx, stream); err == nil {
		held = fmt.Sprintf(", the journal holds %d", n)
	}
	return fault.NewWait(soon, "ProjectionBehind",
		"Sequence %d of stream %s was asked for; the projection has seen %d%s. Ask again shortly, or for less.", min, stream, seen, held)
}

// Lag returns how many records of a stream the journal holds that are not yet projected.
func (s *Store) Lag(ctx context.Context, stream string) (int64, error) {
	held, err := s.log.Head(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	h, _ := s.heads.get(stream)
	return max(0, held-h.sequence), nil // the projection may have moved on since the first look
}

// Stopped returns the fault of every stream that stopped at an event that cannot be read.
func (s *Store) Stopped() map[string]error {
	s.heads.mu.RLock()
	defer s.heads.mu.RUnlock()
	stopped := map[string]error{}
	for stream, h := range s.heads.all {
		if h.stop != nil {
			stopped[stream] = h.stop.fault(stream)
		}
	}
	return stopped
}
