package faults

import (
	"context"
	"os"
	"path/filepath"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/test/story"
)

// The stores that a world can have.
const (
	onSQLite   = "sqlite"
	onPostgres = "postgres"
)

// store is where one world's journal is.
type store interface {
	// args are the manager's flags of the replica that keeps its files in dir.
	args(dir string) []string
	// open opens the journal for reading, beside the operators that write it.
	open(ctx context.Context) (journal.Journal, error)
	close() error
}

// sqliteStore is a file that the world's one operator writes.
type sqliteStore struct{ path string }

func newSQLiteStore(dir string) (*sqliteStore, error) {
	s := &sqliteStore{path: filepath.Join(dir, "journal", "journal.db")}
	return s, os.MkdirAll(filepath.Dir(s.path), 0o700)
}

func (s *sqliteStore) args(string) []string { return []string{"--journal=sqlite://" + s.path} }

func (s *sqliteStore) open(ctx context.Context) (journal.Journal, error) {
	return sqlite.Open(ctx, s.path, sqlite.Options{})
}

func (s *sqliteStore) close() error { return nil }

// readAll returns all that the journal holds.
func readAll(ctx context.Context, s store) ([]journal.Record, error) {
	j, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = j.Close() }() // nothing was written
	return story.Records(ctx, j)
}
