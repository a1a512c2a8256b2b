package history

import (
	"context"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// Recorder writes down what the clients of a journal ask, what they are told, and when. It may be used from any
// goroutine, for any number of handles on the same journal in this process.
type Recorder struct {
	start time.Time

	mu         sync.Mutex
	clients    int
	operations []Operation
}

// NewRecorder returns a recorder that has seen nothing.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Wrap returns the journal, as one more client whose calls of Append, Find, Head and ReadStream are recorded.
func (r *Recorder) Wrap(j journal.Journal) journal.Journal {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients++
	return &recorded{Journal: j, to: r, client: r.clients - 1}
}

// Operations returns what was recorded so far: calls that have returned.
func (r *Recorder) Operations() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Operation(nil), r.operations...)
}

// Kind is the method of the journal that was called.
type Kind string

// The kinds.
const (
	Append     Kind = "Append"
	Find       Kind = "Find"
	Head       Kind = "Head"
	ReadStream Kind = "ReadStream"
)

// Answer is how a call came out.
type Answer string

// The answers. A call that was refused with another error, and did nothing for certain, is not recorded.
const (
	OK           Answer = "ok"
	Unknown      Answer = "unknown" // of an append: it may have happened, and may happen yet
	DuplicateKey Answer = "duplicate key"
	VersionError Answer = "version error"
)

// Operation is one call, by one client.
type Operation struct {
	Client       int
	Call, Return time.Duration // since the recorder's start; an unknown append never returns

	Kind     Kind
	Stream   string
	Key      string   // of an append or a find
	Expected int64    // of an append
	From     int64    // of a read
	Limit    int      // of a read
	Events   []string // of an append: fingerprints of what was to be appended

	Answer   Answer
	Found    bool         // of a find
	Span     journal.Span // of an append, a find, or a duplicate key
	Sequence int64        // a head; of a version error the actual one
	Read     []string     // of a read: fingerprints
}

// never is when an append returns whose outcome is not known.
const never = time.Duration(math.MaxInt64)

type recorded struct {
	journal.Journal

	to     *Recorder
	client int
}

func (r *recorded) begin(kind Kind, stream string) Operation {
	return Operation{Client: r.client, Kind: kind, Stream: stream, Call: time.Since(r.to.start), Answer: OK}
}

func (r *recorded) end(o Operation) {
	if o.Return == 0 {
		o.Return = time.Since(r.to.start)
	}
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	r.to.operations = append(r.to.operations, o)
}

// Append implements journal.Journal.
func (r *recorded) Append(ctx context.Context, batch journal.Batch) ([]journal.Record, error) {
	o := r.begin(Append, batch.Stream)
	o.Key, o.Expected = batch.Key, batch.Expected
	for _, e := range batch.Events {
		o.Events = append(o.Events, fingerprint(e))
	}
	records, err := r.Journal.Append(ctx, batch)
	var duplicate *journal.DuplicateKeyError
	var version *journal.VersionError
	switch {
	case errors.As(err, &duplicate):
		o.Answer, o.Span = DuplicateKey, duplicate.Span
	case errors.As(err, &version):
		o.Answer, o.Sequence = VersionError, version.Actual
	case errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrInvalid):
		return records, err // it did nothing
	case err != nil:
		o.Answer, o.Return = Unknown, never
	case len(records) == 0:
		// An acknowledgement of nothing fits no state; its empty span says so.
	default:
		o.Span = journal.Span{First: records[0].Sequence, Last: records[len(records)-1].Sequence}
		o.Read = fingerprints(records)
	}
	r.end(o)
	return records, err
}

// Find implements journal.Journal.
func (r *recorded) Find(ctx context.Context, stream, key string) (journal.Span, bool, error) {
	o := r.begin(Find, stream)
	o.Key = key
	span, found, err := r.Journal.Find(ctx, stream, key)
	if err == nil {
		o.Span, o.Found = span, found
		r.end(o)
	}
	return span, found, err
}

// Head implements journal.Journal.
func (r *recorded) Head(ctx context.Context, stream string) (int64, error) {
	o := r.begin(Head, stream)
	head, err := r.Journal.Head(ctx, stream)
	if err == nil {
		o.Sequence = head
		r.end(o)
	}
	return head, err
}

// ReadStream implements journal.Journal.
func (r *recorded) ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error) {
	o := r.begin(ReadStream, stream)
	o.From, o.Limit = from, limit
	records, err := r.Journal.ReadStream(ctx, stream, from, limit)
	if err == nil {
		o.Read = fingerprints(records)
		r.end(o)
	}
	return records, err
}

func fingerprints(records []journal.Record) []string {
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, fingerprint(r.Event))
	}
	return out
}

// fingerprint is short, because a history holds many: who checks gives each append a text of its own.
func fingerprint(e journal.Event) string {
	h := fnv.New64a()
	for _, part := range [][]byte{[]byte(e.Type), {0}, []byte(e.Subject), {0}, e.Data} {
		_, _ = h.Write(part) // a hash takes every byte
	}
	return hex.EncodeToString(h.Sum(nil))
}
