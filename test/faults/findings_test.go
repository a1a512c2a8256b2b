package faults

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"
)

// findings are what a part of the campaign counted, and where the promise did not hold. Its methods may be called from
// any goroutine.
type findings struct {
	part string

	mu         sync.Mutex
	faults     map[string]int // injected, by kind
	counts     counts
	stall      time.Duration // longest, of a shard
	converge   time.Duration // longest, from the last fault to the last end
	violations []string
}

// counts are what happened to commands and effects.
type counts struct {
	commands   int // that ended
	effects    int // at receivers and in memories
	duplicates int // effects beyond the first of a command
	lost       int // commands that say that they succeeded and have no effect, or that never ended
	unknown    int // outcomes that nobody can know
}

func newFindings(part string) *findings { return &findings{part: part, faults: map[string]int{}} }

// violate notes that something does not hold.
func (f *findings) violate(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.violations = append(f.violations, fmt.Sprintf(format, args...))
}

// inject notes a fault.
func (f *findings) inject(kind string, n int) {
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[kind] += n
}

// count adds to the counts.
func (f *findings) count(c counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.commands += c.commands
	f.counts.effects += c.effects
	f.counts.duplicates += c.duplicates
	f.counts.lost += c.lost
	f.counts.unknown += c.unknown
}

func (f *findings) stalled(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stall = max(f.stall, d)
}

func (f *findings) converged(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.converge = max(f.converge, d)
}

// injected returns the faults by kind.
func (f *findings) injected() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.faults)
}

// wrong returns the violations so far.
func (f *findings) wrong() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.violations...)
}

// most bounds how many violations of one part are printed: the first ones tell.
const most = 20

// fail fails the test for each violation.
func (f *findings) fail(t *testing.T) {
	t.Helper()
	wrong := f.wrong()
	for _, violation := range wrong[:min(len(wrong), most)] {
		t.Error(violation)
	}
	if len(wrong) > most {
		t.Errorf("and %d more", len(wrong)-most)
	}
}
