package journaltest

import (
	"context"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// testCopy copies a journal, and the copy.
func testCopy(t *testing.T, newStore func(tb testing.TB) Opener) {
	from, to := collection(t, newStore(t)), reader(t, newStore(t))
	want, events := mustVerify(t, from), historyOf(t, from)
	for _, step := range [][2]journal.Journal{{from, to}, {to, reader(t, newStore(t))}} {
		got, err := journal.Copy(soon(t), step[0], step[1])
		if err != nil {
			t.Fatalf("copy: %v", err)
		}
		equal(t, "report of the copy", got, want)
		equal(t, "the copy", historyOf(t, step[1]), events)
	}
	if !strings.HasPrefix(want.Digest, "sha256:") || want.Streams != 8 || want.Texts == 0 || want.Events != int64(len(readAll(t, from))) {
		t.Errorf("the report is %+v", want)
	}

	// Whoever goes on with the copy has another history.
	claim(t, to)
	mustAppend(t, to, anywhere("s/1", event(9)))
	if grown := mustVerify(t, to); grown.Digest == want.Digest || grown.Events != want.Events+1 {
		t.Errorf("the report after one more event is %+v", grown)
	}
	if again := mustVerify(t, from); again != want {
		t.Errorf("the source's report is now %+v", again)
	}
}

// growing is a source to which a record is appended while it is imported.
type growing struct {
	journal.Journal
	grow func()
}

func (g *growing) Digests(ctx context.Context, after string, limit int) ([]string, error) {
	digests, err := g.Journal.Digests(ctx, after, limit)
	if len(digests) == 0 && g.grow != nil { // at the very end of the first look
		g.grow()
		g.grow = nil
	}
	return digests, err
}

func testCopyWhileAppending(t *testing.T, newStore func(tb testing.TB) Opener) {
	from, to := collection(t, newStore(t)), reader(t, newStore(t))
	source := &growing{Journal: from, grow: func() { mustAppend(t, from, anywhere("s/1", event(9))) }}
	_, err := journal.Copy(soon(t), source, to)
	if err == nil || !strings.Contains(err.Error(), "stop the operator") {
		t.Errorf("copy of a journal that grew: %v", err)
	}
	isEmpty(t, to)
	if _, err := journal.Copy(soon(t), source, to); err != nil {
		t.Errorf("copy once it grows no more: %v", err)
	}
}

// forged is a source in which one event is not what was written.
type forged struct{ journal.Journal }

func (f forged) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	records, err := f.Journal.ReadStream(ctx, stream, from, limit)
	for i := range records {
		if records[i].Stream == "s/3" && records[i].Sequence == 5 {
			records[i].Data = []byte(`{"n":4711}`)
		}
	}
	return records, err
}

func testCopyDamaged(t *testing.T, newStore func(tb testing.TB) Opener) {
	from, to := collection(t, newStore(t)), reader(t, newStore(t))
	_, err := journal.Copy(soon(t), forged{from}, to)
	fails(t, "copy", err, journal.ErrCorrupt)
	if err == nil || !strings.Contains(err.Error(), "event 5 of stream s/3 (NumberDrawn") {
		t.Errorf("the error does not name the event: %v", err)
	}
	isEmpty(t, to)
}
