package flaky

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// database answers each of a PostgreSQL client's messages with one ReadyForQuery, and counts commits.
type database struct {
	listener net.Listener
	commits  atomic.Int32
}

func startDatabase(t *testing.T) *database {
	t.Helper()
	listener, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	d := &database{listener: listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	return d
}

func (d *database) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := &clientReader{statement: "commit"}
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		d.commits.Add(int32(reader.read(buffer[:n])))
		if _, err := conn.Write(idle); err != nil {
			return
		}
	}
}

func message(kind byte, body string) []byte {
	var out []byte
	if kind != 0 {
		out = append(out, kind)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+4))
	return append(out, body...)
}

func startup() []byte { return message(0, "\x00\x03\x00\x00user\x00edict\x00\x00") }

func startTCP(t *testing.T) (*database, *TCP) {
	t.Helper()
	d := startDatabase(t)
	p, err := NewTCP(d.listener.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, p
}

func dial(t *testing.T, p *TCP) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends and returns the answer's error.
func ask(t *testing.T, conn net.Conn, message []byte, patience time.Duration) error {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(message); err != nil {
		return err
	}
	answer := make([]byte, len(idle))
	_, err := io.ReadFull(conn, answer)
	if err == nil && !bytes.Equal(answer, idle) {
		t.Errorf("the answer is %q", answer)
	}
	return err
}

const patience = 20 * time.Second

func TestBytesPassAndAreDelayed(t *testing.T) {
	_, p := startTCP(t)
	conn := dial(t, p)
	if err := ask(t, conn, startup(), patience); err != nil {
		t.Fatal(err)
	}
	p.Set(TCPFaults{Delay: 100 * time.Millisecond})
	sent := time.Now()
	if err := ask(t, conn, message('Q', "select 1\x00"), patience); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(sent); took < 200*time.Millisecond {
		t.Errorf("there and back took %v", took)
	}
}

func TestACutConnectionBreaksAndANewOneIsMade(t *testing.T) {
	_, p := startTCP(t)
	conn := dial(t, p)
	if err := ask(t, conn, startup(), patience); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := ask(t, conn, message('Q', "select 1\x00"), patience); err == nil {
		t.Error("the old connection goes on")
	}
	if err := ask(t, dial(t, p), startup(), patience); err != nil {
		t.Error(err)
	}
	if n := p.Injected()[CutOff]; n != 1 {
		t.Errorf("%d cuts were counted", n)
	}
}

func TestABlackHoleAnswersNothingAndThenGoesOn(t *testing.T) {
	_, p := startTCP(t)
	conn := dial(t, p)
	p.Set(TCPFaults{BlackHole: true})
	err := ask(t, conn, startup(), 200*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	p.Set(TCPFaults{})
	if err := ask(t, conn, nil, patience); err != nil {
		t.Error(err)
	}
}

func TestNewConnectionsAreRefusedAndOldOnesStay(t *testing.T) {
	_, p := startTCP(t)
	old := dial(t, p)
	if err := ask(t, old, startup(), patience); err != nil {
		t.Fatal(err)
	}
	p.Set(TCPFaults{Refuse: true})
	// The reset may come before the dial has returned, or after.
	if conn, err := net.Dial("tcp", p.Address); err == nil {
		if err := ask(t, conn, startup(), patience); err == nil {
			t.Error("a new one is served")
		}
		_ = conn.Close() // it was reset
	}
	if err := ask(t, old, message('Q', "select 1\x00"), patience); err != nil {
		t.Errorf("the old one: %v", err)
	}
}

func TestTheAcknowledgementOfACommitIsLost(t *testing.T) {
	extended := bytes.Join([][]byte{
		message('P', "\x00COMMIT;\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"), message('S', ""),
	}, nil)
	for name, commit := range map[string][]byte{"simple query": message('Q', "commit\x00"), "extended query": extended} {
		t.Run(name, func(t *testing.T) {
			d, p := startTCP(t)
			p.Set(TCPFaults{LoseCommits: 1})
			conn := dial(t, p)
			for _, harmless := range [][]byte{startup(), message('Q', "begin\x00"), message('P', "c\x00commit\x00\x00\x00"), message('S', "")} {
				if err := ask(t, conn, harmless, patience); err != nil {
					t.Fatal(err)
				}
			}
			if err := ask(t, conn, commit, patience); err == nil {
				t.Error("the commit was acknowledged")
			}
			if d.commits.Load() != 1 || p.Injected()[LostCommit] != 1 {
				t.Errorf("%d commits arrived; counted %v", d.commits.Load(), p.Injected())
			}
		})
	}
}

func TestMessagesInPiecesAreReadWhole(t *testing.T) {
	sent := append(message(0, "\x04\xd2\x16\x2f"), startup()...) // asks for TLS, is told no, and starts
	sent = append(sent, message('Q', "commit\x00")...)
	reader := &clientReader{statement: "commit"}
	found := 0
	for i := range sent {
		found += reader.read(sent[i : i+1])
	}
	if found != 1 || len(reader.rest) != 0 || reader.opaque {
		t.Errorf("found %d, left %d bytes, opaque %v", found, len(reader.rest), reader.opaque)
	}
	encrypted := &clientReader{statement: "commit"}
	if encrypted.read([]byte("\x16\x03\x01\x02\x00\x01\x00commit")); !encrypted.opaque {
		t.Error("TLS is taken for PostgreSQL's protocol")
	}
}
