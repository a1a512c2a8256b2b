package projection

import (
	"context"
	"database/sql"
	"math"
)

var (
	selectTurns = portable(`SELECT sequence, time, role, text, saidBy, command FROM messages
		WHERE stream = $1 AND conversation = $4 AND since > $5 AND since <= $2 AND (reopened = 0 OR reopened > $2)
		AND sequence > $5 AND sequence <= $6 ORDER BY sequence LIMIT $3`)
	countTurns = portable(`SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM (SELECT OCTET_LENGTH(text) AS bytes FROM messages
		WHERE stream = $1 AND conversation = $4 AND since > $5 AND since <= $2 AND (reopened = 0 OR reopened > $2)
		AND sequence > $5 ORDER BY since DESC, sequence DESC LIMIT $3 OFFSET $6) AS older`)
	selectMoved = portable(`SELECT conversation FROM messages INDEXED BY messages_by_since WHERE stream = $1 AND since > $4 AND since <= $2 AND since > 0
		UNION SELECT conversation FROM summaries WHERE stream = $1 AND sequence > $4 AND sequence <= $2 AND conversation <> ''
		ORDER BY conversation LIMIT $3`)
)

// Turns returns the turns of a conversation whose sequences are after one and not after another, oldest first.
func (s *Store) Turns(ctx context.Context, of Scope, conversation string, after, upTo int64) ([]Message, error) {
	return read(ctx, s, of, func(stream int64) ([]Message, error) {
		return query(ctx, s, selectTurns, scanMessage, stream, of.AsOf, of.Limit, conversation, after, upTo)
	})
}

// Moved returns the conversations in which a turn came to hold, or a summary was
// written, after a sequence, by name.
func (s *Store) Moved(ctx context.Context, of Scope, after int64) ([]string, error) {
	return read(ctx, s, of, func(stream int64) ([]string, error) {
		return query(ctx, s, selectMoved, scanOne[string], stream, of.AsOf, of.Limit, after)
	})
}

// Furthest returns the summary that covers most and nothing after a sequence, a
// zero one if there is none; of two that reach as far it is the first.
func Furthest(summaries []Summary, upTo int64) (best Summary) {
	for _, s := range summaries {
		if s.To <= upTo && s.To > best.To {
			best = s
		}
	}
	return best
}

// Amount is how many turns there are, and how many bytes their texts have.
type Amount struct {
	Turns int
	Bytes int64
}

// Amount counts the turns of a conversation after a sequence, without the newest of them.
func (s *Store) Amount(ctx context.Context, stream string, asOf int64, conversation string, after int64, newest int) (Amount, error) {
	of := Scope{Stream: stream, AsOf: asOf, Limit: math.MaxInt32}
	counted, err := read(ctx, s, of, func(stream int64) ([]Amount, error) {
		return query(ctx, s, countTurns, scanAmount, stream, of.AsOf, of.Limit, conversation, after, newest)
	})
	if err != nil || len(counted) == 0 {
		return Amount{}, err
	}
	return counted[0], nil
}

func scanAmount(rows *sql.Rows) (a Amount, err error) {
	err = rows.Scan(&a.Turns, &a.Bytes)
	return a, err
}
