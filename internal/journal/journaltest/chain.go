package journaltest

import (
	"context"
	"fmt"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

func testChain(t *testing.T, open Opener) {
	j := writer(t, open)
	all, _ := library(t, j)
	sequencesAreWhole(t, all, 12)

	// Every way to read a record reads its hash.
	stream, err := j.ReadStream(soon(t), "a", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what a record of a stream holds", stream[1].Previous, stream[0].Hash())
	subject, err := j.ReadSubject(soon(t), "a", stream[1].Subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range subject {
		if r.Sequence == stream[1].Sequence {
			equal(t, "what a record about a subject holds", r.Previous, stream[1].Previous)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// The next process goes on with the chain, also of a stream that it has not read.
	j = writer(t, open)
	mustAppend(t, j, anywhere("b", events(1, 2)...))
	mustAppend(t, j, anywhere("b", event(3)))
	sequencesAreWhole(t, readAll(t, j), 15)
	report := mustVerify(t, j)
	equal(t, "report", report, journal.Report{Streams: 2, Events: 15, Digest: report.Digest})
}

// mustVerify verifies a journal that is sound.
func mustVerify(tb testing.TB, j journal.Journal) journal.Report {
	tb.Helper()
	report, err := journal.Verify(soon(tb), j)
	if err != nil {
		tb.Fatalf("verify: %v", err)
	}
	return report
}

// testVerifyWhileAppending: a writer that is at work does not look like
// somebody who tampers.
func testVerifyWhileAppending(t *testing.T, open Opener) {
	j := writer(t, open)
	mustAppend(t, j, anywhere("s/0", event(0)))
	writing, stop := context.WithCancel(soon(t))
	ended := make(chan error)
	go func() {
		for n := 0; writing.Err() == nil; n++ {
			batch := anywhere(fmt.Sprintf("s/%d", n%7), events(make([]int, n%3+1)...)...)
			batch.Key = fmt.Sprint(n)
			batch.Blobs = []journal.Blob{journal.NewBlob([]byte(batch.Key))}
			if _, err := j.Append(context.WithoutCancel(writing), batch); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	other := reader(t, open)
	for range 5 {
		mustVerify(t, other)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("append: %v", err)
	}
	equal(t, "what the two handles see", mustVerify(t, other), mustVerify(t, j))
}
