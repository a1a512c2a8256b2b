package projection

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// TestMain runs fewer examples than rapid's hundred: SQLite is slow under the
// race detector. -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// anyEvent adds to the log what may happen to an agent: a few streams, commands,
// conversations and memories, so that they meet.
func anyEvent(t *rapid.T, log *memoryLog) {
	name := rapid.SampledFrom([]string{"travel/a", "travel/b", "travel/a@2"}).Draw(t, "stream")
	subject := rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "subject")
	conversation := rapid.SampledFrom([]string{"", "ada", "bob"}).Draw(t, "conversation")
	text := rapid.StringN(0, 8, -1).Draw(t, "text")
	switch rapid.IntRange(0, 15).Draw(t, "event") {
	case 0:
		log.add(name, subject, agent.MessageReceived{Conversation: conversation, Text: text})
	case 1:
		log.add(name, subject, agent.ResponseGiven{Conversation: conversation, Text: text})
	case 2, 3:
		log.add(name, subject, agent.MemorySaved{ID: subject, Kind: conversation, Content: text})
	case 4:
		log.add(name, subject, agent.MemoryForgotten{ID: subject})
	case 5, 6:
		log.add(name, subject, accept(subject, conversation, callIntent("book", `{}`)))
	case 7:
		log.add(name, subject, accept(subject, conversation, agent.Intent{Type: agent.Ask, Payload: json.RawMessage(`{}`)}))
	case 8:
		log.add(name, subject, agent.AttemptSucceeded{Attempt: 1, Result: text})
	case 9:
		log.add(name, subject, agent.OutcomeLost{Reason: "Lost", Message: text})
	case 10:
		log.add(name, subject, agent.CommandFailed{Reason: "Failed", Message: text})
	case 11:
		log.add(name, subject, agent.DecisionMade{Step: 1})
	case 12:
		log.add(name, subject, agent.CommandReopened{Message: text})
	case 13, 14:
		outcome := rapid.SampledFrom([]agent.Settlement{agent.SettledSucceeded, agent.SettledFailed, agent.RunAgain}).Draw(t, "outcome")
		log.add(name, subject, agent.OutcomeSettled{Outcome: outcome, Reason: text, By: "ada@example.com"})
	case 15:
		if rapid.IntRange(0, 9).Draw(t, "luck") == 0 {
			log.raw(name, journal.Event{Type: "Unheard", Version: 1, Data: json.RawMessage(`{}`)})
		}
	}
}

// A projection that was made in random batches, closed, killed and opened again
// in between, tells the same as one made at once, as of any sequence, and so it
// told whenever that sequence was the newest.
func TestRebuildEqualsIncremental(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		rapid.Check(t, func(rt *rapid.T) { rebuildEqualsIncremental(t, rt, at) })
	})
}

func rebuildEqualsIncremental(t *testing.T, rt *rapid.T, at location) {
	log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
	where := at(rt)
	s := mustOpen(rt, where, log)
	defer func() { _ = s.Close() }()
	type point struct {
		stream   string
		sequence int64
	}
	earlier, newest := map[string]any{}, map[point]bool{}
	for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
		for range rapid.IntRange(0, 6).Draw(rt, "appended") {
			anyEvent(rt, log)
		}
		s.options.Batch = rapid.IntRange(1, 5).Draw(rt, "batch")
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			if _, err := s.advance(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}
		for name := range log.heads {
			seen, _ := s.Head(context.Background(), name)
			snapshot(t, s, name, seen, earlier)
			newest[point{name, seen}] = true
		}
		switch rapid.SampledFrom([]string{"go on", "go on", "go on", "close", "kill"}).Draw(rt, "then") {
		case "close":
			_ = s.Close()
			s = mustOpen(rt, where, log)
		case "kill":
			where = killed(t, rt, where)
			_ = s.Close()
			s = mustOpen(rt, where, log)
		}
	}
	s.options.Batch = 512
	catchUp(t, s)

	fresh := mustOpen(rt, at(rt), log)
	defer func() { _ = fresh.Close() }()
	catchUp(t, fresh)
	want := everything(t, fresh, log)
	if diff := cmp.Diff(want, everything(t, s, log)); diff != "" {
		rt.Fatalf("(-fresh +incremental)\n%s", diff)
	}
	now := map[string]any{}
	for at := range newest {
		snapshot(t, s, at.stream, at.sequence, now)
	}
	if diff := cmp.Diff(earlier, now); diff != "" {
		rt.Fatalf("(-when it was the newest +now)\n%s", diff)
	}
}

// Both stores tell the same of the same journal, as of every sequence.
func TestBothStoresTellTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
		for range rapid.IntRange(1, 60).Draw(rt, "appended") {
			anyEvent(rt, log)
		}
		told := map[string]map[string]any{}
		for name, at := range stores {
			s := mustOpen(rt, at(rt), log)
			s.options.Batch = rapid.IntRange(1, 20).Draw(rt, "batch")
			catchUp(t, s)
			all := map[string]any{}
			for stream, end := range log.heads {
				all[stream], _ = s.Head(context.Background(), stream)
				for asOf := range end + 1 {
					snapshot(t, s, stream, asOf, all)
				}
			}
			told[name] = all
			_ = s.Close()
		}
		if diff := cmp.Diff(told["SQLite"], told["PostgreSQL"]); diff != "" {
			rt.Fatalf("(-SQLite +PostgreSQL)\n%s", diff)
		}
	})
}

func mustOpen(t *rapid.T, where string, log Log) *Store {
	s, err := Open(context.Background(), where, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// killed returns where a process that is killed leaves its projection: in a
// server that notices, or as the file and its write-ahead log.
func killed(t *testing.T, rt *rapid.T, where string) string {
	if isURL(where) {
		disconnect(t, where)
		return where
	}
	to := inFile(rt)
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(where + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			rt.Fatal(err)
		}
	}
	return to
}
