package projection

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

var selectEmbedded = portable(`SELECT sequence, model, dimensions, texts, vectors FROM embedded
	WHERE stream = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence`)

// Embedded returns the vectors of a stream that were recorded after one sequence
// and not after another, oldest first. Who asks for what has come since looks at
// nothing else; who reads a long stream does it in steps.
func (s *Store) Embedded(ctx context.Context, stream string, after, upTo int64) ([]Embedded, error) {
	return read(ctx, s, Scope{Stream: stream, AsOf: upTo, Limit: 1}, func(number int64) ([]Embedded, error) {
		return query(ctx, s, selectEmbedded, scanEmbedded, number, after, upTo)
	})
}

func scanEmbedded(rows *sql.Rows) (e Embedded, err error) {
	var texts []byte
	if err = rows.Scan(&e.Sequence, &e.Model, &e.Dimensions, &texts, &e.Vectors); err != nil {
		return e, err
	}
	if err = json.Unmarshal(texts, &e.Texts); err != nil {
		return e, fmt.Errorf("read which texts were embedded at sequence %d: %w", e.Sequence, err)
	}
	return e, nil
}
