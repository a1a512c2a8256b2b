package projection

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

var (
	selectMessages = portable(`SELECT sequence, time, role, text, saidBy, command FROM messages
		WHERE stream = $1 AND conversation = $4 AND since > 0 AND since <= $2 AND (reopened = 0 OR reopened > $2)
		ORDER BY since DESC, sequence DESC LIMIT $3`)
	selectMemories       = memoriesOf(`INDEXED BY memories_by_until WHERE stream = $1`)
	selectMemoriesOfKind = memoriesOf(`INDEXED BY memories_by_kind WHERE stream = $1 AND kind = $5`)
	selectResults        = portable(`SELECT r.sequence, r.time, c.name, c.key, c.operation, c.arguments, c.conversation, c.issuedBy,
		r.phase, r.reason, r.status, r.text
		FROM results r JOIN commands c ON c.stream = r.stream AND c.key = r.key AND c.reopened = 0
		WHERE r.stream = $1 AND r.conversation = $4 AND r.sequence <= $2 AND (r.until = 0 OR r.until > $2)
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
	err = rows.Scan(&m.Sequence, &at, &m.Role, &m.Text, &m.SaidBy, &m.Command)
	m.Time = moment(at)
	return m, err
}

// memoriesOf returns the statement that reads memories by an index which goes on
// with until, expires and sequence. What nobody ended is read newest first; what expires,
// and what was ended after the sequence, is read as ranges. So neither what was
// forgotten nor what has expired is looked at, however much of it there is; and of
// what is looked at, the index alone, but for the rows that are returned. By
// "sequence + 0" PostgreSQL does not think of another index, in which nearly all rows are.
func memoriesOf(byIndex string) sqlText {
	from := `SELECT sequence FROM memories ` + byIndex + ` AND `
	return portable(`SELECT m.sequence, m.time, m.expires, m.id, m.kind, m.content, m.importance, m.saidBy FROM (
		SELECT sequence FROM (
			SELECT * FROM (` + from + `until = 0 AND expires = 0 AND sequence <= $2 ORDER BY sequence DESC LIMIT $3) AS lasting
			UNION ALL ` + from + `until = 0 AND expires > $4 AND sequence + 0 <= $2
			UNION ALL ` + from + `until > $2 AND (expires = 0 OR expires > $4) AND sequence + 0 <= $2) AS held
		ORDER BY sequence DESC LIMIT $3) AS newest
		CROSS JOIN memories m WHERE m.stream = $1 AND m.sequence = newest.sequence ORDER BY m.sequence DESC`)
}

// Memories returns what was remembered, and not forgotten, superseded or expired,
// newest first; without kinds, of every kind. What has expired the journal's time
// of the record AsOf says.
func (s *Store) Memories(ctx context.Context, of Scope, kinds ...string) ([]Memory, error) {
	return read(ctx, s, of, func(stream int64) ([]Memory, error) {
		at, err := s.Time(ctx, of.Stream, of.AsOf)
		if err != nil {
			return nil, err
		}
		now := at.UnixMicro()
		if len(kinds) == 0 {
			return query(ctx, s, selectMemories, scanMemory, stream, of.AsOf, of.Limit, now)
		}
		var all []Memory
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
			some, err := query(ctx, s, selectMemoriesOfKind, scanMemory, stream, of.AsOf, of.Limit, now, kind)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		slices.SortFunc(all, func(a, b Memory) int { return cmp.Compare(b.Sequence, a.Sequence) })
		return all[:min(len(all), of.Limit)], nil
	})
}

func scanMemory(rows *sql.Rows) (m Memory, err error) {
	var at, expires int64
	err = rows.Scan(&m.Sequence, &at, &expires, &m.ID, &m.Kind, &m.Content, &m.Importance, &m.SaidBy)
	m.Time, m.Expires = moment(at), moment(expires)
	return m, err
}

// moment returns the time of a column, zero for 0.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Results returns what came of the calls that were issued in the conversation,
// and of those that were issued in none, newest first. Without a conversation it
// returns the latter alone: what was done for one person is not shown to another.
func (s *Store) Results(ctx context.Context, of Scope, conversation string) ([]Result, error) {
	return read(ctx, s, of, func(stream int64) ([]Result, error) {
		return ownAndNobodys(conversation, of.Limit, func(conversation string) ([]Result, error) {
			return query(ctx, s, selectResults, scanResult, stream, of.AsOf, of.Limit, conversation)
		}, func(r Result) int64 { return r.Sequence })
	})
}

// ownAndNobodys returns the newest rows of a conversation and of none together.
func ownAndNobodys[T any](conversation string, limit int, fetch func(conversation string) ([]T, error), sequence func(T) int64) ([]T, error) {
	all, err := fetch("")
	if err != nil || conversation == "" {
		return all, err
	}
	own, err := fetch(conversation)
	if err != nil {
		return nil, err
	}
	all = append(all, own...)
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(sequence(b), sequence(a)) })
	return all[:min(len(all), limit)], nil
}

func scanResult(rows *sql.Rows) (r Result, err error) {
	var at int64
	err = rows.Scan(&r.Sequence, &at, &r.Command, &r.Key, &r.Operation, &r.Arguments, &r.Conversation, &r.IssuedBy,
		&r.Phase, &r.Reason, &r.Status, &r.Text)
	r.Time = moment(at)
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
