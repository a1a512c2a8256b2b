package projection

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
)

var (
	selectDocuments             = documentsOf(`INDEXED BY documents_by_until WHERE stream = $1`)
	selectDocumentsOfCollection = documentsOf(`INDEXED BY documents_by_collection WHERE stream = $1 AND collection = $4`)
	selectChunks                = chunksIn(sqlText{
		sqlite:   `IN (SELECT value FROM json_each($2))`,
		postgres: `= ANY (translate(convert_from($2, 'UTF8'), '[]', '{}')::bigint[])`,
	})
	selectSummaries = portable(`SELECT sequence, time, conversation, collection, command, first, last, text FROM summaries
		WHERE stream = $1 AND conversation = $4 AND collection = $5 AND sequence <= $2 ORDER BY sequence DESC LIMIT $3`)
	selectObservations = portable(`SELECT o.sequence, o.time, o.name, o.object, o.missing, o.fields FROM (
		SELECT sequence FROM (
			SELECT * FROM (SELECT sequence FROM observations INDEXED BY observations_by_until
				WHERE stream = $1 AND until = 0 AND sequence <= $2 ORDER BY sequence DESC LIMIT $3) AS lasting
			UNION ALL SELECT sequence FROM observations INDEXED BY observations_by_until
				WHERE stream = $1 AND until > $2 AND sequence + 0 <= $2) AS held
		ORDER BY sequence DESC LIMIT $3) AS newest
		CROSS JOIN observations o WHERE o.stream = $1 AND o.sequence = newest.sequence ORDER BY o.name`)
	selectPending = pendingOf(`INDEXED BY commands_by_until WHERE stream = $1 AND conversation = $4`)
)

// documentsOf returns the statement that reads which documents hold, by an index
// which goes on with until and since; see memoriesOf.
func documentsOf(byIndex string) sqlText {
	from := `SELECT since, sequence FROM documents ` + byIndex + ` AND `
	return portable(`SELECT since, sequence FROM (
		SELECT * FROM (` + from + `until = 0 AND since > 0 AND since <= $2 ORDER BY since DESC, sequence DESC LIMIT $3) AS lasting
		UNION ALL ` + from + `until > $2 AND since > 0 AND since + 0 <= $2) AS held
		ORDER BY since DESC, sequence DESC LIMIT $3`)
}

// chunksIn returns the statement that reads the chunks of some documents, by what
// says that a sequence is among those of a JSON array.
func chunksIn(documents sqlText) sqlText {
	const text = `SELECT c.sequence, c.time, d.collection, d.document, d.source, d.digest, c.number, c.heading, c.text
		FROM documents d JOIN chunks c ON c.stream = d.stream AND c.document = d.sequence
		WHERE d.stream = $1 AND d.sequence %s ORDER BY d.collection, d.document, c.number`
	return sqlText{sqlite: fmt.Sprintf(text, documents.sqlite), postgres: fmt.Sprintf(text, documents.postgres)}
}

// Chunks returns the chunks that the collections hold, in the order of collection,
// document and index, from the newest Limit documents; without collections, of every one.
// A document holds from where the command that indexed it has ended, as do all others of that command.
func (s *Store) Chunks(ctx context.Context, of Scope, collections ...string) ([]Chunk, error) {
	return read(ctx, s, of, func(stream int64) ([]Chunk, error) {
		documents, err := s.documents(ctx, stream, of, collections)
		if err != nil || len(documents) == 0 {
			return nil, err
		}
		sequences := make([]int64, len(documents))
		for i, d := range documents {
			sequences[i] = d.sequence
		}
		list, err := json.Marshal(sequences)
		if err != nil {
			return nil, fmt.Errorf("name the documents: %w", err)
		}
		return query(ctx, s, selectChunks, scanChunk, stream, string(list))
	})
}

// holding is a document that holds.
type holding struct{ since, sequence int64 }

func scanHolding(rows *sql.Rows) (h holding, err error) {
	err = rows.Scan(&h.since, &h.sequence)
	return h, err
}

