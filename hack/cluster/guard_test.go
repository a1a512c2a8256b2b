package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGuardCleansUpAfterAParentThatDied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's state")
	g, child := guarded(t, dir)
	// Death closes the pipe; nothing is written to it.
	if err := g.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	ends(t, child)
	if err := g.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestGuardThatIsDismissedTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	g, child := guarded(t, dir)
	if err := g.dismiss(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-child.done:
		t.Error("the process was ended by a guard that had been dismissed")
	case <-time.After(100 * time.Millisecond):
	}
	if err := g.kill(); err != nil {
		t.Fatal(err)
	}
	ends(t, child)
	if err := g.kill(); err != nil {
		t.Errorf("killing what is gone: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	t.Setenv("EDICT_CONTROLPLANE", t.TempDir())
	_, err := Binaries()
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var logs tail
	for range 1000 {
		_, _ = logs.Write([]byte("a line of eighteen\n"))
	}
	_, _ = logs.Write([]byte("the cause"))
	if got := logs.last(); !strings.HasSuffix(got, "the cause") || len(got) > tailBytes+100 {
		t.Errorf("%d bytes that end in %q", len(got), got[len(got)-20:])
	}
}

// guarded starts a guard and a process that it watches, and returns when the process has noted its identifier.
func guarded(t *testing.T, dir string) (*guard, *process) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g, err := startGuard(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	path, err := g.wrap(sleep)
	if err != nil {
		t.Fatal(err)
	}
	child, err := startProcess(path, nil, "300")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.cmd.Process.Kill() })
	for {
		if pid, _ := os.ReadFile(filepath.Join(dir, "sleep.pid")); strings.HasSuffix(string(pid), "\n") {
			return g, child
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ends(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the process still runs")
	}
}
