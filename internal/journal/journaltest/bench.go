package journaltest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// BenchmarkAppend measures appends as the operator makes them: one event of a
// few hundred bytes and a key, to one of 50 streams. It runs with one caller,
// who waits for each append, and with 64 at a time.
func BenchmarkAppend(b *testing.B, newStore func(tb testing.TB) Opener) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			j := writer(b, newStore(b))
			benchmarkAppends(b, j, callers)
		})
	}
}

func benchmarkAppends(b *testing.B, j journal.Journal, callers int) {
	data := text(300)
	var next atomic.Int64
	var appending sync.WaitGroup
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		appending.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				key := fmt.Sprintf("command-%d", n)
				_, err := j.Append(ctx, journal.Batch{
					Stream: fmt.Sprintf("namespace/agent-%d", n%50), Expected: journal.AnyVersion, Key: key,
					Events: []journal.Event{{Type: "CommandAccepted", Version: 1, Subject: key, Data: data}},
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	appending.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkReadAll measures a replay: everything, in pages of 500 records.
func BenchmarkReadAll(b *testing.B, newStore func(tb testing.TB) Opener) {
	const batches, each = 200, 50
	j := writer(b, newStore(b))
	for n := range batches {
		made := make([]journal.Event, each)
		for i := range made {
			made[i] = journal.Event{Type: "CommandAccepted", Version: 1, Subject: fmt.Sprintf("command-%d", i), Data: text(300)}
		}
		mustAppend(b, j, anywhere(fmt.Sprintf("namespace/agent-%d", n%50), made...))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		var after journal.Cursor
		seen := 0
		for {
			page, err := j.ReadAll(b.Context(), after, 500)
			if err != nil {
				b.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			seen += len(page)
			after = after.After(page)
		}
		if seen != batches*each {
			b.Fatalf("replayed %d records", seen)
		}
	}
	b.ReportMetric(float64(b.N*batches*each)/b.Elapsed().Seconds(), "records/s")
}
