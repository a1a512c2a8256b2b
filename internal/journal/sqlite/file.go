package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/edict-dev/edict/internal/journal"
)

const (
	// busyTimeout is how many milliseconds a connection waits for a lock of
	// SQLite's. Only another process, such as sqlite3 or a Claim, ever holds
	// one: the writer is alone, and readers are not locked out.
	busyTimeout = "busy_timeout(5000)"

	// The write-ahead log is truncated to this many bytes after a checkpoint,
	// so that one long read does not leave a large file behind.
	logLimit = "journal_size_limit(67108864)"
)

// connectTo returns a pool of at most size connections to the file, each set
// up with the pragmas. It opens none yet.
func connectTo(path, mode string, size int, pragmas ...string) (*sql.DB, error) {
	query := []string{"mode=" + mode}
	for _, pragma := range append([]string{busyTimeout}, pragmas...) {
		query = append(query, "_pragma="+pragma)
	}
	// A URI, because SQLite takes its mode only from one; net/url escapes what
	// a path may hold.
	location := url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(query, "&")}
	db, err := sql.Open("sqlite", location.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// connectToWrite returns the pool of the one connection that writes.
func connectToWrite(path string) (*sql.DB, error) {
	return connectTo(path, "rwc", 1, "journal_mode(WAL)", "synchronous(FULL)", logLimit, "cache_size(-8192)")
}

// connectToRead returns a pool whose connections cannot change the file. They
// open it for writing all the same, because the first one after a crash has to
// bring it into order.
func connectToRead(path string, size int) (*sql.DB, error) {
	return connectTo(path, "rw", size, "query_only(1)")
}

// prepare makes sure that the file at path is a journal of the schema this
// program knows, creating or migrating it if need be.
func prepare(ctx context.Context, path string, shared bool) error {
	found, err := inspect(ctx, path)
	if err != nil {
		return err
	}
	if found.missing && wasClaimed(path) {
		return fmt.Errorf("%w: it is empty or missing, but a journal was claimed here before: "+
			"restore it from a backup, or remove %s to begin a new one", journal.ErrCorrupt, lockPath(path))
	}
	if !found.missing && found.version == knownVersion() {
		return nil
	}
	if !shared {
		// Nobody changes the schema under a writer's feet.
		held, err := lock(path)
		if err != nil {
			return fmt.Errorf("bring its schema from version %d to %d: %w", found.version, knownVersion(), err)
		}
		defer held.release()
	}
	return migrate(ctx, path)
}

// finding is what inspect has seen in a file.
type finding struct {
	missing bool  // no file, or nothing in it
	version int64 // of the schema; 0 before the first migration
}

// inspect looks at the file at path and changes nothing. It returns an error
// if the file is not a journal that this program can use.
func inspect(ctx context.Context, path string) (finding, error) {
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return finding{missing: true}, nil
	}
	if err != nil {
		return finding{}, err
	}
	if info.Size() == 0 {
		return finding{missing: true}, refuseOrphanedLog(path)
	}
	db, err := connectToRead(path, 1)
	if err != nil {
		return finding{}, err
	}
	found, err := inspectSchema(ctx, db)
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return found, diagnose(err)
}

// refuseOrphanedLog guards against what SQLite does with an empty file: it
// deletes the write-ahead log beside it, and what that holds is lost.
func refuseOrphanedLog(path string) error {
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return nil //nolint:nilerr // no log can be seen: none is lost
	}
	return fmt.Errorf("%w: it is empty, but its write-ahead log is not: restore it from a backup", journal.ErrCorrupt)
}
