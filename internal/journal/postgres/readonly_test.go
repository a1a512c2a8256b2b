package postgres

import (
	"errors"
	"testing"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
)

// reader opens a journal as a role that may only read it.
func reader(t *testing.T, server *postgres.Server, database, role string) *Journal {
	t.Helper()
	j, err := Open(soon(t), server.RoleURL(role, database), Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func TestAReaderReadsAndFollowsAndWritesNothing(t *testing.T) {
	server := postgres.Shared(t)
	database := server.Database(t)
	if err := server.CreateRole(soon(t), "onlooker"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(soon(t), server.RoleURL("onlooker", database), Options{ReadOnly: true})
	fails(t, err, nil, "schema has version 0", "start the operator")
	writes := mustOpen(t, server.URL(database))
	_, err = Open(soon(t), server.RoleURL("onlooker", database), Options{ReadOnly: true})
	fails(t, err, nil, `the role "onlooker" may not read the journal`, `GRANT SELECT ON ALL TABLES IN SCHEMA journal TO "onlooker"`)
	for _, grant := range []string{`GRANT USAGE ON SCHEMA journal TO "onlooker"`, `GRANT SELECT ON ALL TABLES IN SCHEMA journal TO "onlooker"`} {
		if err := server.Exec(soon(t), database, grant); err != nil {
			t.Fatal(err)
		}
	}
	reads := reader(t, server, database, "onlooker") // as the errors said

	shard, err := writes.Shard(soon(t), "travel/concierge")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writes.Claim(soon(t), shard); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { told <- reads.Wait(soon(t), nil) }()
	blob := journal.NewBlob([]byte("a text"))
	if _, err := writes.Append(soon(t), journal.Batch{Stream: "travel/concierge", Key: "k", Blobs: []journal.Blob{blob},
		Events: []journal.Event{{Type: "A", Version: 1, Subject: "s", Data: []byte("{}")}}}); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if records, err := reads.ReadSubject(soon(t), "travel/concierge", "s"); err != nil || len(records) != 1 {
		t.Errorf("it reads %v, %v", records, err)
	}
	if text, err := reads.Blob(soon(t), blob.Digest); err != nil || string(text) != "a text" {
		t.Errorf("it reads %q, %v", text, err)
	}
	if _, err := reads.Claim(soon(t), shard); err == nil {
		t.Error("who only reads has claimed a shard")
	}
	if _, err := reads.Append(soon(t), journal.Batch{Stream: "travel/concierge", Expected: journal.AnyVersion,
		Events: []journal.Event{{Type: "A", Version: 1, Data: []byte("{}")}}}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("an append says %v", err)
	}
}

// The sessions are read-only even of a role that may do everything.
func TestAnOwnerWhoOnlyReadsWritesNothing(t *testing.T) {
	server := postgres.Shared(t)
	address := server.URL(server.Database(t))
	mustOpen(t, address)
	j, err := Open(soon(t), address, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	if _, err := j.Claim(soon(t), 0); err == nil {
		t.Error("a shard was claimed")
	}
}
