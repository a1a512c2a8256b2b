package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// told is a log with something in most tables, and another stream beside it.
func told() *memoryLog {
	log := newLog()
	for i := range 5 {
		key := fmt.Sprint("key-", i)
		log.add(stream, key, accept(key, "ada", callIntent("book", `{}`)), agent.MessageReceived{Conversation: "ada", Text: "one\x00" + key},
			agent.ResponseGiven{Conversation: "ada", Text: key}, agent.AttemptSucceeded{Attempt: 1, Result: key}, agent.CommandSucceeded{},
			agent.MemorySaved{ID: key, Kind: "fact", Content: key}, part("rules", key, 1, 1, key, key), agent.SummaryWritten{Conversation: "ada", From: 1, To: 2, Text: key})
		log.add("travel/other", key, agent.MemorySaved{ID: "other-" + key, Content: "other"})
	}
	return log
}

// damages are what nobody should do to the rows of a stream.
var damages = map[string]struct {
	statement sqlText
	want      []Difference
}{
	"a text is another":       {portable(`UPDATE memories SET content = kind WHERE sequence = 14`), []Difference{{"memories", 1}}},
	"rows are missing":        {portable(`DELETE FROM messages`), []Difference{{"messages", 10}}},
	"rows are there too much": {portable(`INSERT INTO summaries SELECT stream, conversation, collection, sequence + 1000, time, command, first, last, text FROM summaries WHERE sequence < 17`), []Difference{{"summaries", 2}}},
	"a row holds for longer":  {portable(`UPDATE commands SET until = 0 WHERE sequence = 9`), []Difference{{"commands", 1}}},
	"it is said to be behind": {portable(`UPDATE streams SET sequence = sequence - 1 WHERE sequence > 20`), []Difference{{"streams", 1}}},
	"it is said to have stopped": {
		portable(`INSERT INTO stops SELECT stream, 41, role, 1, role FROM messages WHERE sequence = 2`), []Difference{{"stops", 1}},
	},
	"every other passage": {portable(`DELETE FROM chunks WHERE sequence < 20 AND number = 0`), []Difference{{"chunks", 2}}},
}

func TestARebuildPutsRightWhatIsWrong(t *testing.T) {
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, at location) {
				log, where := told(), at(t)
				s := open(t, where, log, Options{})
				catchUp(t, s)
				before, err := s.Generation(t.Context(), stream)
				if err != nil || before == 0 {
					t.Fatal(before, err)
				}
				sound := rebuilt(t, s)
				execute(t, where, damage.statement)
				made := rebuilt(t, s)
				if diff := cmp.Diff(damage.want, made.Differences); diff != "" {
					t.Errorf("differences (-want +got)\n%s", diff)
				}
				if made.Digest != sound.Digest || made.Previous == made.Digest || made.Sequence != log.heads[stream] {
					t.Errorf("it says %+v; the sound rows were %s", made, sound.Digest)
				}
				sameAsFresh(t, s, at, log)
				after, err := s.Generation(t.Context(), stream)
				if err != nil || after == before {
					t.Errorf("the stream still has the number %d, %v", after, err)
				}
				log.add(stream, "more", agent.MemorySaved{ID: "more"}, agent.MemoryForgotten{ID: "key-1"})
				catchUp(t, s)
				sameAsFresh(t, s, at, log)
			})
		})
	}
}

func rebuilt(t testing.TB, s *Store) Rebuild {
	t.Helper()
	made, err := s.Rebuild(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestARebuildOfSoundRowsLeavesThem(t *testing.T) {
	digests := map[string]bool{}
	onEachStore(t, func(t *testing.T, at location) {
		log := told()
		s := projected(t, at, log)
		before, err := s.Generation(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			made := rebuilt(t, s)
			if made.Changed() || made.Digest != made.Previous || made.Sequence != log.heads[stream] {
				t.Errorf("it says %+v", made)
			}
			digests[made.Digest] = true
		}
		if after, err := s.Generation(t.Context(), stream); err != nil || after != before {
			t.Errorf("the stream had the number %d, and has %d, %v", before, after, err)
		}
		if made, err := s.Rebuild(t.Context(), "travel/nobody"); err != nil || made.Changed() {
			t.Errorf("of a stream without records it says %+v, %v", made, err)
		}
	})
	if len(digests) != 1 {
		t.Errorf("the digest goes by the store: %v", digests)
	}
}

// Every table that a projection keeps of streams is compared, and replaced: none is forgotten when one is added.
func TestARebuildKnowsEveryTable(t *testing.T) {
	fresh, err := newScratch(t.Context(), t.TempDir(), stream)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.close()
	known := map[string]bool{"edict_projection": true, "checkpoints": true, "streams": true} // of no stream, or handled by name
	for _, table := range fresh.tables {
		known[table.name] = true
		if !strings.Contains(table.read.sqlite, " ORDER BY ") && table.name != "stops" { // of which a stream has one
			t.Errorf("the rows of %s have no order: %s", table.name, table.read.sqlite)
		}
	}
	rows, err := fresh.writer.query(tablesInSQLite)
	names, err := collect(rows, err, scanOne[string])
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("the table %s has no column for the stream", name)
		}
	}
}

