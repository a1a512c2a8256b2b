package journal

import (
	"context"
	"iter"
	"math"
)

// The most records, and names, that are read at once when a whole journal is. A
// record holds up to MaxData bytes, a name few.
const (
	recordPage = 100
	namePage   = 5_000
)

// InOrder returns every record of a journal in the order of their times, those
// of one shard in commit order. An Import that appends in this order keeps the
// law that time never runs backwards within a shard, however the streams of the
// source were spread over its shards.
//
// It ends after the first error, and returns that with a zero Record.
func InOrder(ctx context.Context, from Journal) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		shards := make([]*shardReader, from.Shards())
		for i := range shards {
			shards[i] = newShardReader(from, i)
		}
		for {
			next, err := earliest(ctx, shards)
			if err != nil {
				yield(Record{}, err)
				return
			}
			if next == nil || !yield(next.take(), nil) {
				return
			}
		}
	}
}

// earliest returns the reader whose next record is the oldest, nil if none has
// one. Of equal times the lowest shard's is first.
func earliest(ctx context.Context, shards []*shardReader) (*shardReader, error) {
	var found *shardReader
	for _, s := range shards {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		if len(s.page) > 0 && (found == nil || s.page[0].Time.Before(found.page[0].Time)) {
			found = s
		}
	}
	return found, nil
}

// shardReader reads one shard of a journal from its beginning.
type shardReader struct {
	from  Journal
	after Cursor
	limit int
	page  []Record // what was read and not taken
	ended bool
}

func newShardReader(from Journal, shard int) *shardReader {
	shards := from.Shards()
	// A cursor that is past the end of every other shard leaves this one.
	after := make(Cursor, shards)
	for i := range after {
		after[i] = math.MaxInt64
	}
	after[shard] = 0
	return &shardReader{from: from, after: after, limit: max(recordPage/shards, 20)}
}

// fill makes sure that there is a record to take, unless the shard has ended.
func (s *shardReader) fill(ctx context.Context) error {
	if len(s.page) > 0 || s.ended {
		return nil
	}
	page, err := s.from.ReadAll(ctx, s.after, s.limit)
	if err != nil {
		return err
	}
	s.page, s.after, s.ended = page, s.after.After(page), len(page) == 0
	return nil
}

func (s *shardReader) take() Record {
	r := s.page[0]
	s.page = s.page[1:]
	return r
}
