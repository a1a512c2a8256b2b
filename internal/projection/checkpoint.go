package projection

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/edict-dev/edict/internal/journal"
)

// checkpoint is how far a shard is projected. The fingerprints of its first and
// last projected records tell whether it is still the same journal.
type checkpoint struct {
	shard       int
	position    int64
	first, last string
}

// fingerprint identifies a record with its place.
func fingerprint(r journal.Record) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %q %d %d %q %d %q ", r.Shard, r.Position, r.Stream, r.Sequence, r.Time.UnixMicro(), r.Type, r.Version, r.Subject)
	h.Write(r.Data)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var (
	insertCheckpoint = portable(`INSERT INTO checkpoints (shard, position, first, last) VALUES ($1, 0, $2, $2)`)
	// selectCheckpoints finds nothing in tables of another version.
	selectCheckpoints = portable(`SELECT c.shard, c.position, c.first, c.last FROM checkpoints c, edict_projection p
		WHERE p.version = $1 ORDER BY c.shard`)
	// moveCheckpoint changes no row if the shard was moved on meanwhile, or if the
	// tables are of another version by now.
	moveCheckpoint = portable(`UPDATE checkpoints SET position = $1, first = $2, last = $3 WHERE shard = $4 AND position = $5
		AND EXISTS (SELECT 1 FROM edict_projection WHERE version = $6)`)
)

func scanCheckpoint(rows *sql.Rows) (c checkpoint, err error) {
	err = rows.Scan(&c.shard, &c.position, &c.first, &c.last)
	return c, err
}

// move is a checkpoint's way over a batch.
type move struct{ from, to checkpoint }

// moves returns how the records, which were read behind these checkpoints, move
// them: by shard, so that two processes that move the same shards never wait for
// each other in a circle.
func moves(checkpoints []checkpoint, records []journal.Record) []move {
	first, last := map[int]journal.Record{}, map[int]journal.Record{}
	for _, r := range records {
		if _, ok := first[r.Shard]; !ok {
			first[r.Shard] = r
		}
		last[r.Shard] = r
	}
	var all []move
	for _, from := range checkpoints {
		end, ok := last[from.shard]
		if !ok {
			continue
		}
		to := checkpoint{shard: from.shard, position: end.Position, first: from.first, last: fingerprint(end)}
		if from.position == 0 {
			to.first = fingerprint(first[from.shard])
		}
		all = append(all, move{from: from, to: to})
	}
	return all
}

func (m move) apply(tx transaction) error {
	n, err := tx.execute(moveCheckpoint, m.to.position, m.to.first, m.to.last, m.to.shard, m.from.position, schemaVersion)
	if err != nil {
		return fmt.Errorf("move the checkpoint of shard %d: %w", m.to.shard, err)
	}
	if n == 0 {
		return errMoved
	}
	return nil
}

// behind returns a cursor that reads these shards alone, behind their checkpoints.
func behind(checkpoints []checkpoint, wanted func(shard int) bool) journal.Cursor {
	cursor := make(journal.Cursor, len(checkpoints))
	for i, c := range checkpoints {
		cursor[i] = math.MaxInt64
		if wanted(c.shard) {
			cursor[i] = c.position
		}
	}
	return cursor
}

// verify returns why these checkpoints are not of this journal, empty if they
// are: whether it still holds the first and the last projected record of each shard.
func verify(ctx context.Context, log Log, checkpoints []checkpoint) (string, error) {
	if len(checkpoints) != log.Shards() {
		return fmt.Sprintf("it was made from a journal with %d shards, and this one has %d", len(checkpoints), log.Shards()), nil
	}
	for i, c := range checkpoints {
		if c.position == 0 {
			continue
		}
		for after, want := range map[int64]string{0: c.first, c.position - 1: c.last} {
			at := slices.Clone(checkpoints)
			at[i].position = after
			found, err := log.ReadAll(ctx, behind(at, func(shard int) bool { return shard == c.shard }), 1)
			if err != nil {
				return "", fmt.Errorf("read shard %d of the journal after position %d: %w", c.shard, after, err)
			}
			if len(found) == 0 || fingerprint(found[0]) != want {
				return "it was made from another journal, or from a later state of this one", nil
			}
		}
	}
	return "", nil
}
