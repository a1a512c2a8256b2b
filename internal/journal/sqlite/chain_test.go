package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// firstSchema makes a journal as the first version of this package did, with
// two streams of so many records, and returns the records of the chain that
// they should become.
func firstSchema(t *testing.T, path string, each int) []journal.Record {
	t.Helper()
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	db, err := connectToWrite(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := applyMigrations(soon(t), db, 1); err != nil {
		t.Fatal(err)
	}
	records := fillFirstSchema(t, db, each)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return records
}

func fillFirstSchema(t *testing.T, db *sql.DB, each int) []journal.Record {
	t.Helper()
	tx, err := db.BeginTx(soon(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert := func(statement string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(soon(t), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	insert(`UPDATE journal SET epoch = 3`)
	insert(`INSERT INTO streams (id, name) VALUES (1, 'a'), (2, 'b')`)
	insert(`INSERT INTO keys (stream, key, first, last) VALUES (1, 'k', 2, 3)`)
	var records []journal.Record
	previous := map[string]journal.Hash{}
	for n := range 2 * each {
		id := n%2 + 1
		r := journal.Record{
			Position: int64(n + 1), Stream: [...]string{"a", "b"}[n%2], Sequence: int64(n/2 + 1),
			Time: time.UnixMicro(int64(1_000_000 + n)).UTC(), Epoch: 3,
			Event: journal.Event{Type: "NumberDrawn", Version: 1, Subject: fmt.Sprint(n % 5), Data: fmt.Appendf(nil, `{ "n": %d, "é": "…" }`, n)},
		}
		r.Previous = previous[r.Stream]
		previous[r.Stream] = r.Hash()
		insert(`INSERT INTO events (position, stream, sequence, time, epoch, type, version, subject, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Position, id, r.Sequence, r.Time.UnixMicro(), r.Epoch, r.Type, r.Version, r.Subject, string(r.Data))
		records = append(records, r)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return records
}

// TestUpgradeChainsWhatIsThere opens a journal of the first schema.
func TestUpgradeChainsWhatIsThere(t *testing.T) {
	path := newPath(t)
	want := firstSchema(t, path, 250) // more than are read at once

	// Before the upgrade it can be verified and copied as it is.
	mustVerify(t, path)
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := Backup(soon(t), path, copied); err != nil {
		t.Fatal(err)
	}

	var digests []string
	for _, name := range []string{path, copied} {
		j := mustClaim(t, name)
		if diff := difference(want, readAll(t, j)); diff != "" {
			t.Fatalf("the records (-want +got):\n%s", diff)
		}
		report, err := journal.Verify(soon(t), j)
		if err != nil {
			t.Fatal(err)
		}
		if report.Streams != 2 || report.Events != 500 {
			t.Errorf("report: %+v", report)
		}
		digests = append(digests, report.Digest)
		next := mustAppend(t, j, batch("a", "next", 2))
		if next[0].Sequence != 251 || next[0].Epoch != 4 || next[0].Previous != want[498].Hash() {
			t.Errorf("the first record after the upgrade is %+v", next[0])
		}
		if _, err := journal.Verify(soon(t), j); err != nil {
			t.Error(err)
		}
		mustClose(t, j)
		mustVerify(t, name)
	}
	if digests[0] != digests[1] {
		t.Errorf("the two upgrades differ: %v", digests)
	}
}

// TestUpgradeIsMadeOnceWholly has the upgrade fail in the middle: the file stays
// a journal of the first schema.
func TestUpgradeIsMadeOnceWholly(t *testing.T) {
	path := newPath(t)
	want := firstSchema(t, path, 250)
	change(t, path, `CREATE TRIGGER fail BEFORE UPDATE ON events WHEN old.position = 400 BEGIN SELECT raise(ABORT, 'injected'); END`)
	_, err := Open(soon(t), path, Options{})
	fails(t, err, nil, "injected", "migrate schema", "chain the records of b")
	if found, err := inspect(soon(t), path); found.version != 1 || err != nil {
		t.Errorf("the schema has version %d, error %v", found.version, err)
	}
	change(t, path, `DROP TRIGGER fail`)
	if diff := difference(want, readAll(t, mustOpen(t, path, Options{}))); diff != "" {
		t.Errorf("the records (-want +got):\n%s", diff)
	}
}

// TestUpgradeNeedsTheLock: an operator of the version before may still write.
func TestUpgradeNeedsTheLock(t *testing.T) {
	path := newPath(t)
	firstSchema(t, path, 1)
	held, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(soon(t), path, Options{})
	fails(t, err, ErrLocked, "schema from version 1 to 2")
	held.release()
	mustOpen(t, path, Options{})
}

// TestImportNeedsTheLock: nobody's journal is filled under his hands.
func TestImportNeedsTheLock(t *testing.T) {
	from, path := mustClaim(t, newPath(t)), newPath(t)
	mustAppend(t, from, batch("a", "k", 3))
	holder, other := mustClaim(t, path), mustOpen(t, path, Options{})
	err := other.Import(soon(t), from)
	fails(t, err, ErrLocked, "import into journal "+path, path+".lock")
	if err := holder.Check(soon(t)); err != nil {
		t.Errorf("the refused import disturbed the holder: %v", err)
	}

	// The holder may import himself, and then has to claim again.
	if err := holder.Import(soon(t), from); err != nil {
		t.Fatal(err)
	}
	_, err = holder.Append(soon(t), batch("a", "l", 1))
	fails(t, err, journal.ErrFenced)
	if _, err := holder.Claim(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	if next := mustAppend(t, holder, batch("a", "l", 1))[0]; next.Sequence != 4 {
		t.Errorf("the next record is %+v", next)
	}
}

// TestImportReleasesTheLock, and leaves behind that a journal is there.
func TestImportReleasesTheLock(t *testing.T) {
	from, path := mustClaim(t, newPath(t)), newPath(t)
	mustAppend(t, from, batch("a", "k", 3))
	j := mustOpen(t, path, Options{})
	if err := j.Import(soon(t), journalThatFails{from}); err == nil || wasClaimed(path) {
		t.Errorf("an import that failed: error %v, signed %v", err, wasClaimed(path))
	}
	if err := j.Import(soon(t), from); err != nil || !wasClaimed(path) {
		t.Errorf("an import: error %v, signed %v", err, wasClaimed(path))
	}
	mustClaim(t, path)
}

// journalThatFails cannot be read.
type journalThatFails struct{ journal.Journal }

func (journalThatFails) ReadAll(context.Context, journal.Cursor, int) ([]journal.Record, error) {
	return nil, errors.New("injected")
}
