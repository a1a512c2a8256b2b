package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/test/faults/history"
	"github.com/edict-dev/edict/test/story"
)

// reachWithin is how long a place may take to be reached.
const reachWithin = 25 * time.Second

// endWithin is how long everything may take to end after the last kill: a start, an attempt's deadline, and a busy machine.
const endWithin = 60 * time.Second

// killCase is one row of the matrix: one effect, and lives of the operator that each end at a place.
type killCase struct {
	shape  *shape
	lives  []string // as in EDICT_FAILPOINTS, without the action
	store  string
	paused bool // the one life is paused at its place, another replica takes over, and then it goes on
}

func (k killCase) String() string {
	if k.paused {
		return fmt.Sprintf("%s on %s, paused at %s", k.shape.name, k.store, k.lives[0])
	}
	return fmt.Sprintf("%s on %s, killed at %s", k.shape.name, k.store, strings.Join(k.lives, " and then "))
}

// TestKillMatrix kills the operator at every durable step of every kind of command, starts it again, and lets it finish.
func TestKillMatrix(t *testing.T) {
	t.Parallel()
	c := started(t)
	f := newFindings("kill matrix")
	c.report.add(f)
	cases := c.matrix(c.random("matrix"))
	t.Logf("%d rows; EDICT_SEED=%d repeats their order", len(cases), c.seed)
	ran, err := c.killAll(t.Context(), cases, "", f)
	if err != nil {
		t.Error(err)
	}
	f.part = fmt.Sprintf("kill matrix, %d of %d rows", ran, len(cases))
	f.fail(t)
}

