package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/schema"
)

const (
	// oldestServer is the first version that is tested, as server_version_num counts.
	oldestServer = 150000
	// migrationLock is the advisory lock of who migrates ("EDCT").
	migrationLock = 0x45444354
	versionTable  = "journal.goose_db_version"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// knownVersion is the newest schema that this program can use.
var knownVersion = sync.OnceValue(func() int64 { return schema.Newest(migrationFiles, "migrations") })

// prepare makes sure that the server can hold a journal, and that the schema is
// the one that this program uses. Who only reads refuses an older one.
func prepare(ctx context.Context, config *pgx.ConnConfig, readOnly bool) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // an advisory lock ends with it, too
	if err := inspectServer(ctx, conn); err != nil {
		return err
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	if version < knownVersion() {
		if readOnly {
			return fmt.Errorf("its schema has version %d, and this program reads version %d: start the operator of this version first, which brings it up to date", version, knownVersion())
		}
		if err := migrate(ctx, conn, config); err != nil {
			return err
		}
	}
	return inspectShards(ctx, conn)
}

func inspectServer(ctx context.Context, conn *pgx.Conn) error {
	var number, version, readOnly string
	var standby bool
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num'), current_setting('server_version'),
		current_setting('transaction_read_only'), pg_is_in_recovery()`).Scan(&number, &version, &readOnly, &standby)
	if err != nil {
		return err
	}
	if err := newEnough(number, version); err != nil {
		return err
	}
	if standby || readOnly == "on" {
		return unavailable(errors.New(readOnlyRemedy))
	}
	return nil
}

// newEnough refuses a server whose version this program is not tested with.
func newEnough(number, version string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("the server's version is %q: %w", number, err)
	}
	if n < oldestServer {
		return fmt.Errorf("the server is PostgreSQL %s, and a journal needs version %d or later: upgrade it", version, oldestServer/10000)
	}
	return nil
}

// schemaVersion returns 0 if there is no schema, and refuses one that is newer
// than this program.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int64
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable).Scan(&version); err != nil {
		return 0, err
	}
	if version > knownVersion() {
		return 0, fmt.Errorf("its schema has version %d, and this program knows versions up to %d: "+
			"run the newer program that made it, or restore a backup from before the upgrade", version, knownVersion())
	}
	return version, nil
}

// migrate creates the schema, or brings it up to date, while others who want
// the same wait. It may be cut off anywhere, and is then completed by the next.
func migrate(ctx context.Context, conn *pgx.Conn, config *pgx.ConnConfig) error {
	// Whoever is first may take longer than a statement should.
	if _, err := conn.Exec(ctx, `SET lock_timeout = 0; SET statement_timeout = 0`); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil || version == knownVersion() {
		return err // somebody else has done it
	}
	if _, err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS journal`); err != nil {
		return err
	}
	unhurried := config.Copy()
	delete(unhurried.RuntimeParams, "statement_timeout")
	db := stdlib.OpenDB(*unhurried)
	return errors.Join(applyMigrations(ctx, db), db.Close())
}

func applyMigrations(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}

// inspectShards makes sure that the role may read the tables, and that they are
// a journal's.
func inspectShards(ctx context.Context, conn *pgx.Conn) error {
	var count int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM journal.shards WHERE shard BETWEEN 0 AND $1`, shardCount-1).Scan(&count); err != nil {
		return err
	}
	if count != shardCount {
		return fmt.Errorf("%w: it has %d shards of %d", journal.ErrCorrupt, count, shardCount)
	}
	return nil
}
