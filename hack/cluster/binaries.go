package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// binaryNames are the programs that `make controlplane` builds.
var binaryNames = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

// Binaries returns the directory that holds the control plane's programs: the one that EDICT_CONTROLPLANE names, or
// bin/controlplane in the repository that the working directory is in. Its error tells how to build them.
func Binaries() (string, error) {
	dir := os.Getenv("EDICT_CONTROLPLANE")
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin", "controlplane")
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

// moduleRoot looks for this module's go.mod from the working directory upwards.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.Contains(mod, []byte("module github.com/edict-dev/edict\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside Edict's repository: set EDICT_CONTROLPLANE to the directory that "+
				"`make controlplane` built", start)
		}
	}
}
