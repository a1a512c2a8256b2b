// Package internal holds no code. Its test holds the house's walls: which room may import which, as docs/architecture.md
// draws it.
package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/edict-dev/edict/"

// room is a folder, with the folders in it that have no row of their own, and what its files may import besides the
// standard library and itself. An entry is a package's path; with /... it is the packages below it, too. Paths of this
// module are written without the module's name.
type room struct {
	folder string
	may    []string // every file
	tests  []string // _test.go files, besides may and testLibraries
}

const anything = "*"

// house is the table. A folder that has no row is a violation, so that a new room is drawn before it is built.
var house = []room{
	// The core: it can be read, tested and trusted alone.
	{folder: "internal/fault"},
	{folder: "internal/agent"},

	// The fault campaign's two rooms: where a process dies, and which mistakes it has to find.
	{folder: "internal/failpoint"},
	{folder: "internal/defect"},

	// The journal knows sequences and keys, and nothing of agents. Each store knows its driver.
	{folder: "internal/journal"},
	{folder: "internal/journal/journaltest", may: []string{"internal/journal", "github.com/google/go-cmp/..."}},
	{folder: "internal/journal/schema", may: []string{"github.com/pressly/goose/v3/..."}},
	{
		folder: "internal/journal/sqlite",
		may:    slices.Concat(campaign, []string{"internal/journal", "internal/journal/schema", "github.com/pressly/goose/v3/...", "modernc.org/sqlite/..."}),
		tests:  []string{"internal/journal/journaltest"},
	},
	{
		folder: "internal/journal/postgres",
		may:    slices.Concat(campaign, []string{"internal/journal", "internal/journal/schema", "github.com/pressly/goose/v3/...", "github.com/jackc/pgx/v5/..."}),
		tests:  []string{"internal/journal/journaltest", "hack/postgres"},
	},

	// The write side. It reaches the read side through interfaces of its own.
	{folder: "internal/execution", may: slices.Concat(campaign, core, []string{"internal/document", "internal/field"}), tests: append(outside, "internal/decision")},
	{folder: "internal/policy", may: append(core, "internal/field", "github.com/google/jsonschema-go/..."), tests: outside},
	// It reads values out of an object, and knows neither where that comes from nor what Kubernetes is: kubectl's JSONPath is a language.
	{folder: "internal/field", may: []string{"internal/agent", "internal/fault", "github.com/google/cel-go/...", "k8s.io/client-go/util/jsonpath"}},
	{
		// It can read and it cannot execute: no journal, no handlers, no Kubernetes.
		folder: "internal/decision",
		may: []string{"internal/agent", "internal/fault",
			"github.com/sashabaranov/go-openai/...", "github.com/google/jsonschema-go/..."},
		tests: []string{"hack/scriptedmodel"},
	},

	// The read side. It knows nothing of the write side.
	{folder: "internal/projection", may: slices.Concat(campaign, core, []string{"modernc.org/sqlite/...", "github.com/jackc/pgx/v5/..."}), tests: append(outside, "internal/journal/postgres", "hack/postgres")},
	{folder: "internal/tokens", may: []string{"github.com/tiktoken-go/tokenizer/..."}},
	// It splits texts, and knows neither where they were read nor what a token is.
	{folder: "internal/document"},
	// It ranks texts, and knows neither where they come from nor what they are for.
	{folder: "internal/retrieval", may: []string{"github.com/kljensen/snowball/english", "golang.org/x/text/unicode/norm"}},
	{
		folder: "internal/view",
		may:    []string{"internal/agent", "internal/document", "internal/projection", "internal/retrieval", "internal/tokens", "internal/fault"},
		tests:  append(outside, "internal/journal", "hack/postgres", "github.com/tiktoken-go/tokenizer/..."),
	},
	{
		folder: "internal/query",
		may:    []string{"internal/agent", "internal/fault", "internal/journal", "internal/projection", "internal/view"},
		tests:  outside,
	},

	// The rooms that know Kubernetes.
	{folder: "api", may: []string{"k8s.io/...", "sigs.k8s.io/..."}, tests: []string{anything}},
	{
		folder: "internal/controller",
		may: []string{"api/...", "internal/agent", "internal/fault", "internal/failpoint", "internal/defect", "internal/journal", "internal/execution",
			"internal/policy", "internal/decision", "internal/projection", "internal/view", "internal/query",
			"k8s.io/...", "sigs.k8s.io/...", "github.com/go-logr/logr/...", "github.com/prometheus/client_golang/..."},
		tests: []string{anything},
	},
	{folder: "cmd", may: []string{anything}},

	// Tools and tests of the whole.
	{folder: "hack", may: []string{anything}},
	{folder: "test", may: []string{anything}},
}

var (
	core     = []string{"internal/agent", "internal/journal", "internal/fault"}
	campaign = []string{"internal/failpoint", "internal/defect"}
	// outside is what a room's tests may stand on: a real journal, and the servers that answer as scripted.
	outside = []string{"internal/journal/sqlite", "hack/scriptedmodel", "hack/travelapi"}
	// testLibraries are open to every _test.go file.
	testLibraries = []string{"github.com/google/go-cmp/...", "pgregory.net/rapid/...", "go.uber.org/goleak/...",
		"github.com/anishathalye/porcupine/...", "github.com/onsi/ginkgo/v2/...", "github.com/onsi/gomega/..."}
	// hollow names say nothing of what a package is for, so everything ends up in it.
	hollow = []string{"util", "utils", "common", "types", "helper", "helpers", "misc", "shared", "base"}
)

