package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/journaltest"
)

// newStore is a store for the suite: a file that several handles may claim.
func newStore(tb testing.TB) journaltest.Opener {
	path := filepath.Join(tb.TempDir(), "journal.db")
	return func(tb testing.TB, clock func() time.Time) journal.Journal {
		j, err := Open(tb.Context(), path, Options{Clock: clock, Shared: true})
		if err != nil {
			tb.Fatal(err)
		}
		return j
	}
}

func TestConformance(t *testing.T) { journaltest.Run(t, newStore) }

func BenchmarkAppend(b *testing.B)  { journaltest.BenchmarkAppend(b, newStore) }
func BenchmarkReadAll(b *testing.B) { journaltest.BenchmarkReadAll(b, newStore) }
