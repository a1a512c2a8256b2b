package cluster

import (
	"io"
	"strings"
	"sync"
)

// tail passes on what is written to it and remembers the end of it, so that an error can say what a process complained
// about.
type tail struct {
	mu   sync.Mutex
	next io.Writer // may be nil
	end  []byte
}

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if len(t.end) > tailBytes {
		t.end = append(t.end[:0], t.end[len(t.end)-tailBytes:]...)
	}
	if t.next != nil {
		// The process must not die of a reader that went away.
		_, _ = t.next.Write(p)
	}
	return len(p), nil
}

// last returns the remembered lines, each on a line of its own, or nothing.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return ""
	}
	return "\nthe processes' last lines:\n" + strings.TrimSpace(string(t.end))
}
