package projection

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edict-dev/edict/hack/postgres"
)

// location returns where a projection may be opened that is nowhere yet, until
// its owner, a test or one example of a property, ends.
type location func(t owner) string

type owner interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

func inFile(t owner) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "edict-projection-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "projection.db")
}

func inServer(t owner) string {
	t.Helper()
	s, err := quickServer()
	if err != nil {
		t.Fatal(err)
	}
	name := idle.take()
	if name == "" {
		name = fmt.Sprintf("projection_%d", databases.Add(1))
		if err := s.CreateDatabase(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := s.Exec(context.Background(), name, "DROP SCHEMA IF EXISTS projection, journal CASCADE"); err != nil {
			t.Fatal(err)
		}
		idle.put(name)
	})
	return s.URL(name)
}

// quickServer is the server of these tests. None of its databases has to outlive
// the machine, so it does without fsync.
var quickServer = sync.OnceValues(func() (*postgres.Server, error) {
	return postgres.Start(context.Background(), postgres.Options{Settings: map[string]string{"fsync": "off"}})
})

// idle are empty databases. To make one takes longer than most tests.
var (
	idle      pool
	databases atomic.Int64
)

type pool struct {
	mu    sync.Mutex
	names []string
}

func (p *pool) put(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = append(p.names, name)
}

func (p *pool) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.names) == 0 {
		return ""
	}
	last := len(p.names) - 1
	name := p.names[last]
	p.names = p.names[:last]
	return name
}

var stores = map[string]location{"SQLite": inFile, "PostgreSQL": inServer}

// onEachStore runs a test on each kind of store.
func onEachStore(t *testing.T, test func(t *testing.T, at location)) {
	for name, at := range stores {
		t.Run(name, func(t *testing.T) { test(t, at) })
	}
}

// execute runs a statement on the tables at a location, as nobody should.
func execute(t testing.TB, at string, statement sqlText) {
	t.Helper()
	var db interface {
		transact(work func(tx transaction) error) error
		close() error
	}
	var err error
	if isURL(at) {
		db, err = openServer(context.Background(), at, 1)
	} else {
		db, err = openFile(context.Background(), at, 1)
	}
	if err == nil {
		err = db.transact(func(tx transaction) error {
			_, err := tx.execute(statement)
			return err
		})
		err = errors.Join(err, db.close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refuse makes the tables refuse a memory of that id, as a full disk would, or
// none any more if it is empty.
func refuse(t testing.TB, at, id string) {
	t.Helper()
	if id == "" {
		execute(t, at, sqlText{sqlite: `DROP TRIGGER full`, postgres: `ALTER TABLE memories DROP CONSTRAINT full_`})
		return
	}
	execute(t, at, sqlText{
		sqlite: fmt.Sprintf(`CREATE TRIGGER full BEFORE INSERT ON memories WHEN NEW.id = '%s'
			BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`, id),
		postgres: fmt.Sprintf(`ALTER TABLE memories ADD CONSTRAINT full_ CHECK (id <> convert_to('%s', 'UTF8'))`, id),
	})
}

// disconnect cuts every connection to the database of a URL.
func disconnect(t testing.TB, at string) {
	t.Helper()
	parsed, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	s, err := quickServer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TerminateConnections(context.Background(), strings.TrimPrefix(parsed.Path, "/")); err != nil {
		t.Fatal(err)
	}
}

func stopped(t testing.TB, s *Store) map[string]error {
	t.Helper()
	all, err := s.Stopped(context.Background())
	if err != nil {
		t.Error(err)
	}
	return all
}
