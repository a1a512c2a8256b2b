package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// Connections of one handle, besides one that listens. A server lets 100 in
	// by default, and there are several replicas.
	readConnections   = 6
	commitConnections = 12

	connectTimeout = 5 * time.Second
	// deadAfter is how long a connection may stay without a sign of its server.
	deadAfter = 10 * time.Second
	// commitTimeout bounds each round trip of a writer. It is longer than
	// everything that the server bounds by itself.
	commitTimeout = 15 * time.Second
)

// settings are those of every session.
var settings = map[string]string{
	"application_name":   "edict",
	"synchronous_commit": "on",
	// A replica that stops in the middle of a transaction holds its shard's row
	// no longer than this.
	"idle_in_transaction_session_timeout": "5s",
	// So whoever waits for the row longer than this waits for something else.
	"lock_timeout":      "8s",
	"statement_timeout": "30s",
	"client_encoding":   "UTF8",
	"timezone":          "UTC",
}

// configure reads the URL. The error does not repeat it: it may hold a password.
func configure(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the URL is not one of a PostgreSQL database: it must be " +
			"postgres://user@host:port/database, and every special character of a password in it written as %XX")
	}
	conn := config.ConnConfig
	for name, value := range settings {
		conn.RuntimeParams[name] = value
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadAfter / 2, Interval: deadAfter / 4, Count: 2},
		Control:         boundSilence,
	}
	conn.DialFunc = dialer.DialContext
	config.HealthCheckPeriod = 15 * time.Second
	config.MaxConnIdleTime = 5 * time.Minute
	return config, nil
}

// newPool makes a pool, which connects when it is first needed.
func newPool(ctx context.Context, config *pgxpool.Config, connections int32) (*pgxpool.Pool, error) {
	own := config.Copy()
	own.MaxConns, own.MinConns = connections, 0
	return pgxpool.NewWithConfig(ctx, own)
}

// place names the database, without the password.
func place(config *pgxpool.Config) string {
	c := config.ConnConfig
	return fmt.Sprintf("postgres://%s@%s/%s", c.User, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
}

// explain says what to do about an error that Open met.
func explain(err error, c *pgx.ConnConfig) error {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) {
			return unavailable(fmt.Errorf("the server is not reachable: check host, port and TLS settings: %w", err))
		}
		return err
	}
	switch failure.Code {
	case "28P01", "28000":
		return fmt.Errorf("the server does not let the role %q in: correct the role, its password or pg_hba.conf: %w", c.User, failure)
	case "3D000":
		return fmt.Errorf("there is no database %q: create it, owned by the role %q: %w", c.Database, c.User, failure)
	case "42501":
		return fmt.Errorf("the role %q lacks a right: make it the owner of the database, or run "+
			"GRANT CREATE ON DATABASE %s TO %s; the tables of schema journal must be its own: %w",
			c.User, pgx.Identifier{c.Database}.Sanitize(), pgx.Identifier{c.User}.Sanitize(), failure)
	case "53300":
		return unavailable(fmt.Errorf("the server takes no more connections: raise max_connections: %w", failure))
	}
	if isReadOnly(err) {
		return unavailable(fmt.Errorf("%s: %w", readOnlyRemedy, failure))
	}
	return err
}

// explainToReader says what a role lacks that is to read alone.
func explainToReader(err error, c *pgx.ConnConfig) error {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != "42501" {
		return err
	}
	role := pgx.Identifier{c.User}.Sanitize()
	// The failure itself is not wrapped, or the remedy would be that of a writer.
	return fmt.Errorf("the role %q may not read the journal: as its owner run GRANT USAGE ON SCHEMA journal TO %s and "+
		"GRANT SELECT ON ALL TABLES IN SCHEMA journal TO %s: %s", c.User, role, role, failure.Message)
}
