package postgres

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
)

// refused opens a journal that cannot be opened, and makes sure that the error
// does not tell the password.
func refused(t *testing.T, address string, want error, phrases ...string) {
	t.Helper()
	j, err := Open(soon(t), address, Options{})
	if err == nil {
		_ = j.Close()
	}
	fails(t, err, want, phrases...)
	passwords := []string{"s3cret"}
	if parsed, parseErr := url.Parse(address); parseErr == nil {
		if password, set := parsed.User.Password(); set {
			passwords = append(passwords, password)
		}
	}
	for _, password := range passwords {
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error tells the password %q: %v", password, err)
		}
	}
}

func TestAnErrorNeverTellsThePassword(t *testing.T) {
	for _, address := range []string{
		"postgres://edict:s3cret@127.0.0.1:notaport/journal",
		"postgres://edict:s3cret@[::1/journal",
		"postgres://edict:s3cret%zz@127.0.0.1/journal",
		"postgres://edict:s3cret@127.0.0.1/journal?sslmode=maybe",
		"user=edict password='s3cret",
	} {
		refused(t, address, nil, "postgres://user@host:port/database")
	}
}

func TestAServerThatIsNotThereIsUnavailable(t *testing.T) {
	// Nothing can listen on the discard port of loopback but by somebody's wish.
	refused(t, "postgres://edict:s3cret@127.0.0.1:9/journal", journal.ErrUnavailable, "not reachable", "127.0.0.1:9")
}

func TestAWrongPasswordIsNamed(t *testing.T) {
	server := postgres.Shared(t)
	address, err := url.Parse(server.URL(server.Database(t)))
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("edict", "n0tThePassw0rd")
	refused(t, address.String(), nil, `role "edict"`, "password")
}

func TestAMissingDatabaseIsNamed(t *testing.T) {
	refused(t, postgres.Shared(t).URL("nowhere"), nil, `no database "nowhere"`, "create it")
}

func TestARoleWithoutRightsIsToldWhichItLacks(t *testing.T) {
	server := postgres.Shared(t)
	name := server.Database(t)
	if err := server.CreateRole(soon(t), "stranger"); err != nil {
		t.Fatal(err)
	}
	refused(t, server.RoleURL("stranger", name), nil, `GRANT CREATE ON DATABASE "`+name+`" TO "stranger"`)

	// To connect to somebody else's journal is not enough, either.
	mustOpen(t, server.URL(name))
	refused(t, server.RoleURL("stranger", name), nil, "lacks a right")
}

func TestANewerSchemaIsRefused(t *testing.T) {
	server := postgres.Shared(t)
	name := server.Database(t)
	mustOpen(t, server.URL(name))
	if err := server.Exec(soon(t), name, `INSERT INTO journal.goose_db_version (version_id, is_applied) VALUES (99, true)`); err != nil {
		t.Fatal(err)
	}
	refused(t, server.URL(name), nil, "version 99", "newer program")
}

func TestAnOldServerIsRefused(t *testing.T) {
	fails(t, newEnough("140012", "14.12"), nil, "14.12", "15 or later", "upgrade")
	if err := newEnough("150000", "15.0"); err != nil {
		t.Error(err)
	}
}

func TestManyMayOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	server := postgres.Shared(t)
	address := server.URL(server.Database(t))
	var opening sync.WaitGroup
	for range 6 {
		opening.Go(func() {
			j, err := Open(soon(t), address, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	j := mustClaim(t, address)
	mustAppend(t, j, batch("a", "k", 2))
}

func TestAReadOnlyServerIsUnavailableUntilItIsNot(t *testing.T) {
	server := postgres.ForTest(t, postgres.Options{})
	address := server.URL(server.Database(t))
	j := mustClaim(t, address)
	mustAppend(t, j, batch("a", "1", 1))

	if err := server.SetReadOnly(soon(t), true); err != nil {
		t.Fatal(err)
	}
	refused(t, address, journal.ErrUnavailable, "read-only")
	eventually(t, func() bool { return j.Check(soon(t)) != nil }) // a session learns of it a moment later
	fails(t, j.Check(soon(t)), journal.ErrUnavailable)
	_, err := j.Append(soon(t), batch("a", "2", 1))
	fails(t, err, journal.ErrUnavailable)
	_, err = j.Claim(soon(t), 0)
	fails(t, err, journal.ErrUnavailable)
	if got := readAll(t, j); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}

	if err := server.SetReadOnly(soon(t), false); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return j.Check(soon(t)) == nil })
	eventually(t, func() bool { _, err := j.Append(soon(t), batch("a", "2", 1)); return err == nil })
	sound(t, j, 2)
}

func TestAServerThatIsDownIsUnavailableUntilItIsBack(t *testing.T) {
	server := postgres.ForTest(t, postgres.Options{})
	j := mustClaim(t, server.URL(server.Database(t)))
	mustAppend(t, j, batch("a", "1", 1))
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err := j.Append(soon(t), batch("a", "2", 1))
	fails(t, err, journal.ErrUnavailable)
	fails(t, j.Check(soon(t)), journal.ErrUnavailable)
	_, err = j.Append(soon(t), batch("new family", "2", 1))
	fails(t, err, journal.ErrUnavailable)
	if err := server.Restart(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := j.Check(soon(t)); err != nil {
		t.Error(err)
	}
	mustAppend(t, j, batch("a", "2", 1))
	sound(t, j, 2)
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to be")
		}
	}
}

// sound verifies the journal, and counts its records.
func sound(t *testing.T, j journal.Journal, records int) {
	t.Helper()
	report, err := journal.Verify(soon(t), j)
	if err != nil || report.Events != int64(records) {
		t.Errorf("%d records, not %d; error %v", report.Events, records, err)
	}
}
