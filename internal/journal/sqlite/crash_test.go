package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

func init() { childRoles["append"] = appendUntilKilled }

// appendUntilKilled appends from several goroutines, and prints what each
// append was told only after it was told.
func appendUntilKilled(path string) error {
	ctx := context.Background()
	j, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	epoch, err := j.Claim(ctx, 0)
	if err != nil {
		return err
	}
	var printing sync.Mutex
	failed := make(chan error)
	for g := range 6 {
		go func() {
			for n := 0; ; n++ {
				stream, key := fmt.Sprintf("s/%d", g%4), fmt.Sprintf("%d-%d-%d", epoch, g, n)
				b := batch(stream, key, n%3+1)
				b.Blobs = []journal.Blob{journal.NewBlob([]byte(key))}
				records, err := j.Append(ctx, b)
				if err != nil {
					failed <- err
					return
				}
				printing.Lock()
				fmt.Println(stream, key, records[0].Sequence, records[len(records)-1].Sequence)
				printing.Unlock()
			}
		}()
	}
	return <-failed
}

// acknowledgement is one line of appendUntilKilled's.
type acknowledgement struct {
	stream, key string
	span        journal.Span
}

func parse(t *testing.T, line string) (a acknowledgement) {
	t.Helper()
	if _, err := fmt.Sscan(line, &a.stream, &a.key, &a.span.First, &a.span.Last); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	return a
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	path := newPath(t)
	var acknowledged []acknowledgement
	for range 3 { // each time it recovers from the last
		acknowledged = append(acknowledged, killWhileAppending(t, path)...)

		j := mustClaim(t, path)
		for _, a := range acknowledged {
			mustHold(t, j, a)
		}
		mustAppend(t, j, batch("s/0", "", 1))
		mustClose(t, j)
		mustVerify(t, path)
	}
}

