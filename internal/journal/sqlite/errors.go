package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/edict-dev/edict/internal/journal"
)

// ErrLocked is wrapped by the errors of Claim and Import when somebody else has
// claimed the file. It goes away when that process ends.
var ErrLocked = errors.New("another process holds the journal")

// diagnose adds journal.ErrCorrupt to SQLite's errors about a damaged file,
// which would otherwise look like any other.
func diagnose(err error) error {
	var failure *driver.Error
	if !errors.As(err, &failure) || errors.Is(err, journal.ErrCorrupt) {
		return err
	}
	switch failure.Code() & 0xff { // the low byte is the kind, the rest the place
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", journal.ErrCorrupt, err)
	default:
		return err
	}
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", journal.ErrUnavailable, diagnose(err))
}

// isRefusal reports whether err is about one batch, not about the store.
func isRefusal(err error) bool {
	var duplicate *journal.DuplicateKeyError
	var version *journal.VersionError
	return errors.As(err, &duplicate) || errors.As(err, &version)
}

// closeAfter closes what was opened before err happened, and returns err: a
// second error while giving up would say nothing new.
func closeAfter(closer func() error, err error) error {
	_ = closer()
	return err
}
