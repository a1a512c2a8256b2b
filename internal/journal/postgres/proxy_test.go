package postgres

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
)

// fault is what a proxy does when a statement goes through it.
type fault int

const (
	none         fault = iota
	beforeServer       // the statement is not passed on, and the connection cut
	afterServer        // it is, and the connection cut when the server has answered
	atOnce             // it is, and the connection cut without waiting for anything
)

// proxy stands between a journal and its server, and reads what the journal
// sends. It is armed for one statement at a time.
type proxy struct {
	listener net.Listener
	server   string

	mu        sync.Mutex
	statement string
	fault     fault
	closed    bool // refuses connections from then on
	dark      bool // becomes closed with the next fault
	hits      int
}

func startProxy(t *testing.T, server *postgres.Server) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server.Address()}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// url leads to the database through the proxy.
func (p *proxy) url(t *testing.T, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

func (p *proxy) arm(statement string, f fault, dark bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statement, p.fault, p.dark, p.hits = statement, f, dark, 0
}

// strike returns the fault if it is this statement's turn, which it is once.
func (p *proxy) strike(statement string) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == none || !strings.HasPrefix(statement, p.statement) {
		return none
	}
	f := p.fault
	p.fault, p.closed = none, p.dark
	p.hits++
	return f
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	cut := make(chan fault, 1)
	go func() {
		p.fromClient(client, server, cut)
		_ = server.Close()
	}()
	// What the server says, message by message, and nothing of it after the fault.
	in := bufio.NewReader(server)
	silent := none
	for {
		kind, message, err := readMessage(in, true)
		if err != nil {
			return
		}
		select {
		case silent = <-cut:
		default:
		}
		if silent == none {
			if _, err := client.Write(message); err != nil {
				return
			}
		} else if kind == 'Z' { // ready for the next query: this one is done
			return
		}
	}
}

// fromClient passes the client's messages on, until the fault.
func (p *proxy) fromClient(client, server net.Conn, cut chan<- fault) {
	in := bufio.NewReader(client)
	prepared := map[string]string{} // statements by name
	appending := false              // so a COMMIT is a writer's: notices are committed, too
	for first := true; ; first = false {
		kind, message, err := readMessage(in, !first)
		if err != nil {
			return
		}
		struck := none
		switch kind {
		case 'P':
			name, rest, _ := strings.Cut(string(message[5:]), "\x00")
			prepared[name], _, _ = strings.Cut(rest, "\x00")
		case 'B':
			_, rest, _ := strings.Cut(string(message[5:]), "\x00")
			name, _, _ := strings.Cut(rest, "\x00")
			if statement := prepared[name]; statement != "COMMIT" || appending {
				struck = p.strike(statement)
			}
			appending = appending || strings.HasPrefix(prepared[name], "INSERT INTO journal.events")
		}
		if struck == beforeServer {
			_ = client.Close()
			return
		}
		if struck == afterServer {
			cut <- struck
		}
		if _, err := server.Write(message); err != nil {
			return
		}
		if struck == atOnce {
			// The rest of what was sent together is passed on, and nobody hears the answer.
			_ = client.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			_, _ = io.Copy(server, in)
			_ = client.Close()
			time.Sleep(50 * time.Millisecond)
			return
		}
	}
}

// readMessage reads a message with its header; the first of a client has no type.
func readMessage(in *bufio.Reader, typed bool) (kind byte, message []byte, err error) {
	size := 4
	if typed {
		size = 5
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(in, header); err != nil {
		return 0, nil, err
	}
	body := make([]byte, int(binary.BigEndian.Uint32(header[size-4:]))-4)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, err
	}
	return header[0], slices.Concat(header, body), nil
}

// throughProxy opens a journal whose connections lead through a proxy, claims
// it, and appends once, so that every statement is prepared.
func throughProxy(t *testing.T) (*proxy, *Journal) {
	t.Helper()
	server := postgres.Shared(t)
	p := startProxy(t, server)
	j := mustClaim(t, p.url(t, server.URL(server.Database(t))))
	mustAppend(t, j, batch("a", "first", 1))
	return p, j
}

func TestALostAcknowledgementIsFoundOut(t *testing.T) {
	for name, f := range map[string]fault{
		"the commit was done":                 afterServer,
		"the commit did not reach the server": beforeServer,
		"nobody knows":                        atOnce,
	} {
		t.Run(name, func(t *testing.T) {
			p, j := throughProxy(t)
			p.arm("COMMIT", f, false)
			records, err := j.Append(soon(t), batch("a", "k", 2))
			if err != nil || len(records) != 2 || records[0].Sequence != 2 || p.hits != 1 {
				t.Errorf("%d records, error %v, cut %d times", len(records), err, p.hits)
			}
			mustAppend(t, j, batch("a", "next", 1))
			sound(t, j, 4)
		})
	}
}

func TestATransactionThatBreaksOffBeforeItsCommitIsMadeAgain(t *testing.T) {
	for _, statement := range []string{"SELECT epoch, last, time", "UPDATE journal.shards SET last", "INSERT INTO journal.events"} {
		p, j := throughProxy(t)
		p.arm(statement, beforeServer, false)
		records := mustAppend(t, j, batch("a", "k", 2))
		if p.hits != 1 || records[0].Sequence != 2 {
			t.Errorf("%s: cut %d times, sequence %d", statement, p.hits, records[0].Sequence)
		}
		sound(t, j, 3)
	}
}

func TestAnOutcomeThatCannotBeFoundOutIsUnavailable(t *testing.T) {
	p, j := throughProxy(t)
	j.patience = 300 * time.Millisecond
	j.commits.Reset() // a connection that is open would find it out
	p.arm("INSERT INTO journal.events", afterServer, true)
	_, err := j.Append(soon(t), batch("a", "k", 2))
	fails(t, err, journal.ErrUnavailable, "could not be found out")

	p.mu.Lock()
	p.closed = false
	p.mu.Unlock()
	// Here it was done, as the key tells; nothing is appended twice.
	_, err = j.Append(soon(t), batch("a", "k", 2))
	refusal := &journal.DuplicateKeyError{Stream: "a", Key: "k", Span: journal.Span{First: 2, Last: 3}}
	if err == nil || err.Error() != refusal.Error() {
		t.Errorf("got %v", err)
	}
	sound(t, j, 3)
}

func TestALostAnswerToAClaimIsMadeGood(t *testing.T) {
	for _, f := range []fault{beforeServer, afterServer, atOnce} {
		p, j := throughProxy(t)
		shard, err := j.Shard(soon(t), "a")
		if err != nil {
			t.Fatal(err)
		}
		p.arm("UPDATE journal.shards SET epoch", f, false)
		epoch, err := j.Claim(soon(t), shard)
		if err != nil || p.hits != 1 {
			t.Fatalf("fault %d: cut %d times, error %v", f, p.hits, err)
		}
		records := mustAppend(t, j, batch("a", "k", 1))
		if records[0].Epoch != epoch {
			t.Errorf("epoch %d, claimed %d", records[0].Epoch, epoch)
		}
	}
}