// documents returns the newest documents that the collections hold.
func (s *Store) documents(ctx context.Context, stream int64, of Scope, collections []string) ([]holding, error) {
	if len(collections) == 0 {
		return query(ctx, s, selectDocuments, scanHolding, stream, of.AsOf, of.Limit)
	}
	var all []holding
	for _, collection := range slices.Compact(slices.Sorted(slices.Values(collections))) {
		some, err := query(ctx, s, selectDocumentsOfCollection, scanHolding, stream, of.AsOf, of.Limit, collection)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b holding) int {
		return cmp.Or(cmp.Compare(b.since, a.since), cmp.Compare(b.sequence, a.sequence))
	})
	return all[:min(len(all), of.Limit)], nil
}

func scanChunk(rows *sql.Rows) (c Chunk, err error) {
	var at int64
	err = rows.Scan(&c.Sequence, &at, &c.Collection, &c.Document, &c.Source, &c.Digest, &c.Index, &c.Heading, &c.Text)
	c.Time = moment(at)
	return c, err
}

// Summaries returns the summaries of a conversation, or of a collection if the
// conversation is empty, newest first.
func (s *Store) Summaries(ctx context.Context, of Scope, conversation, collection string) ([]Summary, error) {
	if conversation != "" {
		collection = ""
	}
	return read(ctx, s, of, func(stream int64) ([]Summary, error) {
		return query(ctx, s, selectSummaries, scanSummary, stream, of.AsOf, of.Limit, conversation, collection)
	})
}

func scanSummary(rows *sql.Rows) (m Summary, err error) {
	var at int64
	err = rows.Scan(&m.Sequence, &at, &m.Conversation, &m.Collection, &m.Command, &m.From, &m.To, &m.Text)
	m.Time = moment(at)
	return m, err
}

// Observations returns what was observed, by name: of each name what was observed
// last, and of the names those that were observed last.
func (s *Store) Observations(ctx context.Context, of Scope) ([]Observation, error) {
	return read(ctx, s, of, func(stream int64) ([]Observation, error) {
		return query(ctx, s, selectObservations, scanObservation, stream, of.AsOf, of.Limit)
	})
}

func scanObservation(rows *sql.Rows) (o Observation, err error) {
	var at int64
	err = rows.Scan(&o.Sequence, &at, &o.Name, &o.Object, &o.Missing, &o.Fields)
	o.Time = moment(at)
	return o, err
}

// pendingOf returns the statement that reads open commands, by an index which goes
// on with until and sequence. It looks at no more rows than memoriesOf does.
func pendingOf(byIndex string) sqlText {
	from := `SELECT key, reopened, sequence FROM commands ` + byIndex + ` AND sequence <= $2 AND reopened <= $2 AND `
	return portable(`SELECT c.sequence, c.time, c.name, c.key, c.type, c.operation, c.arguments, c.conversation, c.issuedBy FROM (
		SELECT key, reopened FROM (
			SELECT * FROM (` + from + `until = 0 ORDER BY sequence DESC LIMIT $3) AS lasting
			UNION ALL ` + from + `until > $2) AS held
		ORDER BY sequence DESC LIMIT $3) AS newest
		CROSS JOIN commands c WHERE c.stream = $1 AND c.key = newest.key AND c.reopened = newest.reopened ORDER BY c.sequence DESC`)
}

// Pending returns the commands that were accepted and have not ended, newest
// first: those of the conversation, and those of none.
func (s *Store) Pending(ctx context.Context, of Scope, conversation string) ([]Pending, error) {
	return read(ctx, s, of, func(stream int64) ([]Pending, error) {
		return ownAndNobodys(conversation, of.Limit, func(conversation string) ([]Pending, error) {
			return query(ctx, s, selectPending, scanPending, stream, of.AsOf, of.Limit, conversation)
		}, func(p Pending) int64 { return p.Sequence })
	})
}

func scanPending(rows *sql.Rows) (p Pending, err error) {
	var at int64
	err = rows.Scan(&p.Sequence, &at, &p.Command, &p.Key, &p.Type, &p.Operation, &p.Arguments, &p.Conversation, &p.IssuedBy)
	p.Time = moment(at)
	return p, err
}
