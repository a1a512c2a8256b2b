package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/edict-dev/edict/hack/postgres"
)

// startPostgres starts a server of the bench's own, with fsync on, that keeps its files below dir: on the disk of the
// working copy, as everything else that is measured.
func startPostgres(ctx context.Context, dir string) (*postgres.Server, error) {
	say("starting PostgreSQL")
	// Started by root the server runs as somebody else, who has to get to its files.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	return postgres.Start(ctx, postgres.Options{Dir: filepath.Join(dir, "postgres")})
}
