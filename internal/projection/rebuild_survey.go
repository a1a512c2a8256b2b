package projection

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/edict-dev/edict/internal/journal"
)

// survey is what the rows of a stream are, by table: of the same rows the same,
// whichever database holds them, and whatever number the stream has there.
type survey []*tally

// tally is what the rows of one table are.
type tally struct {
	table string
	sum   hash.Hash // of the rows' digests, in the order of the key
	rows  []uint64  // the beginning of each row's digest
}

func newTally(table string) *tally { return &tally{table: table, sum: sha256.New()} }

// numbering is the table that says how far a stream is projected.
const numbering = "streams"

// surveyOf reads all rows of a stream. The transaction has to see them as of one moment.
func surveyOf(ctx context.Context, tx transaction, tables []table, h head) (survey, error) {
	own := newTally(numbering)
	if h.stream > 0 {
		if err := own.add([]any{h.sequence}); err != nil {
			return nil, err
		}
	}
	all := survey{own}
	for _, t := range tables {
		found := newTally(t.name)
		if err := each(ctx, tx, t, h.stream, found.add); err != nil {
			return nil, fmt.Errorf("read the rows of %s: %w", t.name, err)
		}
		all = append(all, found)
	}
	return all, nil
}

// add counts a row. A number is written as eight bytes and a text with its length,
// so that no two rows read the same.
func (t *tally) add(values []any) error {
	var row []byte
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			row = append(row, 'n')
		case int64:
			row = binary.BigEndian.AppendUint64(append(row, 'i'), uint64(v))
		case string: // as SQLite has texts
			row = append(binary.BigEndian.AppendUint64(append(row, 't'), uint64(len(v))), v...)
		case []byte: // as PostgreSQL has them
			row = append(binary.BigEndian.AppendUint64(append(row, 't'), uint64(len(v))), v...)
		default:
			return fmt.Errorf("a value is of type %T", value)
		}
	}
	digest := sha256.Sum256(row)
	t.sum.Write(digest[:])
	t.rows = append(t.rows, binary.BigEndian.Uint64(digest[:]))
	return nil
}

// digest returns the digest of all rows.
func (s survey) digest() string {
	var all []byte
	for _, t := range s {
		all = fmt.Appendf(all, "%s %d %x\n", t.table, len(t.rows), t.sum.Sum(nil))
	}
	return journal.Digest(all)
}

// differences returns where the rows of another survey of the same tables are others.
func (s survey) differences(other survey) []Difference {
	var all []Difference
	for i, t := range s {
		if rows := differing(t.rows, other[i].rows); rows > 0 {
			all = append(all, Difference{Table: t.table, Rows: rows})
		}
	}
	return all
}

// differing returns how many rows are in one of two sets alone: of the one and of
// the other together, a row that is another once.
func differing(a, b []uint64) int {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	common := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			common, i, j = common+1, i+1, j+1
		}
	}
	return max(len(a), len(b)) - common
}
