package projection

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

var (
	selectMessages = portable(`SELECT sequence, time, role, text, command FROM messages
		WHERE stream = $1 AND conversation = $4 AND since > 0 AND since <= $2 AND (reopened = 0 OR reopened > $2)
		ORDER BY since DESC, sequence DESC LIMIT $3`)
	selectMemories = portable(`SELECT sequence, time, id, kind, content FROM memories
		WHERE stream = $1 AND sequence <= $2 AND (forgotten = 0 OR forgotten > $2) ORDER BY sequence DESC LIMIT $3`)
	selectMemoriesOfKind = portable(`SELECT sequence, time, id, kind, content FROM memories INDEXED BY memories_by_kind
		WHERE stream = $1 AND kind = $4 AND sequence <= $2 AND (forgotten = 0 OR forgotten > $2) ORDER BY sequence DESC LIMIT $3`)
	selectResults = portable(`SELECT r.sequence, r.time, c.name, c.key, c.operation, c.arguments, c.conversation, c.issuedBy,
		r.phase, r.reason, r.status, r.text
		FROM results r JOIN calls c ON c.stream = r.stream AND c.key = r.key
		WHERE r.stream = $1 AND r.conversation = $4 AND r.sequence <= $2 AND (r.replaced = 0 OR r.replaced > $2)
		ORDER BY r.sequence DESC LIMIT $3`)
	selectSequence = portable(`SELECT sequence FROM streams WHERE stream = $1`)
)

// Messages returns the turns of one conversation, newest first. A message is a
// turn from when its ask has ended: until then it is the question, or waits for
// its own turn, and in either case is nobody's past. The messages of an ask that
// is reopened are no turns again until it ends anew, as its question and its answer.
func (s *Store) Messages(ctx context.Context, of Scope, conversation string) ([]Message, error) {
	return read(ctx, s, of, func(stream int64) ([]Message, error) {
		return query(ctx, s, selectMessages, scanMessage, stream, of.AsOf, of.Limit, conversation)
	})
}

func scanMessage(rows *sql.Rows) (m Message, err error) {
	var at int64
	err = rows.Scan(&m.Sequence, &at, &m.Role, &m.Text, &m.Command)
	m.Time = time.UnixMicro(at).UTC()
	return m, err
}

// Memories returns what was remembered and not forgotten, newest first; without
// kinds, of every kind.
func (s *Store) Memories(ctx context.Context, of Scope, kinds ...string) ([]Memory, error) {
	return read(ctx, s, of, func(stream int64) ([]Memory, error) {
		if len(kinds) == 0 {
			return query(ctx, s, selectMemories, scanMemory, stream, of.AsOf, of.Limit)
		}
		var all []Memory
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
			some, err := query(ctx, s, selectMemoriesOfKind, scanMemory, stream, of.AsOf, of.Limit, kind)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		slices.SortFunc(all, func(a, b Memory) int { return int(b.Sequence - a.Sequence) })
		return all[:min(len(all), of.Limit)], nil
	})
}

func scanMemory(rows *sql.Rows) (m Memory, err error) {
	var at int64
	err = rows.Scan(&m.Sequence, &at, &m.ID, &m.Kind, &m.Content)
	m.Time = time.UnixMicro(at).UTC()
	return m, err
}

// Results returns what came of the calls that were issued in the conversation,
// and of those that were issued in none, newest first. Without a conversation it
// returns the latter alone: what was done for one person is not shown to another.
func (s *Store) Results(ctx context.Context, of Scope, conversation string) ([]Result, error) {
	return read(ctx, s, of, func(stream int64) ([]Result, error) {
		all, err := query(ctx, s, selectResults, scanResult, stream, of.AsOf, of.Limit, "")
		if err != nil || conversation == "" {
			return all, err
		}
		own, err := query(ctx, s, selectResults, scanResult, stream, of.AsOf, of.Limit, conversation)
		if err != nil {
			return nil, err
		}
		all = append(all, own...)
		slices.SortFunc(all, func(a, b Result) int { return int(b.Sequence - a.Sequence) })
		return all[:min(len(all), of.Limit)], nil
	})
}

func scanResult(rows *sql.Rows) (r Result, err error) {
	var at int64
	err = rows.Scan(&r.Sequence, &at, &r.Command, &r.Key, &r.Operation, &r.Arguments, &r.Conversation, &r.IssuedBy,
		&r.Phase, &r.Reason, &r.Status, &r.Text)
	r.Time = time.UnixMicro(at).UTC()
	return r, err
}

// read returns what fetch finds of the scope's stream, by its number; nothing of
// a stream without records. A scope beyond what is projected is refused: it would
// tell less than it claims.
//
// Another process may have made the tables anew since the head was known, or a
// crash of the server may have taken them back to an earlier state. So the head is
// looked at again after the rows: what holds then held for them, because numbers
// are never used again.
func read[T any](ctx context.Context, s *Store, of Scope, fetch func(stream int64) ([]T, error)) ([]T, error) {
	if of.Limit < 1 { // to SQLite a negative limit is none
		return nil, fault.NewInvalid("InvalidScope", "a read asks for %d rows; ask for at least 1", of.Limit)
	}
	for range 2 {
		h, err := s.reached(ctx, of.Stream, of.AsOf)
		switch {
		case err != nil:
			return nil, err
		case of.AsOf > h.sequence && h.stop != nil:
			return nil, h.stop.fault(of.Stream)
		case of.AsOf > h.sequence:
			return nil, s.behind(ctx, of.Stream, h.sequence, of.AsOf)
		case h.stream == 0:
			return nil, nil
		}
		found, err := again(ctx, s, func() ([]T, error) { return fetch(h.stream) })
		if err != nil {
			return nil, err
		}
		now, err := again(ctx, s, func() ([]int64, error) { return query(ctx, s, selectSequence, scanOne[int64], h.stream) })
		if err != nil {
			return nil, err
		}
		if len(now) > 0 && now[0] >= of.AsOf {
			return found, nil
		}
		s.heads.forget(of.Stream)
	}
	return nil, s.behind(ctx, of.Stream, 0, of.AsOf)
}

// query returns what scan makes of each row.
func query[T any](ctx context.Context, s *Store, text sqlText, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	rows, err := s.db.query(ctx, text, args...)
	all, err := collect(rows, err, scan)
	if err != nil {
		return nil, fmt.Errorf("read the projection: %w", err)
	}
	return all, nil
}
