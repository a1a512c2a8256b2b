package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/edict-dev/edict/internal/projection"
)

// PassageReader is what a Catalog is filled from.
type PassageReader interface {
	// Passages returns what can be searched in a stream and began, or ceased, to hold after one sequence and not after
	// another. Of what ceased to hold later than upTo it says nothing of that.
	Passages(ctx context.Context, stream string, after, upTo int64) ([]projection.Passage, error)
	// Embedded returns what was embedded in a stream after one sequence and not after another, oldest first.
	Embedded(ctx context.Context, stream string, after, upTo int64) ([]projection.Embedded, error)
}

// BlobReader is where the vectors are that Embedded names: the journal.
type BlobReader interface {
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// DefaultPassages is how many passages a Catalog holds unless it is told otherwise: of a few hundred bytes of text each,
// they take less than a quarter of a gigabyte.
const DefaultPassages = 200_000

const (
	// bytesOfPassage is how many bytes of vectors count as one more passage.
	bytesOfPassage = 1 << 10
	// readAhead is how many sequences are read at once, so that a long stream is never in memory twice.
	readAhead = 10_000
	// addedAtOnce is how many passages are added before searches get their turn.
	addedAtOnce = 128
)

// Catalog is a Finder. It keeps an index of each stream that was searched of late, and brings it up to date when a search
// asks for more than it has seen. An index tells what held at every sequence up to that one, so it serves searches of
// the past too. Its methods may be called from any goroutine.
type Catalog struct {
	source source
	most   int

	mutex   sync.Mutex
	streams map[string]*racks
	clock   int64 // counts searches
	held    int   // passages of all streams, and what their vectors count as
}

// NewFinder returns a catalog that is filled from reader, and from blobs with vectors. When it holds more than most passages
// (0: DefaultPassages), it lets go of the streams that were searched the longest ago; one that has more by itself is served
// all the same.
func NewFinder(reader PassageReader, blobs BlobReader, most int) *Catalog {
	return &Catalog{source: source{reader, blobs}, most: cmp.Or(most, DefaultPassages), streams: map[string]*racks{}}
}

// Forget lets go of streams, or of all of them if none is named. The next search of one reads it anew: it is for when the
// projection was made anew from a journal that is not a continuation of the one before.
func (c *Catalog) Forget(streams ...string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(streams) == 0 {
		c.streams, c.held = map[string]*racks{}, 0
	}
	for _, stream := range streams {
		c.drop(stream, c.streams[stream])
	}
}

// drop lets go of a stream, unless others are kept under its name by now.
func (c *Catalog) drop(stream string, r *racks) {
	if r != nil && c.streams[stream] == r {
		c.held -= r.counted
		delete(c.streams, stream)
	}
}

// upTo returns the stream's racks once they hold what a search as of a sequence needs.
func (c *Catalog) upTo(ctx context.Context, stream string, sequence int64) (*racks, error) {
	r := c.racksOf(stream)
	if err := r.load(ctx, c.source, stream, sequence); err != nil {
		return nil, err
	}
	c.weigh(stream, r)
	return r, nil
}

func (c *Catalog) racksOf(stream string) *racks {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	r := c.streams[stream]
	if r == nil {
		r = newRacks()
		r.counted = 1 // a stream without passages takes some memory, too
		c.held++
		c.streams[stream] = r
	}
	c.clock++
	r.used = c.clock
	return r
}

// weigh counts what a stream has come to, and lets go of others when that is too much.
func (c *Catalog) weigh(stream string, r *racks) {
	weight := 1 + r.weight()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.streams[stream] != r { // it was let go of meanwhile
		return
	}
	c.held += weight - r.counted
	r.counted = weight
	for c.held > c.most && len(c.streams) > 1 {
		oldest := ""
		for name, other := range c.streams {
			if other != r && (oldest == "" || other.used < c.streams[oldest].used) {
				oldest = name
			}
		}
		c.drop(oldest, c.streams[oldest])
	}
}

// racks hold the passages of one stream, and their vectors.
type racks struct {
	used    int64 // when it was searched last; with counted, under the catalog's mutex
	counted int   // passages that the catalog counts for it

	turn    chan struct{} // whoever has put something in loads; the others wait
	mutex   sync.RWMutex  // of what follows: searches read, one at a time adds
	seen    int64         // the sequence up to which passages are there
	broken  bool          // what was read does not fit what was read before
	of      map[projection.Shelf]*rack
	meaning *meaning // nil until a text of the stream was embedded, or somebody asked which are not
}

var allShelves = []projection.Shelf{projection.Memories, projection.Turns, projection.Documents}

func newRacks() *racks {
	r := &racks{turn: make(chan struct{}, 1), of: map[projection.Shelf]*rack{}}
	for _, shelf := range allShelves {
		r.of[shelf] = newRack(shelf)
	}
	return r
}

// weight is how many passages there are, and what the vectors count as.
func (r *racks) weight() int {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	weight := r.meaning.bytes() / bytesOfPassage
	for _, rack := range r.of {
		weight += len(rack.passages)
	}
	return weight
}

func (r *racks) has(sequence int64) bool {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	return !r.broken && r.seen >= sequence
}

// load reads up to a sequence, unless that is there already. One caller loads, and the others wait for it, or until their
// context ends.
func (r *racks) load(ctx context.Context, from source, stream string, sequence int64) error {
	if r.has(sequence) {
		return nil
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the index of stream %s: %w", stream, ctx.Err())
	}
	if r.broken {
		r.begin()
	}
	for r.seen < sequence { // nobody else changes seen now
		upTo := min(r.seen+readAhead, sequence)
		some, err := from.read(ctx, stream, r.seen, upTo)
		if err != nil {
			return fmt.Errorf("index stream %s: %w", stream, err)
		}
		if err := r.add(some, upTo); err != nil {
			return fmt.Errorf("index stream %s up to sequence %d: %w", stream, upTo, err)
		}
	}
	return nil
}

// begin empties the racks.
func (r *racks) begin() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.of, r.meaning, r.seen, r.broken = newRacks().of, nil, 0, false
}

// add puts passages and vectors where they belong. Passages are put in the order in which they began to hold, which does not
// depend on what was read at once: so an index that grew is the same as one that was made in one go.
func (r *racks) add(read content, upTo int64) error {
	slices.SortFunc(read.passages, compare)
	for some := range slices.Chunk(read.passages, addedAtOnce) {
		if err := r.addSome(some); err != nil {
			return err
		}
	}
	for _, e := range read.embedded {
		if err := r.addVectors(e); err != nil {
			return err
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seen = upTo
	return nil
}

func (r *racks) addSome(passages []projection.Passage) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, p := range passages {
		rack := r.of[p.Shelf]
		if rack == nil || !rack.put(p, r.seen) {
			r.broken = true // the tables were made anew, of another history: the next search reads all of it
			return fmt.Errorf("the %s of sequence %d, since %d, does not follow from what was read up to %d", p.Shelf, p.Sequence, p.Since, r.seen)
		}
	}
	if r.meaning != nil {
		r.knows()
	}
	return nil
}

// compare orders passages of one shelf by when they began to hold, and then as they were recorded.
func compare(a, b projection.Passage) int {
	return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Index, b.Index))
}