// matrix returns the rows in the seed's order: those that were chosen, or all. In a short round it is a sample in which each place is met once, by a
// kill and, if there is a row for it, by a pause.
func (c *campaign) matrix(random *rand.Rand) []killCase {
	var all []killCase
	for i := range shapes {
		for _, place := range shapes[i].places {
			lives := strings.Split(place, " then ")
			for _, store := range []string{onSQLite, onPostgres} {
				all = append(all, killCase{shape: &shapes[i], lives: lives, store: store})
			}
			if pausable(lives) {
				all = append(all, killCase{shape: &shapes[i], lives: lives, store: onPostgres, paused: true})
			}
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if c.rows != nil {
		return slices.DeleteFunc(all, func(k killCase) bool { return !c.rows.MatchString(k.String()) })
	}
	if c.long() {
		return all
	}
	met := map[string]bool{}
	return slices.DeleteFunc(all, func(k killCase) bool {
		place, _, _ := strings.Cut(k.lives[len(k.lives)-1], "@")
		place = fmt.Sprint(place, k.paused)
		seen := met[place]
		met[place] = true
		return seen
	})
}

// pausable reports whether a replica that is paused there holds what another one takes over: something that it is about
// to append, or has done and not recorded.
func pausable(lives []string) bool {
	place := lives[0]
	return len(lives) == 1 && (strings.HasPrefix(place, "append:") || strings.HasPrefix(place, "call:") || strings.HasPrefix(place, "model:"))
}

// together is how many rows run at the same time: most of the time they wait.
const together = 3

// killAll runs the rows, some at a time, and returns how many it ran: a long round ends with its budget.
func (c *campaign) killAll(ctx context.Context, cases []killCase, defect string, f *findings) (ran int, err error) {
	if _, err := c.binary(ctx, defect); err != nil {
		return 0, err
	}
	queue := make(chan killCase)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range together {
		workers.Go(func() {
			for k := range queue {
				if err := c.runCase(ctx, k, defect, f); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", k, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, k := range cases {
		if c.long() && time.Since(c.began) > c.budget {
			break
		}
		queue <- k
		ran++
	}
	close(queue)
	workers.Wait()
	return ran, errors.Join(errs...)
}

// runCase runs one row. What does not hold are violations; an error is that it could not be run.
func (c *campaign) runCase(ctx context.Context, k killCase, defect string, f *findings) error {
	c.setting.RLock()
	defer c.setting.RUnlock()
	w, err := c.newWorld(ctx, worldOptions{store: k.store, defect: defect})
	defer func() {
		if err := w.close(); err != nil {
			f.violate("%s: close: %v", k, err)
		}
	}()
	if err != nil {
		return err
	}
	o, err := w.newOperator(ctx, "operator")
	if err != nil {
		return err
	}
	agents := w.concierge("concierge")
	if k.shape.embeds {
		agents = w.embedding(agents)
	}
	if err := w.create(ctx, append(agents, k.shape.objects()...)...); err != nil {
		return err
	}
	r := &row{killCase: k, world: w, operator: o, found: f}
	err = r.run(ctx)
	if len(r.wrong) > 0 && defect == "" {
		r.note("the operators' logs are in bin/faults/logs/%s-* (%v); their last lines:%s", w.ns, w.keepLogs(), w.logs(15))
	}
	if len(r.wrong) > 0 {
		f.violate("%s: %s", k, strings.Join(r.wrong, "\n  "))
	}
	return err
}

// row is a case under way.
type row struct {
	killCase
	world    *world
	operator *operator
	found    *findings
	wrong    []string
}

func (r *row) note(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *row) run(ctx context.Context) error {
	users, leave := context.WithCancel(ctx)
	defer leave()
	for _, place := range r.lives {
		action := "=kill"
		if r.paused {
			action = "=stop"
		}
		if err := r.operator.start(place + action); err != nil {
			return err
		}
		if r.shape.during != nil {
			go r.shape.during(users, r.world)
		}
		name, _, _ := strings.Cut(place, "@")
		reached, err := r.reach(name)
		if err != nil || !reached {
			r.note("%s was not reached within %s (%v)", place, reachWithin, err)
			return nil
		}
	}
	struck := time.Now()
	next := r.operator
	if r.paused {
		var err error
		if next, err = r.world.newOperator(ctx, "successor"); err != nil {
			return err
		}
	}
	if err := next.start(""); err != nil {
		return err
	}
	commands, err := r.finish(ctx)
	if err != nil {
		r.note("after the last fault: %v", err)
		return nil
	}
	r.found.converged(time.Since(struck))
	if r.paused {
		if commands, err = r.wakeUp(ctx); err != nil {
			return err
		}
	}
	leave()
	for _, o := range r.world.operators {
		o.kill()
	}
	return r.check(ctx, commands)
}

// reach waits until the life has ended, or is paused, at the place.
func (r *row) reach(place string) (bool, error) {
	if r.paused {
		r.found.inject("SIGSTOP at a failpoint", 1)
		return r.operator.stops(place, reachWithin), nil
	}
	r.found.inject("SIGKILL at a failpoint", 1)
	return r.operator.dies(place, reachWithin)
}

// finish waits until everything has ended.
func (r *row) finish(ctx context.Context) ([]edictv1.Command, error) {
	commands, err := r.world.ended(ctx, r.shape.commands, endWithin)
	if err != nil || r.shape.settled == nil {
		return commands, err
	}
	if err := until(ctx, endWithin, func() error { return r.shape.settled(ctx, r.world) }); err != nil {
		return commands, err
	}
	return r.world.commands(ctx)
}

// awake is how long a replica that goes on may do what it should not.
const awake = 1500 * time.Millisecond

// wakeUp lets the paused replica go on where everything has ended without it.
func (r *row) wakeUp(ctx context.Context) ([]edictv1.Command, error) {
	if err := r.operator.life.Continue(); err != nil {
		return nil, err
	}
	time.Sleep(awake)
	return r.world.commands(ctx)
}

// check compares what the row left behind with what it was to leave.
func (r *row) check(ctx context.Context, commands []edictv1.Command) error {
	records, err := readAll(ctx, r.world.store)
	if err != nil {
		return err
	}
	all, wrong := story.Of(records)
	wrong = append(wrong, history.Records(records)...)
	wrong = append(wrong, checkModel(r.world.model.requests(), all)...)
	told, err := r.world.told(ctx)
	if err != nil {
		return err
	}
	for i := range commands {
		c := &commands[i]
		if n, want := told[c.UID], max(1, r.shape.told[c.Name]); n != want {
			wrong = append(wrong, fmt.Sprintf("%d Kubernetes Events tell of the end of %s, want %d", n, c.Name, want))
		}
		wrong = append(wrong, mirrors(c, all)...)
	}
	r.wrong = append(r.wrong, wrong...)
	r.checkEffect(commands, all)
	return nil
}

// mirrors says where a command's status is not what the journal says.
func mirrors(c *edictv1.Command, all []*story.Story) []string {
	for _, s := range all {
		if s.Key != c.Status.IdempotencyKey || s.Stream != c.Status.Stream {
			continue
		}
		if told := s.Command(); string(told.Phase) != string(c.Status.Phase) || told.Response != c.Status.Response {
			return []string{fmt.Sprintf("%s is %s (%q), and %s (%q) in the journal", c.Name, c.Status.Phase, c.Status.Response, told.Phase, told.Response)}
		}
		return nil
	}
	return []string{fmt.Sprintf("%s is %s, and the journal does not know it", c.Name, c.Status.Phase)}
}

// subject is whom the one effect of a row is for.
const subject = "ada"

// checkEffect compares the effects with how the commands ended.
func (r *row) checkEffect(commands []edictv1.Command, all []*story.Story) {
	n := counts{commands: len(commands)}
	switch r.shape.class {
	case agent.Idempotent:
		n.effects = r.world.honours.effects()[subject]
	case agent.NonIdempotent:
		n.effects = r.world.ignores.effects()[subject]
	default:
		for _, s := range all {
			// Vectors are recorded with what they are of, or before a decision that changes nothing.
			n.effects += max(story.Count[agent.MemorySaved](s)+story.Count[agent.SummaryWritten](s)+story.Count[agent.DocumentIndexed](s)+story.Count[agent.ObjectObserved](s), story.Count[agent.TextsEmbedded](s))
		}
	}
	phase := agent.Phase("")
	for i := range commands {
		if commands[i].Name == r.shape.ends {
			phase = agent.Phase(commands[i].Status.Phase)
		}
	}
	n.duplicates = max(0, n.effects-1)
	switch {
	case phase == agent.OutcomeUnknown && r.shape.class == agent.NonIdempotent && (r.shape.unknown || r.cutsCall()):
		n.unknown = 1
	case phase != r.shape.phase:
		r.note("%s is %s, want %s", r.shape.ends, phase, r.shape.phase)
	case n.effects < r.shape.effects:
		n.lost = 1
	}
	if n.effects > r.shape.effects || n.lost > 0 {
		r.note("%d effects, want %d; %s is %s", n.effects, r.shape.effects, r.shape.ends, phase)
	}
	r.found.count(n)
}

// cutsCall reports whether a life ended between the durable start of a call and its durable outcome, or may have:
// projections follow in their own time.
func (r *row) cutsCall() bool {
	return slices.ContainsFunc(r.lives, func(place string) bool {
		name, _, _ := strings.Cut(place, "@")
		switch name {
		case "appended:AttemptStarted", "call:sent", "call:answered", "append:AttemptSucceeded", "append:AttemptFailed", "append:OutcomeLost",
			"projection:commit", "projection:done":
			return true
		}
		return false
	})
}

// shape is a kind of command as the matrix uses it.
type shape struct {
	name     string
	class    agent.EffectClass
	objects  func() []client.Object
	during   func(ctx context.Context, w *world)       // what a user does meanwhile
	settled  func(ctx context.Context, w *world) error // beside the commands' end
	commands int                                       // objects that have to end
	ends     string                                    // the command whose phase is looked at
	phase    agent.Phase
	unknown  bool // the outcome may be unknown without a kill
	embeds   bool // the agent's texts are embedded
	effects  int
	told     map[string]int // how many ends of a command Kubernetes Events tell of, if it is not one
	places   []string       // lives are separated by " then "
}
