package projection

import (
	"errors"
	"maps"
	"sync"

	"github.com/edict-dev/edict/internal/fault"
)

// head is how far one stream is projected.
type head struct {
	stream   int64 // its number
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

// heads is how far this store has projected streams, and who waits for more. It
// is what was committed, never what is about to be. The tables may be further,
// and know streams that are not here.
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

func newHeads() *heads { return &heads{all: map[string]head{}, waiting: map[string]*wake{}} }

func (h *heads) get(stream string) head {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all[stream]
}

func (h *heads) publish(touched map[string]head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.all, touched)
	for stream := range touched {
		h.wake(stream)
	}
}

// forget drops what is known, or only that of some streams, and wakes everybody
// to look into the tables.
func (h *heads) forget(streams ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(streams) == 0 {
		h.all = map[string]head{}
	}
	for _, stream := range streams {
		delete(h.all, stream)
	}
	for stream := range h.waiting {
		h.wake(stream)
	}
}

func (h *heads) wake(stream string) {
	if w := h.waiting[stream]; w != nil {
		close(w.grown)
		delete(h.waiting, stream)
	}
}

// watch returns a wake that comes when the stream's head is another. The caller
// hands it back with leave.
func (h *heads) watch(stream string) *wake {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiting[stream]
	if w == nil {
		w = &wake{grown: make(chan struct{})}
		h.waiting[stream] = w
	}
	w.waiters++
	return w
}

func (h *heads) leave(stream string, w *wake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.waiters--; w.waiters == 0 && h.waiting[stream] == w {
		delete(h.waiting, stream)
	}
}
