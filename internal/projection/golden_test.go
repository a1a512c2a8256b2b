package projection

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

var update = flag.Bool("update", false, "write the golden file anew")

// Every version of every event that ever shipped, as package agent keeps them,
// still does to the tables what it did. What changes here on purpose needs
// another schemaVersion too.
func TestWhatEveryStoredEventChanges(t *testing.T) {
	files, err := filepath.Glob("../agent/testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	var got strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var stored agent.Stored
		if err := json.Unmarshal(raw, &stored); err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer // the files are indented for people, the journal is not
		if err := json.Compact(&data, stored.Data); err != nil {
			t.Fatal(err)
		}
		stored.Data = data.Bytes()
		made, err := fold(journal.Record{Sequence: 1, Event: journal.Event(stored)})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		fmt.Fprintf(&got, "%s: %T %+v\n", strings.TrimSuffix(filepath.Base(file), ".json"), made, made)
	}
	golden := filepath.Join("testdata", "changes.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
