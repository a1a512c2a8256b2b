package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// leaseDuration is how long a replica may be silent before the others take its shards.
const leaseDuration = 3 * time.Second

// storm is trouble that comes over a world while users want things.
type storm struct {
	options  worldOptions
	replicas int
	agents   int
	commands int    // wants
	kinds    []kind // of wants; nil: the whole mixture
	faults   int64  // all strikers together
	seed     uint64
	strikers func(s *storm) []striker // nil: each replica is killed and paused
	still    time.Duration            // how long it has to rest afterwards; 0: it need not

	found *findings
	world *world
	load  *load
	left  atomic.Int64
}

// striker makes one fault after the other, while the storm has any left.
type striker func(ctx context.Context, random *rand.Rand) error

// TestRandomKills kills and pauses operators at random moments while users want a thousand things, and looks for what
// was lost and what was done twice.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	for _, on := range []struct {
		store    string
		replicas int
	}{{onSQLite, 1}, {onPostgres, 2}} {
		t.Run(on.store, func(t *testing.T) {
			t.Parallel()
			c := started(t)
			faults, commands := c.strength()
			c.weather(t, fmt.Sprintf("random kills, %d × %s", on.replicas, on.store), &storm{
				options: worldOptions{store: on.store, lease: leaseDuration}, replicas: on.replicas, faults: faults, commands: commands,
			})
		})
	}
}

// strength returns how many random kills, and how many wants, a storm has.
func (c *campaign) strength() (faults int64, commands int) {
	switch {
	case c.kills > 0:
		return int64(c.kills), max(1000, c.kills/2)
	case c.long():
		return int64(c.budget / (6 * time.Second)), 1000
	}
	return 16, 100
}

// rounds returns how many faults, each of a few seconds, and how many wants a storm has.
func (c *campaign) rounds() (faults int64, commands int) {
	if c.long() {
		return int64(c.budget / (25 * time.Second)), 400
	}
	return 8, 60
}

// weather runs a storm as a part of the campaign.
func (c *campaign) weather(t *testing.T, part string, s *storm) {
	t.Helper()
	f := newFindings(part)
	c.report.add(f)
	s.found, s.seed, s.still = f, c.seed, c.stillness()
	t.Logf("%d faults during %d wants; EDICT_SEED=%d repeats their moments", s.faults, s.commands, c.seed)
	if err := s.run(t.Context(), c); err != nil {
		t.Error(err)
	}
	f.fail(t)
}

// run makes a world, lets the storm pass over it, and judges what it left.
func (s *storm) run(ctx context.Context, c *campaign) error {
	if s.options.latency == nil {
		s.options.latency = func() time.Duration { return time.Duration(10+rand.IntN(150)) * time.Millisecond }
	}
	w, err := c.newWorld(ctx, s.options)
	defer func() {
		if s.options.defect == "" && len(s.found.wrong()) > 0 {
			s.found.violate("the operators' logs are in bin/faults/logs/%s-* (%v)", w.ns, w.keepLogs())
		}
		if err := w.close(); err != nil {
			s.found.violate("close: %v", err)
		}
	}()
	if err != nil {
		return err
	}
	s.world = w
	random := rand.New(rand.NewPCG(s.seed, uint64(s.replicas)))
	if s.load, err = newLoad(ctx, w, s.found, random, cmp.Or(s.agents, 24)); err != nil {
		return err
	}
	if s.kinds != nil {
		s.load.kinds = s.kinds
	}
	if err := w.replicas(ctx, s.replicas); err != nil {
		return err
	}
	return s.pass(ctx)
}

// pass lets the storm pass over its world, and judges what it left.
func (s *storm) pass(ctx context.Context) error {
	watching, leave := context.WithCancel(ctx)
	go s.load.watch(watching)
	var kubelets sync.WaitGroup
	for _, o := range s.world.operators {
		kubelets.Go(func() { o.keep(watching, s.found) })
	}
	defer kubelets.Wait()
	defer leave()
	if err := s.rage(ctx); err != nil {
		return err
	}
	over := time.Now()
	s.load.calm.Store(true)
	commands, err := s.load.finish(ctx)
	if err != nil {
		s.found.violate("after the last fault: %v", err)
	}
	s.found.converged(time.Since(over))
	if s.still > 0 {
		s.found.still(ctx, s.world, s.still)
	}
	leave()
	kubelets.Wait()
	for _, o := range s.world.operators {
		o.kill()
		for _, crash := range o.crashes() {
			s.found.violate("%s", crash)
		}
	}
	return s.load.judge(ctx, commands)
}

// replicas starts so many operators.
func (w *world) replicas(ctx context.Context, n int) error {
	for i := range n {
		o, err := w.newOperator(ctx, fmt.Sprintf("replica-%d", i))
		if err != nil {
			return err
		}
		if err := o.start(""); err != nil {
			return err
		}
	}
	return nil
}

// rage lets the strikers strike and the users want things, until all faults and all wants are used up. What was killed
// runs again then.
func (s *storm) rage(ctx context.Context) error {
	s.left.Store(s.faults)
	strikers := killers(s)
	if s.strikers != nil {
		strikers = s.strikers(s)
	}
	var striking sync.WaitGroup
	errs := make([]error, len(strikers))
	for i, strike := range strikers {
		random := rand.New(rand.NewPCG(s.seed, uint64(100+i)))
		striking.Go(func() { errs[i] = strike(ctx, random) })
	}
	done := make(chan struct{})
	go func() {
		striking.Wait()
		close(done)
	}()
	for n := range s.commands {
		if err := s.load.add(ctx); err != nil {
			<-done
			return err
		}
		s.pace(n, done)
	}
	<-done
	return errors.Join(errs...)
}

// pace spreads the wants over the faults: no want runs ahead of its share of them.
func (s *storm) pace(n int, done <-chan struct{}) {
	for {
		past := s.faults - s.left.Load() + 2
		if int64(n)*s.faults < past*int64(s.commands) {
			return
		}
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// killers are one striker for each replica, which kills it and pauses it, and leaves it running.
func killers(s *storm) []striker {
	var all []striker
	for _, o := range s.world.operators {
		all = append(all, func(_ context.Context, random *rand.Rand) error {
			for s.left.Add(-1) >= 0 {
				time.Sleep(100*time.Millisecond + time.Duration(random.Int64N(int64(2200*time.Millisecond))))
				if err := s.strike(o, random); err != nil {
					return fmt.Errorf("%s: %w\n%s", o.name, err, o.logs.Tail(20))
				}
			}
			return nil
		})
	}
	return all
}

// strike kills a replica and starts it again, or pauses it for up to twice the time that its lease is good for.
func (s *storm) strike(o *operator, random *rand.Rand) error {
	if random.IntN(3) == 0 {
		life := o.life
		if err := life.Pause(); err != nil {
			return err
		}
		s.found.inject("SIGSTOP", 1)
		time.Sleep(time.Duration(random.Int64N(int64(2 * leaseDuration))))
		if random.IntN(4) > 0 { // one in four is killed while it sleeps
			return life.Continue()
		}
	}
	s.found.inject("SIGKILL at a random moment", 1)
	return o.restart(func() error { return nil })
}
