package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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

	cases := map[string]struct {
		log     *memoryLog
		damage  func(t *testing.T, file string)
		dropped bool
	}{
		"the same journal goes on":                  {log: log},
		"the same journal, grown, goes on":          {log: longer},
		"another journal":                           {log: other, dropped: true},
		"the journal restored to an earlier state":  {log: shorter, dropped: true},
		"the journal restored, and grown otherwise": {log: diverged, dropped: true},
		"another schema version":                    {log: log, dropped: true, damage: func(t *testing.T, file string) { execute(t, file, "PRAGMA user_version = 9999") }},
		"no schema, after a crash":                  {log: log, dropped: true, damage: func(t *testing.T, file string) { execute(t, file, "PRAGMA user_version = 0") }},
		"damaged pages": {log: log, dropped: true, damage: func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(slices.Repeat([]byte{0xAA}, 16<<10), 100)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := path(t)
			s := open(t, file, log, Options{})
			catchUp(t, s)
			closed(t, s)
			if c.damage != nil {
				c.damage(t, file)
			}
			s = open(t, file, c.log, Options{})
			if dropped := s.Rebuilt() != ""; dropped != c.dropped {
				t.Errorf("dropped: %v (%s)", dropped, s.Rebuilt())
			}
			catchUp(t, s)
			if diff := cmp.Diff(everything(t, projected(t, c.log), c.log), everything(t, s, c.log)); diff != "" {
				t.Errorf("(-fresh +this)\n%s", diff)
			}
		})
	}
}

func execute(t *testing.T, file, statement string) {
	t.Helper()
	f, err := openFile(t.Context(), file, 1)
	if err == nil {
		_, err = f.write.ExecContext(t.Context(), statement)
	}
	if err := errors.Join(err, f.close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenLeavesAloneWhatIsNoProjection(t *testing.T) {
	file := path(t)
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

func TestTwoProcessesDoNotShareAFile(t *testing.T) {
	log := newLog()
	log.add(stream, "1", agent.MemorySaved{ID: "m1"})
	file := path(t)
	a, b := open(t, file, log, Options{}), open(t, file, log, Options{})
	catchUp(t, a)
	if _, err := b.advance(t.Context()); !fault.Is(err, fault.Conflict) && err == nil {
		t.Errorf("got %v", err)
	}
	if seen, _ := b.Head(t.Context(), stream); seen != 0 {
		t.Errorf("what was not committed is published: %d", seen)
	}
}

// everything returns all that a store tells of a log's streams, as of now and as
// of a few sequences before.
func everything(t testing.TB, s *Store, log *memoryLog) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, end := range log.heads {
		all[name+" head"], _ = s.Head(context.Background(), name)
		all[name+" stopped"] = s.Stopped()[name] != nil
		for asOf := end; asOf >= 0; asOf -= max(1, end/4) {
			snapshot(t, s, name, asOf, all)
		}
	}
	return all
}

func snapshot(t testing.TB, s *Store, name string, asOf int64, into map[string]any) {
	t.Helper()
	ctx := context.Background()
	of := Scope{Stream: name, AsOf: asOf, Limit: 100}
	key := func(what string) string { return fmt.Sprintf("%s as of %d: %s", name, asOf, what) }
	fail := func(err error) {
		if err != nil && !fault.Is(err, fault.Corrupt) {
			t.Error(err)
		}
	}
	var err error
	into[key("memories")], err = s.Memories(ctx, of)
	fail(err)
	for _, conversation := range []string{"", "ada", "bob"} {
		into[key("messages of "+conversation)], err = s.Messages(ctx, of, conversation)
		fail(err)
		into[key("results of "+conversation)], err = s.Results(ctx, of, conversation)
		fail(err)
	}
}
