package journal

import (
	"context"
	"errors"
	"fmt"
)

// errGrown is Copy's error about a source that somebody appends to.
var errGrown = errors.New("it was appended to while it was copied: stop the operator that writes it, and copy it again")

// Copy fills an empty journal with the history of another, which may be in
// another kind of store: it verifies the source, imports it, verifies the copy,
// and compares the two. Nothing is imported from a source that is damaged.
//
// The source must not be appended to meanwhile. Copy refuses it if it was; that
// comes out before the copy is committed, and leaves nothing of it, unless it
// happened at the very end.
func Copy(ctx context.Context, from, to Journal) (Report, error) {
	source, err := Verify(ctx, from)
	if err != nil {
		return Report{}, fmt.Errorf("verify the source: %w", err)
	}
	if err := to.Import(ctx, &steady{Journal: from, events: source.Events}); err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	if err := unchanged(ctx, from, source); err != nil {
		return Report{}, fmt.Errorf("the source: %w (what was copied is not to be used)", err)
	}
	copied, err := Verify(ctx, to)
	if err != nil {
		return Report{}, fmt.Errorf("verify the copy: %w", err)
	}
	if copied != source {
		return Report{}, fmt.Errorf("%w: the copy has %+v, and the source %+v", ErrCorrupt, copied, source)
	}
	return copied, nil
}

// unchanged returns errGrown unless the journal's tips are those of the report.
func unchanged(ctx context.Context, j Journal, report Report) error {
	now := newHistory()
	err := eachTip(ctx, j, func(tip Tip) error {
		now.add(tip)
		return nil
	})
	if err == nil && now.digest() != report.Digest {
		err = errGrown
	}
	return err
}

// steady is a journal of which one reader reads so many events once, and gets
// errGrown in place of one more.
type steady struct {
	Journal
	events int64
}

// ReadAll implements Journal.
func (s *steady) ReadAll(ctx context.Context, after Cursor, limit int) ([]Record, error) {
	records, err := s.Journal.ReadAll(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	if s.events -= int64(len(records)); s.events < 0 {
		return nil, errGrown
	}
	return records, nil
}
