package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/test/faults/history"
	"github.com/edict-dev/edict/test/story"
)

const (
	shardsOfPostgres = 64
	// slack is what a machine with nothing else to do may add to a takeover: to see that a Lease is not renewed, to claim,
	// and to fold. A short round is for machines of which nobody knows what else they do.
	slack     = 5 * time.Second
	busySlack = 15 * time.Second
)

// TestReplicas kills each of three replicas in turn while every shard has something to do, and measures how long it
// stands still. It measures, so no other part runs beside it.
func TestReplicas(t *testing.T) {
	c := started(t)
	f := newFindings("three replicas")
	c.report.add(f)
	w, err := c.newWorld(t.Context(), worldOptions{store: onPostgres, lease: leaseDuration})
	defer func() {
		if len(f.wrong()) > 0 {
			t.Logf("the operators' logs are in bin/faults/logs/%s-* (%v)", w.ns, w.keepLogs())
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	k := &trickle{world: w, found: f, slack: busySlack, created: map[string]time.Time{}}
	if c.long() {
		k.slack = slack
	}
	if err := k.run(t.Context(), c.long()); err != nil {
		t.Error(err)
	}
	f.fail(t)
}

// trickle is an agent in every shard, each of which is told something again and again.
type trickle struct {
	world *world
	found *findings
	slack time.Duration

	struck  time.Time // the first kill
	mu      sync.Mutex
	created map[string]time.Time // by command
}

// agents returns the names of agents, one for each shard.
func (k *trickle) agents() []string {
	names := make([]string, shardsOfPostgres)
	for i, missing := 0, shardsOfPostgres; missing > 0; i++ {
		name := fmt.Sprintf("agent-%d", i)
		shard := journal.ShardOf(agent.StreamName(k.world.ns, name, 1), shardsOfPostgres)
		if names[shard] == "" {
			names[shard] = name
			missing--
		}
	}
	return names
}

func (k *trickle) run(ctx context.Context, long bool) error {
	names := k.agents()
	for _, name := range names {
		for _, o := range k.world.concierge(name) {
			a, ok := o.(*edictv1.Agent)
			if !ok {
				continue // a view would only cost writes
			}
			a.Spec.ContextViews = nil
			if err := k.world.create(ctx, a); err != nil {
				return err
			}
		}
	}
	if err := k.world.replicas(ctx, 3); err != nil {
		return err
	}
	for _, o := range k.world.operators {
		if err := o.ready(ctx); err != nil {
			return err
		}
	}
	telling, stop := context.WithCancel(ctx)
	var users sync.WaitGroup
	for _, name := range names {
		users.Go(func() { k.tell(telling, name) })
	}
	err := k.killEach(long)
	stop()
	users.Wait()
	if err != nil {
		return err
	}
	over := time.Now()
	commands, err := k.world.ended(ctx, len(k.created), patience)
	if err != nil {
		k.found.violate("after the last kill: %v%s", err, k.world.logs(20))
	}
	k.found.converged(time.Since(over))
	return k.judge(ctx, commands)
}

// tell lets an agent save memories, one after the other.
func (k *trickle) tell(ctx context.Context, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		command := fmt.Sprintf("%s-%d", name, i)
		k.mu.Lock()
		k.created[command] = time.Now()
		k.mu.Unlock()
		object := []client.Object{newSave(command, name, command)}
		if err := k.world.create(context.WithoutCancel(ctx), object...); err != nil {
			k.found.violate("%v", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// killEach kills each replica once, and more often when there is time, and starts it again when the others have taken
// over.
func (k *trickle) killEach(long bool) error {
	rounds := 1
	if long {
		rounds = 3
	}
	settle := 2 * leaseDuration
	time.Sleep(settle)
	k.struck = time.Now()
	for range rounds {
		for _, o := range k.world.operators {
			if err := o.life.Kill(); err != nil {
				return err
			}
			k.found.inject("SIGKILL of one replica of three", 1)
			time.Sleep(settle)
			if err := o.start(""); err != nil {
				return err
			}
			time.Sleep(leaseDuration)
		}
	}
	return nil
}

// judge looks for what was lost, and for the command that waited longest between its creation and its effect.
func (k *trickle) judge(ctx context.Context, commands []edictv1.Command) error {
	records, err := readAll(ctx, k.world.store)
	if err != nil {
		return err
	}
	all, wrong := story.Of(records)
	wrong = append(wrong, history.Records(records)...)
	for _, violation := range wrong {
		k.found.violate("%s", violation)
	}
	kept := memories(all)
	n := counts{commands: len(commands)}
	for _, s := range all {
		c := s.Command()
		if k.created[c.Name].Before(k.struck.Add(-time.Second)) {
			continue // the replicas were just started, and the agents new
		}
		waited := c.FinishedAt.Sub(k.created[c.Name])
		k.found.stalled(waited)
		if most := leaseDuration + k.slack; waited > most {
			k.found.violate("%s, created at %s, waited %s for its effect, longer than the lease of %s and %s",
				c.Name, k.created[c.Name].UTC().Format(time.TimeOnly), waited.Round(time.Millisecond), leaseDuration, k.slack)
		}
	}
	for name := range k.created {
		n.effects += kept[name]
		n.duplicates += max(0, kept[name]-1)
		if kept[name] != 1 {
			k.found.violate("%s is remembered %d times", name, kept[name])
		}
		if kept[name] == 0 {
			n.lost++
		}
	}
	k.found.count(n)
	return nil
}