func TestImportsStayWithinTheHouse(t *testing.T) {
	seen := 0
	err := walk(t, func(file string, source []byte) {
		seen++
		for _, violation := range violations(file, source) {
			t.Error(violation)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d Go files were found: the test looks in the wrong place", seen)
	}
}

// walk calls visit with every Go file of the module, whatever its build tags say, by its path from the module's root.
func walk(t *testing.T, visit func(file string, source []byte)) error {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped(root, name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(relative), source)
		return nil
	})
}

// skipped leaves out what go build leaves out, and other modules.
func skipped(root, name, base string) bool {
	if name == root {
		return false
	}
	if base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

// violations returns what is wrong with the imports and the package name of one file.
func violations(file string, source []byte) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	name := strings.TrimSuffix(parsed.Name.Name, "_test")
	if slices.Contains(hollow, name) || slices.Contains(hollow, path.Base(path.Dir(file))) {
		wrong = append(wrong, fmt.Sprintf("%s: a package named %s says nothing of what it is for: name the idea", file, name))
	}
	if path.Dir(file) == "internal" {
		return wrong // this test
	}
	r := roomOf(file)
	if r == nil {
		return append(wrong, fmt.Sprintf("%s is in a room that is not in the table of internal/imports_test.go", file))
	}
	for _, i := range parsed.Imports {
		if imported := importedPath(i); !r.lets(file, imported) {
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which %s may not know", file, imported, r.folder))
		}
	}
	return wrong
}

// importedPath is the path as the table writes it.
func importedPath(i *ast.ImportSpec) string {
	imported, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return i.Path.Value
	}
	return strings.TrimPrefix(imported, module)
}

// roomOf returns the row with the longest folder that the file is in.
func roomOf(file string) *room {
	var found *room
	for i, r := range house {
		if strings.HasPrefix(file, r.folder+"/") && (found == nil || len(r.folder) > len(found.folder)) {
			found = &house[i]
		}
	}
	return found
}

func (r *room) lets(file, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	own := slices.Contains([]string{"api", "cmd", "hack", "internal", "test"}, first)
	if !own && !strings.Contains(first, ".") {
		return true // the standard library
	}
	// A room's own folders are one room, but for those that have a row.
	if in := roomOf(imported + "/"); in != nil && in.folder == r.folder {
		return true
	}
	allowed := r.may
	if strings.HasSuffix(file, "_test.go") {
		allowed = slices.Concat(allowed, r.tests, testLibraries)
	}
	return slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, imported) })
}

func matches(pattern, imported string) bool {
	if pattern == anything {
		return true
	}
	folder, below := strings.CutSuffix(pattern, "/...")
	return imported == folder || below && strings.HasPrefix(imported, folder+"/")
}

func TestAPlantedImportIsFound(t *testing.T) {
	for _, c := range []struct {
		name, file, imports string
		violations          int
	}{
		{"the core stands alone", "internal/agent/state.go", `"github.com/edict-dev/edict/internal/fault"`, 1},
		{"and needs no library", "internal/fault/fault.go", `"github.com/google/go-cmp/cmp"`, 1},
		{"but the standard one", "internal/agent/state.go", `"encoding/json"`, 0},
		{"tests may compare", "internal/agent/state_test.go", `"github.com/google/go-cmp/cmp"`, 0},
		{"nobody below the controller knows Kubernetes", "internal/view/view.go", `"k8s.io/api/core/v1"`, 1},
		{"not in its tests either", "internal/view/view_test.go", `"sigs.k8s.io/controller-runtime/pkg/client"`, 1},
		{"nor the kinds", "internal/execution/ask.go", `"github.com/edict-dev/edict/api/v1alpha1"`, 1},
		{"the controller does", "internal/controller/command.go", `client "sigs.k8s.io/controller-runtime/pkg/client"`, 0},
		{"the decider reads no journal", "internal/decision/prompt.go", `"github.com/edict-dev/edict/internal/journal"`, 1},
		{"and executes nothing", "internal/decision/prompt.go", `. "github.com/edict-dev/edict/internal/execution"`, 1},
		{"the write side builds no views", "internal/execution/ask.go", `_ "github.com/edict-dev/edict/internal/view"`, 1},
		{"retrieval knows no journal", "internal/retrieval/bm25.go", `"github.com/edict-dev/edict/internal/journal"`, 1},
		{"the read side issues no commands", "internal/view/view.go", `"github.com/edict-dev/edict/internal/execution"`, 1},
		{"a room knows the journal, not its store", "internal/execution/ask.go", `"github.com/edict-dev/edict/internal/journal/sqlite"`, 1},
		{"except to test", "internal/execution/ask_test.go", `"github.com/edict-dev/edict/internal/journal/sqlite"`, 0},
		{"the journal knows no store", "internal/journal/journal.go", `"github.com/edict-dev/edict/internal/journal/sqlite"`, 1},
		{"a store knows its own driver", "internal/journal/sqlite/sqlite.go", `"github.com/jackc/pgx/v5"`, 1},
		{"a folder of a room is that room", "internal/execution/calls/call.go", `"github.com/edict-dev/edict/internal/execution"`, 0},
		{"a build tag hides nothing", "internal/agent/other.go", `"k8s.io/api/core/v1"`, 1},
		{"a new room is drawn first", "internal/cellar/cellar.go", `"fmt"`, 1},
		{"a prefix of a name is not the name", "internal/view/view.go", `"github.com/edict-dev/edict/internal/agents"`, 1},
		{"a hollow name", "internal/controller/util/util.go", `"fmt"`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := "//go:build never\n\npackage " + path.Base(path.Dir(c.file)) + "\n\nimport " + c.imports + "\n"
			if got := violations(c.file, []byte(source)); len(got) != c.violations {
				t.Errorf("%d violations, not %d: %q", len(got), c.violations, got)
			}
		})
	}
}
