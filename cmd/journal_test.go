package main

import (
	"bytes"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// says runs the program's command line in this process, and returns what it prints and its error.
func says(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

// someJournal returns the URL of a journal with two events.
func someJournal(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // Append tells
	if _, err := j.Claim(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	_, err = j.Append(t.Context(), journal.Batch{Stream: "travel/concierge", Expected: journal.AnyVersion, Key: "k", Events: []journal.Event{
		{Type: "A", Version: 1, Data: []byte("{}")}, {Type: "B", Version: 1, Data: []byte("{}")}}})
	if err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}

func TestAJournalIsVerifiedAndCopied(t *testing.T) {
	from, to := someJournal(t), "sqlite://"+filepath.Join(t.TempDir(), "copy.db")
	verified, err := says(t, "journal", "verify", "--journal", from)
	if err != nil || !strings.Contains(verified, "streams 1, events 2, texts 0") {
		t.Fatalf("%q, %v", verified, err)
	}
	copied, err := says(t, "journal", "copy", from, to)
	if err != nil || digestOf(copied) != digestOf(verified) || digestOf(copied) == "" {
		t.Errorf("%q, %v", copied, err)
	}
	if _, err := says(t, "journal", "copy", from, to); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("copied onto a copy: %v", err)
	}
}

func TestWhatIsNoJournalIsNeitherVerifiedNorMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if out, err := says(t, "journal", "verify", "--journal", "sqlite://"+path); err == nil {
		t.Errorf("it says %q", out)
	}
	if _, err := says(t, "journal", "copy", "sqlite://"+path, "sqlite://"+path+"2"); err == nil {
		t.Error("nothing was copied, and no error")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file was made: %v", err)
	}
}

func TestAURLThatIsNoneIsNotPrinted(t *testing.T) {
	for _, text := range []string{
		"postgres://edict:hunter2/@db/edict", "postgres://edict:hunter2%zz@db/edict", "mysql://edict:hunter2@db/edict", "postgres ://hunter2", "", "sqlite://",
	} {
		_, err := says(t, "journal", "verify", "--journal", text)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "--journal") {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := says(t, "journal", "verify", "--journal", "postgres://edict:hunter2@127.0.0.1:1/edict") // nobody listens
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestThePasswordComesFromTheURLTheFileOrTheEnvironmentInThatOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from/the@file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, file, environment, want string }{
		{"postgres://edict:own@db/edict", file, "variable", "own"},
		{"postgres://edict@db/edict", file, "variable", "from/the@file"},
		{"postgres://edict@db/edict", "", "variable", "variable"},
		{"postgres://edict@db/edict", "", "", ""},
	} {
		t.Setenv(passwordVariable, c.environment)
		l, err := (&passwordFlag{file: c.file}).locate("--journal", c.url)
		if err != nil {
			t.Fatal(err)
		}
		given, err := url.Parse(l.url.String())
		if err != nil {
			t.Fatal(err)
		}
		if password, _ := given.User.Password(); password != c.want || given.User.Username() != "edict" {
			t.Errorf("%+v: got %q", c, password)
		}
		if c.want != "" && strings.Contains(l.String(), c.want) {
			t.Errorf("printed, it is %s", l)
		}
	}
	if _, err := (&passwordFlag{file: file + "s"}).locate("--journal", "postgres://edict@db/edict"); err == nil {
		t.Error("a password file that is not there is no error")
	}
}

func TestABackupOfPostgreSQLIsRefusedWithWhatToDo(t *testing.T) {
	_, err := says(t, "journal", "backup", "--journal", "postgres://edict@db/edict", "--to", filepath.Join(t.TempDir(), "b.db"))
	if err == nil || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("got %v", err)
	}
}

// The arguments in the manifests are the program's own, and none holds a password.
func TestTheManifestsNameSettingsThatThereAre(t *testing.T) {
	for _, file := range []string{"../config/manager/deployment.yaml", "../config/postgres/deployment.yaml", "../config/query/deployment.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "- manager\n")
		var args []string
		for line := range strings.Lines(after) {
			arg, ok := strings.CutPrefix(strings.TrimSpace(line), "- --")
			if !ok {
				break
			}
			args = append(args, "--"+arg)
		}
		if len(args) < 5 {
			t.Errorf("%s: the arguments are %v", file, args)
		}
		var f flags
		cmd := managerCommandOf(&f)
		if err := cmd.ParseFlags(args); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		l, err := f.password.locate("--journal", f.journal)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if l.url != nil {
			if _, has := l.url.User.Password(); has {
				t.Errorf("%s holds a password", file)
			}
		}
	}
}

func TestLeaderElectionIsForSQLiteAlone(t *testing.T) {
	for journal, want := range map[string]bool{"sqlite:///var/lib/edict/journal.db": true, "postgres://edict@db/edict": false} {
		var f flags
		if err := managerCommandOf(&f).ParseFlags([]string{"--leader-elect", "--journal", journal}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.where(slog.New(slog.DiscardHandler)); err != nil || f.leaderElect != want {
			t.Errorf("%s: %v, %v", journal, f.leaderElect, err)
		}
	}
}
