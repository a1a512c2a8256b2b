package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOnlySuccessfulWritesAreCounted(t *testing.T) {
	page := `# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="edict.dev",resource="commands",scope="resource",subresource="",verb="POST",version="v1alpha1"} 10
apiserver_request_total{code="409",component="apiserver",dry_run="",group="edict.dev",resource="commands",scope="resource",subresource="",verb="POST",version="v1alpha1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="edict.dev",resource="commands",scope="resource",subresource="status",verb="PUT",version="v1alpha1"} 1.2e+01
apiserver_request_total{code="200",component="apiserver",dry_run="",group="edict.dev",resource="commands",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 7
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 2
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 8
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 1
`
	counted, err := parseWrites([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	commands, background := counted.since(writes{"POST commands": 4}).split()
	if diff := cmp.Diff(writes{"POST commands": 6, "PUT commands/status": 12, "POST events": 9}, commands); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(writes{"PUT leases": 2}, background); diff != "" {
		t.Error(diff)
	}
	if sum := counted.commands(); sum != 31 {
		t.Errorf("%v writes go with commands", sum)
	}
}

func TestProcessTimesAreReadBehindTheName(t *testing.T) {
	spent, err := parseProcess("4242 (edict ) x) S 1 4242 1 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 12 0 100 1 2")
	if err != nil || spent != 2*time.Second {
		t.Errorf("%v, %v", spent, err)
	}
	busy, err := parseMachine("cpu  100 10 200 5000 400 7 3 0 0 0\ncpu0 1 2 3\n")
	if err != nil || busy != 3200*time.Millisecond {
		t.Errorf("%v, %v", busy, err)
	}
	for _, unreadable := range []string{"", "1 (x) S", "cpu 1 2"} {
		if _, err := parseProcess(unreadable); err == nil {
			t.Errorf("parseProcess took %q", unreadable)
		}
		if _, err := parseMachine(unreadable); err == nil {
			t.Errorf("parseMachine took %q", unreadable)
		}
	}
}

func TestOthersAreWhatTheMachineDidBesides(t *testing.T) {
	c := cpu{cpuMachine: 10 * time.Second, cpuBench: 2 * time.Second, cpuEtcd: 3 * time.Second}
	if others := c.others(5 * time.Second); others != 1 {
		t.Errorf("%v CPUs", others)
	}
	if others := (cpu{}).others(time.Second); others != 0 {
		t.Errorf("%v CPUs of an unknown machine", others)
	}
}

func TestQuantilesAreValuesThatOccurred(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if m := median(values); m != 2.5 {
		t.Errorf("median of four is %v", m)
	}
	if m := median(values[:3]); m != 3 {
		t.Errorf("median of three is %v", m)
	}
	if m := median(nil); m != 0 {
		t.Errorf("median of none is %v", m)
	}
}

func TestLoopDoesEachOnceWithAtMostSoManyInFlight(t *testing.T) {
	var inFlight, most atomic.Int64
	took, _, err := closedLoop(t.Context(), 3, 50, func(_ context.Context, i int) (time.Duration, error) {
		now := inFlight.Add(1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		time.Sleep(time.Millisecond)
		inFlight.Add(-1)
		return time.Duration(i + 1), nil
	})
	if err != nil || most.Load() != 3 {
		t.Errorf("%d in flight, %v", most.Load(), err)
	}
	for i, d := range took {
		if d != time.Duration(i+1) {
			t.Errorf("the %d-th took %d", i, d)
		}
	}
}

func TestLoopEndsWithItsFirstError(t *testing.T) {
	broken := errors.New("broken")
	var done atomic.Int64
	_, _, err := closedLoop(t.Context(), 2, 1000, func(ctx context.Context, i int) (time.Duration, error) {
		done.Add(1)
		if i == 5 {
			return 0, broken
		}
		return 0, ctx.Err()
	})
	if !errors.Is(err, broken) || done.Load() == 1000 {
		t.Errorf("after %d: %v", done.Load(), err)
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"--quick", "--only", "ask,journal", "--workers", "4"})
	if err != nil {
		t.Fatal(err)
	}
	if o.workers != 4 || o.rounds != 1 || !o.wants("ask") || !o.wants(journalOnly) || o.wants("saveMemory") {
		t.Errorf("%+v", o)
	}
	for _, wrong := range [][]string{{"--only", "memory"}, {"--workers", "0"}, {"--fast"}} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%v was taken", wrong)
		}
	}
}

func TestReportShowsTheTargetBesideTheFigure(t *testing.T) {
	r := report{
		options:  options{workers: 16, objects: 2, rounds: 1},
		machine:  machine{CPUs: 2, Load: "0.10"},
		journals: []journalResult{{Store: "SQLite", Appends1: 900, Appends64: 9000, Replay: 100000, SyncP50: 1.25, SyncP99: 9}},
		scenarios: []scenarioResult{{
			scenario: scenarios[2],
			bare:     []round{{PerSecond: 400, CPU: map[string]float64{cpuAPIServer: 3.5}}},
			operator: []round{{
				PerSecond: 120, Seconds: 4, took: []time.Duration{time.Millisecond, 3 * time.Millisecond},
				Writes:     writes{"POST commands": 2, "PUT commands/status": 2, "POST events": 2},
				Background: writes{"PUT leases": 1},
			}},
			shares:         []float64{0.3},
			singleOperator: round{Mean: 12, Model: 2, Tool: 1},
		}},
	}
	var text strings.Builder
	if err := r.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| ask, one tool call | 120 | 400 | 0.30 (0.30 to 0.30) | ≥ 0.25 | 1.0 | 3.0 | 4.00 | ≤ 5 |",
		"Commands created by the operator: 1.00 (expected: 1).",
		"(4 s): PUT leases 1.",
		"| ask, one tool call | bare | 0.00 | 3.50 | 0.00 | 0.00 | 0.00 |",
		"| ask, one tool call | 0.00 | 12.00 | 2.00 | 1.00 | 9.00 |",
		"| 900 | 9000 | 100000 | 1.25 | 9.00 |",
		"The load average before it began was 0.10.",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q in:\n%s", line, text.String())
		}
	}
}

func TestNamesAreOfOneLength(t *testing.T) {
	for _, s := range scenarios {
		first, last := name(s, "f00", 0), name(s, round{Round: 3, InFlight: 16}.series(), 99_999)
		if len(first) != len(last) || len(first) > 63 || first != strings.ToLower(first) {
			t.Errorf("%s and %s", first, last)
		}
	}
}
