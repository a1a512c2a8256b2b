package projection

import "github.com/edict-dev/edict/internal/agent"

// What each change writes. A row is never removed, and what it says of its time
// is never taken back: it begins once, and it ends once.

var (
	insertMessage = portable(`INSERT INTO messages (stream, conversation, sequence, time, role, text, saidBy, command, since)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`)
	endMessages = portable(`UPDATE messages INDEXED BY messages_by_command SET since = $1 WHERE stream = $2 AND command = $3 AND since = 0`)
	// What was past stays so as of every sequence before, and a copy waits for the ask's next end.
	closeMessages = portable(`UPDATE messages INDEXED BY messages_by_command SET reopened = $1
		WHERE stream = $2 AND command = $3 AND since > 0 AND reopened = 0`)
	reopenMessages = portable(`INSERT INTO messages (stream, conversation, sequence, time, role, text, saidBy, command)
		SELECT stream, conversation, sequence, time, role, text, saidBy, command
		FROM messages INDEXED BY messages_by_command WHERE stream = $2 AND command = $3 AND reopened = $1`)
)

func (c messageAdded) writes(at place) []write {
	added := []write{{text: insertMessage, args: []any{at.stream, c.conversation, at.sequence, at.time, string(c.role), c.text, c.saidBy, c.command, 0}}}
	if c.role == User {
		return added
	}
	return append(added, write{text: endMessages, args: []any{at.sequence, at.stream, c.command}})
}

func (c askReopened) writes(at place) []write {
	args := []any{at.sequence, at.stream, c.key}
	return append([]write{{text: closeMessages, args: args}, {text: reopenMessages, args: args}}, commandReopened(c).writes(at)...)
}

var (
	insertMemory = portable(`INSERT INTO memories (stream, sequence, time, expires, id, kind, content, importance, saidBy, until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`)
	// Of an id one memory at most has no end. That it is named by its key spares SQLite
	// a table in between, for rows that an index finds which the update changes.
	forgetMemory = portable(`UPDATE memories SET until = $1 WHERE stream = $2 AND sequence = (
		SELECT sequence FROM memories INDEXED BY memories_by_id WHERE stream = $2 AND id = $3 AND until = 0 LIMIT 1)`)
)

func (c memoryAdded) writes(at place) []write {
	all := memoryForgotten{id: c.id}.writes(at) // an id that is saved again stands for what was saved last
	if c.supersedes != "" {
		all = append(all, memoryForgotten{id: c.supersedes}.writes(at)...)
	}
	expires := int64(0)
	if c.ttl > 0 {
		expires = at.time + c.ttl.Microseconds()
	}
	return append(all, write{text: insertMemory, args: []any{
		at.stream, at.sequence, at.time, expires, c.id, c.kind, c.content, c.importance, c.saidBy, 0,
	}})
}

func (c memoryForgotten) writes(at place) []write {
	return []write{{text: forgetMemory, args: []any{at.sequence, at.stream, c.id}}}
}

var (
	insertDocument = portable(`INSERT INTO documents (stream, sequence, awaits, collection, document, source, digest)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`)
	insertChunk = portable(`INSERT INTO chunks (stream, document, number, sequence, time, heading, text)
		SELECT stream, sequence, chunks + $1, $2, $3, $4, $5
		FROM documents INDEXED BY documents_by_name WHERE stream = $6 AND collection = $7 AND document = $8 AND until = 0 AND since = 0`)
	countChunks = portable(`UPDATE documents INDEXED BY documents_by_name SET chunks = chunks + $1
		WHERE stream = $2 AND collection = $3 AND document = $4 AND until = 0 AND since = 0`)
	// Of a name one document at most is on its way to hold, and what holds ends with it.
	dropDocument = portable(`UPDATE documents INDEXED BY documents_by_name SET until = $1, awaits = ''
		WHERE stream = $2 AND collection = $3 AND document = $4 AND until = 0 AND since = 0`)
	awaitDocument = portable(`UPDATE documents INDEXED BY documents_by_name SET awaits = $1
		WHERE stream = $2 AND collection = $3 AND document = $4 AND until = 0 AND since > 0`)
	// holdDocuments finds nothing for most commands, by a look at an index that is nearly empty.
	holdDocuments = portable(`UPDATE documents INDEXED BY documents_by_awaits
		SET until = CASE since WHEN 0 THEN 0 ELSE $1 END, since = CASE since WHEN 0 THEN $1 ELSE since END, awaits = ''
		WHERE stream = $2 AND awaits = $3 AND awaits <> ''`)
	removeDocument = portable(`UPDATE documents INDEXED BY documents_by_name SET until = $1, awaits = ''
		WHERE stream = $2 AND collection = $3 AND document = $4 AND until = 0 AND since > 0`)
)

