package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// sample is the file of a journal that was closed, with some records in it.
func sample(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	j := mustClaim(t, path)
	for range 60 {
		mustAppend(t, j, batch("a", "", 3))
	}
	mustClose(t, j)
	return path
}

// change runs statements on a closed journal's file.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // what counts is what was executed
	for _, statement := range statements {
		if _, err := db.ExecContext(soon(t), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses checks that nothing opens, verifies or backs up the file, that each
// says why, and that the file stays as it is.
func refuses(t *testing.T, path string, want error, phrases ...string) {
	t.Helper()
	before, _ := os.ReadFile(path) // that it is missing is a case too
	for _, try := range []func() error{
		func() error { _, err := Open(soon(t), path, Options{}); return err },
		func() error { return Verify(soon(t), path) },
		func() error { return Backup(soon(t), path, path+".copy") },
	} {
		fails(t, try(), want, append(phrases, path)...)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Errorf("the refused file was changed")
	}
	if _, err := os.Stat(path + ".copy"); err == nil {
		t.Errorf("there is a backup of it")
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := sample(t)
	change(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)`)
	refuses(t, path, nil, "4711", "versions up to 2", "newer program", "backup")
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	path := newPath(t)
	change(t, path, `CREATE TABLE goose_db_version (version_id INTEGER, is_applied INTEGER)`)
	refuses(t, path, journal.ErrCorrupt, "some other program")
}

func TestDamagedFilesAreRefused(t *testing.T) {
	whole := mustRead(t, sample(t))
	for name, data := range map[string][]byte{
		"cut off in the middle":      whole[:len(whole)/2],
		"cut off in the first page":  whole[:1000],
		"no database at all":         bytes.Repeat([]byte("not a database\n"), 1000),
		"zeros from the second page": append(append([]byte{}, whole[:4096]...), make([]byte, len(whole)-4096)...),
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			mustWrite(t, path, data)
			refuses(t, path, journal.ErrCorrupt, "damaged")
		})
	}
}

// TestDamagedPages spoils the records, not the schema: such a file opens, as
// nobody reads all of it to open it, and says so where it is read.
func TestDamagedPages(t *testing.T) {
	whole := mustRead(t, sample(t))
	half := len(whole) / 2
	for name, data := range map[string][]byte{
		"other bytes":           append(append([]byte{}, whole[:half]...), bytes.Repeat([]byte{0xa5}, half)...),
		"cut off within a page": whole[:len(whole)-2000],
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			mustWrite(t, path, data)
			fails(t, Verify(soon(t), path), journal.ErrCorrupt, path)
			fails(t, Backup(soon(t), path, path+".copy"), journal.ErrCorrupt, path)
			if left, _ := filepath.Glob(path + ".copy*"); len(left) > 0 {
				t.Errorf("the failed backup left %v", left)
			}
			if name == "other bytes" { // which are in every part of the file
				fails(t, openAndRead(t, path), journal.ErrCorrupt, "damaged")
			}
		})
	}
}

func openAndRead(t *testing.T, path string) error {
	t.Helper()
	j, err := Open(soon(t), path, Options{})
	if err != nil {
		return err
	}
	defer mustClose(t, j)
	_, err = j.ReadAll(soon(t), nil, 1000)
	return err
}

// TestVerifyFindsHoles removes rows in ways that SQLite sees nothing wrong in.
func TestVerifyFindsHoles(t *testing.T) {
	for phrase, statement := range map[string]string{
		"stream a has 179 records from 1 to 180":     `DELETE FROM events WHERE sequence = 100`,
		"stream a has 178 records from 3 to 180":     `DELETE FROM events WHERE sequence < 3`,
		"record 1 belongs to no stream":              `DELETE FROM streams`,
		"key k points past the end of its stream":    `INSERT INTO keys VALUES (1, 'k', 181, 182)`,
		"key lost points past the end of its stream": `INSERT INTO keys VALUES (2, 'lost', 1, 1)`,
	} {
		path := sample(t)
		change(t, path, statement)
		fails(t, Verify(soon(t), path), journal.ErrCorrupt, phrase)
	}
}

// TestLostFile takes away the file of a journal that was claimed before.
func TestLostFile(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			path := sample(t)
			copied := path + ".backup"
			if err := Backup(soon(t), path, copied); err != nil {
				t.Fatal(err)
			}
			if err := lose(path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(soon(t), path, Options{})
			fails(t, err, journal.ErrCorrupt, path, "restore it from a backup", "remove "+path+".lock")

			if err := os.Rename(copied, path); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, mustClaim(t, path), batch("a", "", 1))
		})
	}
}

func TestEmptyFileWithALogIsRefused(t *testing.T) {
	path := newPath(t)
	mustWrite(t, path, nil)
	mustWrite(t, path+"-wal", []byte("frames"))
	refuses(t, path, journal.ErrCorrupt, "write-ahead log")
}

// TestBeginnings opens files that a crash, or a person, left unfinished.
func TestBeginnings(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, path string){
		"no file":       func(*testing.T, string) {},
		"an empty file": func(t *testing.T, path string) { mustWrite(t, path, nil) },
		"only a header": func(t *testing.T, path string) { change(t, path, `PRAGMA journal_mode = WAL`) },
		"only a number": func(t *testing.T, path string) { change(t, path, `PRAGMA application_id = 0x45444354`) },
		"an empty lock": func(t *testing.T, path string) { mustWrite(t, lockPath(path), nil) },
		"migrations not begun": func(t *testing.T, path string) {
			change(t, path, `PRAGMA application_id = 0x45444354`,
				`CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
				 is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
				`INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			begin(t, path)
			mustAppend(t, mustClaim(t, path), batch("a", "k", 2))
			mustVerify(t, path)
		})
	}
}

// TestFilesArePrivate: what agents are told is nobody else's business.
func TestFilesArePrivate(t *testing.T) {
	path := newPath(t)
	mustClaim(t, path)
	if err := Backup(soon(t), path, path+".copy"); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock", ".copy"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
}

// TestOddNames opens files whose names mean something in a URI.
func TestOddNames(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=ro.db", "50%25.db", "#1.db", "é.db", "a&b=c;d.db"} {
		path := filepath.Join(t.TempDir(), name)
		mustAppend(t, mustClaim(t, path), batch("a", "k", 1))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the journal is somewhere else: %v", err)
		}
	}
	_, err := Open(soon(t), filepath.Join(t.TempDir(), "missing", "journal.db"), Options{})
	fails(t, err, nil, "missing")
}

// TestLock is about two handles of one process. That of another process is in
// TestOneProcessWritesOthersRead.
func TestLock(t *testing.T) {
	path := newPath(t)
	first := mustClaim(t, path)
	second := mustOpen(t, path, Options{})
	_, err := second.Claim(soon(t), 0)
	fails(t, err, ErrLocked, path+".lock")
	mustAppend(t, first, batch("a", "k", 1)) // the attempt did not fence it
	if got := len(readAll(t, second)); got != 1 {
		t.Errorf("the second handle reads %d records, want 1", got)
	}
	if _, err := first.Claim(soon(t), 0); err != nil {
		t.Errorf("claim again by the holder: %v", err)
	}
	mustClose(t, first)
	if _, err := second.Claim(soon(t), 0); err != nil {
		t.Errorf("claim after the first was closed: %v", err)
	}
	mustAppend(t, second, batch("a", "l", 1))
}

// TestMigrationNeedsTheLock has somebody hold a journal whose schema is older
// than this program's.
func TestMigrationNeedsTheLock(t *testing.T) {
	path := newPath(t)
	change(t, path, `PRAGMA application_id = 0x45444354`)
	held, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(soon(t), path, Options{})
	fails(t, err, ErrLocked, "schema from version 0 to 2")
	held.release()
	mustOpen(t, path, Options{})
}

// TestDurability checks the settings that a durable append rests on.
func TestDurability(t *testing.T) {
	j := mustClaim(t, newPath(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		err := j.submit(soon(t), &request{call: func() error {
			var got string
			err := j.writes.conn.conn.QueryRowContext(context.Background(), "PRAGMA "+pragma).Scan(&got)
			if got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBlobThatChanged changes a text behind SQLite's back.
func TestBlobThatChanged(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	b := batch("a", "k", 1)
	b.Blobs = []journal.Blob{journal.NewBlob([]byte("as it was"))}
	mustAppend(t, j, b)
	mustClose(t, j)
	change(t, path, `UPDATE blobs SET data = CAST('as it is' AS BLOB)`)
	_, err := mustOpen(t, path, Options{}).Blob(soon(t), b.Blobs[0].Digest)
	fails(t, err, journal.ErrCorrupt, b.Blobs[0].Digest)
}
