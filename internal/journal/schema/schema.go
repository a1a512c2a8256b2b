// Package schema says how new the schema is that a store's migrations make. It
// knows neither the stores nor their databases.
package schema

import (
	"io/fs"

	"github.com/pressly/goose/v3"
)

// Newest returns the highest version of the migrations in the folder of that name,
// which are compiled in, and of those that SQL alone cannot make. It panics on a
// file whose name begins with no version: every test of a store would.
func Newest(files fs.FS, folder string, more ...*goose.Migration) int64 {
	names, err := fs.Glob(files, folder+"/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var newest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			panic(err)
		}
		newest = max(newest, version)
	}
	for _, m := range more {
		newest = max(newest, m.Version)
	}
	return newest
}
