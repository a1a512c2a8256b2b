package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/test/story"
)

// readJournal returns all that the journal at path holds. The operator may be writing to it meanwhile.
func readJournal(t *testing.T, path string) []journal.Record {
	t.Helper()
	ctx := context.Background() // also used while a test ends
	j, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // nothing was written
	all, err := story.Records(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// stories returns what the journal tells of each command, in the order in which they were accepted.
func stories(t *testing.T, records []journal.Record) []*story.Story {
	t.Helper()
	all, unreadable := story.Of(records)
	for _, event := range unreadable {
		t.Fatal(event)
	}
	return all
}

// storyOf returns what the journal tells of the command of that name in the namespace's streams, or nil.
func (w *world) storyOf(command string) *story.Story {
	w.Helper()
	for _, s := range stories(w.T, readJournal(w.T, w.op.journal)) {
		namespace, _ := agent.ParseStream(s.Stream)
		if namespace == w.ns && s.Command().Name == command {
			return s
		}
	}
	return nil
}

// streamLength returns how many records the agent's streams hold, all its lives together.
func (w *world) streamLength(agentName string) int {
	w.Helper()
	n := 0
	for _, r := range readJournal(w.T, w.op.journal) {
		if namespace, name := agent.ParseStream(r.Stream); namespace == w.ns && name == agentName {
			n++
		}
	}
	return n
}

// checkLaws says which of the journal's laws do not hold: sequences without a hole, one acceptance and at most one end
// of each command, attempts that are numbered and closed once, one decision of each step, one success of an effect.
func checkLaws(t *testing.T, records []journal.Record) {
	t.Helper()
	next := map[string]int64{}
	for _, r := range records {
		next[r.Stream]++
		if r.Sequence != next[r.Stream] {
			t.Errorf("stream %s has event %d where %d should be", r.Stream, r.Sequence, next[r.Stream])
			next[r.Stream] = r.Sequence
		}
	}
	for _, s := range stories(t, records) {
		for _, violation := range violations(s) {
			t.Errorf("command %s of stream %s: %s", s.Key, s.Stream, violation)
		}
	}
}

func violations(s *story.Story) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if n := story.Count[agent.CommandAccepted](s); n != 1 {
		add("it was accepted %d times", n)
	}
	if n := story.Count[agent.AttemptSucceeded](s); n > 1 {
		add("its effect succeeded %d times", n)
	}
	ends, open, attempts := 0, 0, 0
	decided := map[int]int{}
	closes := func(attempt int) {
		if attempt != open {
			add("attempt %d was closed while %d was open", attempt, open)
		}
		open = 0
	}
	for _, r := range s.Events {
		if ends > 0 {
			add("%T follows its end", r.Event)
		}
		switch e := r.Event.(type) {
		case agent.AttemptStarted:
			if attempts++; e.Attempt != attempts || open != 0 {
				add("attempt %d was started after %d attempts, while %d was open", e.Attempt, attempts-1, open)
			}
			open = e.Attempt
		case agent.AttemptSucceeded:
			closes(e.Attempt)
		case agent.AttemptFailed:
			closes(e.Attempt)
		case agent.AttemptAbandoned:
			closes(e.Attempt)
		case agent.DecisionMade:
			closes(e.Attempt)
			if decided[e.Step]++; decided[e.Step] > 1 {
				add("step %d was decided %d times", e.Step, decided[e.Step])
			}
		case agent.CommandRefused, agent.CommandSucceeded, agent.CommandFailed, agent.CommandCancelled, agent.OutcomeLost:
			ends++
		}
	}
	return wrong
}

// readBlobs returns the texts beside the journal, by digest. Package journal has no list of them, so the file is asked.
func readBlobs(t *testing.T, path string) map[string][]byte {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // nothing was written
	rows, err := db.QueryContext(t.Context(), `SELECT digest, data FROM blobs`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	texts := map[string][]byte{}
	for rows.Next() {
		var digest string
		var text []byte
		if err := rows.Scan(&digest, &text); err != nil {
			t.Fatal(err)
		}
		texts[digest] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}
