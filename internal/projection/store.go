package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/edict-dev/edict/internal/journal"
)

// Store is the projected tables. Its methods may be called from any goroutine.
type Store struct {
	log     Log
	options Options
	file    *file
	writer  *writer
	reads   map[string]*sql.Stmt
	heads   *heads
	rebuilt string

	following  sync.Mutex // held by Follow; guards the two below
	checkpoint checkpoint
	next       int64 // the number of the next new stream

	closing sync.Once
	closed  chan struct{}
}

// staleError says why a projection's file cannot be gone on with.
type staleError struct{ reason string }

func (e *staleError) Error() string { return e.reason }

// Open opens the projection of log that stands in the file at path, and makes
// the file if there is none. A file of another schema version, of another journal
// (or of a journal that was restored to an earlier state), or one that a stream
// stopped in, is dropped; Follow then begins anew. A file that is no projection
// is left alone: that is a fault of kind Invalid.
func Open(ctx context.Context, path string, log Log, options Options) (*Store, error) {
	s, err := load(ctx, path, log, options)
	var stale *staleError
	if !errors.As(err, &stale) {
		return s, err
	}
	if err := drop(path); err != nil {
		return nil, fmt.Errorf("drop the projection at %s: %w", path, err)
	}
	if s, err = load(ctx, path, log, options); err != nil {
		return nil, err
	}
	s.rebuilt = stale.reason
	return s, nil
}

// Rebuilt returns why Open dropped what it found, empty if it did not.
func (s *Store) Rebuilt() string { return s.rebuilt }

func load(ctx context.Context, path string, log Log, options Options) (*Store, error) {
	options = options.withDefaults()
	f, err := openFile(ctx, path, options.Readers)
	if err != nil {
		return nil, fmt.Errorf("open the projection at %s: %w", path, err)
	}
	s := &Store{log: log, options: options, file: f, closed: make(chan struct{})}
	if err := s.restore(ctx); err != nil {
		_ = s.Close() // what went wrong first is what matters
		return nil, fmt.Errorf("open the projection at %s: %w", path, asStale(err))
	}
	return s, nil
}

// restore reads what the file holds, and looks whether it is of this journal.
func (s *Store) restore(ctx context.Context) error {
	var err error
	if s.writer, err = newWriter(ctx, s.file.write); err != nil {
		return err
	}
	if s.reads, err = prepareReads(ctx, s.file.read); err != nil {
		return err
	}
	var stopped bool
	if err := s.file.write.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM stops)`).Scan(&stopped); err != nil {
		return fmt.Errorf("read the stops: %w", err)
	}
	if stopped {
		return &staleError{"a stream had stopped at an event that could not be read; it is tried again from the beginning"}
	}
	c := &s.checkpoint
	if err := s.file.write.QueryRowContext(ctx, `SELECT position, first, last FROM checkpoint`).Scan(&c.position, &c.first, &c.last); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	all, err := readHeads(ctx, s.file.read)
	if err != nil {
		return fmt.Errorf("read the streams: %w", err)
	}
	s.heads = newHeads(all)
	for _, h := range all {
		s.next = max(s.next, h.stream)
	}
	s.next++
	return s.verify(ctx)
}

// verify looks whether the journal still holds the first and the last record that were projected.
func (s *Store) verify(ctx context.Context) error {
	c := s.checkpoint
	if c.position == 0 {
		return nil
	}
	for after, want := range map[int64]string{0: c.first, c.position - 1: c.last} {
		found, err := s.log.ReadAll(ctx, journal.Cursor{after}, 1)
		if err != nil {
			return fmt.Errorf("read the journal after position %d: %w", after, err)
		}
		if len(found) == 0 || fingerprint(found[0]) != want {
			return &staleError{"it was made from another journal, or from a later state of this one"}
		}
	}
	return nil
}

// Close ends Follow and every wait, after the batch under way, and closes the
// file. Reads that are under way fail. Closing again does nothing.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		s.following.Lock()
		defer s.following.Unlock()
		if s.writer != nil {
			err = s.writer.close()
		}
		err = errors.Join(err, s.file.close())
	})
	return err
}

func readHeads(ctx context.Context, db *sql.DB) (map[string]head, error) {
	rows, err := db.QueryContext(ctx, `SELECT name, stream, sequence FROM streams`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	all := map[string]head{}
	for rows.Next() {
		var name string
		var h head
		if err := rows.Scan(&name, &h.stream, &h.sequence); err != nil {
			return nil, err
		}
		all[name] = h
	}
	return all, rows.Err()
}
