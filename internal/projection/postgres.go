package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/edict-dev/edict/internal/fault"
)

// transactionTime bounds a transaction, so that a server which no longer answers
// does not hold Follow for ever.
const transactionTime = time.Minute

// longTransactionTime bounds one that replaces all rows of a stream. The
// projection of the stream's shard waits for it; who reads does not.
const longTransactionTime = 10 * time.Minute

// idleTime is how long a transaction may rest between two statements before the
// server ends it: a process that is paused in the middle of a batch holds the
// checkpoints of its shards no longer than this.
const idleTime = 5 * time.Second

// server is the schema "projection" of a PostgreSQL database.
type server struct {
	db    *sql.DB
	where string // without a password
}

// isURL reports whether a location is one of PostgreSQL's.
func isURL(location string) bool {
	return strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://")
}

func openServer(ctx context.Context, location string, readers int) (*server, error) {
	config, err := pgx.ParseConfig(location)
	if err != nil { // which may quote the location, with its password
		return nil, fault.NewInvalid("InvalidLocation",
			"the URL of the projection's PostgreSQL cannot be parsed; write it as postgres://user@host:5432/database, and percent-encode what is not a letter or a digit in a password")
	}
	// Settings of pgxpool, which opens the journal by the same URL, are none of the server's.
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool { return strings.HasPrefix(name, "pool_") })
	config.RuntimeParams["search_path"] = "projection"
	// What a crash of the server takes back it takes with its checkpoint. Whoever
	// reads looks at the sequence again; see Store.read.
	config.RuntimeParams["synchronous_commit"] = "off"
	config.RuntimeParams["application_name"] = "edict-projection"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleTime.Milliseconds(), 10)
	s := &server{db: stdlib.OpenDB(*config), where: fmt.Sprintf("PostgreSQL at %s:%d, database %s", config.Host, config.Port, config.Database)}
	s.db.SetMaxOpenConns(readers + 2) // and the one that writes, and one that rebuilds
	s.db.SetMaxIdleConns(readers + 1)
	if err := s.db.PingContext(ctx); err != nil {
		_ = s.db.Close()
		return nil, fmt.Errorf("connect to %s: %w", s.where, err)
	}
	return s, nil
}

func (s *server) transact(work func(tx transaction) error) error {
	return s.bounded(transactionTime, work)
}

func (s *server) transactLong(work func(tx transaction) error) error {
	return s.bounded(longTransactionTime, func(tx transaction) error {
		if _, err := tx.execute(restLonger); err != nil {
			return err
		}
		return work(tx)
	})
}

func (s *server) bounded(within time.Duration, work func(tx transaction) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.between(ctx, begin, commit, work)
}

func (s *server) snapshot(ctx context.Context, work func(tx transaction) error) error {
	return s.between(ctx, beginToRead, rollback, work)
}

// between runs work in a transaction that begins, and ends unless work fails, with these statements.
func (s *server) between(ctx context.Context, first, last sqlText, work func(tx transaction) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool, which drops one that is broken or has not ended its transaction
	tx := serverTransaction{ctx: ctx, conn: conn}
	if _, err := tx.execute(first); err != nil {
		return err
	}
	err = work(tx)
	if err == nil {
		_, err = tx.execute(last)
	}
	if err != nil {
		_, _ = tx.execute(rollback) // a connection that cannot do it is dropped, and so is its transaction
	}
	return err
}

func (s *server) scratch() string { return os.TempDir() }

var (
	lockOpening = sqlText{postgres: fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, application)}
	// restLonger lets who is in a transaction read the journal between two statements.
	restLonger       = sqlText{postgres: `SET LOCAL idle_in_transaction_session_timeout = '30s'`}
	hasSchema        = sqlText{postgres: `SELECT 1 FROM pg_namespace WHERE nspname = 'projection'`}
	makeSchema       = sqlText{postgres: `CREATE SCHEMA projection`}
	tablesInPostgres = sqlText{postgres: `SELECT tablename::text FROM pg_tables WHERE schemaname = 'projection' ORDER BY tablename <> 'checkpoints', tablename DESC`}
)

