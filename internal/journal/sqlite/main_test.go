package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/journal"
)

// The test binary runs itself again to be another process: childRole says as
// what, and childPath on which journal.
const (
	childRole = "EDICT_TEST_CHILD_ROLE"
	childPath = "EDICT_TEST_CHILD_PATH"
)

var childRoles = map[string]func(path string) error{}

func TestMain(m *testing.M) {
	role := os.Getenv(childRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := childRoles[role](os.Getenv(childPath)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is another process, and the lines that it prints.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, role, path string) *child {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(soon(t), executable)
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd: cmd, lines: bufio.NewScanner(out)}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "journal.db") }

func mustOpen(t *testing.T, path string, opts Options) *Journal {
	t.Helper()
	j, err := Open(soon(t), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, j) })
	return j
}

func mustClaim(t *testing.T, path string) *Journal {
	t.Helper()
	j := mustOpen(t, path, Options{})
	if _, err := j.Claim(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	return j
}

func mustClose(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// batch has count events, some of them with a kilobyte of data.
func batch(stream, key string, count int) journal.Batch {
	b := journal.Batch{Stream: stream, Expected: journal.AnyVersion, Key: key}
	for i := range count {
		data := fmt.Appendf(nil, `{"key":%q,"i":%d,"of":%d,"pad":%q}`, key, i, count, strings.Repeat("x", 400*i))
		b.Events = append(b.Events, journal.Event{Type: "NumberDrawn", Version: 1, Subject: key, Data: data})
	}
	return b
}

func mustAppend(t *testing.T, j *Journal, b journal.Batch) []journal.Record {
	t.Helper()
	records, err := j.Append(soon(t), b)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func readAll(t *testing.T, j *Journal) []journal.Record {
	t.Helper()
	const more = 1_000_000
	records, err := j.ReadAll(soon(t), nil, more)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// difference compares records, or events; payloads as texts, which is faster
// than byte by byte.
func difference[T any](want, got []T) string {
	asText := cmp.Transformer("text", func(data json.RawMessage) string { return string(data) })
	return cmp.Diff(append([]T(nil), want...), got, asText)
}

func mustVerify(t *testing.T, path string) {
	t.Helper()
	if err := Verify(soon(t), path); err != nil {
		t.Error(err)
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

// onWriter runs statements on the write connection, between two commits.
func onWriter(t *testing.T, j *Journal, statements ...string) {
	t.Helper()
	err := j.submit(soon(t), &request{call: func() error {
		for _, statement := range statements {
			if _, err := j.writes.conn.conn.ExecContext(context.Background(), statement); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}
