package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/edict-dev/edict/internal/journal"
)

const readOnlyRemedy = "the server is read-only, or a standby: connect to the primary, or make it writable"

func unavailable(err error) error {
	switch {
	case errors.Is(err, journal.ErrUnavailable):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// A bound of this package's. Nobody shall take it for the end of the caller's context.
		return fmt.Errorf("%w: the server does not answer: %s", journal.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("%w: %w", journal.ErrUnavailable, err)
}

// isRefusal reports whether err is about one batch, not about the store.
func isRefusal(err error) bool {
	var duplicate *journal.DuplicateKeyError
	var version *journal.VersionError
	return errors.As(err, &duplicate) || errors.As(err, &version)
}

// isReadOnly reports whether a statement was refused because it writes.
func isReadOnly(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.Code == "25006"
}

// isAnswer reports whether err is the server's word that a statement failed and
// its transaction is undone. Any other error, and one with which the server ends
// the session, leaves open what became of a transaction that was being committed.
func isAnswer(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.SeverityUnlocalized == "ERROR"
}

// isLost reports whether err is about the connection, so that another one may
// do better.
func isLost(err error) bool {
	var unreachable *pgconn.ConnectError
	return err != nil && !isAnswer(err) && !errors.As(err, &unreachable) &&
		!errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// again calls do a second and a third time if it lost its connection, after
// dropping the pool's idle ones: a server that went away has closed them all. do
// must be such that it may be done twice.
func again(ctx context.Context, pool *pgxpool.Pool, do func(context.Context) error) error {
	const tries = 3
	for try := 1; ; try++ {
		err := do(ctx)
		if !isLost(err) || try == tries {
			return err
		}
		pool.Reset()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		}
	}
}

// readError gives an error that a read met its sentence.
func (j *Journal) readError(err error, format string, args ...any) error {
	if j.isClosed() {
		err = journal.ErrClosed
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
