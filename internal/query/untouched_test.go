package query

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
)

// versions returns what SQLite says of both files to a connection that watches
// them: a number that is another after each commit of any other connection.
func (h *house) versions() func() [2]int64 {
	h.t.Helper()
	var watching [2]*sql.Conn
	for i, name := range []string{"journal.db", "projection.db"} {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, name)+"?mode=ro")
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { _ = db.Close() })
		if watching[i], err = db.Conn(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
	return func() (now [2]int64) {
		h.t.Helper()
		for i, conn := range watching {
			if err := conn.QueryRowContext(h.t.Context(), "PRAGMA data_version").Scan(&now[i]); err != nil {
				h.t.Fatal(err)
			}
		}
		return now
	}
}

func TestBuildingWritesToNeitherFile(t *testing.T) {
	h := newHouse(t, Options{})
	h.project()
	versions := h.versions()
	before := versions()
	h.asks("trip", "ada", "Where to?")
	after := versions()
	if after[0] == before[0] || after[1] == before[1] {
		t.Fatalf("the watch sees no write: %v, then %v", before, after)
	}
	manifest, err := json.Marshal(h.views["travel/concierge"])
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/contextviews", "/contextviews/concierge/context?conversation=ada&question=where", "/contextviews/concierge/context?at=2",
		"/contextviews/concierge/context?maxLag=0s", "/agents/concierge/journal", "/agents/concierge/commands/trip/contexts?verify=true"} {
		if got := h.get(path); got.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	if got := h.send(http.MethodPost, comparePath, string(manifest)); got.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if now := versions(); now != after {
		t.Errorf("something was written: %v, before %v", now, after)
	}
}
