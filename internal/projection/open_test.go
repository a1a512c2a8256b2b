package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

func TestOpenDropsWhatItCannotGoOnWith(t *testing.T) {
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"})
	other := newLog()
	other.add(stream, "1", agent.MemorySaved{ID: "x1"}, agent.MemorySaved{ID: "x2"}, agent.MemorySaved{ID: "x3"})
	shorter := newLog()
	shorter.add(stream, "1", agent.MemorySaved{ID: "m1"})
	diverged := newLog()
	diverged.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "y2"}, agent.MemorySaved{ID: "y3"})
	longer := newLog()
	longer.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"}, agent.MemorySaved{ID: "m3"})

	ofVersion := func(version int) func(t *testing.T, at string) {
		return func(t *testing.T, at string) {
			execute(t, at, portable(fmt.Sprintf("UPDATE edict_projection SET version = %d", version)))
		}
	}
	cases := map[string]struct {
		log     *memoryLog
		damage  func(t *testing.T, at string)
		dropped bool
	}{
		"the same journal goes on":                  {log: log},
		"the same journal, grown, goes on":          {log: longer},
		"another journal":                           {log: other, dropped: true},
		"the journal restored to an earlier state":  {log: shorter, dropped: true},
		"the journal restored, and grown otherwise": {log: diverged, dropped: true},
		"an empty journal":                          {log: newLog(), dropped: true},
		"a journal of more shards":                  {log: newLogOf(4), dropped: true},
		"the schema of an older version":            {log: log, dropped: true, damage: ofVersion(schemaVersion - 1)},
		"no version":                                {log: log, dropped: true, damage: func(t *testing.T, at string) { execute(t, at, portable("DELETE FROM edict_projection")) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, at location) {
				where := at(t)
				s := open(t, where, log, Options{})
				catchUp(t, s)
				closed(t, s)
				if c.damage != nil {
					c.damage(t, where)
				}
				reopened(t, where, at, c.log, c.dropped)
			})
		})
	}
}

func TestTablesOfANewerVersionAreDroppedOnlyWhereNobodyElseWorksWithThem(t *testing.T) {
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	onEachStore(t, func(t *testing.T, at location) {
		where := at(t)
		s := open(t, where, log, Options{})
		catchUp(t, s)
		closed(t, s)
		execute(t, where, portable(fmt.Sprintf("UPDATE edict_projection SET version = %d", schemaVersion+1)))
		if !isURL(where) {
			reopened(t, where, at, log, true)
			return
		}
		_, err := Open(t.Context(), where, log, Options{})
		if f := fault.Of(err); f.Kind != fault.Invalid || f.Reason != "ProjectionNewer" || !strings.Contains(f.Message, "DROP SCHEMA projection CASCADE") {
			t.Fatalf("got %v", err)
		}
		execute(t, where, portable(fmt.Sprintf("UPDATE edict_projection SET version = %d", schemaVersion)))
		reopened(t, where, at, log, false) // nothing of it was touched
	})
}

// reopened tests that a store tells what a fresh one tells, and whether it had to drop what it found.
func reopened(t *testing.T, where string, at location, log *memoryLog, dropped bool) {
	t.Helper()
	s := open(t, where, log, Options{})
	if (s.Rebuilt() != "") != dropped {
		t.Errorf("dropped: %v (%s)", !dropped, s.Rebuilt())
	}
	catchUp(t, s)
	if diff := cmp.Diff(everything(t, projected(t, at, log), log), everything(t, s, log)); diff != "" {
		t.Errorf("(-fresh +this)\n%s", diff)
	}
}

func TestOpenDropsADamagedFile(t *testing.T) {
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"}, agent.MemorySaved{ID: "m2"})
	for name, c := range map[string]struct {
		damage  func(file string) error
		dropped bool
	}{
		"pages of nonsense": {dropped: true, damage: func(file string) error {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(slices.Repeat([]byte{0xAA}, 16<<10), 100)
			}
			return errors.Join(err, f.Close())
		}},
		"a file of the first version, which had no table that says so": {dropped: true, damage: func(file string) error {
			execute(t, file, portable("DROP TABLE edict_projection"))
			return nil
		}},
		"a file that was marked, before a crash": {damage: func(file string) error {
			if err := drop(file); err != nil {
				return err
			}
			f, err := openFile(context.Background(), file, 1)
			return errors.Join(err, f.close())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			file := inFile(t)
			s := open(t, file, log, Options{})
			catchUp(t, s)
			closed(t, s)
			if err := c.damage(file); err != nil {
				t.Fatal(err)
			}
			reopened(t, file, inFile, log, c.dropped)
		})
	}
}

