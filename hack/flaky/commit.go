package flaky

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync/atomic"
)

// link is one client's connection with the one to the server.
type link struct {
	client, server net.Conn
	losing         atomic.Bool // the server's answers are swallowed until the one to the commit, and then all ends
	swallowed      []byte      // the end of them
}

func (l *link) close() {
	reset(l.client)
	_ = l.server.Close() // nothing that could fail is of interest any more
}

// idle is PostgreSQL's ReadyForQuery outside a transaction: the commit is done.
var idle = []byte{'Z', 0, 0, 0, 5, 'I'}

// answer sees what the server sends.
func (l *link) answer(piece []byte) (bool, error) {
	if !l.losing.Load() {
		return true, nil
	}
	l.swallowed = append(l.swallowed, piece...)
	if bytes.Contains(l.swallowed, idle) {
		return false, errLost
	}
	l.swallowed = l.swallowed[max(0, len(l.swallowed)-len(idle)):]
	return false, nil
}

// watchCommits returns what sees the client's bytes: it begins to lose the server's answers just before a commit is
// passed on.
func (p *TCP) watchCommits(l *link) func([]byte) (bool, error) {
	reader := &clientReader{statement: p.statement}
	return func(piece []byte) (bool, error) {
		commits := reader.read(piece)
		if commits > 0 && !l.losing.Load() && p.dice.happens(p.Faults().LoseCommits) {
			p.injected.add(LostCommit, 1)
			l.losing.Store(true)
		}
		return true, nil
	}
}

// clientReader reads a PostgreSQL client's messages, in pieces as they arrive, and finds those that carry out a
// statement. A connection that speaks something else is passed on and found nothing in.
//
// https://www.postgresql.org/docs/15/protocol-message-formats.html
type clientReader struct {
	statement string // lower case
	rest      []byte
	started   bool            // the messages without a type are over
	opaque    bool            // it is not PostgreSQL's protocol, or encrypted
	prepared  map[string]bool // statements, by name, that are the one looked for
	bound     bool            // the portal that is executed next is of such a statement
	executed  bool            // it was executed, and is complete with the next Sync
}

const (
	maxMessage = 64 << 20 // of a connection that has started
	maxStart   = 10_000   // of one that has not
	sslRequest = 80877103
	gssRequest = 80877104
)

var errProtocol = errors.New("no message of PostgreSQL")

// read returns how many of the statements the piece completes.
func (c *clientReader) read(piece []byte) int {
	if c.opaque {
		return 0
	}
	c.rest = append(c.rest, piece...)
	found := 0
	for {
		kind, body, ok, err := c.next()
		if err != nil {
			c.opaque, c.rest = true, nil
			return found
		}
		if !ok {
			return found
		}
		if c.message(kind, body) {
			found++
		}
	}
}

// next takes one whole message off the rest; kind 0 is one of those before the connection has started.
func (c *clientReader) next() (kind byte, body []byte, ok bool, err error) {
	head, most := 0, maxStart
	if c.started {
		head, most = 1, maxMessage
	}
	if len(c.rest) < head+4 {
		return 0, nil, false, nil
	}
	size := int(binary.BigEndian.Uint32(c.rest[head:]))
	if size < 4 || size > most {
		return 0, nil, false, errProtocol
	}
	if len(c.rest) < head+size {
		return 0, nil, false, nil
	}
	if c.started {
		kind = c.rest[0]
	}
	body = c.rest[head+4 : head+size]
	c.rest = c.rest[head+size:]
	return kind, body, true, nil
}

// message reports whether the statement is carried out with this message.
func (c *clientReader) message(kind byte, body []byte) bool {
	switch kind {
	case 0: // SSLRequest and GSSENCRequest are followed by another of these; encrypted bytes fit no message
		code := uint32(0)
		if len(body) >= 4 {
			code = binary.BigEndian.Uint32(body)
		}
		c.started = code != sslRequest && code != gssRequest
	case 'Q': // Query
		return c.is(text(body, 0))
	case 'P': // Parse: name, statement
		if c.prepared == nil {
			c.prepared = map[string]bool{}
		}
		c.prepared[text(body, 0)] = c.is(text(body, 1))
	case 'B': // Bind: portal, statement's name
		c.bound = c.prepared[text(body, 1)]
	case 'E': // Execute
		c.executed = c.executed || c.bound
	case 'S': // Sync
		executed := c.executed
		c.executed, c.bound = false, false
		return executed
	}
	return false
}

func (c *clientReader) is(statement string) bool {
	return strings.EqualFold(strings.Trim(statement, " \t\r\n;"), c.statement)
}

// text returns the nth text of a message, each ended by a zero byte.
func text(body []byte, n int) string {
	parts := bytes.SplitN(body, []byte{0}, n+2)
	if len(parts) < n+2 {
		return ""
	}
	return string(parts[n])
}
