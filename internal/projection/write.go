package projection

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// place is where a change happened.
type place struct {
	stream   int64 // the stream's number in the file
	sequence int64
	time     int64 // microseconds since 1970
}

// writer holds the file's one writing connection. Its statements take no
// context: a batch takes milliseconds, and is better finished than cut off.
type writer struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

// Without statistics SQLite would take the primary key for these updates, and
// read the whole stream for each: INDEXED BY says better.
const (
	insertMessage = `INSERT INTO messages (stream, conversation, sequence, time, role, text, command) VALUES (?, ?, ?, ?, ?, ?, ?)`
	endMessages   = `UPDATE messages INDEXED BY messages_by_command SET since = ? WHERE stream = ? AND command = ? AND since = 0`
	insertMemory  = `INSERT INTO memories (stream, sequence, time, id, kind, content) VALUES (?, ?, ?, ?, ?, ?)`
	forgetMemory  = `UPDATE memories INDEXED BY memories_by_id SET forgotten = ? WHERE stream = ? AND id = ? AND forgotten = 0`
	insertCall    = `INSERT OR IGNORE INTO calls (stream, key, name, operation, arguments, conversation, issuedBy) VALUES (?, ?, ?, ?, ?, ?, ?)`
	replaceResult = `UPDATE results INDEXED BY results_by_key SET replaced = ? WHERE stream = ? AND key = ? AND replaced = 0`
	insertResult  = `INSERT INTO results (stream, conversation, sequence, time, key, phase, reason, status, text)
		SELECT stream, conversation, ?, ?, key, ?, ?, ?, ? FROM calls WHERE stream = ? AND key = ?`
	upsertStream = `INSERT INTO streams (stream, name, sequence) VALUES (?, ?, ?)
		ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence`
	insertStop = `INSERT INTO stops (stream, sequence, type, version, error) VALUES (?, ?, ?, ?, ?)`
	// moveCheckpoint changes no row if another process has moved it.
	moveCheckpoint = `UPDATE checkpoint SET position = ?, first = ?, last = ? WHERE position = ?`
)

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, statements: map[string]*sql.Stmt{}}
	for _, text := range []string{
		"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", insertMessage, endMessages, insertMemory, forgetMemory, insertCall,
		replaceResult, insertResult, upsertStream, insertStop, moveCheckpoint,
	} {
		if w.statements[text], err = conn.PrepareContext(ctx, text); err != nil {
			_ = w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) close() error {
	for _, statement := range w.statements {
		if statement != nil {
			_ = statement.Close() // the connection goes next, and takes with it what is left
		}
	}
	return w.conn.Close()
}

func (w *writer) run(statement string, args ...any) error {
	_, err := w.statements[statement].ExecContext(context.Background(), args...)
	return err
}

// commit runs work in a transaction.
func (w *writer) commit(work func() error) error {
	if err := w.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := work()
	if err == nil {
		err = w.run("COMMIT")
	}
	if err != nil {
		_ = w.run("ROLLBACK") // says so itself if SQLite has rolled back already
	}
	return err
}

func (w *writer) moveCheckpoint(from int64, to checkpoint) error {
	done, err := w.statements[moveCheckpoint].ExecContext(context.Background(), to.position, to.first, to.last, from)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fault.NewConflict("ProjectionShared", "another process writes to this projection's file; give each process a file of its own")
}

func (c messageAdded) write(w *writer, at place) error {
	err := w.run(insertMessage, at.stream, c.conversation, at.sequence, at.time, string(c.role), c.text, c.command)
	if err != nil || c.role == User {
		return err
	}
	return w.run(endMessages, at.sequence, at.stream, c.command)
}

func (c memoryAdded) write(w *writer, at place) error {
	// An id that is saved again stands for what was saved last.
	if err := w.run(forgetMemory, at.sequence, at.stream, c.id); err != nil {
		return err
	}
	return w.run(insertMemory, at.stream, at.sequence, at.time, c.id, c.kind, c.content)
}

func (c memoryForgotten) write(w *writer, at place) error {
	return w.run(forgetMemory, at.sequence, at.stream, c.id)
}

func (c callAccepted) write(w *writer, at place) error {
	return w.run(insertCall, at.stream, c.key, c.name, c.operation, c.arguments, c.conversation, c.issuedBy)
}

func (c callEnded) write(w *writer, at place) error {
	if c.phase != agent.Succeeded { // an ask that succeeds ends with its response
		if err := w.run(endMessages, at.sequence, at.stream, c.key); err != nil {
			return err
		}
	}
	if err := w.run(replaceResult, at.sequence, at.stream, c.key); err != nil {
		return err
	}
	return w.run(insertResult, at.sequence, at.time, string(c.phase), c.reason, c.status, c.text, at.stream, c.key)
}

// batch is what a run of records does to the heads, until it is committed.
type batch struct {
	heads map[string]head // the touched ones
	next  int64           // the number of the next new stream
}

// apply writes one record. A record that cannot be read stops its stream, and no
// other; what comes after it in that stream is not applied.
func (b *batch) apply(w *writer, record journal.Record, known func(string) (head, bool)) error {
	h, ok := b.heads[record.Stream]
	if !ok {
		if h, ok = known(record.Stream); !ok {
			h = head{stream: b.next}
			b.next++
		}
	}
	if h.stop != nil {
		return nil
	}
	made, unreadable := fold(record)
	if record.Sequence != h.sequence+1 {
		unreadable = fmt.Errorf("it follows on sequence %d", h.sequence)
	}
	if unreadable != nil {
		h.stop = &stop{sequence: record.Sequence, kind: record.Type, version: record.Version, cause: unreadable.Error()}
		b.heads[record.Stream] = h
		return w.run(insertStop, h.stream, h.stop.sequence, h.stop.kind, h.stop.version, h.stop.cause)
	}
	h.sequence = record.Sequence
	b.heads[record.Stream] = h
	if made == nil {
		return nil
	}
	return made.write(w, place{stream: h.stream, sequence: record.Sequence, time: record.Time.UnixMicro()})
}
