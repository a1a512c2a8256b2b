package history

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// appended is an append of one event, whose fingerprint is its key.
func appended(key string, sequence int64) Operation {
	return Operation{Kind: Append, Key: key, Expected: journal.AnyVersion, Events: []string{key}, Read: []string{key}, Answer: OK,
		Span: journal.Span{First: sequence, Last: sequence}}
}

func unknown(key string) Operation {
	return Operation{Kind: Append, Key: key, Expected: journal.AnyVersion, Events: []string{key}, Answer: Unknown, Return: never}
}

func found(key string, sequence int64) Operation {
	return Operation{Kind: Find, Key: key, Found: true, Span: journal.Span{First: sequence, Last: sequence}}
}

func refused(o Operation, a Answer, sequence int64) Operation {
	o.Answer, o.Read, o.Span = a, nil, journal.Span{}
	if a == DuplicateKey {
		o.Span = journal.Span{First: sequence, Last: sequence}
	} else {
		o.Sequence = sequence
	}
	return o
}

func expecting(o Operation, version int64) Operation {
	o.Expected = version
	return o
}

func read(from int64, limit int, fingerprints ...string) Operation {
	return Operation{Kind: ReadStream, From: from, Limit: limit, Read: fingerprints}
}

// inOrder lets each operation return before the next is called; one that never returns is called in its place.
func inOrder(operations ...Operation) []Operation {
	for i := range operations {
		o := &operations[i]
		o.Call = time.Duration(10 * i)
		if o.Return != never {
			o.Return = o.Call + 5
		}
	}
	return operations
}

func TestWhatNoJournalAnswersIsFound(t *testing.T) {
	a, b := appended("a", 1), appended("b", 2)
	for _, c := range []struct {
		name string
		fits bool
		seen []Operation
	}{
		{"appends one after the other", true, inOrder(a, b, found("a", 1), read(1, 9, "a", "b"), read(2, 9, "b"), read(2, 1, "b"), read(3, 9))},
		{"a sequence is given twice", false, inOrder(a, appended("b", 1))},
		{"a sequence is left out", false, inOrder(a, appended("b", 3))},
		{"a key is used twice", false, inOrder(a, appended("a", 2))},
		{"a key is refused that was not used", false, inOrder(a, refused(b, DuplicateKey, 1))},
		{"a key is refused with another batch's place", false, inOrder(a, b, refused(a, DuplicateKey, 2))},
		{"a version is refused", true, inOrder(a, refused(expecting(b, 0), VersionError, 1))},
		{"a version is refused that is the right one", false, inOrder(a, refused(expecting(b, 1), VersionError, 1))},
		{"a version is refused with a head that never was", false, inOrder(a, refused(expecting(b, 7), VersionError, 5))},
		{"a version is not checked", false, inOrder(a, expecting(b, 0))},
		{"an acknowledged append is not found", false, inOrder(a, Operation{Kind: Find, Key: "a"})},
		{"an acknowledged append is not read", false, inOrder(a, b, read(1, 9, "a"))},
		{"a read is in another order", false, inOrder(a, b, read(1, 9, "b", "a"))},
		{"a head is old", false, inOrder(a, b, Operation{Kind: Head, Sequence: 1})},
		{"another event was appended than was sent", false, inOrder(Operation{Kind: Append, Events: []string{"a"}, Read: []string{"x"}, Answer: OK, Span: a.Span})},
		{"an unknown append never happened", true, inOrder(unknown("u"), a, read(1, 9, "a"))},
		{"it happened at once", true, inOrder(unknown("u"), b, read(1, 9, "u", "b"))},
		{"it happened late", true, inOrder(unknown("u"), a, Operation{Kind: Find, Key: "u"}, found("u", 2), read(1, 9, "a", "u"))},
		{"it came and went", false, inOrder(unknown("u"), found("u", 1), Operation{Kind: Find, Key: "u"})},
		{"it happened twice", false, inOrder(unknown("u"), found("u", 1), appended("u", 2))},
		{"it happened and is told again under its key", true, inOrder(unknown("u"), refused(appended("u", 1), DuplicateKey, 1), read(1, 9, "u"))},
		{"it did not happen and is done again under its key", true, inOrder(unknown("u"), appended("u", 1), read(1, 9, "u"))},
		{"twice unknown and there once", true, inOrder(unknown("u"), unknown("u"), read(1, 9, "u"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if violations := Check(c.seen, CheckOptions{Timeout: time.Minute}); c.fits != (len(violations) == 0) {
				t.Errorf("got %q", violations)
			}
			// With nothing decided by a last read, the answer is the same.
			undecided := append(slices.Clone(c.seen), Operation{Kind: Head, Sequence: heads(c.seen), Call: time.Hour, Return: time.Hour})
			if !c.fits && len(Check(undecided, CheckOptions{})) == 0 {
				t.Error("it fits when the last read is not the last operation")
			}
		})
	}
}

// heads is a head that fits the last read.
func heads(seen []Operation) (head int64) {
	for _, o := range seen {
		if o.Kind == ReadStream {
			head = max(head, o.From+int64(len(o.Read))-1)
		}
	}
	return head
}

func TestOperationsAtTheSameTimeMayBeInAnyOrder(t *testing.T) {
	first, second := appended("a", 2), appended("b", 1)
	first.Return, second.Return = 10, 10
	if violations := Check([]Operation{first, second}, CheckOptions{}); len(violations) > 0 {
		t.Error(violations)
	}
}

func TestAStreamIsNotExplainedByAnother(t *testing.T) {
	a, other := appended("a", 1), found("a", 1)
	other.Stream = "other"
	finds(t, Check(inOrder(a, other), CheckOptions{}), "other: no order of its 1 operations")
}

func TestTheFirstViolationIsDrawn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.html")
	finds(t, Check(inOrder(appended("a", 2)), CheckOptions{Timeout: time.Minute, Drawing: path}), path)
	if drawing, err := os.ReadFile(path); err != nil || len(drawing) == 0 {
		t.Errorf("%d bytes, %v", len(drawing), err)
	}
}

func TestACheckThatIsNotFinishedProvesNothing(t *testing.T) {
	finds(t, Check(inOrder(appended("a", 1), appended("b", 2)), CheckOptions{Timeout: 1}), "was not found out")
}
