package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// TestBackupWhileWriting copies a journal that grows, and restores each copy.
// TestOneProcessWritesOthersRead does it from another process.
func TestBackupWhileWriting(t *testing.T) {
	path := newPath(t)
	j := mustClaim(t, path)
	b := batch("a", "before", 3)
	b.Blobs = []journal.Blob{journal.NewBlob([]byte("text"))}
	mustAppend(t, j, b)

	writing, stop := context.WithCancel(soon(t))
	var appending sync.WaitGroup
	for g := range 3 {
		appending.Go(func() {
			for n := 0; n < 200 && writing.Err() == nil; n++ {
				_, err := j.Append(writing, batch(fmt.Sprintf("s/%d", g), fmt.Sprint(n), n%3+1))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	dir := t.TempDir()
	var copies []string
	for n := range 3 {
		if err := j.Wait(writing, journal.Cursor{int64(20 * n)}); err != nil { // each copy finds more
			t.Fatal(err)
		}
		copies = append(copies, filepath.Join(dir, fmt.Sprintf("copy-%d.db", n)))
		if err := Backup(soon(t), path, copies[n]); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	appending.Wait()

	all, before := readAll(t, j), 0
	for _, name := range copies {
		before = restores(t, name, all, before)
	}
}

// restores opens a copy, and checks that it is the beginning of the journal
// and goes on from there. It returns the number of records in it.
func restores(t *testing.T, name string, all []journal.Record, atLeast int) int {
	t.Helper()
	restored := mustClaim(t, name)
	got := readAll(t, restored)
	if len(got) < max(atLeast, 3) || len(got) > len(all) {
		t.Fatalf("%s has %d records", name, len(got))
	}
	if diff := difference(all[:len(got)], got); diff != "" {
		t.Errorf("%s differs:\n%s", name, diff)
	}
	if text, err := restored.Blob(soon(t), journal.Digest([]byte("text"))); string(text) != "text" || err != nil {
		t.Errorf("blob: %q, %v", text, err)
	}
	_, err := restored.Append(soon(t), batch("a", "before", 3))
	if !isRefusal(err) {
		t.Errorf("a key of the journal is free in %s: %v", name, err)
	}
	next := mustAppend(t, restored, batch("a", "after", 1))[0]
	if next.Sequence != 4 || next.Epoch <= all[0].Epoch {
		t.Errorf("%s goes on at %d in epoch %d", name, next.Sequence, next.Epoch)
	}
	mustClose(t, restored)
	mustVerify(t, name)
	return len(got)
}

func TestBackupRefusals(t *testing.T) {
	path := sample(t)
	dir := t.TempDir()
	dst := filepath.Join(dir, "copy.db")

	mustWrite(t, dst, []byte("precious"))
	fails(t, Backup(soon(t), path, dst), nil, dst, "exists already", "choose another name")
	if got := string(mustRead(t, dst)); got != "precious" {
		t.Errorf("the file that was there is now %q", got)
	}
	if err := os.Remove(dst); err != nil {
		t.Fatal(err)
	}

	mustWrite(t, dst+".partial", nil)
	fails(t, Backup(soon(t), path, dst), nil, dst+".partial", "remove it")
	if err := os.Remove(dst + ".partial"); err != nil {
		t.Fatal(err)
	}

	fails(t, Backup(soon(t), path, filepath.Join(dir, "missing", "copy.db")), nil, "missing")
	fails(t, Backup(soon(t), filepath.Join(dir, "none.db"), dst), nil, "none.db", "no journal")

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	fails(t, Backup(ended, path, dst), context.Canceled)

	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the refused backups left %v", left)
	}
	if err := Backup(soon(t), path, dst); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the backup left %v", left)
	}
}
