package journal

import (
	"context"
	"fmt"
)

// streamCheck verifies one stream up to its tip.
type streamCheck struct {
	journal Journal
	before  string // the stream before this one, by name
	tip     Tip
}

func (s *streamCheck) run(ctx context.Context) error {
	if s.tip.Sequence < 1 {
		return corrupt("stream %s has a tip at sequence %d, and no event", s.tip.Stream, s.tip.Sequence)
	}
	last, err := s.chain(ctx)
	if err != nil {
		return err
	}
	if last.Hash() != s.tip.Hash {
		return corrupt("%s was changed after it was written: the stream's tip holds another hash", name(last))
	}
	if err := s.behindTip(ctx); err != nil {
		return err
	}
	return s.keys(ctx)
}

// name says which event a record is. What it says of the event is what is
// stored now.
func name(r Record) string {
	return fmt.Sprintf("event %d of stream %s (%s, position %d of shard %d)", r.Sequence, r.Stream, r.Type, r.Position, r.Shard)
}

// chain reads the records up to the tip, and returns the last.
func (s *streamCheck) chain(ctx context.Context) (last Record, err error) {
	last.Stream = s.tip.Stream
	for last.Sequence < s.tip.Sequence {
		limit := int(min(recordPage, s.tip.Sequence-last.Sequence))
		page, err := s.journal.ReadStream(ctx, s.tip.Stream, last.Sequence+1, limit)
		if err != nil {
			return last, err
		}
		if len(page) == 0 {
			return last, s.missing(last, fmt.Sprintf("its tip is at %d", s.tip.Sequence))
		}
		for _, r := range page {
			if err := s.fits(ctx, last, r); err != nil {
				return last, err
			}
			last = r
		}
	}
	return last, nil
}

// missing names the event that should follow last and is not there. The
// evidence is what tells that it was.
func (s *streamCheck) missing(last Record, evidence string) error {
	ends := "the stream begins without it"
	if last.Sequence > 0 {
		ends = "the one before it is " + name(last)
	}
	return corrupt("event %d of stream %s is missing: %s, and %s", last.Sequence+1, s.tip.Stream, evidence, ends)
}

// fits checks that a record is the one that follows last, whose sequence is 0
// if there is none before.
func (s *streamCheck) fits(ctx context.Context, last, r Record) error {
	switch {
	case r.Stream != last.Stream:
		return corrupt("%s was read for stream %s", name(r), last.Stream)
	case r.Sequence > last.Sequence+1:
		return s.missing(last, name(r)+" follows")
	case r.Sequence <= last.Sequence:
		return corrupt("%s is there twice", name(r))
	case last.Sequence == 0 && r.Previous != Hash{}:
		return corrupt("%s was changed after it was written: it is the first, and holds the hash of one before it", name(r))
	case last.Sequence == 0:
		return nil
	case r.Shard != last.Shard || r.Position <= last.Position:
		return corrupt("%s is not behind the one before it, which is at position %d of shard %d", name(r), last.Position, last.Shard)
	case r.Previous != last.Hash():
		return s.changed(ctx, last, r)
	}
	return nil
}

// changed tells which of two neighbours was changed, as far as can be known:
// what follows r says whether r is as it was written.
func (s *streamCheck) changed(ctx context.Context, last, r Record) error {
	witness := s.tip.Hash
	if r.Sequence < s.tip.Sequence {
		next, err := s.journal.ReadStream(ctx, r.Stream, r.Sequence+1, 1)
		if err != nil {
			return err
		}
		if len(next) == 1 {
			witness = next[0].Previous
		}
	}
	if witness == r.Hash() {
		return corrupt("%s was changed after it was written: event %d holds another hash", name(last), r.Sequence)
	}
	return corrupt("%s does not follow event %d: it, or both, were changed after they were written", name(r), last.Sequence)
}

// behindTip checks that what is stored behind the tip was appended after the
// tip was read.
func (s *streamCheck) behindTip(ctx context.Context) error {
	behind, err := s.journal.ReadStream(ctx, s.tip.Stream, s.tip.Sequence+1, 1)
	if err != nil || len(behind) == 0 {
		return err
	}
	tip, err := s.tipNow(ctx)
	if err == nil && tip.Sequence < behind[0].Sequence {
		err = corrupt("%s is behind the stream's tip, which is at %d", name(behind[0]), tip.Sequence)
	}
	return err
}

// tipNow reads the stream's tip again. New streams may have come before it.
func (s *streamCheck) tipNow(ctx context.Context) (Tip, error) {
	for after := s.before; ; {
		tips, err := s.journal.Tips(ctx, after, 1)
		if err != nil {
			return Tip{}, err
		}
		if len(tips) == 0 || tips[0].Stream > s.tip.Stream {
			return Tip{}, corrupt("stream %s had a tip at %d, and has none", s.tip.Stream, s.tip.Sequence)
		}
		if after = tips[0].Stream; after == s.tip.Stream {
			return tips[0], nil
		}
	}
}

// keys checks that each key's span lies in the stream, and behind the one
// before.
func (s *streamCheck) keys(ctx context.Context) error {
	var last KeySpan
	for {
		page, err := s.journal.Keys(ctx, s.tip.Stream, last.First, namePage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, k := range page {
			switch {
			case k.First < 1 || k.Last < k.First:
				return corrupt("key %q of stream %s is for events %d to %d, which is none", k.Key, s.tip.Stream, k.First, k.Last)
			case k.First <= last.Last:
				return corrupt("key %q of stream %s is for events %d to %d, and key %q already for %d to %d",
					k.Key, s.tip.Stream, k.First, k.Last, last.Key, last.First, last.Last)
			case k.Last > s.tip.Sequence:
				return s.keyBehindTip(ctx, k)
			}
			last = k
		}
	}
}

// keyBehindTip checks that a key was appended after the tip was read. Those
// behind it were too, if it was.
func (s *streamCheck) keyBehindTip(ctx context.Context, k KeySpan) error {
	tip, err := s.tipNow(ctx)
	if err == nil && (k.First <= s.tip.Sequence || k.Last > tip.Sequence) {
		err = corrupt("key %q of stream %s is for events %d to %d, and the stream's tip is at %d",
			k.Key, s.tip.Stream, k.First, k.Last, tip.Sequence)
	}
	return err
}
