// Package projection folds the journal into tables that context views are built
// from: what was said (Message) and what a model made of it (Summary), what is
// remembered (Memory), what documents hold (Chunk), which commands are open
// (Pending) and what came of calls (Result). The tables stand in a SQLite file of
// their own, or in a schema of the PostgreSQL database that holds the journal. They
// are disposable: drop them, follow the journal from its beginning, and they are
// the same again.
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
	SaidBy   string // of a user's: who, if it was said
	Command  string // key of the ask that it belongs to
}

// Memory is something that an agent remembers, in all its conversations.
type Memory struct {
	Sequence   int64
	Time       time.Time
	ID         string
	Kind       string
	Content    string
	Importance int       // 1 to 10
	SaidBy     string    // empty: nobody said who
	Expires    time.Time // it holds until before this time of the journal; zero: for good
}

// Chunk is a passage of a document that is in a collection.
type Chunk struct {
	Sequence   int64 // of the event that recorded it
	Time       time.Time
	Collection string
	Document   string
	Source     string // where it was read, for people
	Digest     string // of the whole document and how it was split
	Index      int    // in the document, from 0
	Heading    string
	Text       string
}

// Summary is a model's summary of what a stream held.
type Summary struct {
	Sequence     int64
	Time         time.Time
	Conversation string // of a conversation,
	Collection   string // or of a collection of documents
	Command      string // key of the command that asked for it
	From, To     int64  // the sequences that it covers, both inclusive
	Text         string
}

// Embedded is the vectors that a model gave for some texts. The numbers are a blob of the journal.
type Embedded struct {
	Sequence   int64 // they can be used from here on
	Model      string
	Dimensions int
	Texts      []string // agent.TextDigest of each
	Vectors    string   // digest of the blob; see agent.DecodeVectors
}

// Observation is what a Kubernetes object said when it was last observed under a name.
type Observation struct {
	Sequence int64
	Time     time.Time
	Name     string // of the observation
	Object   string // for people: "Deployment default/web"
	Missing  bool   // there was no such object
	Fields   string // canonical JSON: an object; empty if Missing
}

// Pending is a command that was accepted and has not ended.
type Pending struct {
	Sequence     int64 // of its acceptance
	Time         time.Time
	Command      string // the command's name
	Key          string // the command's idempotency key
	Type         agent.Type
	Operation    string // with callAPI
	Arguments    string // with callAPI: canonical JSON, bounded by MaxArguments
	Conversation string // empty: the command was issued in none
	IssuedBy     string // key of the ask that issued it; empty: a person or GitOps did
}

// Shelf is where a passage stands.
type Shelf string

// The shelves that can be searched.
const (
	Memories  Shelf = "memories"
	Turns     Shelf = "turns"
	Documents Shelf = "documents"
)

// Passage is a row that can be searched: a memory, a turn, or a chunk of a
// document, with when it holds. Sequence, Shelf and Index name it; a turn that was
// reopened and ended again is there once for each time, by Since.
type Passage struct {
	Shelf    Shelf
	Sequence int64     // of the event that recorded it
	Index    int       // of a chunk: in its document; otherwise 0
	Since    int64     // it holds from this sequence on: of a turn, from when its ask ended; of a chunk, from when the command that indexed it did
	Until    int64     // until before this one; 0: for good, as far as was looked
	Time     time.Time // when it was recorded
	Expires  time.Time // of a memory: it holds until before this time; zero: for good

	Text       string
	Name       string // of a memory its id, of a turn the key of its ask, of a chunk its document
	Within     string // of a memory its kind, of a turn its conversation, of a chunk its collection
	Speaker    string // of a memory who said it, of a turn who, or its role; of a chunk its headings
	Source     string // of a turn its role, whoever says to be the agent; of a chunk where it was read
	Importance int    // of a memory: 1 to 10
}

// Embeddable returns what is embedded of the passage; agent.TextDigest of it names its vector.
func (p Passage) Embeddable() string {
	if p.Shelf == Documents {
		return agent.EmbeddingText(p.Speaker, p.Text)
	}
	return agent.EmbeddingText("", p.Text)
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
