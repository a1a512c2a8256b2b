package projection

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// telling is what the rows of a read have to say as of a sequence.
type telling struct {
	name  string
	asOf  int64
	limit int
	of    []string // kinds, collections, or one conversation
	want  []string
}

func (c telling) scope() Scope { return Scope{Stream: stream, AsOf: c.asOf, Limit: c.limit} }

// tells reads each case, and compares what say makes of each row.
func tells[T any](t *testing.T, cases []telling, read func(c telling) ([]T, error), say func(T) string) {
	t.Helper()
	for _, c := range cases {
		rows, err := read(c)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, say(row))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

func tellsMemories(t *testing.T, s *Store, cases []telling) {
	t.Helper()
	tells(t, cases, func(c telling) ([]Memory, error) { return s.Memories(t.Context(), c.scope(), c.of...) },
		func(m Memory) string { return m.Content })
}

func tellsMessages(t *testing.T, s *Store, cases []telling) {
	t.Helper()
	tells(t, cases, func(c telling) ([]Message, error) { return s.Messages(t.Context(), c.scope(), c.of[0]) },
		func(m Message) string { return m.Text })
}
