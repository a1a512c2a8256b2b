package history

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// twoHandles opens a journal twice; the second has claimed it.
func twoHandles(t *testing.T) (first, second journal.Journal) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	open := func() journal.Journal {
		j, err := sqlite.Open(t.Context(), path, sqlite.Options{Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		if _, err := j.Claim(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		return j
	}
	return open(), open()
}

func TestClientsOfSQLiteSeeOneJournal(t *testing.T) {
	first, second := twoHandles(t)
	r := NewRecorder()
	c := &clients{handles: []journal.Journal{r.Wrap(first), r.Wrap(second)}, streams: []string{"a", "b", "c"}, each: 60}
	c.run(t, 8)
	c.readAll(t)
	for _, violation := range judge(t, r, c, first) {
		t.Error(violation)
	}
	t.Logf("%d operations, %d records", len(r.Operations()), len(c.acknowledged))
}

// careless drops the expected version, as a store without that check would.
type careless struct{ journal.Journal }

func (c *careless) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	b.Expected = journal.AnyVersion
	return c.Journal.Append(ctx, b)
}

// forgetful acknowledges now and then what it does not append.
type forgetful struct {
	journal.Journal
	n atomic.Int64
}

func (f *forgetful) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	if f.n.Add(1)%20 != 0 {
		return f.Journal.Append(ctx, b)
	}
	head, err := f.Head(ctx, b.Stream)
	var records []journal.Record
	for i, e := range b.Events {
		records = append(records, journal.Record{Stream: b.Stream, Sequence: head + 1 + int64(i), Event: e})
	}
	return records, err
}

// repeating appends now and then under no key what was to be appended under one.
type repeating struct {
	journal.Journal
	n atomic.Int64
}

func (f *repeating) Append(ctx context.Context, b journal.Batch) ([]journal.Record, error) {
	if f.n.Add(1)%5 == 0 {
		b.Key = ""
	}
	return f.Journal.Append(ctx, b)
}

func TestABrokenJournalIsFoundOut(t *testing.T) {
	for name, broken := range map[string]func(journal.Journal) journal.Journal{
		"that drops the expected version":         func(j journal.Journal) journal.Journal { return &careless{j} },
		"that forgets an acknowledged append":     func(j journal.Journal) journal.Journal { return &forgetful{Journal: j} },
		"that appends what was appended under it": func(j journal.Journal) journal.Journal { return &repeating{Journal: j} },
	} {
		t.Run(name, func(t *testing.T) {
			first, second := twoHandles(t)
			r := NewRecorder()
			c := &clients{handles: []journal.Journal{r.Wrap(broken(first)), r.Wrap(broken(second))}, streams: []string{"a", "b"}, each: 40}
			c.run(t, 6)
			c.readAll(t)
			if violations := Check(r.Operations(), CheckOptions{}); len(violations) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}
