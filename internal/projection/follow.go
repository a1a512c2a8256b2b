package projection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edict-dev/edict/internal/journal"
)

// checkpoint is how far the whole journal is projected. The fingerprints of its
// first and last projected records tell whether it is still the same journal.
type checkpoint struct {
	position    int64
	first, last string
}

// fingerprint identifies a record with its place.
func fingerprint(r journal.Record) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %d %d %q %d %q ", r.Position, r.Stream, r.Sequence, r.Time.UnixMicro(), r.Type, r.Version, r.Subject)
	h.Write(r.Data)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Follow projects the journal from the checkpoint on until the context ends or
// the store is closed, which is no error. After any other error it may be called again, and goes on
// where it was: a batch and its checkpoint are committed together. Only one call
// runs at a time.
func (s *Store) Follow(ctx context.Context) error {
	if !s.following.TryLock() {
		return errors.New("the projection is followed already")
	}
	defer s.following.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		n, err := s.advance(ctx)
		if err == nil && n < s.options.Batch {
			err = s.log.Wait(ctx, journal.Cursor{s.checkpoint.position})
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("project the journal after position %d: %w", s.checkpoint.position, err)
		}
	}
}

// advance projects one batch, and returns how many records it had.
func (s *Store) advance(ctx context.Context) (int, error) {
	records, err := s.log.ReadAll(ctx, journal.Cursor{s.checkpoint.position}, s.options.Batch)
	if err != nil || len(records) == 0 {
		return 0, err
	}
	if ctx.Err() != nil { // the store may be closing
		return 0, ctx.Err()
	}
	b := batch{heads: map[string]head{}, next: s.next}
	last := records[len(records)-1]
	to := checkpoint{position: last.Position, first: s.checkpoint.first, last: fingerprint(last)}
	if to.first == "" {
		to.first = fingerprint(records[0])
	}
	if err := s.writer.commit(func() error { return s.applyAll(&b, records, to) }); err != nil {
		return 0, err
	}
	s.checkpoint, s.next = to, b.next
	s.heads.publish(b.heads)
	s.options.OnChange(slices.Sorted(maps.Keys(b.heads)))
	return len(records), nil
}

func (s *Store) applyAll(b *batch, records []journal.Record, to checkpoint) error {
	for _, record := range records {
		if err := b.apply(s.writer, record, s.heads.get); err != nil {
			return fmt.Errorf("write what %s of %s at sequence %d changes: %w", record.Type, record.Stream, record.Sequence, err)
		}
	}
	for name, h := range b.heads {
		if err := s.writer.run(upsertStream, h.stream, name, h.sequence); err != nil {
			return err
		}
	}
	return s.writer.moveCheckpoint(s.checkpoint.position, to)
}
