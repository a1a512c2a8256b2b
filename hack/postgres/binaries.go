package postgres

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/edict-dev/edict/hack/repository"
)

// programs are a server's folder of binaries, and what its loader needs besides.
type programs struct {
	bin       string
	libraries string // for LD_LIBRARY_PATH; empty for a server that is installed
}

// find returns the server that `make postgres` found: in the folder that EDICT_POSTGRES names, or in bin/postgres of
// the repository that the working directory is in. Its error tells what to do.
func find() (programs, error) {
	dir := os.Getenv("EDICT_POSTGRES")
	if dir == "" {
		var err error
		if dir, err = repository.Bin("postgres"); err != nil {
			return programs{}, fmt.Errorf("%w: set EDICT_POSTGRES to the folder that `make postgres` filled", err)
		}
	}
	for _, candidate := range []string{filepath.Join(dir, "bindir"), dir} {
		bin, err := filepath.EvalSymlinks(candidate)
		if err != nil || !executable(filepath.Join(bin, "postgres")) || !executable(filepath.Join(bin, "initdb")) {
			continue
		}
		found := programs{bin: bin}
		if lib := filepath.Join(dir, "lib"); isFolder(lib) && candidate != dir {
			found.libraries = lib
		}
		return found, nil
	}
	return programs{}, fmt.Errorf("no PostgreSQL in %s: run `make postgres` to find or download one, or set EDICT_POSTGRES "+
		"to a folder that holds initdb and postgres", dir)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
