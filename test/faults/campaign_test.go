// Package faults tries to prove the operator's promise wrong: nothing twice, nothing lost. It runs the operator as the
// process that users run, built with failpoints, against a real control plane and real stores, and kills it, pauses it,
// and takes its API server, its disk and its database away. What it then counts, it counts at the receivers, at the
// model and in the journal, and not in the operator's own account.
//
// A part of the campaign returns what it found as violations. The last test runs parts against operators with a
// deliberate defect, and fails if one is not found.
//
// EDICT_SEED repeats a run; EDICT_FAULTS_BUDGET is how long it may take, EDICT_KILLS how many random kills it makes, and
// EDICT_ROWS, a regular expression, which rows of the kill matrix are run.
package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/process"
)

// shortRound is the budget of a round that nobody gave one.
const shortRound = 3 * time.Minute

// campaign is what all parts share.
type campaign struct {
	root, dir string // of the repository, and for what is built and written
	seed      uint64
	budget    time.Duration
	kills     int            // 0: as the budget allows
	rows      *regexp.Regexp // of the kill matrix; nil: all that the budget allows
	guard     *process.Guard
	report    report
	began     time.Time

	start    sync.Once
	startErr error
	plane    *plane
	database *database

	// setting is held while a control plane starts, and shared by the rows of the kill matrix: a row waits for its place
	// only so long, and the start of an API server takes a small machine's processors for as long as that.
	setting sync.RWMutex

	building sync.Mutex // one build at a time
	binaries map[string]string
}

var theCampaign *campaign

// TestMain reads the settings, and stops what the tests started. They start it when they first need it, so that -list
// and -run cost nothing.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // the operators have logs of their own
	c, err := newCampaign()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	theCampaign = c
	code := m.Run()
	if err := errors.Join(c.report.write(c), c.stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func newCampaign() (*campaign, error) {
	flag.Parse()
	if err := waitTogether(); err != nil {
		return nil, err
	}
	c := &campaign{began: time.Now(), budget: shortRound, binaries: map[string]string{}}
	var err error
	if text := os.Getenv("EDICT_FAULTS_BUDGET"); text != "" {
		if c.budget, err = time.ParseDuration(text); err != nil || c.budget <= 0 {
			return nil, fmt.Errorf("EDICT_FAULTS_BUDGET=%q is no duration such as 15m", text)
		}
	}
	seed, err := number("EDICT_SEED", time.Now().UnixNano()%1_000_000)
	if err != nil {
		return nil, err
	}
	kills, err := number("EDICT_KILLS", 0)
	if err != nil {
		return nil, err
	}
	c.seed, c.kills = uint64(seed), int(kills)
	if rows := os.Getenv("EDICT_ROWS"); rows != "" {
		if c.rows, err = regexp.Compile(rows); err != nil {
			return nil, fmt.Errorf("EDICT_ROWS: %w", err)
		}
	}
	c.root, err = filepath.Abs(filepath.Join("..", ".."))
	return c, err
}

// number reads a positive number from the environment.
func number(name string, otherwise int64) (int64, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s=%q is not a positive number", name, text)
	}
	return n, nil
}

// waitTogether lets three parts run side by side on any machine, unless -parallel says otherwise: most of their time they
// wait for deadlines.
func waitTogether() error {
	const name = "test.parallel"
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	if set {
		return nil
	}
	return flag.Set(name, "3")
}

// long reports whether there is time for everything, and not only for a sample.
func (c *campaign) long() bool { return c.budget > shortRound }

// random returns a source of chance for one part, the same for the same seed.
func (c *campaign) random(part string) *rand.Rand {
	var n uint64
	for _, b := range []byte(part) {
		n = n*31 + uint64(b)
	}
	return rand.New(rand.NewPCG(c.seed, n))
}

// started returns the campaign with its control plane and its database server running.
func started(t *testing.T) *campaign {
	t.Helper()
	c := theCampaign
	c.start.Do(func() { c.startErr = c.setUp(context.Background()) })
	if c.startErr != nil {
		t.Fatal(c.startErr)
	}
	return c
}

func (c *campaign) setUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var err error
	if _, err := cluster.Binaries(); err != nil {
		return err // before anything that takes long
	}
	if c.dir, err = os.MkdirTemp("", "edict-faults-"); err != nil {
		return err
	}
	if c.guard, err = process.NewGuard(); err != nil {
		return err
	}
	if c.plane, err = c.newPlane(ctx); err != nil {
		return err
	}
	c.database, err = startDatabase(ctx)
	return err
}

func (c *campaign) stop() error {
	var errs []error
	if c.guard != nil {
		errs = append(errs, c.guard.Close())
	}
	if c.plane != nil {
		errs = append(errs, c.plane.Stop())
	}
	if c.database != nil {
		errs = append(errs, c.database.stop())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// binary builds the operator with failpoints and, if it is not empty, a defect.
func (c *campaign) binary(ctx context.Context, defect string) (string, error) {
	tags := strings.Trim("faults,"+defect, ",")
	c.building.Lock()
	defer c.building.Unlock()
	if path := c.binaries[tags]; path != "" {
		return path, nil
	}
	path := filepath.Join(c.dir, "edict-"+strings.ReplaceAll(tags, ",", "-"))
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", path, "./cmd")
	cmd.Dir = c.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the operator with %s: %w\n%s", tags, err, out)
	}
	c.binaries[tags] = path
	return path, nil
}
