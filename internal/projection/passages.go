package projection

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// Each statement finds by one index what began to hold after $2 and not after $3,
// and by another what had begun before and ceased to hold there. All have the
// columns of scanPassage. What an index leaves out stands last: of two bounds on a
// column SQLite begins with the one that it reads last.
var (
	selectMemoryPassages = passagesOf(
		`SELECT sequence, 0, sequence, until, time, expires, content, id, kind, saidBy, '', importance FROM memories `,
		`WHERE stream = $1 AND sequence > $2 AND sequence <= $3`,
		`INDEXED BY memories_by_until WHERE stream = $1 AND until > $2 AND until <= $3 AND sequence + 0 <= $2`)
	selectTurnPassages = passagesOf(
		`SELECT sequence, 0, since, reopened, time, 0, text, command, conversation, CASE saidBy WHEN '' THEN role ELSE saidBy END, role, 0 FROM messages `,
		`INDEXED BY messages_by_since WHERE stream = $1 AND since > $2 AND since <= $3 AND since > 0`,
		`INDEXED BY messages_by_reopened WHERE stream = $1 AND reopened > $2 AND reopened <= $3 AND reopened > 0 AND since + 0 <= $2`)
	selectChunkPassages = passagesOf(
		`SELECT c.sequence, c.number, d.since, d.until, c.time, 0, c.text, d.document, d.collection, c.heading, d.source, 0 FROM documents d `,
		`INDEXED BY documents_by_since JOIN chunks c ON c.stream = d.stream AND c.document = d.sequence
		WHERE d.stream = $1 AND d.since > $2 AND d.since <= $3 AND d.since > 0`,
		`INDEXED BY documents_by_until JOIN chunks c ON c.stream = d.stream AND c.document = d.sequence
		WHERE d.stream = $1 AND d.until > $2 AND d.until <= $3 AND d.since > 0 AND d.since + 0 <= $2`)
)

func passagesOf(columns, began, ceased string) sqlText {
	return portable(columns + began + ` UNION ALL ` + columns + ceased)
}

// Passages returns what can be searched in a stream and began, or ceased, to hold
// after one sequence and not after another, in the order of Sequence, Index and Since.
// Of what ceased to hold later than upTo it says nothing of that: Until is 0.
//
// A turn whose ask was reopened, and ended again, is there twice: as it held
// before, and as it holds since. A document is there from where its command ended.
//
// What has to be read follows from what changed between the two sequences, not
// from how much there is. Who reads a long stream does it in steps.
func (s *Store) Passages(ctx context.Context, stream string, after, upTo int64) ([]Passage, error) {
	return read(ctx, s, Scope{Stream: stream, AsOf: upTo, Limit: 1}, func(number int64) ([]Passage, error) {
		var all []Passage
		for _, shelf := range []struct {
			name Shelf
			text sqlText
		}{{Memories, selectMemoryPassages}, {Turns, selectTurnPassages}, {Documents, selectChunkPassages}} {
			scan := func(rows *sql.Rows) (Passage, error) { return scanPassage(rows, shelf.name, upTo) }
			some, err := query(ctx, s, shelf.text, scan, number, after, upTo)
			if err != nil {
				return nil, err
			}
			if all == nil {
				all = some
			} else {
				all = append(all, some...)
			}
		}
		slices.SortFunc(all, func(a, b Passage) int {
			return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Since, b.Since))
		})
		return all, nil
	})
}

func scanPassage(rows *sql.Rows, shelf Shelf, upTo int64) (Passage, error) {
	p := Passage{Shelf: shelf}
	var at, expires int64
	err := rows.Scan(&p.Sequence, &p.Index, &p.Since, &p.Until, &at, &expires,
		&p.Text, &p.Name, &p.Within, &p.Speaker, &p.Source, &p.Importance)
	p.Time, p.Expires = moment(at), moment(expires)
	if p.Until > upTo {
		p.Until = 0
	}
	return p, err
}
