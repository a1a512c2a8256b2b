package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

func init() { childRoles["limited"] = appendUnderLimit }

// appendUnderLimit has the operating system refuse every write past a file
// size, in a process of its own because the limit is the process's. It does
// that twice, and expects to append again each time the limit is lifted. The
// signal that comes with the refusal, SIGXFSZ, does nothing to a Go program that
// has not asked for it.
func appendUnderLimit(path string) error {
	ctx := context.Background()
	j, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	if _, err := j.Claim(ctx, 0); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	appended := 0
	for round := range uint64(2) {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			return err
		}
		limited := syscall.Rlimit{Cur: uint64(info.Size()) + (1-round)*400_000, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
			return err
		}
		for ; ; appended++ {
			if _, err = j.Append(ctx, batch("a", fmt.Sprint(appended), 3)); err != nil {
				break
			}
		}
		if !errors.Is(err, journal.ErrUnavailable) {
			return fmt.Errorf("append under the limit: %w", err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		if _, err := j.Append(ctx, batch("a", fmt.Sprint(appended), 3)); err != nil {
			return err
		}
		appended++
	}
	fmt.Println(appended)
	return j.Close()
}

func TestRefusedWrites(t *testing.T) {
	path := newPath(t)
	c := startChild(t, "limited", path)
	if !c.lines.Scan() {
		t.Fatal("the child failed")
	}
	var appended int
	if _, err := fmt.Sscan(c.lines.Text(), &appended); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	j := mustClaim(t, path)
	if got := len(readAll(t, j)); appended < 10 || got != 3*appended {
		t.Errorf("%d records of %d batches of 3", got, appended)
	}
	mustAppend(t, j, batch("a", fmt.Sprint(appended), 3)) // the key is free
	mustVerify(t, path)
}
