package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// chainVersion is the schema with which records got the hash of the one before
// them, and streams the hash of their last.
const chainVersion = 2

// hashColumn scans a hash as it is stored: as its bytes.
type hashColumn struct{ *journal.Hash }

// Scan implements sql.Scanner.
func (h hashColumn) Scan(stored any) error {
	data, ok := stored.([]byte)
	if !ok || len(data) != len(h.Hash) {
		return fmt.Errorf("%w: %d bytes are stored as a hash", journal.ErrCorrupt, len(data))
	}
	copy(h.Hash[:], data)
	return nil
}

// addChain brings a journal from the first schema to the second: it adds the
// columns of the chain and fills them for what is there, as the writer of those
// records would have. The default is the hash that a first record holds.
//
// Records that were changed before there was a chain cannot be told from
// others; from here on they can.
func addChain(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{
		`ALTER TABLE events ADD COLUMN previous BLOB NOT NULL
			DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000'`,
		`ALTER TABLE streams ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0`,
		`ALTER TABLE streams ADD COLUMN hash BLOB NOT NULL
			DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000'`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	for id := int64(0); ; {
		var stream string
		err := tx.QueryRowContext(ctx, `SELECT id, name FROM streams WHERE id > ? ORDER BY id LIMIT 1`, id).Scan(&id, &stream)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := chainStream(ctx, tx, id, stream); err != nil {
			return fmt.Errorf("chain the records of %s: %w", stream, err)
		}
	}
}

// chainStream gives each record of a stream the hash of the one before, and the
// stream that of the last.
func chainStream(ctx context.Context, tx *sql.Tx, id int64, stream string) error {
	tip := journal.Tip{Stream: stream}
	for {
		page, err := unchained(ctx, tx, id, tip)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			r.Previous = tip.Hash
			if _, err := tx.ExecContext(ctx, `UPDATE events SET previous = ? WHERE position = ?`, r.Previous[:], r.Position); err != nil {
				return err
			}
			tip.Sequence, tip.Hash = r.Sequence, r.Hash()
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE streams SET sequence = ?, hash = ? WHERE id = ?`, tip.Sequence, tip.Hash[:], id)
	return err
}

// unchained returns the next records behind a tip, so few that they fit in
// memory however large they are.
func unchained(ctx context.Context, tx *sql.Tx, id int64, tip journal.Tip) ([]journal.Record, error) {
	rows, err := tx.QueryContext(ctx, `SELECT position, sequence, time, type, version, subject, data
		FROM events WHERE stream = ? AND sequence > ? ORDER BY sequence LIMIT 100`, id, tip.Sequence)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []journal.Record
	for rows.Next() {
		r := journal.Record{Stream: tip.Stream}
		var micros int64
		var data []byte
		if err := rows.Scan(&r.Position, &r.Sequence, &micros, &r.Type, &r.Version, &r.Subject, &data); err != nil {
			return nil, err
		}
		r.Time, r.Data = time.UnixMicro(micros), data
		page = append(page, r)
	}
	return page, rows.Err()
}
