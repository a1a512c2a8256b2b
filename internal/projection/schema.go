package projection

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// schemaVersion counts the changes of the schema below and of what fold makes of
// an event. Tables of another version are dropped, and made anew.
const schemaVersion = 2

// tables is written whole, in the words of SQLite; see portable. A row holds from
// its sequence on (a message from since on), until the one in reopened, forgotten
// or replaced, 0 for ever.
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
	since        INTEGER NOT NULL DEFAULT 0, -- when its ask ended; 0: it has not
	sequence     INTEGER NOT NULL,
	reopened     INTEGER NOT NULL DEFAULT 0, -- when its ask went on
	time         INTEGER NOT NULL,
	role         TEXT NOT NULL,
	text         TEXT NOT NULL,
	command      TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, since, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_command ON messages (stream, command);

CREATE TABLE memories (
	stream    INTEGER NOT NULL,
	sequence  INTEGER NOT NULL,
	forgotten INTEGER NOT NULL DEFAULT 0,
	time      INTEGER NOT NULL,
	id        TEXT NOT NULL,
	kind      TEXT NOT NULL,
	content   TEXT NOT NULL,
	PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_by_kind ON memories (stream, kind, sequence);
CREATE INDEX memories_by_id ON memories (stream, id) WHERE forgotten = 0;

CREATE TABLE calls (
	stream       INTEGER NOT NULL,
	key          TEXT NOT NULL,
	name         TEXT NOT NULL,
	operation    TEXT NOT NULL,
	arguments    TEXT NOT NULL,
	conversation TEXT NOT NULL,
	issuedBy     TEXT NOT NULL,
	PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
	stream       INTEGER NOT NULL,
	conversation TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	replaced     INTEGER NOT NULL DEFAULT 0,
	time         INTEGER NOT NULL,
	key          TEXT NOT NULL,
	phase        TEXT NOT NULL,
	reason       TEXT NOT NULL,
	status       INTEGER NOT NULL,
	text         TEXT NOT NULL,
	PRIMARY KEY (stream, conversation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX results_by_key ON results (stream, key) WHERE replaced = 0;
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
