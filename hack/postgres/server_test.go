package postgres

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childRole tells the test binary to start a server, say where it is, and wait to be killed.
const childRole = "EDICT_TEST_SERVER_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childRole) == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(s.Pids()[0]) + " " + s.dir + "\n")
	select {}
}

func TestADatabaseIsThereAndItsOwnerIsNoSuperuser(t *testing.T) {
	s := Shared(t)
	conn := connect(t, s.URL(s.Database(t)))
	var super bool
	var encoding, fsync string
	err := conn.QueryRow(t.Context(), `SELECT rolsuper, current_setting('server_encoding'), current_setting('fsync')
		FROM pg_roles WHERE rolname = current_user`).Scan(&super, &encoding, &fsync)
	if err != nil || super || encoding != "UTF8" || fsync != "on" {
		t.Errorf("superuser %v, encoding %s, fsync %s, error %v", super, encoding, fsync, err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA a CREATE TABLE b (c text)"); err != nil {
		t.Error(err)
	}
}

func TestTheServerIsNotOpenToAWrongPassword(t *testing.T) {
	s := Shared(t)
	if _, err := pgx.Connect(t.Context(), strings.Replace(s.URL("postgres"), s.password, "wrong", 1)); err == nil {
		t.Error("connected")
	}
}

func TestWhatIsCommittedSurvivesAKillAndAStop(t *testing.T) {
	s := ForTest(t, Options{})
	name := s.Database(t)
	if _, err := connect(t, s.URL(name)).Exec(t.Context(), "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	for n, end := range []func() error{s.Kill, s.Stop, s.Kill} {
		if _, err := connect(t, s.URL(name)).Exec(t.Context(), "INSERT INTO kept VALUES ($1)", n); err != nil {
			t.Fatal(err)
		}
		before := s.Pids()
		if len(before) < 3 {
			t.Errorf("only processes %v", before)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range before {
			gone(t, pid)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var count int
	if err := connect(t, s.URL(name)).QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&count); err != nil || count != 3 {
		t.Errorf("%d rows, error %v", count, err)
	}
}

func TestConnectionsAreCut(t *testing.T) {
	s := Shared(t)
	name := s.Database(t)
	conn := connect(t, s.URL(name))
	if n, err := s.TerminateConnections(t.Context(), name); n != 1 || err != nil {
		t.Errorf("%d connections, error %v", n, err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection is still there")
	}
}

func TestReadOnlyAndBack(t *testing.T) {
	s := ForTest(t, Options{})
	name := s.Database(t)
	write := func() error {
		_, err := connect(t, s.URL(name)).Exec(t.Context(), "CREATE TABLE IF NOT EXISTS a (b text)")
		return err
	}
	for _, readOnly := range []bool{true, false} {
		if err := s.SetReadOnly(t.Context(), readOnly); err != nil {
			t.Fatal(err)
		}
		if err := write(); (err != nil) != readOnly {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
}

func TestTheServerEndsWithAProcessThatIsKilled(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(executable)
	child.Env = append(os.Environ(), childRole+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 1000)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Fields(string(line[:n]))
	pid, err := strconv.Atoi(told[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	gone(t, pid)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(told[1]); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the directory is still there")
		}
	}
}

func TestAMissingServerNamesTheRemedy(t *testing.T) {
	t.Setenv("EDICT_POSTGRES", t.TempDir())
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "make postgres") {
		t.Errorf("got %v", err)
	}
}

func TestAFolderOfProgramsIsTakenAsItIs(t *testing.T) {
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("EDICT_POSTGRES", found.bin)
	if again, err := find(); err != nil || filepath.Clean(again.bin) != found.bin {
		t.Errorf("found %v, error %v", again, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// gone waits until a process has ended; one that nobody has waited for yet counts.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d is still there", pid)
}
