package projection

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// schemaVersion counts the changes of the schema below and of what fold makes of
// an event. Tables of another version are dropped, and made anew.
const schemaVersion = 4

// tables is written whole, in the words of SQLite; see portable. A row holds from
// since on, if it has that, else from its sequence on; and until before the
// sequence in until (of a message: in reopened), 0 for ever. A since of 0 says
// that it does not hold yet.
//
// The columns of an index end with those that a read asks a range of, or its order.
// An index that does not begin with the stream is not for statements that know the
// stream and not what it begins with: PostgreSQL, which plans them while the tables
// are empty, would take it as gladly as the one that they are meant to take, and
// look at all of the stream.
const tables = `
CREATE TABLE edict_projection (
	version INTEGER NOT NULL
) STRICT;
INSERT INTO edict_projection VALUES (%[1]d);

CREATE TABLE checkpoints (
	shard    INTEGER PRIMARY KEY,
	position INTEGER NOT NULL,
	first    TEXT NOT NULL,
	last     TEXT NOT NULL
) STRICT;

%[2]s

CREATE TABLE stops (
	stream   INTEGER PRIMARY KEY,
	sequence INTEGER NOT NULL,
	type     TEXT NOT NULL,
	version  INTEGER NOT NULL,
	error    TEXT NOT NULL
) STRICT;

CREATE TABLE messages (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	since        INTEGER NOT NULL DEFAULT 0, -- when its ask ended
	sequence     INTEGER NOT NULL,
	reopened     INTEGER NOT NULL DEFAULT 0, -- when its ask went on, and it ceased to hold
	time         INTEGER NOT NULL,
	role         TEXT NOT NULL,
	text         TEXT NOT NULL,
	saidBy       TEXT NOT NULL,
	command      TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, since, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_command ON messages (stream, command);
CREATE INDEX messages_by_since ON messages (stream, since) WHERE since > 0;
CREATE INDEX messages_by_reopened ON messages (stream, reopened) WHERE reopened > 0;

CREATE TABLE memories (
	stream     INTEGER NOT NULL,
	sequence   INTEGER NOT NULL,
	until      INTEGER NOT NULL DEFAULT 0, -- when it was forgotten or superseded
	time       INTEGER NOT NULL,
	expires    INTEGER NOT NULL, -- the time that it holds until before; 0: for good
	id         TEXT NOT NULL,
	kind       TEXT NOT NULL,
	content    TEXT NOT NULL,
	importance INTEGER NOT NULL,
	saidBy     TEXT NOT NULL,
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_by_until ON memories (stream, until, expires, sequence);
CREATE INDEX memories_by_kind ON memories (stream, kind, until, expires, sequence);
CREATE INDEX memories_by_id ON memories (stream, id) WHERE until = 0;

CREATE TABLE documents (
	stream     INTEGER NOT NULL,
	sequence   INTEGER NOT NULL, -- of its first part
	since      INTEGER NOT NULL DEFAULT 0, -- when the command that indexed it ended
	until      INTEGER NOT NULL DEFAULT 0, -- when it was removed, or another came in its place
	awaits     TEXT NOT NULL DEFAULT '', -- key of the command with whose end it begins to hold, or ceases to
	collection TEXT NOT NULL,
	document   TEXT NOT NULL,
	source     TEXT NOT NULL,
	digest     TEXT NOT NULL,
	chunks     INTEGER NOT NULL DEFAULT 0, -- of the parts that are there, but the last
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_by_name ON documents (collection, document, stream) WHERE until = 0;
CREATE INDEX documents_by_awaits ON documents (stream, awaits) WHERE awaits <> '';
CREATE INDEX documents_by_since ON documents (stream, since);
CREATE INDEX documents_by_until ON documents (stream, until, since, sequence);
CREATE INDEX documents_by_collection ON documents (stream, collection, until, since, sequence);

CREATE TABLE chunks (
	stream   INTEGER NOT NULL,
	document INTEGER NOT NULL, -- its sequence
	number   INTEGER NOT NULL, -- in the document, from 0
	sequence INTEGER NOT NULL,
	time     INTEGER NOT NULL,
	heading  TEXT NOT NULL,
	text     TEXT NOT NULL,
	PRIMARY KEY (stream, document, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE summaries (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	collection   TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	time         INTEGER NOT NULL,
	command      TEXT NOT NULL,
	first        INTEGER NOT NULL, -- sequence that it covers
	last         INTEGER NOT NULL, -- likewise
	text         TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, collection, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX summaries_by_sequence ON summaries (stream, sequence);

CREATE TABLE embedded (
	stream     INTEGER NOT NULL,
	sequence   INTEGER NOT NULL,
	model      TEXT NOT NULL,
	dimensions INTEGER NOT NULL,
	texts      TEXT NOT NULL, -- digest of each, a JSON array
	vectors    TEXT NOT NULL, -- digest of the blob that holds them
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE observations (
	stream   INTEGER NOT NULL,
	sequence INTEGER NOT NULL,
	until    INTEGER NOT NULL DEFAULT 0, -- when the name was observed again
	time     INTEGER NOT NULL,
	name     TEXT NOT NULL,
	object   TEXT NOT NULL,
	missing  INTEGER NOT NULL, -- 1: there was no such object; 0: there was
	fields   TEXT NOT NULL,
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX observations_by_until ON observations (stream, until, sequence);
CREATE INDEX observations_by_name ON observations (stream, name) WHERE until = 0;

CREATE TABLE commands (
	stream       INTEGER NOT NULL,
	key          TEXT NOT NULL,
	reopened     INTEGER NOT NULL DEFAULT 0, -- when it went on, and this row began; 0: with its acceptance
	until        INTEGER NOT NULL DEFAULT 0, -- when it ended
	sequence     INTEGER NOT NULL, -- of its acceptance
	time         INTEGER NOT NULL,
	name         TEXT NOT NULL,
	type         TEXT NOT NULL,
	operation    TEXT NOT NULL,
	arguments    TEXT NOT NULL,
	conversation TEXT NOT NULL,
	issuedBy     TEXT NOT NULL,
	PRIMARY KEY (stream, key, reopened)
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_by_until ON commands (conversation, stream, until, sequence);

CREATE TABLE results (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	until        INTEGER NOT NULL DEFAULT 0, -- when another replaced it
	time         INTEGER NOT NULL,
	key          TEXT NOT NULL,
	phase        TEXT NOT NULL,
	reason       TEXT NOT NULL,
	status       INTEGER NOT NULL,
	text         TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX results_by_key ON results (stream, key) WHERE until = 0;
`

