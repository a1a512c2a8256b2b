package projection

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// manyTimes is how many times of records a store keeps. A context asks for one.
const manyTimes = 1024

// times keeps when records were appended, which never changes.
type times struct {
	mu  sync.Mutex
	all map[recordKey]time.Time
}

type recordKey struct {
	stream   string
	sequence int64
}

func newTimes() *times { return &times{all: map[recordKey]time.Time{}} }

func (t *times) get(key recordKey) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.all[key]
	return at, ok
}

func (t *times) put(key recordKey, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= manyTimes { // to fill it again takes as many reads of the journal
		clear(t.all)
	}
	t.all[key] = at
}

// Time returns the journal's time of a stream's record, zero for sequence 0: it
// is what "now" means as of that sequence. Of a record that the journal does not
// hold it returns a fault of kind Wait.
func (s *Store) Time(ctx context.Context, stream string, sequence int64) (time.Time, error) {
	if sequence == 0 {
		return time.Time{}, nil
	}
	key := recordKey{stream: stream, sequence: sequence}
	if at, ok := s.times.get(key); ok {
		return at, nil
	}
	records, err := s.log.ReadStream(ctx, stream, sequence, 1)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s from sequence %d: %w", stream, sequence, err)
	}
	if len(records) == 0 || records[0].Sequence != sequence {
		h, err := s.head(ctx, stream)
		if err != nil {
			return time.Time{}, err
		}
		return time.Time{}, s.behind(ctx, stream, h.sequence, sequence)
	}
	s.times.put(key, records[0].Time)
	return records[0].Time, nil
}
