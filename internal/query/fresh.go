package query

import (
	"context"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// Freshness compares what is projected with what the journal holds.
type Freshness struct {
	Journal interface {
		Head(ctx context.Context, stream string) (int64, error)
		ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error)
	}
	Projection interface {
		Head(ctx context.Context, stream string) (int64, error)
	}
}

// Progress says how far the projection of a stream was when it was looked at.
type Progress struct {
	Held   int64     // the sequence of the journal's last record
	Seen   int64     // the sequence of the last that is projected
	Oldest time.Time // when the first that is not was recorded; zero: all are
}

// Lag returns how many records are not projected.
func (p Progress) Lag() int64 { return max(0, p.Held-p.Seen) }

// Age returns how long the oldest of them has waited, 0 if there is none. The
// clock is the reader's, and the record's time the journal's: it is as good as
// the two agree.
func (p Progress) Age(now time.Time) time.Duration {
	if p.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(p.Oldest))
}

// Progress looks at both. Of a stream that stopped at an event that cannot be read
// it returns how far it came, and the projection's fault of kind Corrupt.
func (f Freshness) Progress(ctx context.Context, stream string) (Progress, error) {
	held, err := f.Journal.Head(ctx, stream)
	if err != nil {
		return Progress{}, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	seen, stopped := f.Projection.Head(ctx, stream)
	if stopped != nil && !fault.Is(stopped, fault.Corrupt) {
		return Progress{}, stopped
	}
	p := Progress{Held: held, Seen: seen}
	if p.Lag() > 0 {
		if p.Oldest, err = f.recorded(ctx, stream, seen+1); err != nil {
			return p, err
		}
	}
	return p, stopped
}

// Demand is how fresh a context has to be. The zero value demands nothing.
type Demand struct {
	Min    int64          // it has seen this sequence
	MaxLag *int64         // at most so many of the journal's records are missing in it
	MaxAge *time.Duration // no record is missing in it that is older than this
}

// Least makes a demand the least sequence that a context has to have seen, by
// what the journal holds now, and returns with it the last one that it holds. It
// does not wait until that much is projected.
func (f Freshness) Least(ctx context.Context, stream string, d Demand, now time.Time) (least, held int64, err error) {
	if held, err = f.Journal.Head(ctx, stream); err != nil {
		return 0, 0, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	least = d.Min
	if d.MaxLag != nil {
		least = max(least, held-*d.MaxLag)
	}
	if d.MaxAge != nil {
		old, err := f.before(ctx, stream, held, now.Add(-*d.MaxAge))
		if err != nil {
			return 0, 0, err
		}
		least = max(least, old)
	}
	return least, held, nil
}

// before returns the last sequence, of those up to held, that was recorded at the
// time or before it. What is projected already counts as old: nobody need wait for
// it. Times of a stream never run backwards, so a few records tell.
func (f Freshness) before(ctx context.Context, stream string, held int64, limit time.Time) (int64, error) {
	old, err := f.Projection.Head(ctx, stream)
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return 0, err
	}
	for young := held; old < young; {
		middle := (old + young + 1) / 2
		at, err := f.recorded(ctx, stream, middle)
		if err != nil {
			return 0, err
		}
		if at.After(limit) {
			young = middle - 1
		} else {
			old = middle
		}
	}
	return old, nil
}

// recorded returns when the journal took a record that it holds.
func (f Freshness) recorded(ctx context.Context, stream string, sequence int64) (time.Time, error) {
	records, err := f.Journal.ReadStream(ctx, stream, sequence, 1)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("the record is not there")
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s at sequence %d: %w", stream, sequence, err)
	}
	return records[0].Time, nil
}