// The streams are numbered, for short rows. A number is never used again, also
// after the tables were dropped and made anew: counting begins with the time, in
// microseconds. So a reader who knows a number of before finds that it is gone.
const (
	streamsInSQLite = `
CREATE TABLE streams (
	stream   INTEGER PRIMARY KEY AUTOINCREMENT,
	name     TEXT NOT NULL UNIQUE,
	sequence INTEGER NOT NULL
) STRICT;
INSERT INTO sqlite_sequence (name, seq) VALUES ('streams', %d);`

	streamsInPostgres = `
CREATE TABLE streams (
	stream   BIGINT GENERATED ALWAYS AS IDENTITY (START WITH %d) PRIMARY KEY,
	name     TEXT COLLATE "C" NOT NULL UNIQUE,
	sequence BIGINT NOT NULL
);`
)

// schema returns the statements that make empty tables.
func schema(now time.Time) sqlText {
	sqlite := fmt.Sprintf(tables, schemaVersion, fmt.Sprintf(streamsInSQLite, now.UnixMicro()))
	postgres := inPostgres.Replace(fmt.Sprintf(tables, schemaVersion, "%s"))
	return sqlText{sqlite: sqlite, postgres: fmt.Sprintf(postgres, fmt.Sprintf(streamsInPostgres, now.UnixMicro()))}
}

// sqlText is a statement as each database wants it.
type sqlText struct{ sqlite, postgres string }

// portable returns a statement that is the same for both databases, but for the
// names of indexes: without statistics SQLite would often take the primary key,
// and read the whole stream; INDEXED BY says better.
func portable(text string) sqlText {
	return sqlText{sqlite: text, postgres: indexedBy.ReplaceAllString(text, "")}
}

var indexedBy = regexp.MustCompile(` INDEXED BY \w+`)

// inPostgres turns the tables into PostgreSQL's words. A text is kept as bytes
// there: an event may hold U+0000, which PostgreSQL's own type of texts refuses,
// and no collation can have an opinion on bytes.
var inPostgres = strings.NewReplacer("INTEGER", "BIGINT", "TEXT", "BYTEA", " STRICT, WITHOUT ROWID", "", " STRICT", "")