func TestOpenLeavesAloneWhatIsNoProjection(t *testing.T) {
	file := inFile(t)
	text := "dear diary, this is a file of somebody else's that is longer than a SQLite header"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), file, newLog(), Options{})
	if f := fault.Of(err); f.Kind != fault.Invalid || f.Reason != "NotAProjection" {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(file); string(got) != text {
		t.Errorf("the file was changed: %q, %v", got, err)
	}
}

func TestOpenLeavesAloneASchemaThatIsNoProjection(t *testing.T) {
	where := inServer(t)
	execute(t, where, sqlText{postgres: `CREATE SCHEMA projection; CREATE TABLE projection.slides (title TEXT)`})
	_, err := Open(t.Context(), where, newLog(), Options{})
	if f := fault.Of(err); f.Kind != fault.Invalid || f.Reason != "NotAProjection" {
		t.Errorf("got %v", err)
	}
	execute(t, where, sqlText{postgres: `INSERT INTO slides VALUES ('still here')`})
}

// everything returns all that a store tells of a log's streams, as of now and as
// of a few sequences before.
func everything(t testing.TB, s *Store, log *memoryLog) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, end := range log.heads {
		all[name+" head"], _ = s.Head(context.Background(), name)
		all[name+" stopped"] = stopped(t, s)[name] != nil
		for asOf := end; asOf >= 0; asOf -= max(1, end/4) {
			snapshot(t, s, name, asOf, all)
		}
	}
	return all
}

func snapshot(t testing.TB, s *Store, name string, asOf int64, into map[string]any) {
	t.Helper()
	fail := func(err error) {
		if err != nil && !fault.Is(err, fault.Corrupt) {
			t.Error(err)
		}
	}
	told := reads(s, Scope{Stream: name, AsOf: asOf, Limit: 100}, fail)
	for _, after := range []int64{0, asOf / 2, asOf - 1} {
		some, err := s.Passages(context.Background(), name, after, asOf)
		fail(err)
		told[fmt.Sprint("passages after ", after)] = some
	}
	for what, rows := range told {
		into[fmt.Sprintf("%s as of %d: %s", name, asOf, what)] = rows
	}
}

// reads returns what the reads that have a scope return, by a name for each.
func reads(s *Store, of Scope, fail func(error)) map[string]any {
	ctx := context.Background()
	told := map[string]any{}
	add := func(what string, rows any, err error) {
		fail(err)
		told[what] = rows
	}
	now, err := s.Time(ctx, of.Stream, of.AsOf)
	add("time", now, err)
	memories, err := s.Memories(ctx, of)
	add("memories", memories, err)
	memories, err = s.Memories(ctx, of, "ada", "")
	add("memories of two kinds", memories, err)
	for _, conversation := range []string{"", "ada", "bob"} {
		messages, err := s.Messages(ctx, of, conversation)
		add("messages of "+conversation, messages, err)
		results, err := s.Results(ctx, of, conversation)
		add("results of "+conversation, results, err)
		pending, err := s.Pending(ctx, of, conversation)
		add("pending in "+conversation, pending, err)
	}
	chunks, err := s.Chunks(ctx, of)
	add("chunks", chunks, err)
	chunks, err = s.Chunks(ctx, of, "rules")
	add("chunks of rules", chunks, err)
	summaries, err := s.Summaries(ctx, of, "ada", "")
	add("summaries of ada", summaries, err)
	summaries, err = s.Summaries(ctx, of, "", "rules")
	add("summaries of rules", summaries, err)
	embedded, err := s.Embedded(ctx, of.Stream, 0, of.AsOf)
	add("embedded", embedded, err)
	observations, err := s.Observations(ctx, of)
	add("observations", observations, err)
	return told
}