// Whatever happened in a stream and was done to its rows, a rebuild makes them what a new projection has.
func TestARebuildEqualsANewProjection(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		rapid.Check(t, func(rt *rapid.T) {
			log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
			for range rapid.IntRange(1, 60).Draw(rt, "appended") {
				anyEvent(rt, log)
			}
			where := at(rt)
			s := mustOpen(rt, where, log)
			defer func() { _ = s.Close() }()
			catchUp(t, s)
			for _, table := range []string{"messages", "memories", "documents", "chunks", "summaries", "commands", "results", "stops"} {
				if rapid.IntRange(0, 2).Draw(rt, table) == 0 {
					execute(t, where, portable(fmt.Sprintf(`DELETE FROM %s WHERE sequence >= %d`, table, rapid.IntRange(0, 9).Draw(rt, "from"))))
				}
			}
			for name := range log.heads {
				if _, err := s.Rebuild(context.Background(), name); err != nil && !fault.Is(err, fault.Corrupt) {
					rt.Fatal(err)
				} else if err != nil {
					return // one that stopped stays as it is
				}
			}
			fresh := mustOpen(rt, at(rt), log)
			defer func() { _ = fresh.Close() }()
			catchUp(t, fresh)
			if diff := cmp.Diff(everything(t, fresh, log), everything(t, s, log)); diff != "" {
				rt.Fatalf("(-new +rebuilt)\n%s", diff)
			}
		})
	})
}

// watchedLog calls a function before each read of a stream.
type watchedLog struct {
	*memoryLog
	reading func(ctx context.Context) error
}

func (l *watchedLog) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	if limit == readAtOnce && l.reading != nil {
		if err := l.reading(ctx); err != nil {
			return nil, err
		}
	}
	return l.memoryLog.ReadStream(ctx, stream, from, limit)
}

const lose = `DELETE FROM memories WHERE sequence = 6`

// Until the rows are switched, everybody reads those that were there, whole; whatever ends it before leaves them.
func TestUntilItHasSucceededARebuildLeavesWhatThereIs(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log, where := &watchedLog{memoryLog: told()}, at(t)
		s := open(t, where, log, Options{})
		catchUp(t, s)
		execute(t, where, portable(lose))
		before := everything(t, s, log.memoryLog)
		number, err := s.Generation(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		unchanged := func(when string) {
			t.Helper()
			if diff := cmp.Diff(before, everything(t, s, log.memoryLog)); diff != "" {
				t.Errorf("%s (-before +now)\n%s", when, diff)
			}
			if now, err := s.Generation(t.Context(), stream); err != nil || now != number {
				t.Errorf("%s the stream has the number %d, not %d; %v", when, now, number, err)
			}
		}

		reads := 0
		ctx, cancel := context.WithCancel(t.Context())
		log.reading = func(context.Context) error {
			unchanged("while it reads the journal")
			if reads++; reads == 2 { // when it is about to switch
				cancel()
			}
			return nil
		}
		if _, err := s.Rebuild(ctx, stream); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, it says %v", err)
		}
		unchanged("cancelled")

		log.reading = nil
		refuse(t, where, "key-0") // which is missing
		if _, err := s.Rebuild(t.Context(), stream); err == nil {
			t.Error("a row was refused, and it says nothing")
		}
		unchanged("in a switch that failed in its middle")
		refuse(t, where, "")

		if made := rebuilt(t, s); !made.Changed() {
			t.Error("it found nothing to change")
		}
		sameAsFresh(t, s, at, log.memoryLog)
	})
}

