package flaky

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// TCPFaults says how bad the connection to a server is. The zero value is a good one.
type TCPFaults struct {
	Delay     time.Duration // what arrives is held back so long, in both directions
	BlackHole bool          // nothing passes in either direction, and nothing breaks; it goes on when this is over
	Refuse    bool          // new connections are reset; those that are open stay

	// LoseCommits is the share, from 0 to 1, of PostgreSQL's COMMITs that happen, and whose client sees the connection
	// break instead of the answer.
	LoseCommits float64
}

// The kinds of faults of a TCP.
const (
	DelayedBytes Injection = "bytes delayed"
	HeldBytes    Injection = "bytes held in a black hole"
	LostCommit   Injection = "acknowledgement of a commit lost"
)

// TCP is a proxy in front of one server. Its methods may be called from any goroutine.
type TCP struct {
	// Address is where the proxy listens, as host:port.
	Address string

	target    string
	statement string
	listener  net.Listener
	dice      *dice
	injected  counters[Injection]
	clients   connections
	ctx       context.Context // ends with Close
	stop      context.CancelFunc
	work      sync.WaitGroup

	mu      sync.Mutex
	faults  TCPFaults
	changed chan struct{} // closed when faults are replaced
}

// NewTCP starts a proxy in front of the server at target, host:port.
func NewTCP(target string, seed uint64) (*TCP, error) {
	listener, err := net.Listen("tcp", loopback)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &TCP{Address: listener.Addr().String(), target: target, statement: "commit", listener: listener, dice: newDice(seed),
		ctx: ctx, stop: stop, changed: make(chan struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// Set replaces the faults, also for the connections that are open.
func (p *TCP) Set(faults TCPFaults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
	close(p.changed)
	p.changed = make(chan struct{})
}

// Faults returns the faults that hold.
func (p *TCP) Faults() TCPFaults {
	faults, _ := p.now()
	return faults
}

func (p *TCP) now() (TCPFaults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

// Cut breaks every open connection once.
func (p *TCP) Cut() { p.injected.add(CutOff, p.clients.cut()) }

// Injected returns how often which fault happened so far.
func (p *TCP) Injected() map[Injection]int { return p.injected.snapshot() }

// Close stops the proxy, and returns when nothing of it runs any more.
func (p *TCP) Close() error {
	p.stop()
	err := p.listener.Close()
	p.clients.cut()
	p.work.Wait()
	return err
}

func (p *TCP) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			sleep(p.ctx, 10*time.Millisecond)
			continue
		}
		if p.Faults().Refuse {
			p.injected.add(NotServed, 1)
			reset(client)
			continue
		}
		p.clients.add(client)
		p.work.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until either side ends it.
func (p *TCP) serve(client net.Conn) {
	defer p.clients.remove(client)
	server, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", p.target)
	if err != nil || p.ctx.Err() != nil {
		reset(client)
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	link := &link{client: client, server: server}
	ended := context.AfterFunc(ctx, link.close)
	defer ended()
	var both sync.WaitGroup
	both.Go(func() {
		defer cancel()
		p.carry(ctx, client, server, p.watchCommits(link))
	})
	both.Go(func() {
		defer cancel()
		p.carry(ctx, server, client, link.answer)
	})
	both.Wait()
	link.close()
}

// carry copies what arrives, in pieces as it arrives. Pass sees each piece just before it is sent on, and reports
// whether it is to be.
func (p *TCP) carry(ctx context.Context, from io.Reader, to io.Writer, pass func([]byte) (bool, error)) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.hold(ctx) {
			forward, err := pass(buffer[:n])
			if forward {
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}

// hold waits as the faults ask, and reports false if the connection ended meanwhile.
func (p *TCP) hold(ctx context.Context) bool {
	faults, changed := p.now()
	if faults.BlackHole {
		p.injected.add(HeldBytes, 1)
	}
	for faults.BlackHole {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
		faults, changed = p.now()
	}
	if faults.Delay > 0 {
		p.injected.add(DelayedBytes, 1)
	}
	return sleep(ctx, faults.Delay)
}
