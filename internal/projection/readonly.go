package projection

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/edict-dev/edict/internal/fault"
)

// OpenReadOnly opens the tables that other processes keep in a PostgreSQL database
// (postgres://…), and only reads them: it makes and drops nothing, its sessions are
// read-only, and a user that may do no more than SELECT will do. What the others
// project a wait sees some milliseconds later. Nobody may call Follow.
//
// Tables that are not there, or that another version of Edict has made, are a fault
// of kind Invalid, and so is a location that is a file, which one process owns. No
// error holds the URL.
func OpenReadOnly(ctx context.Context, location string, log Log, options Options) (*Store, error) {
	if !isURL(location) {
		return nil, fault.NewInvalid("ProjectionNotShared",
			"a file of projections belongs to the process that writes it; only those in PostgreSQL can be read by another")
	}
	options = options.withDefaults()
	db, err := openServer(ctx, readOnly(location), options.Readers)
	if err != nil {
		return nil, fmt.Errorf("open the projection: %w", err)
	}
	s := newStore(db, log, options)
	if err := s.restore(ctx); err != nil {
		_ = s.Close() // what went wrong first is what matters
		return nil, fmt.Errorf("open the projection in the %s to read it: %w", db.where, unreadable(err))
	}
	return s, nil
}

// Check returns nil if the tables can still be read by this version of Edict; another one may have made them anew.
func (s *Store) Check(ctx context.Context) error {
	checkpoints, err := query(ctx, s, selectCheckpoints, scanCheckpoint, schemaVersion)
	if err == nil && len(checkpoints) == 0 {
		err = errReplaced
	}
	return unreadable(err)
}

// readOnly returns the location with a setting by which the server itself refuses every write.
func readOnly(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return location // openServer says what is wrong with it
	}
	values := u.Query()
	values.Set("default_transaction_read_only", "on")
	u.RawQuery = values.Encode()
	return u.String()
}

// unreadable says what to do about tables that cannot be read.
func unreadable(err error) error {
	const undefinedTable, undefinedSchema, insufficientPrivilege = "42P01", "3F000", "42501"
	var said *pgconn.PgError
	switch {
	case errors.Is(err, errReplaced):
		return fault.NewInvalid("ProjectionMissing",
			"another version of Edict has made the tables; run the version that keeps them, or let the operator of this version make them anew")
	case !errors.As(err, &said):
		return err
	case said.Code == undefinedTable || said.Code == undefinedSchema:
		return fault.NewInvalid("ProjectionMissing", "the tables are not there; start the operator, which makes them, before what only reads them")
	case said.Code == insufficientPrivilege:
		return fault.NewInvalid("NotAllowed",
			"the user may not read the tables; as their owner run GRANT USAGE ON SCHEMA projection TO the_user, GRANT SELECT ON ALL TABLES IN SCHEMA projection TO the_user and ALTER DEFAULT PRIVILEGES IN SCHEMA projection GRANT SELECT ON TABLES TO the_user")
	}
	return err
}
