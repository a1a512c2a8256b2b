package faults

import (
	"context"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
)

// defect is a deliberate mistake with the part of the campaign that has to find it.
type defect struct {
	tag string
	by  string
	run func(ctx context.Context, c *campaign, f *findings, tag string) error
}

// defects are the mistakes that package defect holds.
var defects = []defect{
	{"defect_actfirst", "kill matrix: a call that is not idempotent, killed at append:AttemptStarted", actFirst},
	{"defect_dropversion", "two objects under one key, at the same moment", dropVersion},
	{"defect_trustcache", "commands deleted, and applied again", trustCache},
	{"defect_skipfence", "a fenced writer: paused before an append, and continued when another replica has written the shard", skipFence},
}

// TestSeededDefects builds the operator with one mistake after the other, and fails if the campaign does not see it. It
// builds before any part runs: a compiler takes the processors that the API server and the operators of other parts need.
func TestSeededDefects(t *testing.T) {
	c := started(t)
	for _, d := range defects {
		if _, err := c.binary(t.Context(), d.tag); err != nil {
			t.Fatal(err)
		}
	}
	t.Parallel()
	for _, d := range defects {
		t.Run(d.tag, func(t *testing.T) {
			t.Parallel()
			f := newFindings(d.tag)
			if err := d.run(t.Context(), c, f, d.tag); err != nil {
				t.Fatal(err)
			}
			wrong := f.wrong()
			found := caught{defect: d.tag, by: d.by}
			if len(wrong) > 0 {
				found.violation = wrong[0]
				t.Logf("caught by %d violations, the first: %s", len(wrong), wrong[0])
			} else {
				t.Errorf("the campaign does not see it: %s", d.by)
			}
			c.report.addCaught(found)
		})
	}
}

func actFirst(ctx context.Context, c *campaign, f *findings, tag string) error {
	for i := range shapes {
		if s := &shapes[i]; s.class == agent.NonIdempotent && s.commands == 1 {
			return c.runCase(ctx, killCase{shape: s, lives: []string{"append:AttemptStarted"}, store: onSQLite}, tag, f)
		}
	}
	return nil
}

func dropVersion(ctx context.Context, c *campaign, f *findings, tag string) error {
	s := &storm{options: worldOptions{store: onSQLite, defect: tag}, replicas: 1, agents: 4, commands: 60, kinds: []kind{twins},
		strikers: func(*storm) []striker { return nil }, found: f, seed: c.seed}
	return s.run(ctx, c)
}

func trustCache(ctx context.Context, c *campaign, f *findings, tag string) error {
	s := &storm{options: worldOptions{store: onSQLite, defect: tag}, replicas: 1, agents: 4, commands: 20, kinds: []kind{recreated, expiring},
		strikers: func(*storm) []striker { return nil }, found: f, seed: c.seed}
	return s.run(ctx, c)
}

// skipFence gives the fenced writer three chances: on a busy machine it may notice its loss before it appends.
func skipFence(ctx context.Context, c *campaign, f *findings, tag string) error {
	for range 3 {
		if err := usurp(ctx, c, f, tag); err != nil || len(f.wrong()) > 0 {
			return err
		}
	}
	return nil
}
