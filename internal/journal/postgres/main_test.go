package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/journaltest"
)

// newStore makes an empty database on the server that the tests share.
func newStore(tb testing.TB) journaltest.Opener {
	tb.Helper()
	server := postgres.Shared(tb)
	url := server.URL(server.Database(tb))
	return func(tb testing.TB, clock func() time.Time) journal.Journal {
		tb.Helper()
		j, err := Open(soon(tb), url, Options{Clock: clock})
		if err != nil {
			tb.Fatal(err)
		}
		return j
	}
}

func TestJournal(t *testing.T) { journaltest.Run(t, newStore) }

func BenchmarkAppend(b *testing.B)  { journaltest.BenchmarkAppend(b, newStore) }
func BenchmarkReadAll(b *testing.B) { journaltest.BenchmarkReadAll(b, newStore) }

func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

func mustOpen(tb testing.TB, url string) *Journal {
	tb.Helper()
	j, err := Open(soon(tb), url, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return j
}

func mustClaim(tb testing.TB, url string) *Journal {
	tb.Helper()
	j := mustOpen(tb, url)
	var claiming sync.WaitGroup
	for shard := range j.Shards() {
		claiming.Go(func() {
			if _, err := j.Claim(soon(tb), shard); err != nil {
				tb.Error(err)
			}
		})
	}
	claiming.Wait()
	return j
}

// batch has count events.
func batch(stream, key string, count int) journal.Batch {
	b := journal.Batch{Stream: stream, Expected: journal.AnyVersion, Key: key}
	for i := range count {
		data := fmt.Appendf(nil, `{"key":%q,"i":%d,"of":%d}`, key, i, count)
		b.Events = append(b.Events, journal.Event{Type: "NumberDrawn", Version: 1, Subject: key, Data: data})
	}
	return b
}

func mustAppend(tb testing.TB, j journal.Journal, b journal.Batch) []journal.Record {
	tb.Helper()
	records, err := j.Append(soon(tb), b)
	if err != nil {
		tb.Fatal(err)
	}
	return records
}

func readAll(tb testing.TB, j journal.Journal) []journal.Record {
	tb.Helper()
	var all []journal.Record
	for after := journal.Cursor(nil); ; {
		page, err := j.ReadAll(soon(tb), after, 1000)
		if err != nil {
			tb.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), after.After(page)
	}
}

// fails checks an error's kind, and that its message says what it should.
func fails(t *testing.T, err, want error, phrases ...string) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
		return
	}
	for _, phrase := range phrases {
		if !strings.Contains(err.Error(), phrase) {
			t.Errorf("the message does not say %q: %v", phrase, err)
		}
	}
}
