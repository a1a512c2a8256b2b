package schema

import (
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

func TestNewestIsTheHighestVersionOfAllMigrations(t *testing.T) {
	files := fstest.MapFS{"migrations/00009_nine.sql": {}, "migrations/00010_ten.sql": {}, "migrations/README.md": {}, "others/00099_late.sql": {}}
	if got := Newest(files, "migrations"); got != 10 {
		t.Errorf("got %d", got)
	}
	made := []*goose.Migration{goose.NewGoMigration(11, nil, nil), goose.NewGoMigration(3, nil, nil)}
	if got := Newest(files, "migrations", made...); got != 11 {
		t.Errorf("with those made in Go: %d", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a file without a version is counted")
		}
	}()
	Newest(fstest.MapFS{"migrations/ten.sql": {}}, "migrations")
}