func (c documentIndexed) writes(at place) []write {
	var all []write
	if c.part == 1 {
		all = append(all,
			write{text: dropDocument, args: []any{at.sequence, at.stream, c.collection, c.document}},
			write{text: awaitDocument, args: []any{c.command, at.stream, c.collection, c.document}},
			write{text: insertDocument, args: []any{at.stream, at.sequence, c.command, c.collection, c.document, c.source, c.digest}})
	}
	for i, chunk := range c.chunks {
		all = append(all, write{text: insertChunk, args: []any{
			i, at.sequence, at.time, chunk.Heading, chunk.Text, at.stream, c.collection, c.document,
		}})
	}
	if c.part < c.parts {
		all = append(all, write{text: countChunks, args: []any{len(c.chunks), at.stream, c.collection, c.document}})
	}
	return all
}

func (c documentsRemoved) writes(at place) []write {
	all := make([]write, 0, len(c.documents))
	for _, document := range c.documents {
		all = append(all, write{text: removeDocument, args: []any{at.sequence, at.stream, c.collection, document}})
	}
	return all
}

var insertSummary = portable(`INSERT INTO summaries (stream, conversation, collection, sequence, time, command, first, last, text)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`)

func (c summaryAdded) writes(at place) []write {
	return []write{{text: insertSummary, args: []any{
		at.stream, c.conversation, c.collection, at.sequence, at.time, c.command, c.from, c.to, c.text,
	}}}
}

var insertEmbedded = portable(`INSERT INTO embedded (stream, sequence, model, dimensions, texts, vectors) VALUES ($1, $2, $3, $4, $5, $6)`)

func (c textsEmbedded) writes(at place) []write {
	return []write{{text: insertEmbedded, args: []any{at.stream, at.sequence, c.model, c.dimensions, c.texts, c.vectors}}}
}

var (
	replaceObservation = portable(`UPDATE observations SET until = $1 WHERE stream = $2 AND sequence = (
		SELECT sequence FROM observations INDEXED BY observations_by_name WHERE stream = $2 AND name = $3 AND until = 0 LIMIT 1)`)
	insertObservation = portable(`INSERT INTO observations (stream, sequence, time, name, object, missing, fields)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`)
)

func (c objectObserved) writes(at place) []write {
	missing := 0
	if c.missing {
		missing = 1
	}
	return []write{
		{text: replaceObservation, args: []any{at.sequence, at.stream, c.name}},
		{text: insertObservation, args: []any{at.stream, at.sequence, at.time, c.name, c.object, missing, c.fields}},
	}
}

var (
	insertCommand = portable(`INSERT INTO commands (stream, key, sequence, time, name, type, operation, arguments, conversation, issuedBy, until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`)
	endCommand = portable(`UPDATE commands SET until = $1 WHERE stream = $2 AND key = $3 AND until = 0`)
	// That it had ended stays so as of every sequence before; a copy is open from here on.
	reopenCommand = portable(`INSERT INTO commands (stream, key, reopened, sequence, time, name, type, operation, arguments, conversation, issuedBy)
		SELECT stream, key, $1, sequence, time, name, type, operation, arguments, conversation, issuedBy
		FROM commands WHERE stream = $2 AND key = $3 AND reopened = 0
		AND NOT EXISTS (SELECT 1 FROM commands o WHERE o.stream = $2 AND o.key = $3 AND o.until = 0)`)
	// Of a call one result at most has no end; see forgetMemory.
	replaceResult = portable(`UPDATE results SET until = $1 WHERE stream = $2 AND (conversation, sequence) = (
		SELECT conversation, sequence FROM results INDEXED BY results_by_key WHERE stream = $2 AND key = $3 AND until = 0 LIMIT 1)`)
	insertResult = portable(`INSERT INTO results (stream, conversation, sequence, time, key, phase, reason, status, text)
		SELECT stream, conversation, $1, $2, key, $3, $4, $5, $6 FROM commands WHERE stream = $7 AND key = $8 AND reopened = 0 AND type = $9`)
)

func (c commandAccepted) writes(at place) []write {
	return []write{{text: insertCommand, args: []any{
		at.stream, c.key, at.sequence, at.time, c.name, string(c.kind), c.operation, c.arguments, c.conversation, c.issuedBy, 0,
	}}}
}

func (c commandSucceeded) writes(at place) []write {
	args := []any{at.sequence, at.stream, c.key}
	return []write{{text: endCommand, args: args}, {text: holdDocuments, args: args}}
}

func (c commandReopened) writes(at place) []write {
	return []write{{text: reopenCommand, args: []any{at.sequence, at.stream, c.key}}}
}

func (c callEnded) writes(at place) []write {
	var all []write
	if c.final {
		all = append(all, write{text: endCommand, args: []any{at.sequence, at.stream, c.key}})
	}
	if c.phase != agent.Succeeded { // an ask that succeeds ends with its response
		all = append(all, write{text: endMessages, args: []any{at.sequence, at.stream, c.key}})
	}
	return append(all,
		write{text: replaceResult, args: []any{at.sequence, at.stream, c.key}},
		write{text: insertResult, args: []any{
			at.sequence, at.time, string(c.phase), c.reason, c.status, c.text, at.stream, c.key, string(agent.CallAPI),
		}})
}
