-- The journal's first schema. A migration that has shipped is never edited:
-- a change of the schema is the next file.

-- +goose Up

-- One row. epoch is the fencing epoch of the writer that claimed the journal
-- last; probe is what a health check writes to.
CREATE TABLE journal (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    probe INTEGER NOT NULL
) STRICT;

INSERT INTO journal (id, epoch, probe) VALUES (1, 0, 0);

-- Streams have numbers so that the indexes below hold integers, not names.
CREATE TABLE streams (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- position is the commit order; time is microseconds since 1970 in UTC. data
-- is text, not a blob, so that a person can query it with SQLite's own JSON
-- functions.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    type     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    data     TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_sequence ON events (stream, sequence);

-- Within one subject the index is in position order, as every index ends with
-- the row's number.
CREATE INDEX events_by_subject ON events (stream, subject);

-- The idempotency keys, and the sequences of the batch that came with each.
CREATE TABLE keys (
    stream INTEGER NOT NULL,
    key    TEXT NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

-- Texts too large for an event, by digest. The rows have numbers because a
-- table without them stores large values badly.
CREATE TABLE blobs (
    id     INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    data   BLOB NOT NULL
) STRICT;
