package projection

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/edict-dev/edict/internal/fault"
)

// application marks a SQLite file as one of ours, and so as one that may be
// dropped: "EdPj" in ASCII.
const application = 0x4564506a

// schemaVersion counts the changes of the schema below and of what fold makes of
// an event. A file of another version is dropped.
const schemaVersion = 1

// schema is written whole into an empty file. A row holds from its sequence on,
// until the one in forgotten or replaced, 0 for ever.
const schema = `
CREATE TABLE checkpoint (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	position INTEGER NOT NULL,
	first    TEXT NOT NULL,
	last     TEXT NOT NULL
) STRICT;
INSERT INTO checkpoint VALUES (1, 0, '', '');

CREATE TABLE streams (
	stream   INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE stops (
	stream   INTEGER PRIMARY KEY,
	sequence INTEGER NOT NULL,
	type     TEXT NOT NULL,
	version  INTEGER NOT NULL,
	error    TEXT NOT NULL
) STRICT;

CREATE TABLE messages (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	since        INTEGER NOT NULL DEFAULT 0, -- when its ask ended; 0: it has not
	time         INTEGER NOT NULL,
	role         TEXT NOT NULL,
	text         TEXT NOT NULL,
	command      TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_end ON messages (stream, conversation, since, sequence);
CREATE INDEX messages_by_command ON messages (stream, command) WHERE since = 0;

CREATE TABLE memories (
	stream    INTEGER NOT NULL,
	sequence  INTEGER NOT NULL,
	forgotten INTEGER NOT NULL DEFAULT 0,
	time      INTEGER NOT NULL,
	id        TEXT NOT NULL,
	kind      TEXT NOT NULL,
	content   TEXT NOT NULL,
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_by_kind ON memories (stream, kind, sequence);
CREATE INDEX memories_by_id ON memories (stream, id) WHERE forgotten = 0;

CREATE TABLE calls (
	stream       INTEGER NOT NULL,
	key          TEXT NOT NULL,
	name         TEXT NOT NULL,
	operation    TEXT NOT NULL,
	arguments    TEXT NOT NULL,
	conversation TEXT NOT NULL,
	issuedBy     TEXT NOT NULL,
	PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	replaced     INTEGER NOT NULL DEFAULT 0,
	time         INTEGER NOT NULL,
	key          TEXT NOT NULL,
	phase        TEXT NOT NULL,
	reason       TEXT NOT NULL,
	status       INTEGER NOT NULL,
	text         TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX results_by_key ON results (stream, key) WHERE replaced = 0;
`

// file is the SQLite file: one connection that writes, some that read.
type file struct{ write, read *sql.DB }

func openFile(ctx context.Context, path string, readers int) (*file, error) {
	fresh, err := claim(path)
	if err != nil {
		return nil, err
	}
	f := &file{}
	// WAL with synchronous NORMAL syncs at checkpoints alone. OFF would save
	// little more, and a power cut could leave a file that looks sound and is not.
	if f.write, err = sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "synchronous(NORMAL)", "wal_autocheckpoint(4000)")); err != nil {
		return nil, err
	}
	f.write.SetMaxOpenConns(2) // the writer's own, and one for what Open asks
	if err := f.prepare(ctx, fresh); err != nil {
		_ = f.close() // what went wrong first is what matters
		return nil, asStale(err)
	}
	if f.read, err = sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "query_only(1)")); err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.read.SetMaxOpenConns(readers)
	f.read.SetMaxIdleConns(readers)
	return f, nil
}

// prepare writes the schema into a fresh file, and looks at that of another.
func (f *file) prepare(ctx context.Context, fresh bool) error {
	if fresh {
		// The mark first and outside WAL: it has to be in the file itself, where claim looks.
		for _, statement := range []string{
			fmt.Sprintf("PRAGMA application_id = %d", application),
			"PRAGMA journal_mode = WAL",
			fmt.Sprintf("BEGIN; %s PRAGMA user_version = %d; COMMIT", schema, schemaVersion),
		} {
			if _, err := f.write.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("write the schema: %w", err)
			}
		}
		return nil
	}
	var version int
	if err := f.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if version != schemaVersion {
		return &staleError{fmt.Sprintf("its schema is of version %d, and this version of Edict writes version %d", version, schemaVersion)}
	}
	return nil
}

func (f *file) close() error {
	var errs []error
	for _, db := range []*sql.DB{f.read, f.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// claim makes sure that there is a file at path that is ours: an empty one, or
// one that carries our mark. Anything else is refused, so that a wrong path never
// costs anybody a file, least of all the journal.
func claim(path string) (fresh bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // it holds what people said
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const markAt = 68 // SQLite file format, section 1.3: the application id
	header := make([]byte, markAt+4)
	n, err := io.ReadFull(f, header)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return true, nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, err
	case !bytes.HasPrefix(header, []byte("SQLite format 3\x00")) || binary.BigEndian.Uint32(header[markAt:]) != application:
		return false, fault.NewInvalid("NotAProjection", "the file at %s is not a projection; name another path, or remove the file if nobody needs it", path)
	}
	return false, nil
}

// drop removes a file that claim found to be ours, with what SQLite keeps beside it.
func drop(path string) error {
	var errs []error
	for _, name := range []string{path + "-journal", path + "-wal", path + "-shm", path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// asStale turns SQLite's word that a file is damaged into a reason to drop it.
func asStale(err error) error {
	var damaged *sqlite.Error
	if !errors.As(err, &damaged) {
		return err
	}
	switch damaged.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &staleError{"it is damaged"}
	}
	return err
}

func dsn(path string, pragmas ...string) string {
	values := url.Values{"_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + values.Encode()
}
