package sqlite

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

const unlimitedPages = "PRAGMA max_page_count = 1073741823"

// TestFullDisk lets the file grow no further while many append to it. Some
// appends still fit; the others fail, and leave nothing behind.
func TestFullDisk(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	mustAppend(t, j, batch("a", "first", 2))
	onWriter(t, j, "PRAGMA max_page_count = 30") // 120 KiB, of which the empty schema has half

	const callers, each = 12, 8
	failures := make([]map[string]error, callers)
	var appending sync.WaitGroup
	for i := range callers {
		failures[i] = map[string]error{}
		appending.Go(func() {
			for n := range each {
				key := fmt.Sprintf("%d-%d", i, n)
				if _, err := j.Append(soon(t), batch(fmt.Sprintf("s/%d", i), key, 3)); err != nil {
					failures[i][key] = err
				}
			}
		})
	}
	appending.Wait()

	failed := 0
	for i := range callers {
		for n := range each {
			key := fmt.Sprintf("%d-%d", i, n)
			err := failures[i][key]
			if err != nil {
				failed++
				fails(t, err, journal.ErrUnavailable, fmt.Sprintf("append to s/%d", i), "full")
			}
			_, found, findErr := j.Find(soon(t), fmt.Sprintf("s/%d", i), key)
			if findErr != nil || found != (err == nil) {
				t.Errorf("batch %s: append said %v, and then found %v, error %v", key, err, found, findErr)
			}
		}
	}
	if failed == 0 || failed == callers*each {
		t.Fatalf("%d of %d appends failed: the test is about some", failed, callers*each)
	}
	mustVerify(t, path)

	// There is room again: what failed can be appended, with the same keys,
	// where the stream ends by what a reader sees.
	onWriter(t, j, unlimitedPages)
	for i := range callers {
		for key := range failures[i] {
			b := batch(fmt.Sprintf("s/%d", i), key, 3)
			var err error
			if b.Expected, err = j.Head(soon(t), b.Stream); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, j, b)
		}
	}
	if got, want := len(readAll(t, j)), 2+callers*each*3; got != want {
		t.Errorf("%d records, want %d", got, want)
	}
	mustVerify(t, path)
}

// breakWrites makes the file read-only to the writer, as a failing disk does,
// until the returned function is called. The tests may run as root, to whom
// the file's mode would mean nothing.
func breakWrites(t *testing.T, j *Journal) (mend func()) {
	t.Helper()
	readOnly, err := connectTo(j.path, "ro", 1)
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(db *sql.DB) (before *sql.DB) {
		err := j.submit(soon(t), &request{call: func() error {
			j.writes.disconnect()
			before, j.writes.db = j.writes.db, db
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return before
	}
	before := exchange(readOnly)
	return func() {
		if err := exchange(before).Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	j := mustClaim(t, newPath(t))
	first := mustAppend(t, j, batch("a", "first", 2))
	b := batch("a", "second", 1)
	b.Expected = 2
	b.Blobs = []journal.Blob{journal.NewBlob([]byte("text"))}

	mend := breakWrites(t, j)
	for range 2 {
		_, err := j.Append(soon(t), b)
		fails(t, err, journal.ErrUnavailable, "append to a: ", "readonly")
		fails(t, j.Check(soon(t)), journal.ErrUnavailable, "check journal", "readonly")
	}
	if got := readAll(t, j); len(got) != len(first) {
		t.Errorf("%d records are readable, want %d", len(got), len(first))
	}
	mend()
	if err := j.Check(soon(t)); err != nil {
		t.Error(err)
	}
	if got := mustAppend(t, j, b)[0].Sequence; got != 3 {
		t.Errorf("the append after the failures has sequence %d, want 3", got)
	}
}

func TestClaimOfAReadOnlyFile(t *testing.T) {
	j := mustClaim(t, newPath(t))
	mend := breakWrites(t, j)
	_, err := j.Claim(soon(t), 0)
	fails(t, err, journal.ErrUnavailable, "claim journal", "readonly")
	_, err = j.Append(soon(t), batch("a", "k", 1))
	fails(t, err, journal.ErrFenced) // it has no epoch, and does not guess one
	mend()
	if _, err := j.Claim(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, batch("a", "k", 1))
}

// TestFailureUndoesNewStreams has a transaction fail that had numbered a
// stream: the number is given away again, and the writer must have forgotten.
func TestFailureUndoesNewStreams(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	onWriter(t, j,
		`CREATE TEMP TRIGGER fail BEFORE INSERT ON main.blobs BEGIN SELECT raise(ABORT, 'injected'); END`)
	b := batch("lost", "k", 2)
	b.Blobs = []journal.Blob{journal.NewBlob([]byte("text"))}
	_, err := j.Append(soon(t), b)
	fails(t, err, journal.ErrUnavailable, "injected")

	mustAppend(t, j, batch("other", "k", 1))
	b.Blobs = nil
	records := mustAppend(t, j, b)
	if records[0].Sequence != 1 || records[0].Position != 2 {
		t.Errorf("sequence %d at position %d, want 1 at 2", records[0].Sequence, records[0].Position)
	}
	if got := readAll(t, j); len(got) != 3 || got[0].Stream != "other" || got[2].Stream != "lost" {
		t.Errorf("read %v", got)
	}
	mustVerify(t, path)
}

// TestLostConnection breaks the write connection, so that not even a rollback
// gets through: the writer gets itself a new one.
func TestLostConnection(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	mustAppend(t, j, batch("a", "first", 1))
	err := j.submit(soon(t), &request{call: func() error {
		j.writes.conn.discard()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = j.Append(soon(t), batch("a", "second", 1))
	fails(t, err, journal.ErrUnavailable)
	if got := mustAppend(t, j, batch("a", "second", 1))[0].Sequence; got != 2 {
		t.Errorf("sequence %d, want 2", got)
	}
	mustVerify(t, path)
}

// TestStreamLimit appends to more streams than the writer remembers.
func TestStreamLimit(t *testing.T) {
	j := mustClaim(t, newPath(t))
	mustAppend(t, j, batch("a", "first", 2))
	forgotten := false
	err := j.submit(soon(t), &request{call: func() error {
		for n := range streamLimit {
			j.writes.heads.streams[strings.Repeat("x", n+1)] = &head{}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, j, batch("a", "second", 1))[0].Sequence; got != 3 {
		t.Errorf("sequence %d, want 3", got)
	}
	err = j.submit(soon(t), &request{call: func() error {
		forgotten = len(j.writes.heads.streams) == 1
		return nil
	}})
	if err != nil || !forgotten {
		t.Errorf("the writer still remembers all streams (%v)", err)
	}
}
