// Package journal is the append-only log of what happened: records, how they
// are appended, read and followed. A store (package sqlite or postgres)
// implements Journal, and passes the suite in package journaltest.
//
// A journal has shards: each stream is in one of them, and each shard has one
// writer at a time, who took its epoch with Claim. A store that one process
// writes has a single shard.
//
// Records of a stream are chained: each holds the hash of the one before it, and
// the store keeps that of the last beside them. So Verify finds what was changed
// or taken out afterwards, and names it. Who can write to the store can also
// compute a new chain: then, or when a stream is taken out whole, it is the
// digest of Verify's report that differs from one that was kept elsewhere. The
// keys and texts are checked for what they must be, and not chained.
//
// Copy moves a journal into another store, and verifies both.
//
// The journal knows streams, sequences, keys and digests. It knows nothing of
// agents, commands or Kubernetes.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
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
	Shard    int       // from 0; the stream's
	Position int64     // orders the shard's records in commit order; gap-free is not promised
	Stream   string    //
	Sequence int64     // numbers the stream's records 1, 2, 3 … without a hole
	Time     time.Time // the journal's clock at the append, UTC, microseconds; never runs backwards within a shard
	Epoch    int64     // the writer's fencing epoch
	Previous Hash      // of the stream's record before this one; zero for the first
	Event
}

// Hash is the SHA-256 of a record; see Record.Hash.
type Hash [sha256.Size]byte

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Hash returns the record's own hash, which the stream's next record holds. It
// covers what is the same in every store that holds a copy of the stream: all
// but Shard, Position and Epoch.
func (r Record) Hash() Hash {
	h := sha256.New()
	h.Write(r.Previous[:])
	var number [8]byte
	count := func(n int64) {
		binary.BigEndian.PutUint64(number[:], uint64(n))
		h.Write(number[:])
	}
	text := func(b []byte) { // its length first, so that no two records write the same bytes
		count(int64(len(b)))
		h.Write(b)
	}
	text([]byte(r.Stream))
	count(r.Sequence)
	count(r.Time.UnixMicro())
	text([]byte(r.Type))
	count(int64(r.Version))
	text([]byte(r.Subject))
	text(r.Data)
	return Hash(h.Sum(nil))
}

// Cursor is a place in the whole journal: for each shard, the position of the
// last record that was read of it. An empty cursor is the beginning.
type Cursor []int64

// Position returns the position of a shard, 0 for its beginning.
func (c Cursor) Position(shard int) int64 {
	if shard < len(c) {
		return c[shard]
	}
	return 0
}

// After returns the cursor moved behind the records, which ReadAll returned for
// it. The receiver is not changed.
func (c Cursor) After(records []Record) Cursor {
	moved := slices.Clone(c)
	for _, r := range records {
		for len(moved) <= r.Shard {
			moved = append(moved, 0)
		}
		moved[r.Shard] = max(moved[r.Shard], r.Position)
	}
	return moved
}

// Family returns the part of a stream's name before the first @. Streams of one
// family continue one another, and are in the same shard.
func Family(stream string) string {
	family, _, _ := strings.Cut(stream, "@")
	return family
}

// ShardOf returns the shard, of so many, that a store gives to the first stream
// of a family. What it recorded then holds for ever; see Journal.Shard.
func ShardOf(stream string, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(Family(stream))) // a hash takes every byte
	return int(h.Sum32() % uint32(shards))
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

	// Late appends the batch also after another writer has claimed the shard, if
	// this handle claimed it once. It is for what must not be lost, and what its
	// key protects from being said twice: the outcome of an attempt that this
	// writer had opened. A store whose lock lets no second writer in may refuse
	// it with ErrFenced all the same.
	Late bool
}