// killWhileAppending kills a process in the middle of its appends, and returns
// all that it was told was durable.
func killWhileAppending(t *testing.T, path string) (acknowledged []acknowledgement) {
	t.Helper()
	const enough = 60
	c := startChild(t, "append", path)
	for c.lines.Scan() {
		acknowledged = append(acknowledged, parse(t, c.lines.Text()))
		if len(acknowledged) == enough {
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.cmd.Wait(); err == nil || len(acknowledged) < enough {
		t.Fatalf("the child ended by itself after %d appends: %v", len(acknowledged), err)
	}
	return acknowledged
}

func mustHold(t *testing.T, j *Journal, a acknowledgement) {
	t.Helper()
	span, found, err := j.Find(soon(t), a.stream, a.key)
	if !found || err != nil || span != a.span {
		t.Fatalf("key %s of %s was acknowledged at %v: found %v at %v, error %v", a.key, a.stream, a.span, found, span, err)
	}
	count := int(span.Last - span.First + 1)
	records, err := j.ReadStream(soon(t), a.stream, span.First, count)
	if err != nil {
		t.Fatal(err)
	}
	var events []journal.Event
	for _, r := range records {
		events = append(events, r.Event)
	}
	if diff := difference(batch(a.stream, a.key, count).Events, events); diff != "" {
		t.Fatalf("batch %s of %s (-want +got):\n%s", a.key, a.stream, diff)
	}
	if _, err := j.Blob(soon(t), journal.Digest([]byte(a.key))); err != nil {
		t.Fatal(err)
	}
}

// TestOneProcessWritesOthersRead has another process append, and does
// meanwhile what one may.
func TestOneProcessWritesOthersRead(t *testing.T) {
	path := newPath(t)
	c := startChild(t, "append", path)
	if !c.lines.Scan() {
		t.Fatal("the child appended nothing")
	}
	seen := parse(t, c.lines.Text())

	j := mustOpen(t, path, Options{})
	_, err := j.Claim(soon(t), 0)
	fails(t, err, ErrLocked, path+".lock", fmt.Sprintf("process %d", c.cmd.Process.Pid))
	if errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("that another process has claimed the journal was taken for a fault of the disk: %v", err)
	}
	_, err = j.Append(soon(t), batch("s/0", "", 1))
	fails(t, err, journal.ErrFenced)
	mustHold(t, j, seen)
	if err := j.Wait(soon(t), journal.Cursor{readAll(t, j)[0].Position + 20}); err != nil {
		t.Errorf("follow another process: %v", err)
	}

	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := Backup(soon(t), path, copied); err != nil {
		t.Error(err)
	}
	restored := mustClaim(t, copied)
	mustHold(t, restored, seen)
	mustAppend(t, restored, batch("s/0", "goes on", 2))

	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // it was killed
	if _, err := j.Claim(soon(t), 0); err != nil {
		t.Errorf("claim after the other process's end: %v", err)
	}
}

// TestTornLog cuts the write-ahead log off at many places, and spoils a byte at
// others, as a machine that loses power may. What remains must be whole
// batches from the beginning.
func TestTornLog(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	const batches = 12
	for n := range batches {
		mustAppend(t, j, batch(fmt.Sprintf("s/%d", n%2), fmt.Sprint(n), n%3+1))
	}
	all := readAll(t, j)
	file, log := mustRead(t, path), mustRead(t, path+"-wal")

	remaining := map[int]bool{}
	const cuts = 24
	for cut := range cuts {
		at := len(log) * (cut + 1) / (cuts + 1)
		torn := append([]byte{}, log[:at]...)
		if cut%3 == 0 {
			torn = append([]byte{}, log...)
			torn[at] ^= 0xff
		}
		got := readTorn(t, file, torn)
		if diff := difference(all[:len(got)], got); diff != "" {
			t.Fatalf("cut at %d of %d: not a beginning of the journal:\n%s", at, len(log), diff)
		}
		if len(got) > 0 && len(got) < len(all) && all[len(got)].Subject == got[len(got)-1].Subject {
			t.Errorf("cut at %d of %d: batch %s is not whole", at, len(log), all[len(got)].Subject)
		}
		remaining[len(got)] = true
	}
	if len(remaining) < batches/2 {
		t.Errorf("the cuts left only these numbers of records: %v", remaining)
	}
}

// readTorn makes a journal of the two files, appends to it, and returns what
// was in it before.
func readTorn(t *testing.T, file, log []byte) []journal.Record {
	t.Helper()
	path := newPath(t)
	mustWrite(t, path, file)
	mustWrite(t, path+"-wal", log)
	j := mustClaim(t, path)
	records := readAll(t, j)
	mustAppend(t, j, batch("s/0", "after", 1))
	if _, err := journal.Verify(soon(t), j); err != nil {
		t.Error(err)
	}
	mustClose(t, j)
	mustVerify(t, path)
	return records
}

// TestTornLogOfAKilledWriter takes the files that a killed process left, and
// spoils the end of the log within its last commits. The commits before are
// intact, and so nothing of them is missing.
func TestTornLogOfAKilledWriter(t *testing.T) {
	path := newPath(t)
	killWhileAppending(t, path)
	file, log := mustRead(t, path), mustRead(t, path+"-wal")
	ends := commits(t, log)
	if len(ends) < 5 {
		t.Fatalf("the log has %d commits", len(ends))
	}
	// What lies behind the last commit was never acknowledged, nor committed.
	all := readTorn(t, file, log)
	for back := range 4 {
		last := len(ends) - 1 - back // the commit that is spoiled
		want := readTorn(t, file, log[:ends[last-1]])
		if len(want) >= len(all) || difference(all[:len(want)], want) != "" {
			t.Fatalf("%d commits before the last there are %d of %d records, or others", back+1, len(want), len(all))
		}
		middle := (ends[last-1] + ends[last]) / 2
		cut, flipped := log[:ends[last]-1], append([]byte{}, log[:ends[last]]...)
		flipped[ends[last]-1] ^= 0xff
		zeroed := append(append([]byte{}, log[:middle]...), make([]byte, len(log)-middle)...)
		for name, torn := range map[string][]byte{
			"one byte short": cut, "cut in the middle": log[:middle], "its last byte changed": flipped, "zeros from its middle": zeroed,
		} {
			if diff := difference(want, readTorn(t, file, torn)); diff != "" {
				t.Errorf("commit %d, %s: other records than up to the commit before:\n%s", last, name, diff)
			}
		}
	}
}

// commits returns where each commit in a write-ahead log ends. The format is at
// https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func commits(t *testing.T, log []byte) (ends []int) {
	t.Helper()
	const logHeader, frameHeader = 32, 24
	pageSize := int(binary.BigEndian.Uint32(log[8:]))
	for end := logHeader + frameHeader + pageSize; end <= len(log); end += frameHeader + pageSize {
		frame := log[end-frameHeader-pageSize:]
		if !bytes.Equal(frame[8:16], log[16:24]) {
			break // left over from before the log began anew
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // the size of the file after a commit
			ends = append(ends, end)
		}
	}
	return ends
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustWrite(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
