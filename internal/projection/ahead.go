package projection

import (
	"context"
	"slices"

	"github.com/edict-dev/edict/internal/journal"
)

// reading is one look into the journal, and what the records that it finds change.
type reading struct {
	cursor  journal.Cursor // behind which it looks
	records []journal.Record
	changes []folded
	err     error
	done    chan struct{} // closed when the rest is there
}

// begin looks into the journal behind a cursor, and returns at once. Of a journal
// that has far more, the next records are read and decoded while others are written.
func (s *Store) begin(ctx context.Context, cursor journal.Cursor) *reading {
	r := &reading{cursor: cursor, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.records, r.err = s.log.ReadAll(ctx, cursor, s.options.Batch)
		r.changes = foldAll(r.records)
	}()
	return r
}

// read returns what comes next. What was read ahead is that if it was read behind
// the same cursor: then it does not matter when, for records never change.
func (s *Store) read(ctx context.Context) *reading {
	ahead, cursor := s.course.ahead, s.course.cursor()
	s.course.ahead = nil
	if ahead != nil {
		<-ahead.done
		if ahead.err == nil && slices.Equal(ahead.cursor, cursor) {
			return ahead
		}
	}
	now := s.begin(ctx, cursor)
	<-now.done
	return now
}

// end returns the cursor behind the last records.
func (r *reading) end() journal.Cursor {
	end := slices.Clone(r.cursor)
	for i := range r.records {
		end[r.records[i].Shard] = r.records[i].Position
	}
	return end
}

// rest waits until nothing is read ahead.
func (c *course) rest() {
	if c.ahead != nil {
		<-c.ahead.done
	}
}
