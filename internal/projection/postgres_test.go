package projection

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func TestErrorsDoNotHoldThePassword(t *testing.T) {
	good, err := url.Parse(inServer(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong := *good
	wrong.User = url.UserPassword("edict", "hunter2")
	gone := wrong
	gone.Host = "127.0.0.1:1"
	for name, location := range map[string]string{
		"a wrong password":   wrong.String(),
		"nobody listens":     gone.String(),
		"a broken escape":    "postgres://edict:hunter2%zz@127.0.0.1/edict",
		"an unknown setting": strings.Replace(gone.String(), "?", "?connect_timeout=hunter2&", 1),
		"a broken port":      "postgres://edict:hunter2@127.0.0.1:port/edict",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), location, newLog(), Options{})
			if err == nil {
				t.Fatal(s.Close())
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOpenSaysWhichRightIsMissing(t *testing.T) {
	where := inServer(t)
	parsed, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	s, err := quickServer()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateRole(t.Context(), "visitor"); err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(parsed.Path, "/")
	visitor := s.RoleURL("visitor", database)
	if _, err := Open(t.Context(), visitor, newLog(), Options{}); fault.Of(err).Reason != "NotAllowed" || !strings.Contains(err.Error(), "CREATE SCHEMA projection") {
		t.Errorf("got %v", err)
	}
	if err := s.Exec(t.Context(), database, "CREATE SCHEMA projection AUTHORIZATION visitor"); err != nil {
		t.Fatal(err)
	}
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	catchUp(t, open(t, visitor, log, Options{})) // as the error said
}

func TestStoresThatOpenTogetherMakeTheTablesOnce(t *testing.T) {
	where := inServer(t)
	log := newLogOf(4)
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	for _, schema := range []string{"none", "another"} {
		var together sync.WaitGroup
		opened := make([]*Store, 4)
		for i := range opened {
			together.Go(func() { opened[i] = open(t, where, log, Options{}) })
		}
		together.Wait()
		rebuilt := 0
		for _, s := range opened {
			if s.Rebuilt() != "" {
				rebuilt++
			}
			catchUp(t, s)
		}
		if want := map[string]int{"none": 0, "another": 1}[schema]; rebuilt != want {
			t.Errorf("%s: %d of %d dropped the tables", schema, rebuilt, len(opened))
		}
		execute(t, where, portable("UPDATE edict_projection SET version = 1"))
	}
}

func TestTablesThatAreMadeAnewAreNotMistakenForThoseBefore(t *testing.T) {
	where := inServer(t)
	log := newLog()
	log.add("travel/other", "1", agent.MemorySaved{ID: "secret"})
	log.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"})
	old := open(t, where, log, Options{Batch: 1})
	catchUp(t, old)

	// Another process makes the tables anew, of a journal in which the streams come in another order.
	other := newLog()
	other.add(stream, "1", agent.MemorySaved{ID: "m1"})
	other.add("travel/other", "1", agent.MemorySaved{ID: "secret"}, agent.MemorySaved{ID: "secret"}, agent.MemorySaved{ID: "secret"})
	fresh := open(t, where, other, Options{Batch: 1})
	if fresh.Rebuilt() == "" {
		t.Fatal("the tables were not made anew")
	}
	catchUp(t, fresh)
	scope := Scope{Stream: stream, AsOf: 2, Limit: 9}
	if got, err := old.Memories(t.Context(), scope); !fault.Is(err, fault.Wait) {
		t.Errorf("tables that are behind tell %v, %v", got, err)
	}
	other.add(stream, "2", agent.MemorySaved{ID: "m2"})
	catchUp(t, fresh)
	if got, err := old.Memories(t.Context(), scope); err != nil || len(got) != 2 || got[0].ID != "m2" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAStoreLeavesTablesOfAnotherVersionAlone(t *testing.T) {
	where := inServer(t)
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	s := open(t, where, log, Options{})
	catchUp(t, s)
	log.add(stream, "2", agent.MemorySaved{ID: "m2"})
	execute(t, where, portable("UPDATE edict_projection SET version = 9999"))
	for name, project := range map[string]func() error{
		"which it was projecting": func() error { _, err := s.advance(t.Context()); return err },
		"which it begins with":    func() error { return s.Follow(t.Context()) },
	} {
		if err := project(); !fault.Is(err, fault.Conflict) || fault.Of(err).Reason != "ProjectionReplaced" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if seen, err := s.Head(t.Context(), stream); seen != 1 || err != nil {
		t.Errorf("it wrote %d, %v", seen, err)
	}
}

func TestLostConnectionsAreMadeAgain(t *testing.T) {
	where := inServer(t)
	log := newLogOf(3)
	s := open(t, where, log, Options{Batch: 3})
	reader := open(t, where, log, Options{})
	following(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 150 {
		name := streamIn(t, log, i%3)
		end := log.add(name, fmt.Sprint(i), agent.MemorySaved{ID: fmt.Sprint(i)})
		if i%10 == 5 {
			disconnect(t, where)
		}
		if i%25 != 7 {
			continue
		}
		if err := reader.WaitFor(ctx, name, end); err != nil {
			t.Fatalf("wait: %v", err)
		}
		if got, err := reader.Memories(ctx, Scope{Stream: name, AsOf: end, Limit: 1}); err != nil || len(got) != 1 || got[0].ID != fmt.Sprint(i) {
			t.Errorf("read: %v, %v", got, err)
		}
		disconnect(t, where)
		if got, err := reader.Memories(ctx, Scope{Stream: name, AsOf: end, Limit: 1}); err != nil || len(got) != 1 {
			t.Errorf("read after all connections were cut: %v, %v", got, err)
		}
	}
	wait(t, s, log)
	sameAsFresh(t, s, inFile, log)
}

func TestAProcessThatIsPausedInABatchDoesNotHoldUpAnother(t *testing.T) {
	where := inServer(t)
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	paused, other := open(t, where, log, Options{}), open(t, where, log, Options{})
	holds, wake := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- paused.db.transact(func(tx transaction) error {
			_, err := tx.execute(portable(`UPDATE checkpoints SET first = first`))
			close(holds)
			<-wake
			return err
		})
	}()
	<-holds
	following(t, other)
	ctx, cancel := context.WithTimeout(t.Context(), idleTime+10*time.Second) // what it waits, and a busy machine
	defer cancel()
	if err := other.WaitFor(ctx, stream, 1); err != nil {
		t.Errorf("the other process: %v", err)
	}
	close(wake)
	if err := <-ended; err == nil || !paused.db.passing(err) {
		t.Errorf("the paused one committed, or may not try again: %v", err)
	}
	following(t, paused)
	log.add(stream, "2", agent.MemorySaved{ID: "m2"})
	wait(t, paused, log)
	sameAsFresh(t, paused, inFile, log)
}
