package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/schema"
)

// applicationID is in the header of every journal file ("EDCT"), so that no
// other program's database is taken for one.
const applicationID = 0x45444354

//go:embed migrations/*.sql
var migrationFiles embed.FS

// knownVersion is the newest schema that this program can use.
var knownVersion = sync.OnceValue(func() int64 { return schema.Newest(migrationFiles, "migrations", goMigrations()...) })

// goMigrations are the migrations that SQL alone cannot make. They count with
// the files, and are never edited either once they have shipped.
func goMigrations() []*goose.Migration {
	return []*goose.Migration{
		goose.NewGoMigration(chainVersion, &goose.GoFunc{RunTx: addChain}, nil),
	}
}

// inspectSchema says which schema a database has, and refuses one that this
// program cannot use.
func inspectSchema(ctx context.Context, db *sql.DB) (finding, error) {
	var tables, application int64
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return finding{}, err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&application); err != nil {
		return finding{}, err
	}
	if tables == 0 {
		return finding{missing: application != applicationID}, nil
	}
	if application != applicationID {
		return finding{}, fmt.Errorf("%w: it is a database of some other program", journal.ErrCorrupt)
	}
	var version int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version); err != nil {
		return finding{}, err
	}
	if version > knownVersion() {
		return finding{}, fmt.Errorf("its schema has version %d, and this program knows versions up to %d: "+
			"run the newer program that wrote it, or restore a backup from before the upgrade", version, knownVersion())
	}
	return finding{version: version}, nil
}

// migrate creates the schema, or brings it up to date. It may be cut off
// anywhere, and is then completed by the next Open.
func migrate(ctx context.Context, path string) error {
	if err := create(path); err != nil {
		return err
	}
	db, err := connectToWrite(path)
	if err != nil {
		return err
	}
	err = applyMigrations(ctx, db, knownVersion())
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return diagnose(err)
}

// create makes an empty file, if there is none, that only its owner may read.
// The files that SQLite puts beside it have the same mode.
//
// A file that exists must not be opened here, only to be closed: that would
// drop every lock that SQLite has on it in this process.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// applyMigrations brings the schema to a version, which is knownVersion in every
// program.
func applyMigrations(ctx context.Context, db *sql.DB, version int64) error {
	// Before the first table: a file that has tables and not this number is
	// somebody else's.
	if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)); err != nil {
		return err
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(goMigrations()...))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}
