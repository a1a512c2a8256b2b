package projection

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

const (
	selectMessages = `SELECT sequence, time, role, text, command FROM messages INDEXED BY messages_by_end
		WHERE stream = ? AND conversation = ? AND since > 0 AND since <= ? ORDER BY since DESC, sequence DESC LIMIT ?`
	selectMemories = `SELECT sequence, time, id, kind, content FROM memories
		WHERE stream = ?1 AND sequence <= ?2 AND (forgotten = 0 OR forgotten > ?2) ORDER BY sequence DESC LIMIT ?3`
	selectMemoriesOfKind = `SELECT sequence, time, id, kind, content FROM memories INDEXED BY memories_by_kind
		WHERE stream = ?1 AND kind = ?4 AND sequence <= ?2 AND (forgotten = 0 OR forgotten > ?2) ORDER BY sequence DESC LIMIT ?3`
	selectResults = `SELECT r.sequence, r.time, c.name, c.key, c.operation, c.arguments, c.conversation, c.issuedBy,
		r.phase, r.reason, r.status, r.text
		FROM results r JOIN calls c ON c.stream = r.stream AND c.key = r.key
		WHERE r.stream = ?1 AND r.conversation = ?4 AND r.sequence <= ?2 AND (r.replaced = 0 OR r.replaced > ?2)
		ORDER BY r.sequence DESC LIMIT ?3`
)

func prepareReads(ctx context.Context, db *sql.DB) (map[string]*sql.Stmt, error) {
	reads := map[string]*sql.Stmt{}
	for _, text := range []string{selectMessages, selectMemories, selectMemoriesOfKind, selectResults} {
		statement, err := db.PrepareContext(ctx, text)
		if err != nil {
			return nil, err
		}
		reads[text] = statement
	}
	return reads, nil
}

// Messages returns the turns of one conversation, newest first. A message is a
// turn from when its ask has ended: until then it is the question, or waits for
// its own turn, and in either case is nobody's past.
func (s *Store) Messages(ctx context.Context, of Scope, conversation string) ([]Message, error) {
	stream, err := s.stream(ctx, of)
	if err != nil {
		return nil, err
	}
	return query(ctx, s.reads[selectMessages], func(rows *sql.Rows) (m Message, err error) {
		var at int64
		err = rows.Scan(&m.Sequence, &at, &m.Role, &m.Text, &m.Command)
		m.Time = time.UnixMicro(at).UTC()
		return m, err
	}, stream, conversation, of.AsOf, of.Limit)
}

// Memories returns what was remembered and not forgotten, newest first; without
// kinds, of every kind.
func (s *Store) Memories(ctx context.Context, of Scope, kinds ...string) ([]Memory, error) {
	stream, err := s.stream(ctx, of)
	if err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		return query(ctx, s.reads[selectMemories], scanMemory, stream, of.AsOf, of.Limit)
	}
	var all []Memory
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		some, err := query(ctx, s.reads[selectMemoriesOfKind], scanMemory, stream, of.AsOf, of.Limit, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Memory) int { return int(b.Sequence - a.Sequence) })
	return all[:min(len(all), of.Limit)], nil
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
	stream, err := s.stream(ctx, of)
	if err != nil {
		return nil, err
	}
	all, err := query(ctx, s.reads[selectResults], scanResult, stream, of.AsOf, of.Limit, "")
	if err != nil || conversation == "" {
		return all, err
	}
	own, err := query(ctx, s.reads[selectResults], scanResult, stream, of.AsOf, of.Limit, conversation)
	if err != nil {
		return nil, err
	}
	all = append(all, own...)
	slices.SortFunc(all, func(a, b Result) int { return int(b.Sequence - a.Sequence) })
	return all[:min(len(all), of.Limit)], nil
}

func scanResult(rows *sql.Rows) (r Result, err error) {
	var at int64
	err = rows.Scan(&r.Sequence, &at, &r.Command, &r.Key, &r.Operation, &r.Arguments, &r.Conversation, &r.IssuedBy,
		&r.Phase, &r.Reason, &r.Status, &r.Text)
	r.Time = time.UnixMicro(at).UTC()
	return r, err
}

// stream returns the number of the scope's stream, 0 if it has no records. A
// scope beyond what is projected is refused: it would tell less than it claims.
func (s *Store) stream(ctx context.Context, of Scope) (int64, error) {
	h, _ := s.heads.get(of.Stream)
	switch {
	case of.Limit < 1: // to SQLite a negative limit is none
		return 0, fault.NewInvalid("InvalidScope", "a read asks for %d rows; ask for at least 1", of.Limit)
	case of.AsOf <= h.sequence:
		return h.stream, nil
	case h.stop != nil:
		return 0, h.stop.fault(of.Stream)
	}
	return 0, s.behind(ctx, of.Stream, h.sequence, of.AsOf)
}

// query returns what scan makes of each row.
func query[T any](ctx context.Context, statement *sql.Stmt, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("read the projection: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read the projection: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the projection: %w", err)
	}
	return all, nil
}
