-- The journal's first schema. A migration that has shipped is never edited:
-- a change of the schema is the next file.

-- +goose Up

-- One row for each shard. A writer locks the shard's row for the length of its
-- transaction: so positions have no gap, are given in the order of commits, and
-- epoch, the fencing epoch of who claimed the shard last, cannot change under
-- it. last is the position of the shard's last record, and time its time.
CREATE TABLE journal.shards (
    shard integer PRIMARY KEY,
    epoch bigint  NOT NULL,
    last  bigint  NOT NULL,
    time  bigint  NOT NULL
) WITH (fillfactor = 10); -- one row on a page: each is updated by each commit

INSERT INTO journal.shards (shard, epoch, last, time) SELECT n, 0, 0, 0 FROM generate_series(0, 63) AS n;

-- A stream's number is made of its shard and the position of its first record,
-- so the writer knows it without asking. head and hash are the sequence and the
-- hash of its last record. Names are compared as bytes, whatever the database's
-- collation is.
CREATE TABLE journal.streams (
    id     bigint  PRIMARY KEY,
    name   text    COLLATE "C" NOT NULL UNIQUE,
    family text    COLLATE "C" NOT NULL,
    shard  integer NOT NULL,
    head   bigint  NOT NULL,
    hash   bytea   NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX streams_by_family ON journal.streams (family);

-- position is the commit order within the shard; time is microseconds since
-- 1970 in UTC. data is text, not jsonb, which would not give back the bytes that
-- were hashed.
CREATE TABLE journal.events (
    shard    integer NOT NULL,
    position bigint  NOT NULL,
    stream   bigint  NOT NULL,
    sequence bigint  NOT NULL,
    time     bigint  NOT NULL,
    epoch    bigint  NOT NULL,
    type     text    NOT NULL,
    version  integer NOT NULL,
    subject  text    COLLATE "C" NOT NULL,
    data     text    NOT NULL,
    previous bytea   NOT NULL,
    PRIMARY KEY (shard, position)
);

CREATE UNIQUE INDEX events_by_sequence ON journal.events (stream, sequence);
CREATE INDEX events_by_subject ON journal.events (stream, subject, sequence);

-- The idempotency keys, and the sequences of the batch that came with each.
CREATE TABLE journal.keys (
    stream bigint NOT NULL,
    key    text   COLLATE "C" NOT NULL,
    first  bigint NOT NULL,
    last   bigint NOT NULL,
    PRIMARY KEY (stream, key)
);

CREATE UNIQUE INDEX keys_by_sequence ON journal.keys (stream, first);

-- Texts too large for an event, by digest.
CREATE TABLE journal.blobs (
    digest text  COLLATE "C" PRIMARY KEY,
    data   bytea NOT NULL
);

-- What a health check writes to.
CREATE TABLE journal.probe (
    id    integer PRIMARY KEY CHECK (id = 1),
    count bigint  NOT NULL
);

INSERT INTO journal.probe (id, count) VALUES (1, 0);
