// Command bench measures what Edict costs a Kubernetes API server, and what of that server's speed it leaves to its
// users. It starts a real control plane (etcd waits for the disk, as in production), the built operator under the
// service account and the rights that config/default grants it, a scripted model that answers at once, and a small HTTP
// API as the tool, all on loopback. Nothing is judged by speed: the exit status says whether everything worked.
//
// Two kinds of round alternate for each kind of command:
//
//   - A bare round is the ceiling. The operator is not running. Each of c workers creates a Command, updates its
//     status once and creates one Kubernetes Event about it, then begins the next. Status and Event are copies of what
//     the operator wrote for a command of that kind, so the bytes are the same.
//   - An operator round has the operator running. Each of c workers creates a Command and waits until one watch that
//     all workers share has shown it with Complete=True, then begins the next.
//
// The objects of a round are deleted before the next round begins, and the first commands of each round are not
// measured. An operator round's share of the ceiling is its commands per second over the mean of the bare rounds just
// before and after it.
//
// API writes are the differences of the API server's own counters around a round, successful writes only. CPU is user
// and system time of the processes, from /proc; elsewhere than on Linux it is left out.
//
// The read side is measured without a control plane: a journal of a million events is made, projected, read and asked
// over each store, by the packages that the operator does it with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// options are the flags.
type options struct {
	workers  int           // commands in flight
	objects  int           // commands in a round
	rounds   int           // operator rounds of each kind of command
	single   int           // commands sent one at a time
	journal  time.Duration // of each measurement of the journal
	views    readModelSize
	only     []string      // names of scenarios, journalOnly, replicasOnly and viewsOnly; empty is all
	operator string        // path of the operator's binary
	results  string        // path of the JSON lines
	limit    time.Duration // of everything
}

const journalOnly = "journal"

func main() {
	o, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	// What goes wrong in the libraries comes back as an error.
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done within %s; raise --limit", o.limit))
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.workers, "workers", 16, "commands in flight")
	flags.IntVar(&o.objects, "objects", 500, "commands in a round")
	flags.IntVar(&o.rounds, "rounds", 5, "operator rounds of each kind of command, between bare ones")
	flags.IntVar(&o.single, "single", 100, "commands of each kind sent one at a time, for the time that one takes")
	flags.DurationVar(&o.journal, "journal-time", 3*time.Second, "duration of each measurement of the journal")
	flags.StringVar(&o.operator, "operator", filepath.Join("bin", "edict"), "the operator's binary; make build makes it")
	flags.StringVar(&o.results, "results", filepath.Join("bin", "bench", "results.jsonl"), "the file that gets a JSON line for each result")
	flags.DurationVar(&o.limit, "limit", 45*time.Minute, "the longest that everything may take")
	flags.IntVar(&o.views.Events, "events", 1_000_000, "events of the journal that is read; a tenth as many memories are in one stream")
	names := append(scenarioNames(), journalOnly, viewsOnly, replicasOnly)
	only := flags.String("only", "", "a comma-separated list of what to measure: "+strings.Join(names, ", ")+"; default: all")
	quick := flags.Bool("quick", false, "one small round of each, in about a minute: to see that it works, not how fast")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.views.questions, o.views.rate, o.views.lag = 500, 500, 30*time.Second
	if *quick {
		o.views.Events, o.views.questions, o.views.lag = min(o.views.Events, 100_000), 50, 3*time.Second
		o.objects, o.rounds, o.single, o.journal = min(o.objects, 150), 1, min(o.single, 25), min(o.journal, time.Second)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("--only: there is no %q; choose from %s", name, strings.Join(names, ", "))
		}
	}
	o.views.Memories = o.views.Events / 10
	if o.workers < 1 || o.objects < 1 || o.rounds < 1 || o.single < 1 || o.views.Events < 1 {
		return o, errors.New("--workers, --objects, --rounds, --single and --events must be at least 1")
	}
	return o, nil
}

// wants reports whether the name is to be measured.
func (o options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

// run measures everything that is asked for, and reports it. What was measured before a failure is in the results.
func run(ctx context.Context, o options) (err error) {
	dir := filepath.Dir(o.results)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Beside the results, and so on the disk of the working copy: the system's temporary directory may lie in memory.
	work, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, os.RemoveAll(work)) }()
	out, err := newResults(o.results)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, out.close()) }()
	r := &report{options: o, machine: describeMachine()}
	out.add("machine", r.machine)
	if o.wants(journalOnly) {
		say("measuring the journal")
		if r.journals, err = measureJournals(ctx, work, o.journal); err != nil {
			return fmt.Errorf("measure the journal: %w", cause(ctx, err))
		}
		for _, j := range r.journals {
			out.add("journal", j)
		}
	}
	if o.wants(viewsOnly) {
		if r.views, err = measureReadModels(ctx, o, work, out); err != nil {
			return fmt.Errorf("measure the read side: %w", cause(ctx, err))
		}
	}
	if r.scenarios, err = measureScenarios(ctx, o, work, out); err != nil {
		return cause(ctx, err)
	}
	if o.wants(replicasOnly) {
		if r.replicas, err = measureReplicas(ctx, o, work, out); err != nil {
			return fmt.Errorf("measure replicas: %w", cause(ctx, err))
		}
	}
	return r.write(os.Stdout)
}

// cause replaces the news that the context ended by why it did.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// say tells of progress, beside the report.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
