package projection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

// Store is the projected tables. Its methods may be called from any goroutine.
type Store struct {
	log         Log
	options     Options
	db          database
	heads       *heads
	share       *share
	times       *times
	rebuilt     string
	patrolEvery time.Duration

	following  sync.Mutex // held by Follow; guards course
	course     course
	rebuilding sync.Mutex // held by Rebuild

	closing sync.Once
	closed  chan struct{}
}

// Open opens the projection of log at a location: the path of a SQLite file,
// which is made if there is none, or the URL of a PostgreSQL database
// (postgres://…), in which it is the schema "projection". No error holds the URL.
//
// Tables of another schema version, of another journal (or of a journal that was
// restored to an earlier state), or in which a stream stopped at an event that
// can be read by now, are dropped and made anew; Follow then begins at the
// journal's beginning. In PostgreSQL this is so for whoever comes with a newer
// version: processes of the older one project nothing more, and read nothing that
// the new tables do not hold. One of the older version that comes later is told so,
// as a fault of kind Invalid: it would drop what the others work with. Of several
// processes that start together one makes the tables.
//
// A file or a schema that is no projection is left alone: that is a fault of kind
// Invalid.
func Open(ctx context.Context, location string, log Log, options Options) (*Store, error) {
	if isURL(location) {
		options = options.withDefaults()
		db, err := openServer(ctx, location, options.Readers)
		if err != nil {
			return nil, fmt.Errorf("open the projection: %w", err)
		}
		s, err := load(ctx, db, log, options)
		if err != nil {
			return nil, fmt.Errorf("open the projection in the %s: %w", db.where, err)
		}
		return s, nil
	}
	return openInFile(ctx, location, log, options.withDefaults())
}

// openInFile drops a file that is damaged.
func openInFile(ctx context.Context, path string, log Log, options Options) (*Store, error) {
	attempt := func() (*Store, error) {
		db, err := openFile(ctx, path, options.Readers)
		if err != nil {
			return nil, err
		}
		return load(ctx, db, log, options)
	}
	s, err := attempt()
	if damaged(err) {
		if err = drop(path); err == nil {
			s, err = attempt()
		}
		if err == nil {
			s.rebuilt = "it is damaged"
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the projection at %s: %w", path, err)
	}
	return s, nil
}

// Rebuilt returns why Open dropped what it found, empty if it did not.
func (s *Store) Rebuilt() string { return s.rebuilt }

func newStore(db database, log Log, options Options) *Store {
	return &Store{
		log: log, options: options, db: db, heads: newHeads(), share: newShare(), times: newTimes(), patrolEvery: patrolEvery,
		course: course{adopted: map[int]bool{}}, closed: make(chan struct{}),
	}
}

func load(ctx context.Context, db database, log Log, options Options) (*Store, error) {
	s := newStore(db, log, options)
	err := s.prepare(ctx)
	for tries := 1; err != nil && db.passing(err) && tries < 3; tries++ { // a reader may have been in its way
		err = s.prepare(ctx)
	}
	if err == nil {
		err = s.restore(ctx)
	}
	if err != nil {
		_ = s.Close() // what went wrong first is what matters
		return nil, err
	}
	return s, nil
}

// prepare makes the tables, if there are none that can be gone on with.
func (s *Store) prepare(ctx context.Context) error {
	return s.db.transact(func(tx transaction) error {
		names, err := s.db.found(tx)
		if err != nil {
			return fmt.Errorf("read the schema: %w", err)
		}
		if len(names) == 0 {
			return s.create(tx)
		}
		if s.rebuilt, err = s.stale(ctx, tx, names); err != nil || s.rebuilt == "" {
			return err
		}
		for _, name := range names {
			if _, err := tx.execute(portable("DROP TABLE " + name)); err != nil {
				return fmt.Errorf("drop the table %s: %w", name, err)
			}
		}
		return s.create(tx)
	})
}

func (s *Store) create(tx transaction) error {
	if _, err := tx.execute(schema(time.Now())); err != nil {
		return fmt.Errorf("write the schema: %w", err)
	}
	for shard := range s.log.Shards() {
		if _, err := tx.execute(insertCheckpoint, shard, ""); err != nil {
			return fmt.Errorf("write the schema: %w", err)
		}
	}
	return nil
}

// markTable is the table that says by which schema the others were made.
const markTable = "edict_projection"

var selectVersion = portable(`SELECT version FROM edict_projection`)

// stale returns why the tables cannot be gone on with, empty if they can.
func (s *Store) stale(ctx context.Context, tx transaction, names []string) (string, error) {
	version := 1 // which had no table to say so
	if slices.Contains(names, markTable) {
		rows, err := tx.query(selectVersion)
		versions, err := collect(rows, err, scanOne[int])
		if err != nil {
			return "", fmt.Errorf("read the schema version: %w", err)
		}
		version = slices.Max(append(versions, 0))
	}
	if version > schemaVersion && s.db.shared() {
		return "", fault.NewInvalid("ProjectionNewer",
			"the tables are of version %d, which a newer Edict keeps, and this one keeps version %d; run the newer one or, to go back, stop it and DROP SCHEMA projection CASCADE: the tables are then made anew from the journal", version, schemaVersion)
	}
	if version != schemaVersion {
		return fmt.Sprintf("its schema is of version %d, and this version of Edict writes version %d", version, schemaVersion), nil
	}
	rows, err := tx.query(selectCheckpoints, schemaVersion)
	checkpoints, err := collect(rows, err, scanCheckpoint)
	if err != nil {
		return "", fmt.Errorf("read the checkpoints: %w", err)
	}
	reason, err := verify(ctx, s.log, checkpoints)
	if err != nil || reason != "" {
		return reason, err
	}
	stopped, err := gather(tx.query(selectStopped))
	if err != nil {
		return "", err
	}
	for stream, h := range stopped {
		readable, err := s.readable(ctx, stream, h.sequence+1)
		if err != nil || readable {
			return fmt.Sprintf("stream %s had stopped at an event that can be read now", stream), err
		}
	}
	return "", nil
}

// readable reports whether a stream goes on with an event that this version of Edict can read.
func (s *Store) readable(ctx context.Context, stream string, next int64) (bool, error) {
	records, err := s.log.ReadStream(ctx, stream, next, 1)
	if err != nil {
		return false, fmt.Errorf("read %s from sequence %d: %w", stream, next, err)
	}
	if len(records) == 0 || records[0].Sequence != next {
		return false, nil
	}
	_, err = fold(records[0])
	return err == nil, nil
}

// Close ends Follow, Rebuild and every wait, after the batch under way, and closes the
// file or the connections. Reads that are under way fail. Closing again does nothing.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		s.following.Lock()
		defer s.following.Unlock()
		s.course.rest()
		s.rebuilding.Lock()
		defer s.rebuilding.Unlock()
		err = s.db.close()
	})
	return err
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