// Journal is the append-only log. Its methods may be called from any goroutine.
type Journal interface {
	// Shards returns how many shards the journal has, at least 1.
	Shards() int

	// Shard returns the shard of a stream: what was recorded with its family's
	// first record, or where that would go.
	Shard(ctx context.Context, stream string) (int, error)

	// Claim makes this handle the writer of a shard: it takes a new epoch, and
	// every earlier holder's Append to that shard returns ErrFenced from then on.
	// A handle may hold any number of shards.
	Claim(ctx context.Context, shard int) (epoch int64, err error)

	// Append adds the batch and returns its records once they are durable.
	//
	// It returns *DuplicateKeyError if the key was used in the stream before
	// (checked first), *VersionError if the head is not the expected one,
	// ErrFenced if another writer has claimed the stream's shard or this handle
	// never did, ErrInvalid for a batch that no journal can take, and
	// ErrUnavailable if the store cannot write (disk full, read-only, not
	// reachable): nothing is half written then, and the caller may append again
	// under the same key. A batch whose context ends while it waits, or whose
	// store went away while it was committed, may or may not have been appended;
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

	// ReadAll returns up to limit records of all streams behind a cursor, those
	// of each shard in commit order. No record ever appears later at a position
	// that a reader has already passed. The records of one batch may be spread
	// over two reads.
	ReadAll(ctx context.Context, after Cursor, limit int) ([]Record, error)

	// Wait returns nil once the journal holds a record behind the cursor, or the
	// context's error. Following is Wait and ReadAll in turn.
	Wait(ctx context.Context, after Cursor) error

	// Blob returns the text with that digest, or ErrNoBlob.
	Blob(ctx context.Context, digest string) ([]byte, error)

	// Check reports whether the journal can be written to, by writing: nil, or
	// ErrUnavailable, or ErrFenced if this handle holds no shard. It appends nothing.
	Check(ctx context.Context) error

	// Tips returns where up to limit streams end, by name, beginning behind the
	// stream after (empty: the first).
	Tips(ctx context.Context, after string, limit int) ([]Tip, error)

	// Keys returns up to limit keys of a stream, in the order of their batches,
	// beginning with the first batch that begins behind sequence after.
	Keys(ctx context.Context, stream string, after int64, limit int) ([]KeySpan, error)

	// Digests returns up to limit digests of stored texts, sorted, beginning
	// behind the digest after (empty: the first).
	Digests(ctx context.Context, after string, limit int) ([]string, error)

	// Import fills an empty journal with the streams, keys and texts of another,
	// in one transaction: all of it or nothing. Stream, Sequence, Time, Previous
	// and Event of each record stay as they were; Shard, Position and Epoch are
	// this journal's own, and each earlier claim of this journal is over. It reads
	// the records once, InOrder, and returns ErrNotEmpty if there are records
	// here already. No shard need be claimed, and none may be meanwhile.
	Import(ctx context.Context, from Journal) error

	// Close waits for the writes under way, and releases the store.
	Close() error
}

// Span is the sequences that one batch took, both inclusive.
type Span struct{ First, Last int64 }

// KeySpan is a key with the batch that was appended under it.
type KeySpan struct {
	Key string
	Span
}

// Tip is where a stream ends, as the store keeps it beside the records.
type Tip struct {
	Stream   string
	Sequence int64 // of the last record
	Hash     Hash  // of the last record
}

var (
	// ErrFenced is returned to a writer whose epoch is over.
	ErrFenced = errors.New("another writer has claimed the shard")
	// ErrUnavailable is wrapped by every error that says the store cannot write now.
	ErrUnavailable = errors.New("the journal cannot be written to")
	// ErrInvalid is wrapped by errors about a batch that no journal can take.
	ErrInvalid = errors.New("invalid batch")
	// ErrNoBlob is returned for a digest that is not stored.
	ErrNoBlob = errors.New("no text is stored under that digest")
	// ErrNotEmpty is returned by Import into a journal that has records.
	ErrNotEmpty = errors.New("the journal is not empty")
	// ErrCorrupt is wrapped by every error that says the store holds what no
	// journal would have written.
	ErrCorrupt = errors.New("the journal is damaged, or is none")
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
		case !json.Valid(e.Data) || !utf8.Valid(e.Data):
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
