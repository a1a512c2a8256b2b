// Package flaky stands between two processes and makes their connection as bad as it can be in the field: API is a
// proxy in front of kube-apiserver that knows requests and watches, TCP is one in front of any server, and knows enough
// of PostgreSQL's protocol to lose the answer to a COMMIT.
//
// Without faults both are transparent. Faults are switched on and off while connections are open, are drawn from a
// seeded source, and are counted by kind. The same seed draws the same numbers; which request gets which number depends
// on the order in which requests arrive, so a run with several clients is alike, not the same.
//
// Everything listens on loopback only. The package knows nothing of what is asked or stored through it.
package flaky

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// loopback is a free port of this machine that nobody outside can reach.
const loopback = "127.0.0.1:0"

// dice is a seeded source of decisions for many goroutines.
type dice struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rnd: rand.New(rand.NewPCG(seed, 0x65646963742e))} }

// happens reports true for that share of its calls: never for 0, always for 1.
func (d *dice) happens(share float64) bool {
	if share <= 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.Float64() < share
}

// pick returns a number from 0 to n-1.
func (d *dice) pick(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.IntN(n)
}

// upTo returns a duration from 0 to most.
func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.rnd.Int64N(int64(most) + 1))
}

// counters count by kind.
type counters[K comparable] struct {
	mu sync.Mutex
	by map[K]int
}

func (c *counters[K]) add(kind K, n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[K]int{}
	}
	c.by[kind] += n
}

func (c *counters[K]) snapshot() map[K]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := maps.Clone(c.by)
	if out == nil {
		out = map[K]int{}
	}
	return out
}

// connections are those that clients hold open, so that they can be cut.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[conn] = struct{}{}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// cut resets them all, and returns how many there were.
func (c *connections) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.open)
	for conn := range c.open {
		reset(conn)
	}
	clear(c.open)
	return n
}

// reset closes the connection without what is still to be sent: the peer sees it break, not end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // one that is closed already needs none
	}
	_ = conn.Close() // nothing that could fail is of interest any more
}

// sleep waits, and reports false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
