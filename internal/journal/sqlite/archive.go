package sqlite

import (
	"context"
	"errors"

	"github.com/edict-dev/edict/internal/journal"
)

// Tips implements journal.Journal.
func (j *Journal) Tips(ctx context.Context, after string, limit int) ([]journal.Tip, error) {
	return nil, errors.ErrUnsupported
}

// Keys implements journal.Journal.
func (j *Journal) Keys(ctx context.Context, stream string, after int64, limit int) ([]journal.KeySpan, error) {
	return nil, errors.ErrUnsupported
}

// Digests implements journal.Journal.
func (j *Journal) Digests(ctx context.Context, after string, limit int) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// Import implements journal.Journal.
func (j *Journal) Import(ctx context.Context, from journal.Journal) error {
	return errors.ErrUnsupported
}