// found lets one process at a time look and make. It makes the schema, unless
// somebody who may has done so.
func (s *server) found(tx transaction) ([]string, error) {
	for _, text := range []sqlText{restLonger, lockOpening} {
		if _, err := tx.execute(text); err != nil {
			return nil, err
		}
	}
	rows, err := tx.query(hasSchema)
	exists, err := collect(rows, err, scanOne[int])
	if err == nil && len(exists) == 0 {
		_, err = tx.execute(makeSchema)
	}
	if err != nil {
		return nil, s.explain(err)
	}
	rows, err = tx.query(tablesInPostgres)
	names, err := collect(rows, err, scanOne[string])
	if err == nil && len(names) > 0 && !slices.Contains(names, markTable) {
		return nil, fault.NewInvalid("NotAProjection",
			"the schema projection of the %s holds tables that are no projection; name another database, or drop the schema if nobody needs it", s.where)
	}
	return names, err
}

// explain says what to do when the server refuses the schema.
func (s *server) explain(err error) error {
	const insufficientPrivilege = "42501"
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == insufficientPrivilege {
		return fault.NewInvalid("NotAllowed",
			"the user may not create the schema projection in the %s; grant it CREATE on the database, or create the schema for it: CREATE SCHEMA projection AUTHORIZATION the_user", s.where)
	}
	return err
}

func (s *server) query(ctx context.Context, text sqlText, args ...any) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, text.postgres, asBytes(args)...)
}

// idleTooLong is the code of a transaction that rested for longer than it may.
const idleTooLong = "25P03"

func (s *server) shared() bool { return true }

func (s *server) passing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errClosed) {
		return false
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return true // it did not come from the server, so the connection said it
	}
	switch said.Code[:2] {
	case "08", "40", "57": // connection, serialization and deadlock, shutting down
		return true
	}
	return said.Code == idleTooLong
}

func (s *server) close() error { return s.db.Close() }

var (
	addStreamsInPostgres  = sqlText{postgres: `INSERT INTO streams (name, sequence) SELECT unnest($1::text[]), 0`}
	selectHeadsInPostgres = sqlText{postgres: `SELECT ` + headColumns + ` WHERE s.name = ANY ($1::text[])`}
)

type serverTransaction struct {
	ctx  context.Context // the transaction's, and ends with it
	conn *sql.Conn
}

func (t serverTransaction) execute(text sqlText, args ...any) (int64, error) {
	done, err := t.conn.ExecContext(t.ctx, text.postgres, asBytes(args)...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (t serverTransaction) query(text sqlText, args ...any) (*sql.Rows, error) {
	return t.conn.QueryContext(t.ctx, text.postgres, asBytes(args)...)
}

// write sends all statements at once: a batch of hundreds would otherwise wait
// for the network as often.
func (t serverTransaction) write(all []write) error {
	return t.conn.Raw(func(driver any) error {
		conn, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("%T is no connection of pgx", driver)
		}
		var queued pgx.Batch
		for _, one := range all {
			queued.Queue(one.text.postgres, asBytes(one.args)...)
		}
		results := conn.Conn().SendBatch(t.ctx, &queued)
		for _, one := range all {
			if _, err := results.Exec(); err != nil {
				_ = results.Close() // it says the same
				return one.failed(err)
			}
		}
		return results.Close()
	})
}

func (t serverTransaction) heads(names []string) (map[string]head, error) {
	return gather(t.query(selectHeadsInPostgres, names))
}

func (t serverTransaction) number(names []string) error {
	_, err := t.execute(addStreamsInPostgres, names)
	return err
}

// asBytes returns the arguments with texts as bytes, as the columns have them.
func asBytes(args []any) []any {
	bytes := slices.Clone(args)
	for i, arg := range bytes {
		if text, ok := arg.(string); ok {
			bytes[i] = []byte(text)
		}
	}
	return bytes
}
