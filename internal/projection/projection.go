// Package projection folds the journal into tables that context views are built
// from: what was said (Message), what is remembered (Memory) and what came of
// calls (Result). The tables stand in a SQLite file of their own, or in a schema of
// the PostgreSQL database that holds the journal. They are disposable: drop them,
// follow the journal from its beginning, and they are the same again.
//
// With PostgreSQL several processes share the tables, and each projects some
// shards of the journal. A batch of records, what it changes, and the checkpoints
// of its shards are one transaction, which fails if another process has moved one
// of these checkpoints: so nothing is applied twice.
//
// Every row says at which sequence of its stream it came to be, and at which it
// ceased to hold, so that a read is always as of a sequence, and tells the same
// however much has happened since.
//
// It does not know views, budgets, tokens or questions, it appends nothing, and
// it does not know that Kubernetes exists.
package projection

import (
	"context"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Log is the part of a journal that a projection reads.
type Log interface {
	Shards() int
	Head(ctx context.Context, stream string) (int64, error)
	ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error)
	ReadAll(ctx context.Context, after journal.Cursor, limit int) ([]journal.Record, error)
	Wait(ctx context.Context, after journal.Cursor) error
}

// Options shape a Store. The zero value is good.
type Options struct {
	// Batch is how many records are read and committed at once; 0 means 512.
	Batch int
	// Readers is how many reads may run at the same time; 0 means 4.
	Readers int
	// OnChange is told, after each commit, which streams grew or stopped. It is
	// called from Follow's goroutine, which waits for it: it must not block. What
	// another process commits it is not told.
	OnChange func(streams []string)
}

func (o Options) withDefaults() Options {
	if o.Batch <= 0 {
		o.Batch = 512
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.OnChange == nil {
		o.OnChange = func([]string) {}
	}
	return o
}

// Scope is what a read looks at: one stream, as it was right after the record
// AsOf (0: before the first), and at most the Limit newest rows.
type Scope struct {
	Stream string
	AsOf   int64
	Limit  int
}

// Role is who said a message.
type Role string

// The roles.
const (
	User  Role = "user"
	Agent Role = "agent"
)

// Message is one turn of a conversation.
type Message struct {
	Sequence int64
	Time     time.Time
	Role     Role
	Text     string
	Command  string // key of the ask that it belongs to
}

// Memory is something that an agent remembers, in all its conversations.
type Memory struct {
	Sequence int64
	Time     time.Time
	ID       string
	Kind     string
	Content  string
}

// Result is what came of a command that calls an API.
type Result struct {
	Sequence     int64
	Time         time.Time
	Command      string // the command's name
	Key          string // the command's idempotency key
	Operation    string
	Arguments    string // canonical JSON, bounded by MaxArguments; may be empty
	Conversation string // empty: the command was issued in none
	IssuedBy     string // key of the ask that issued it; empty: a person or GitOps did
	Phase        agent.Phase
	Reason       string // unless it succeeded
	Status       int    // HTTP status, 0 if there was none
	Text         string // what was answered, bounded by MaxText; or a sentence that says what went wrong
}

// Bounds of what a Result holds, in bytes. What is longer is cut, and says so.
const (
	MaxText      = 32 << 10
	MaxArguments = 4 << 10
)
