package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Exec runs a statement as the superuser in a database, on a connection of its own.
func (s *Server) Exec(ctx context.Context, database, statement string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.AdminURL(database)+"&application_name=administrator&default_transaction_read_only=off")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's result is what counts
	_, err = conn.Exec(ctx, statement, args...)
	return err
}

func (s *Server) ping(ctx context.Context) error { return s.Exec(ctx, "postgres", "SELECT 1") }

func (s *Server) createOwner(ctx context.Context) error {
	return s.CreateRole(ctx, owner)
}

// CreateRole makes a role that can log in with the server's password, and may do nothing else.
func (s *Server) CreateRole(ctx context.Context, name string) error {
	// The password is letters and digits; it cannot be a parameter of this statement.
	err := s.Exec(ctx, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", quote(name), s.password))
	if err != nil {
		return fmt.Errorf("create role %s: %w", name, err)
	}
	return nil
}

// RoleURL connects to a database as a role that CreateRole has made.
func (s *Server) RoleURL(role, database string) string { return s.url(role, database) }

// CreateDatabase makes an empty database that the role of URL owns.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	statement := fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE template0", quote(name), owner)
	if err := s.Exec(ctx, "postgres", statement); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// DropDatabase removes a database, and whoever is connected to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	if err := s.Exec(ctx, "postgres", fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", quote(name))); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// TerminateConnections ends every connection to a database, in the middle of whatever it does, and returns how many
// there were.
func (s *Server) TerminateConnections(ctx context.Context, database string) (int, error) {
	conn, err := pgx.Connect(ctx, s.AdminURL("postgres"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's result is what counts
	var ended int
	err = conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1`, database).Scan(&ended)
	if err != nil {
		return 0, fmt.Errorf("terminate connections to %s: %w", database, err)
	}
	return ended, nil
}

// SetReadOnly makes new transactions of the whole server read-only, or lets them write again, as a provider does whose
// disk is full. A connection that is open learns of it a moment later.
func (s *Server) SetReadOnly(ctx context.Context, readOnly bool) error {
	value := map[bool]string{true: "on", false: "off"}[readOnly]
	if err := s.Exec(ctx, "postgres", "ALTER SYSTEM SET default_transaction_read_only = "+value); err != nil {
		return err
	}
	if err := s.Exec(ctx, "postgres", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	for {
		now, err := s.show(ctx, "default_transaction_read_only")
		if err != nil {
			return err
		}
		if now == value {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// show returns a setting as a new connection has it.
func (s *Server) show(ctx context.Context, setting string) (string, error) {
	conn, err := pgx.Connect(ctx, s.AdminURL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's result is what counts
	var value string
	err = conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&value)
	return value, err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
