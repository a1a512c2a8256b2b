package faults

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	pgserver "github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
)

// database is a PostgreSQL server of the campaign's own.
type database struct{ *pgserver.Server }

func startDatabase(ctx context.Context) (*database, error) {
	s, err := pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{"max_connections": "500"}})
	if err != nil {
		return nil, err
	}
	return &database{s}, nil
}

func (d *database) stop() error { return d.Close() }

// postgresStore is a database on a server that replicas share.
type postgresStore struct {
	server *database
	name   string
	via    string // host:port of a proxy before the server; empty: none
}

// newStore makes a database for the world of that name.
func (d *database) newStore(ctx context.Context, world string) (*postgresStore, error) {
	s := &postgresStore{server: d, name: strings.ReplaceAll(world, "-", "_")}
	return s, d.CreateDatabase(ctx, s.name)
}

func (s *postgresStore) args(string) []string {
	at := s.server.URL(s.name)
	if s.via != "" {
		u, err := url.Parse(at)
		if err != nil {
			panic(fmt.Sprintf("the server's own URL: %v", err))
		}
		u.Host = s.via
		at = u.String()
	}
	return []string{"--journal=" + at}
}

func (s *postgresStore) open(ctx context.Context) (journal.Journal, error) {
	return postgres.Open(ctx, s.server.URL(s.name), postgres.Options{})
}

func (s *postgresStore) close() error {
	return s.server.DropDatabase(context.Background(), s.name)
}
