package projection

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func TestAReaderSeesWhatAnotherProjectsAndMayDoNoMoreThanSelect(t *testing.T) {
	where := inServer(t)
	server, err := quickServer()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(parsed.Path, "/")
	if err := server.CreateRole(t.Context(), "onlooker"); err != nil {
		t.Fatal(err)
	}
	log := newLog()
	refused := func(where, reason, says string) {
		t.Helper()
		_, err := OpenReadOnly(t.Context(), where, log, Options{})
		if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Reason != reason || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), parsed.User.String()) {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
	refused(filepath.Join(t.TempDir(), "p.db"), "ProjectionNotShared", "only those in PostgreSQL")
	refused(where, "ProjectionMissing", "start the operator")
	projects := open(t, where, log, Options{})
	visitor := server.RoleURL("onlooker", database)
	if err := server.Exec(t.Context(), database, `GRANT USAGE ON SCHEMA projection TO onlooker`); err != nil {
		t.Fatal(err)
	}
	refused(visitor, "NotAllowed", "GRANT SELECT ON ALL TABLES IN SCHEMA projection")
	if err := server.Exec(t.Context(), database, `GRANT SELECT ON ALL TABLES IN SCHEMA projection TO onlooker`); err != nil {
		t.Fatal(err)
	}
	reads, err := OpenReadOnly(t.Context(), visitor, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reads.Close() })

	end := log.add(stream, "1", agent.MemorySaved{ID: "m1", Kind: "note", Content: "seen by both"})
	within, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := reads.WaitFor(within, stream, end); fault.Of(err).Reason != "ProjectionBehind" {
		t.Errorf("before anybody has projected it: %v", err)
	}
	catchUp(t, projects)
	if err := reads.WaitFor(t.Context(), stream, end); err != nil {
		t.Fatal(err)
	}
	memories, err := reads.Memories(t.Context(), Scope{Stream: stream, AsOf: end, Limit: 10})
	if err != nil || len(memories) != 1 || memories[0].Content != "seen by both" {
		t.Errorf("it reads %v, %v", memories, err)
	}
}

// The sessions are read-only even of the tables' owner.
func TestAReaderThatFollowsChangesNothing(t *testing.T) {
	where, log := inServer(t), newLog()
	open(t, where, log, Options{})
	reads, err := OpenReadOnly(t.Context(), where, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reads.Close() })
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	if err := reads.Follow(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("it says %v", err)
	}
	if seen, err := reads.Head(t.Context(), stream); err != nil || seen != 0 {
		t.Errorf("it has projected %d, %v", seen, err)
	}
}

func TestAReaderLeavesTablesOfAnotherVersionAlone(t *testing.T) {
	where, log := inServer(t), newLog()
	s := open(t, where, log, Options{})
	reads, err := OpenReadOnly(t.Context(), where, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reads.Close() })
	if err := reads.Check(t.Context()); err != nil {
		t.Errorf("of its own version: %v", err)
	}
	if err := s.db.transact(func(tx transaction) error {
		_, err := tx.execute(portable(`UPDATE edict_projection SET version = version + 1`))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := reads.Check(t.Context()); fault.Of(err).Reason != "ProjectionMissing" {
		t.Errorf("one that was open already says %v", err)
	}
	if _, err := OpenReadOnly(t.Context(), where, log, Options{}); fault.Of(err).Reason != "ProjectionMissing" || !strings.Contains(err.Error(), "another version") {
		t.Errorf("got %v", err)
	}
}
