package projection

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// database is where the tables stand: a SQLite file, or a schema in PostgreSQL.
type database interface {
	// transact runs work in a transaction, and commits it unless work fails. It
	// is not cut off by the end of a context: a batch takes milliseconds. In a file
	// calls wait for each other.
	transact(work func(tx transaction) error) error
	// transactLong is for work that takes longer than a server would let transact.
	transactLong(work func(tx transaction) error) error
	// snapshot runs work that only reads, and reads all as of one moment.
	snapshot(ctx context.Context, work func(tx transaction) error) error
	// scratch is the directory for files that are needed for a while.
	scratch() string
	// found returns the names of the tables that are there. No other process opens
	// the same projection until the transaction ends. They can be dropped in this
	// order, so that nobody else's transaction waits for it in a circle: first the
	// checkpoints, with which a batch begins; streams before stops, results before
	// commands and documents before chunks, as they are read together.
	found(tx transaction) ([]string, error)
	// query reads what is committed. Its statements return rows.
	query(ctx context.Context, text sqlText, args ...any) (*sql.Rows, error)
	// shared reports whether other processes may write to the tables.
	shared() bool
	// passing reports whether an error says that a connection was lost, or was
	// in another's way: the same may succeed at once on another connection.
	passing(err error) bool
	close() error
}

// transaction is what work may do within transact.
type transaction interface {
	// execute runs one statement, and returns how many rows it changed.
	execute(text sqlText, args ...any) (int64, error)
	query(text sqlText, args ...any) (*sql.Rows, error)
	// write runs the statements in their order.
	write(all []write) error
	// heads returns how far those of the streams are projected that have numbers.
	heads(names []string) (map[string]head, error)
	// standing returns what stands of commands; see selectStanding.
	standing(asked []subject) (*sql.Rows, error)
	// number gives new streams their numbers.
	number(names []string) error
}

// headsOf returns how far the streams of these names are projected.
func headsOf(tx transaction, names []string) (map[string]head, error) {
	known, err := tx.heads(names)
	if err != nil || len(known) == len(names) {
		return known, err
	}
	fresh := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known[name].stream > 0 })
	if err := tx.number(fresh); err != nil {
		return nil, fmt.Errorf("number the streams: %w", err)
	}
	return tx.heads(names)
}

// collect returns what scan makes of each row.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func scanOne[T any](rows *sql.Rows) (one T, err error) {
	err = rows.Scan(&one)
	return one, err
}

// Statements that read heads have these columns.
const headColumns = `s.name, s.stream, s.sequence, COALESCE(x.sequence, 0), x.type, COALESCE(x.version, 0), x.error
	FROM streams s LEFT JOIN stops x ON x.stream = s.stream`

type namedHead struct {
	name string
	head
}

func scanHead(rows *sql.Rows) (namedHead, error) {
	var h namedHead
	var stopped stop
	var kind, cause sql.NullString
	err := rows.Scan(&h.name, &h.stream, &h.sequence, &stopped.sequence, &kind, &stopped.version, &cause)
	if stopped.sequence > 0 {
		stopped.kind, stopped.cause = kind.String, cause.String
		h.stop = &stopped
	}
	return h, err
}

// gather returns the heads by name.
func gather(rows *sql.Rows, err error) (map[string]head, error) {
	all, err := collect(rows, err, scanHead)
	if err != nil {
		return nil, fmt.Errorf("read the streams: %w", err)
	}
	heads := map[string]head{}
	for _, h := range all {
		heads[h.name] = h.head
	}
	return heads, nil
}
