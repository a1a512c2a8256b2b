package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/edict-dev/edict/hack/repository"
)

// binaryNames are the programs that `make controlplane` builds.
var binaryNames = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

// Binaries returns the directory that holds the control plane's programs: the one that EDICT_CONTROLPLANE names, or
// bin/controlplane in the repository that the working directory is in. Its error tells how to build them.
func Binaries() (string, error) {
	dir := os.Getenv("EDICT_CONTROLPLANE")
	if dir == "" {
		var err error
		if dir, err = repository.Bin("controlplane"); err != nil {
			return "", fmt.Errorf("%w: set EDICT_CONTROLPLANE to the directory that `make controlplane` built", err)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, name := range binaryNames {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return "", fmt.Errorf("no program %s in %s: run `make controlplane` to build it, or set EDICT_CONTROLPLANE to "+
				"a directory that has %v", name, dir, binaryNames)
		}
	}
	return dir, nil
}
