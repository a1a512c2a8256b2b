// Package journal is the append-only log of what happened: records, how they
// are appended, read and followed. A store (package sqlite, later postgres)
// implements Journal, and passes the suite in package journaltest.
//
// The journal knows streams, sequences, keys and digests. It knows nothing of
// agents, commands or Kubernetes.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// AnyVersion, as a Batch's Expected, appends wherever the stream's head is.
const AnyVersion int64 = -1

// MaxData is the largest event payload in bytes. Larger texts go beside the
// journal, as blobs by digest.
const MaxData = 256 << 10

// Event is what a caller appends. Type and Version are stored as they are
// spelled here, and never derived from a Go type's name.
type Event struct {
	Type    string          // past participle: "MemorySaved"
	Version int             // 1, 2, 3 …
	Subject string          // what within the stream it is about; may be empty
	Data    json.RawMessage // at most MaxData bytes
}

// Record is an event that has been appended.
type Record struct {
	Position int64     // orders the whole journal in commit order; gap-free is not promised
	Stream   string    //
	Sequence int64     // numbers the stream's records 1, 2, 3 … without a hole
	Time     time.Time // the journal's clock at the append, UTC, microseconds; never runs backwards within a journal
	Epoch    int64     // the writer's fencing epoch
	Event
}

// Blob is a text kept beside the journal by its digest.
type Blob struct {
	Digest string // see Digest
	Data   []byte
}

// NewBlob returns data with its digest.
func NewBlob(data []byte) Blob { return Blob{Digest: Digest(data), Data: data} }

// Digest returns "sha256:" and the lower-case hexadecimal SHA-256 of data.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Batch is appended whole or not at all.
type Batch struct {
	Stream   string
	Expected int64   // the stream's head that the caller has seen (0: no records yet), or AnyVersion
	Key      string  // optional: at most one batch of a stream is ever appended under one key
	Events   []Event // at least one
	Blobs    []Blob  // stored in the same transaction; storing a digest twice is no error
}

// Journal is the append-only log. Its methods may be called from any goroutine.
type Journal interface {
	// Claim makes this handle the writer: it takes a new epoch, and every
	// earlier holder's Append returns ErrFenced from then on.
	Claim(ctx context.Context) (epoch int64, err error)

	// Append adds the batch and returns its records once they are durable.
	//
	// It returns *DuplicateKeyError if the key was used in the stream before
	// (checked first), *VersionError if the head is not the expected one,
	// ErrFenced if another writer has claimed the journal or this handle never
	// did, ErrInvalid for a batch that no journal can take, and
	// ErrUnavailable if the store cannot write (disk full, read-only): nothing
	// is lost or half written then, and the caller may append again. A batch
	// whose context ends while it waits may or may not have been appended;
	// ask by key.
	Append(ctx context.Context, batch Batch) ([]Record, error)

	// Find returns the sequences of the batch that was appended under key.
	Find(ctx context.Context, stream, key string) (span Span, found bool, err error)

	// Head returns the sequence of the stream's last record, 0 if there is none.
	Head(ctx context.Context, stream string) (int64, error)

	// ReadStream returns up to limit records of a stream, in order, beginning
	// with sequence from (1 is the first).
	ReadStream(ctx context.Context, stream string, from int64, limit int) ([]Record, error)

	// ReadSubject returns all records of a stream about one subject, in order.
	ReadSubject(ctx context.Context, stream, subject string) ([]Record, error)

	// ReadAll returns up to limit records of all streams with a position
	// greater than after, in commit order. No record ever appears later at a
	// position that a reader has already passed.
	ReadAll(ctx context.Context, after int64, limit int) ([]Record, error)

	// Wait returns nil once the journal holds a record with a position greater
	// than after, or the context's error. Following is Wait and ReadAll in turn.
	Wait(ctx context.Context, after int64) error

	// Blob returns the text with that digest, or ErrNoBlob.
	Blob(ctx context.Context, digest string) ([]byte, error)

	// Check reports whether the journal can be written to, by writing: nil, or
	// ErrUnavailable, or ErrFenced. It appends nothing.
	Check(ctx context.Context) error

	// Close waits for the writes under way, and releases the store.
	Close() error
}

// Span is the sequences that one batch took, both inclusive.
type Span struct{ First, Last int64 }

var (
	// ErrFenced is returned to a writer whose epoch is over.
	ErrFenced = errors.New("another writer has claimed the journal")
	// ErrUnavailable is wrapped by every error that says the store cannot write now.
	ErrUnavailable = errors.New("the journal cannot be written to")
	// ErrInvalid is wrapped by errors about a batch that no journal can take.
	ErrInvalid = errors.New("invalid batch")
	// ErrNoBlob is returned for a digest that is not stored.
	ErrNoBlob = errors.New("no text is stored under that digest")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the journal is closed")
)

// DuplicateKeyError says that a batch with this key is in the stream already.
type DuplicateKeyError struct {
	Stream, Key string
	Span        Span
}

func (e *DuplicateKeyError) Error() string {
	return fmt.Sprintf("key %q was used in stream %s at sequence %d", e.Key, e.Stream, e.Span.First)
}

// VersionError says that the stream's head is not where the caller saw it.
type VersionError struct {
	Stream           string
	Expected, Actual int64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("stream %s is at sequence %d, not %d", e.Stream, e.Actual, e.Expected)
}

// Validate returns an error that wraps ErrInvalid if no journal can take the batch.
func (b Batch) Validate() error {
	switch {
	case b.Stream == "":
		return fmt.Errorf("%w: no stream", ErrInvalid)
	case !storable(b.Stream) || !storable(b.Key):
		return fmt.Errorf("%w: the stream's name or the key is not UTF-8 without NUL", ErrInvalid)
	case len(b.Events) == 0:
		return fmt.Errorf("%w: no events", ErrInvalid)
	case b.Expected < AnyVersion:
		return fmt.Errorf("%w: expected version %d", ErrInvalid, b.Expected)
	}
	for i, e := range b.Events {
		switch {
		case e.Type == "" || e.Version < 1:
			return fmt.Errorf("%w: event %d has no type or version", ErrInvalid, i)
		case !storable(e.Type) || !storable(e.Subject):
			return fmt.Errorf("%w: the type or subject of event %d is not UTF-8 without NUL", ErrInvalid, i)
		case len(e.Data) > MaxData:
			return fmt.Errorf("%w: event %d (%s) has %d bytes; at most %d fit, store the text as a blob", ErrInvalid, i, e.Type, len(e.Data), MaxData)
		case !json.Valid(e.Data):
			return fmt.Errorf("%w: event %d (%s) is not JSON", ErrInvalid, i, e.Type)
		}
	}
	for _, blob := range b.Blobs {
		if blob.Digest != Digest(blob.Data) {
			return fmt.Errorf("%w: digest %s is not that of its text", ErrInvalid, blob.Digest)
		}
	}
	return nil
}

// storable reports whether every store can keep the name as it is.
func storable(name string) bool { return utf8.ValidString(name) && !strings.ContainsRune(name, 0) }
