package projection

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// subject is a command of a stream, by its key, or a memory, by its id.
type subject struct {
	stream int64
	key    string
}

// standing is what the tables hold, before a batch, of the commands and memories that
// the batch is about. Of most that is nothing: all of a short command is in one batch.
// So the rows that it ends can be written as they end, once, and nobody looks for others.
type standing struct {
	accepted map[subject]bool // the command has a row, without which it has no result
	said     map[subject]bool // messages of it are not past
	indexed  map[subject]bool // documents await its end
	kept     map[subject]bool // the memory has no end
}

func nothingStands() standing {
	return standing{accepted: map[subject]bool{}, said: map[subject]bool{}, indexed: map[subject]bool{}, kept: map[subject]bool{}}
}

// selectStanding takes streams and keys in pairs. SQLite has them from JSON, in
// which a key stands in hexadecimal digits: it may be no UTF-8.
var selectStanding = standingOf(sqlText{
	sqlite:   `SELECT value ->> 0 AS stream, CAST(unhex(value ->> 1) AS TEXT) AS key FROM json_each($1)`,
	postgres: `SELECT stream, key FROM unnest($1::bigint[], $2::bytea[]) AS pair (stream, key)`,
})

// standingOf asks by scalar subqueries, each of which PostgreSQL answers by one look
// into an index; a join it might begin with all of a table.
func standingOf(asked sqlText) sqlText {
	text := portable(`WITH a AS MATERIALIZED (%s) SELECT a.stream, a.key,
		COALESCE((SELECT 1 FROM commands c WHERE c.stream = a.stream AND c.key = a.key AND c.reopened = 0 LIMIT 1), 0),
		COALESCE((SELECT 1 FROM messages m INDEXED BY messages_by_command
			WHERE m.stream = a.stream AND m.command = a.key AND m.since = 0 LIMIT 1), 0),
		COALESCE((SELECT 1 FROM documents d INDEXED BY documents_by_awaits
			WHERE d.stream = a.stream AND d.awaits = a.key AND d.awaits <> '' LIMIT 1), 0),
		COALESCE((SELECT 1 FROM memories m INDEXED BY memories_by_id
			WHERE m.stream = a.stream AND m.id = a.key AND m.until = 0 LIMIT 1), 0)
		FROM a`)
	return sqlText{sqlite: fmt.Sprintf(text.sqlite, asked.sqlite), postgres: fmt.Sprintf(text.postgres, asked.postgres)}
}

// subjects returns what the records are about.
func subjects(records []folded, heads map[string]head) []subject {
	asked, seen := []subject{}, map[subject]bool{}
	for _, r := range records {
		keys := []string{r.Subject}
		switch c := r.change.(type) {
		case memoryAdded:
			keys = append(keys, c.id, c.supersedes)
		case memoryForgotten:
			keys = append(keys, c.id)
		}
		for _, key := range keys {
			one := subject{heads[r.Stream].stream, key}
			if !seen[one] {
				seen[one] = true
				asked = append(asked, one)
			}
		}
	}
	return asked
}

// standingIn looks up what the records are about.
func standingIn(tx transaction, records []folded, heads map[string]head) (standing, error) {
	found := nothingStands()
	rows, err := tx.standing(subjects(records, heads))
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var one subject
		var accepted, said, indexed, kept bool
		err := rows.Scan(&one.stream, &one.key, &accepted, &said, &indexed, &kept)
		found.accepted[one], found.said[one], found.indexed[one], found.kept[one] = accepted, said, indexed, kept
		return struct{}{}, err
	})
	if err != nil {
		return found, fmt.Errorf("look up what a batch is about: %w", err)
	}
	return found, nil
}

func (w *fileWriter) standing(asked []subject) (*sql.Rows, error) {
	pairs := make([][2]any, len(asked))
	for i, one := range asked {
		pairs[i] = [2]any{one.stream, hex.EncodeToString([]byte(one.key))}
	}
	list, err := json.Marshal(pairs)
	if err != nil {
		return nil, err
	}
	return w.query(selectStanding, string(list))
}

func (t serverTransaction) standing(asked []subject) (*sql.Rows, error) {
	streams, keys := make([]int64, len(asked)), make([][]byte, len(asked))
	for i, one := range asked {
		streams[i], keys[i] = one.stream, []byte(one.key)
	}
	return t.query(selectStanding, streams, keys)
}

// pen writes a batch's statements, and leaves out those that would change nothing.
type pen struct {
	standing
	all      []write
	opened   map[subject]int   // where in all a command was accepted that has not ended; -1: it was, and has
	messages map[subject][]int // where messages were added that are not past
	memories map[subject]int   // where a memory was added that has no end
	results  map[subject]bool  // a result was added
}

func newPen(s standing) *pen {
	return &pen{standing: s, opened: map[subject]int{}, messages: map[subject][]int{}, memories: map[subject]int{}, results: map[subject]bool{}}
}

// The places of arguments that say when a row ends, or begins to hold: an insert may be given them later.
const (
	untilOfCommand = 10
	sinceOfMessage = 8
	untilOfMemory  = 9
)

// The places of a memory's id.
const (
	idOfAdded     = 4
	idOfForgotten = 2
)

// put adds a statement that a record asks for, about a command.
func (p *pen) put(w write, about subject) {
	if p.command(w, about) && p.message(w, about) && p.memory(w, about) {
		p.all = append(p.all, w)
	}
}

// command returns whether a statement is needed, as far as commands, their results and their documents go.
func (p *pen) command(w write, about subject) bool {
	at, here := p.opened[about]
	switch w.text {
	case insertCommand:
		if !here && !p.accepted[about] {
			p.opened[about] = len(p.all)
		}
	case endCommand:
		if here && at >= 0 {
			p.all[at].args[untilOfCommand] = w.args[0]
			p.opened[about] = -1
			return false
		}
	case reopenCommand: // it looks at the row as it was
		if here {
			p.opened[about] = -1
		}
	case replaceResult:
		return p.accepted[about] || p.results[about]
	case insertResult:
		p.results[about] = true
	case insertDocument:
		p.indexed[about] = true
	case holdDocuments:
		return p.indexed[about]
	}
	return true
}

// message does the same as far as messages go.
func (p *pen) message(w write, about subject) bool {
	switch w.text {
	case insertMessage:
		p.messages[about] = append(p.messages[about], len(p.all))
	case endMessages:
		for _, at := range p.messages[about] {
			p.all[at].args[sinceOfMessage] = w.args[0]
		}
		delete(p.messages, about)
		return p.said[about]
	case closeMessages: // it looks at the rows as they were, and what it takes back is not past any more
		delete(p.messages, about)
		p.said[about] = true
	}
	return true
}

// memory does the same as far as memories go.
func (p *pen) memory(w write, about subject) bool {
	switch w.text {
	case insertMemory:
		id, _ := w.args[idOfAdded].(string) // it is one
		p.memories[subject{about.stream, id}] = len(p.all)
	case forgetMemory:
		id, _ := w.args[idOfForgotten].(string)
		one := subject{about.stream, id}
		if at, here := p.memories[one]; here {
			p.all[at].args[untilOfMemory] = w.args[0]
			delete(p.memories, one)
			return false
		}
		return p.kept[one]
	}
	return true
}
