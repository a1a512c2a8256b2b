package view

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/tokens"
)

var update = flag.Bool("update", false, "write the golden files anew")

const stream = "travel/concierge"

// shelf is a reader of rows that a test puts there, newest first. It knows
// nothing of sequences but how far it is.
type shelf struct {
	head     int64
	headErr  error
	messages map[string][]projection.Message
	memories []projection.Memory
	results  map[string][]projection.Result

	chunks    []projection.Chunk
	summaries map[string][]projection.Summary // of conversations
	overviews map[string][]projection.Summary // of collections
	pending   map[string][]projection.Pending
	observed  []projection.Observation

	found    map[projection.Shelf][]Found // best first, whatever is asked
	searches []Search
}

func (s *shelf) Find(_ context.Context, q Search) ([]Found, error) {
	s.searches = append(s.searches, q)
	return s.found[q.Shelf][:min(len(s.found[q.Shelf]), q.Limit)], nil
}

func (s *shelf) Head(context.Context, string) (int64, error) { return s.head, s.headErr }

func (s *shelf) WaitFor(ctx context.Context, _ string, min int64) error {
	if min <= s.head {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *shelf) Messages(_ context.Context, of projection.Scope, conversation string) ([]projection.Message, error) {
	return newest(s.messages[conversation], of), nil
}

func (s *shelf) Memories(_ context.Context, of projection.Scope, _ ...string) ([]projection.Memory, error) {
	return newest(s.memories, of), nil
}

func (s *shelf) Results(_ context.Context, of projection.Scope, conversation string) ([]projection.Result, error) {
	return newest(s.results[conversation], of), nil
}

func (s *shelf) Chunks(context.Context, projection.Scope, ...string) ([]projection.Chunk, error) {
	return slices.Clone(s.chunks), nil
}

func (s *shelf) Summaries(_ context.Context, of projection.Scope, conversation, _ string) ([]projection.Summary, error) {
	return newest(s.summaries[conversation], of), nil
}

func (s *shelf) Overviews(_ context.Context, of projection.Scope, collection string) ([]projection.Summary, error) {
	return newest(s.overviews[collection], of), nil
}

func (s *shelf) Pending(_ context.Context, of projection.Scope, conversation string) ([]projection.Pending, error) {
	return newest(s.pending[conversation], of), nil
}

func (s *shelf) Observations(_ context.Context, of projection.Scope) ([]projection.Observation, error) {
	return newest(slices.Clone(s.observed), of), nil
}

func (s *shelf) Time(context.Context, string, int64) (time.Time, error) { return at(59), nil }

func newest[T any](rows []T, of projection.Scope) []T { return rows[:min(len(rows), of.Limit)] }

var newBuilderOnce = sync.OnceValues(tokens.New)

// builder returns a builder; all of a test's builders share what they remember.
func builder(t interface{ Fatal(...any) }, r Reader) *Builder {
	counter, err := newBuilderOnce()
	if err != nil {
		t.Fatal(err)
	}
	return &Builder{reader: r, tokens: counter}
}

// searching returns a builder whose blocks are searched for, too.
func searching(t interface{ Fatal(...any) }, s *shelf) *Builder {
	b := builder(t, s)
	b.finder = s
	return b
}

// only is a view of one block.
func only(budget int, b Block) Definition {
	b.Name = "it"
	return Definition{Namespace: "travel", Name: "concierge", Agent: "concierge", Budget: budget, Blocks: []Block{b}}
}

// ask is a request for a question in the conversation ada.
func ask(d Definition) Request {
	return Request{Definition: d, Stream: stream, Question: agent.Question{Conversation: "ada", Text: "Which visa do I need?"}}
}

func built(t *testing.T, b *Builder, r Request) agent.Context {
	t.Helper()
	got, err := b.Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func at(second int) time.Time { return time.Date(2027, 3, 1, 10, 0, second, 0, time.UTC) }

// concierge is the view of the README's example.
func concierge(budget int) Definition {
	return Definition{
		Namespace: "travel", Name: "concierge", Agent: "concierge", Budget: budget,
		Blocks: []Block{
			{Name: "profile", Memories: &Memories{Kinds: []string{"preference"}, Limit: 20}},
			{Name: "history", Conversation: &Conversation{Turns: 20}},
			{Name: "results", Results: &Results{Limit: 10}},
		},
	}
}

func travel() *shelf {
	return &shelf{
		head: 42,
		memories: []projection.Memory{
			{Sequence: 9, Time: at(9), ID: "mem-22bb", Kind: "preference", Content: "Vegetarian meals."},
			{Sequence: 3, Time: at(3), ID: "mem-11aa", Kind: "preference", Content: "Window seats,\nas far forward as possible"},
		},
		messages: map[string][]projection.Message{"ada": {
			{Sequence: 40, Time: at(40), Role: projection.User, Text: "Book the morning one."},
			{Sequence: 30, Time: at(30), Role: projection.Agent, Text: "There are two flights:\n\n- LX2084 at 07:05\n- TP933 at 17:40\n"},
			{Sequence: 20, Time: at(20), Role: projection.User, Text: "Find me flights from Zürich to Lisbon on 2027-03-04"},
		}},
		results: map[string][]projection.Result{"ada": {
			{Sequence: 41, Time: at(41), Command: "ask-2-1-0", Operation: "book_flight", Arguments: `{"flight":"LX2084"}`, Phase: agent.OutcomeUnknown, Reason: "AttemptInterrupted", Text: "Attempt 1 was under way when the operator stopped."},
			{Sequence: 25, Time: at(25), Command: "ask-1-1-0", Operation: "search_flights", Arguments: `{"date":"2027-03-04","from":"ZRH","to":"LIS"}`, Phase: agent.Succeeded, Status: 200, Text: `[{"flight":"LX2084"},{"flight":"TP933"}]`},
			{Sequence: 24, Time: at(24), Command: "ping", Operation: "ping", Phase: agent.Succeeded, Status: 204},
		}},
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", file, diff)
	}
}