// Who reads meanwhile finds either all of the old rows or all of the new, and the stream goes on.
func TestAStreamThatGrowsIsRebuilt(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log, where := told(), at(t)
		s := open(t, where, log, Options{Batch: 20})
		following(t, s)
		wait(t, s, log)
		asOf := log.heads[stream]
		contents := func() string {
			found, err := s.Memories(t.Context(), Scope{Stream: stream, AsOf: asOf, Limit: 100})
			if err != nil {
				t.Error(err)
			}
			var all []string
			for _, m := range found {
				all = append(all, m.Content)
			}
			return strings.Join(all, " ")
		}
		right := contents()
		execute(t, where, portable(lose))
		wrong := contents()
		if right == wrong {
			t.Fatal("nothing is wrong")
		}
		done := make(chan struct{})
		var busy sync.WaitGroup
		busy.Go(func() {
			for i := range 300 { // as many as a slow machine projects meanwhile
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
					log.add(stream, fmt.Sprint("later-", i), agent.MemorySaved{ID: fmt.Sprint("later-", i)})
				}
			}
		})
		busy.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
					if seen := contents(); seen != right && seen != wrong {
						t.Errorf("somebody read %q", seen)
					}
				}
			}
		})
		for range 5 {
			made := rebuilt(t, s)
			if seen := contents(); !made.Changed() || seen != right {
				t.Errorf("it says %v, and reads %q", made.Differences, seen)
			}
			execute(t, where, portable(lose))
		}
		close(done)
		busy.Wait()
		rebuilt(t, s)
		wait(t, s, log)
		sameAsFresh(t, s, at, log)
	})
}

func TestAnotherProcessReadsTheRebuiltRows(t *testing.T) {
	log, where := told(), inServer(t)
	s, other := open(t, where, log, Options{}), open(t, where, log, Options{})
	catchUp(t, other) // it knows the stream's number
	before, err := other.Generation(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, where, portable(lose))
	rebuilt(t, s)
	sameAsFresh(t, other, inServer, log)
	if after, err := other.Generation(t.Context(), stream); err != nil || after == before {
		t.Errorf("to the other process the stream still has the number %d, %v", after, err)
	}
	log.add(stream, "more", agent.MemorySaved{ID: "more"})
	catchUp(t, other)
	sameAsFresh(t, other, inServer, log)
}

func TestAStreamThatCannotBeReadIsNotRebuilt(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log, where := told(), at(t)
		log.raw(stream, journal.Event{Type: "Unheard", Version: 1, Data: json.RawMessage(`{}`)})
		log.add(stream, "later", agent.MemorySaved{ID: "later"})
		s := open(t, where, log, Options{})
		catchUp(t, s)
		execute(t, where, portable(lose))
		before := everything(t, s, log)
		_, err := s.Rebuild(t.Context(), stream)
		if f := fault.Of(err); f == nil || f.Kind != fault.Corrupt || f.Reason != "UnreadableEvent" || !strings.Contains(err.Error(), "Unheard.v1 at sequence 41") {
			t.Errorf("it says %v", err)
		}
		if diff := cmp.Diff(before, everything(t, s, log)); diff != "" {
			t.Errorf("(-before +now)\n%s", diff)
		}
	})
}

func TestARebuildLeavesNoFiles(t *testing.T) {
	log, where := told(), inFile(t)
	s := open(t, where, log, Options{})
	catchUp(t, s)
	dir := filepath.Dir(where)
	left, young := filepath.Join(dir, "edict-rebuild-1.db"), filepath.Join(dir, "edict-rebuild-2.db")
	for _, name := range []string{left, young} { // a process ended here; another is about to remove its own
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	execute(t, where, portable(lose))
	rebuilt(t, s)
	names, err := filepath.Glob(filepath.Join(dir, "edict-rebuild-*"))
	if err != nil || !slices.Equal(names, []string{young}) {
		t.Errorf("there are %v, %v", names, err)
	}
}

func TestClosingAStoreEndsItsRebuild(t *testing.T) {
	log := &watchedLog{memoryLog: told()}
	s, err := Open(t.Context(), inFile(t), log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	catchUp(t, s)
	reading := make(chan struct{})
	log.reading = func(ctx context.Context) error {
		close(reading)
		<-ctx.Done()
		return ctx.Err()
	}
	ended := make(chan error)
	go func() {
		_, err := s.Rebuild(context.Background(), stream)
		ended <- err
	}()
	<-reading
	closed(t, s)
	if err := <-ended; !errors.Is(err, errClosed) {
		t.Errorf("it says %v", err)
	}
}
