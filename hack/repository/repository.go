// Package repository finds the folder that this repository is checked out in.
package repository

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Bin returns the folder of what was built, in the repository that the working directory is in: bin, and below it name.
func Bin(name string) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.Contains(mod, []byte("module github.com/edict-dev/edict\n")) {
			return filepath.Join(dir, "bin", name), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside Edict's repository", start)
		}
	}
}
