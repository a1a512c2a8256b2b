package process_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/process"
)

func start(t *testing.T, g *process.Guard, log *process.Output, script string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Options{Path: "/bin/sh", Args: []string{"-c", script}, Env: os.Environ(), Log: log, Guard: g})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func TestProcess(t *testing.T) {
	g, err := process.NewGuard()
	if err != nil {
		t.Fatal(err)
	}
	var log process.Output
	killed := start(t, g, &log, "echo here; exec sleep 60")
	for !strings.Contains(log.String(), "here") {
		time.Sleep(5 * time.Millisecond)
	}
	if err := killed.Kill(); err != nil || killed.Running() || !killed.Killed() {
		t.Errorf("after Kill: %v, running %v, killed %v", err, killed.Running(), killed.Killed())
	}
	polite := start(t, g, &log, "trap 'exit 0' TERM; while :; do sleep 0.01; done")
	time.Sleep(50 * time.Millisecond)
	if err := polite.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	ended := start(t, g, &log, "exit 3")
	<-ended.Done()
	if err := ended.Kill(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("killing a process that had failed returned %v", err)
	}
	paused := start(t, g, &log, "exec sleep 60")
	if err := paused.Pause(); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil { // as when this process dies
		t.Error(err)
	}
	select {
	case <-paused.Done():
	case <-time.After(10 * time.Second):
		t.Error("a paused process outlived its guard")
	}
}
