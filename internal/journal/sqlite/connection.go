package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// connection is the write connection with the statements that it keeps
// prepared.
type connection struct {
	conn *sql.Conn

	begin, commit, rollback    *sql.Stmt
	epoch, advanceEpoch, probe *sql.Stmt
	last, stream, key, count   *sql.Stmt
	addStream, setTip, addKey  *sql.Stmt
	addEvent, addBlob          *sql.Stmt

	statements []*sql.Stmt // all of them
}

// connect makes sure that there is a write connection.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	c := &connection{conn: conn}
	if err := c.prepare(ctx); err != nil {
		c.discard()
		return err
	}
	w.conn = c
	return nil
}

// disconnect throws the write connection away, whatever state it is in.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	w.conn.discard()
	w.conn = nil
}

// discard closes the connection for good. An error of that would change
// nothing: what was committed is, and the rest is undone.
func (c *connection) discard() {
	// Package sql does not do this for the statements of a single connection,
	// and SQLite keeps the file open until it is done.
	for _, statement := range c.statements {
		_ = statement.Close()
	}
	// Were it only closed, the pool would keep it for the next caller.
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
}

func (c *connection) prepare(ctx context.Context) error {
	statements := []struct {
		into **sql.Stmt
		text string
	}{
		// IMMEDIATE takes the write lock at once. A transaction that began as a
		// reader could not be sure to get it later.
		{&c.begin, `BEGIN IMMEDIATE`},
		{&c.commit, `COMMIT`},
		{&c.rollback, `ROLLBACK`},
		{&c.epoch, `SELECT epoch FROM journal`},
		{&c.advanceEpoch, `UPDATE journal SET epoch = epoch + 1`},
		{&c.probe, `UPDATE journal SET probe = probe + 1`},
		{&c.last, `SELECT position, time FROM events ORDER BY position DESC LIMIT 1`},
		{&c.count, `SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1)`},
		{&c.stream, `SELECT id, sequence, hash FROM streams WHERE name = ?`},
		{&c.key, `SELECT first, last FROM keys WHERE stream = ? AND key = ?`},
		{&c.addStream, `INSERT INTO streams (name) VALUES (?)`},
		{&c.setTip, `UPDATE streams SET sequence = ?, hash = ? WHERE id = ?`},
		{&c.addKey, `INSERT INTO keys (stream, key, first, last) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{&c.addEvent, `INSERT INTO events (position, stream, sequence, time, epoch, type, version, subject, data, previous)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&c.addBlob, `INSERT INTO blobs (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING`},
	}
	for _, s := range statements {
		statement, err := c.conn.PrepareContext(ctx, s.text)
		if err != nil {
			return err
		}
		*s.into = statement
		c.statements = append(c.statements, statement)
	}
	return nil
}
