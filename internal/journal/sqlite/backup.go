package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/edict-dev/edict/internal/journal"
)

// Backup copies the journal at path into a new file, dst, while another
// process goes on appending to it. The copy is one moment of the journal,
// whole, verified and on disk when Backup returns; until then it is called
// dst.partial, so that a file called dst is never half a backup.
//
// It takes no lock and needs no claim. The write-ahead log cannot be recycled
// while it runs, and grows by what is appended meanwhile.
//
// To restore a copy: stop the operator; move the journal and the files beside
// it whose names end in -wal and -shm away (a log of the old file would be
// replayed into the new one); put the copy in the journal's place; start the
// operator.
func Backup(ctx context.Context, path, dst string) error {
	if err := backup(ctx, path, dst); err != nil {
		return fmt.Errorf("back up journal %s to %s: %w", path, dst, err)
	}
	return nil
}

func backup(ctx context.Context, path, dst string) error {
	source, _, err := existing(ctx, path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dst); err == nil {
		return errors.New("the file exists already: choose another name, or move it away")
	} else if !os.IsNotExist(err) {
		return err
	}
	partial := dst + ".partial"
	if err := reserve(partial); err != nil {
		return err
	}
	err = copyTo(ctx, source, partial)
	if err == nil {
		err = syncAndRename(partial, dst)
	}
	if err != nil {
		_ = os.Remove(partial) // if that fails too, the next Backup says so
	}
	return err
}

// existing returns the absolute path of a journal that this program can read,
// and the version of its schema, which may be an older one.
func existing(ctx context.Context, path string) (absolute string, version int64, err error) {
	absolute, err = filepath.Abs(path)
	if err != nil {
		return "", 0, err
	}
	found, err := inspect(ctx, absolute)
	if err != nil {
		return "", 0, err
	}
	if found.missing || found.version == 0 {
		return "", 0, errors.New("there is no journal in that file")
	}
	return absolute, found.version, nil
}

// reserve creates the empty file that SQLite then copies into. Two backups to
// one name cannot both have created it.
func reserve(partial string) error {
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return fmt.Errorf("%s exists: another backup is being written, or was cut off; remove it if none is", partial)
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func copyTo(ctx context.Context, source, partial string) error {
	// Not query_only: SQLite counts writing the copy as a write.
	db, err := connectTo(source, "rw", 1)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, partial)
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return diagnose(err)
	}
	if err := Verify(ctx, partial); err != nil {
		return fmt.Errorf("the copy is not sound: %w", err)
	}
	return nil
}

// syncAndRename makes the copy durable, which SQLite leaves to us, and gives
// it its name.
func syncAndRename(partial, dst string) error {
	for _, step := range []func() error{
		func() error { return syncFile(partial) },
		func() error { return os.Rename(partial, dst) },
		func() error { return syncFile(filepath.Dir(dst)) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// syncFile flushes a file, or a directory's names, to disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return closeAfter(file.Close, err)
	}
	return file.Close()
}

// Verify reads all of the journal at path, and returns an error that wraps
// journal.ErrCorrupt if the file is damaged, if a stream's sequences have a hole
// or do not end at its tip, if a record belongs to no stream, or if a key points
// past its stream's end. It takes time in proportion to the journal's size, and
// disturbs nobody.
//
// It is about the file. Whether the records are as they were written is what
// journal.Verify tells from their hashes.
func Verify(ctx context.Context, path string) error {
	if err := verify(ctx, path); err != nil {
		return fmt.Errorf("verify journal %s: %w", path, diagnose(err))
	}
	return nil
}

func verify(ctx context.Context, path string) error {
	path, version, err := existing(ctx, path)
	if err != nil {
		return err
	}
	db, err := connectToRead(path, 1)
	if err != nil {
		return err
	}
	err = verifyContent(ctx, db, version)
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return err
}

// verifications are queries that find what cannot be, and say so in a
// sentence. A sound journal has no rows for any of them.
var verifications = []string{
	`SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT 1`,

	`SELECT 'stream ' || coalesce((SELECT name FROM streams WHERE id = stream), '?')
		|| ' has ' || count(*) || ' records from ' || min(sequence) || ' to ' || max(sequence)
	 FROM events GROUP BY stream HAVING min(sequence) <> 1 OR max(sequence) <> count(*)`,

	`SELECT 'record ' || position || ' belongs to no stream'
	 FROM events WHERE stream NOT IN (SELECT id FROM streams)`,

	`SELECT 'key ' || key || ' points past the end of its stream'
	 FROM keys k WHERE last > (SELECT coalesce(max(sequence), 0) FROM events e WHERE e.stream = k.stream)`,
}

// chainVerifications are those that need the columns of the chain.
var chainVerifications = []string{
	`SELECT 'stream ' || name || ' has its tip at ' || sequence || ', and its last record is ' || last
	 FROM (SELECT name, sequence, (SELECT coalesce(max(sequence), 0) FROM events WHERE stream = id) AS last FROM streams)
	 WHERE last <> sequence`,
}

func verifyContent(ctx context.Context, db *sql.DB, version int64) error {
	queries := verifications
	if version >= chainVersion {
		queries = slices.Concat(queries, chainVerifications)
	}
	for _, query := range queries {
		var problem string
		err := db.QueryRowContext(ctx, query).Scan(&problem)
		if err == nil {
			return fmt.Errorf("%w: %s", journal.ErrCorrupt, problem)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}
