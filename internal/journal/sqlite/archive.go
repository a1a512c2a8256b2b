package sqlite

import (
	"context"

	"github.com/edict-dev/edict/internal/journal"
)

// Tips implements journal.Journal.
func (j *Journal) Tips(ctx context.Context, after string, limit int) ([]journal.Tip, error) {
	tips, err := list(ctx, j, limit, func(scan scanner) (tip journal.Tip, err error) {
		err = scan(&tip.Stream, &tip.Sequence, hashColumn{&tip.Hash})
		return tip, err
	}, j.reads.tips, after, limit)
	if err != nil {
		return nil, j.readError(err, "read the streams behind %q", after)
	}
	return tips, nil
}

// Keys implements journal.Journal. It goes through all keys of the stream, so
// that a caller who wants them all takes many at a time.
func (j *Journal) Keys(ctx context.Context, stream string, after int64, limit int) ([]journal.KeySpan, error) {
	keys, err := list(ctx, j, limit, func(scan scanner) (k journal.KeySpan, err error) {
		err = scan(&k.Key, &k.First, &k.Last)
		return k, err
	}, j.reads.keys, stream, after, limit)
	if err != nil {
		return nil, j.readError(err, "read the keys of %s behind sequence %d", stream, after)
	}
	return keys, nil
}

// Digests implements journal.Journal.
func (j *Journal) Digests(ctx context.Context, after string, limit int) ([]string, error) {
	digests, err := list(ctx, j, limit, func(scan scanner) (digest string, err error) {
		err = scan(&digest)
		return digest, err
	}, j.reads.digests, after, limit)
	if err != nil {
		return nil, j.readError(err, "read the digests behind %q", after)
	}
	return digests, nil
}
