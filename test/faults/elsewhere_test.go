package faults

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// TestSecondCluster applies what users applied once more, to a second and empty cluster with a copy of the journal in
// the other store: nothing runs, and each status says what it said.
func TestSecondCluster(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{onSQLite: onPostgres, onPostgres: onSQLite} {
		t.Run("from "+from+" to "+to, func(t *testing.T) {
			t.Parallel()
			c := started(t)
			f := newFindings("second cluster, " + from + " to " + to)
			c.report.add(f)
			m := &move{campaign: c, found: f, from: from, to: to}
			if err := m.run(t.Context()); err != nil {
				t.Error(err)
			}
			f.fail(t)
		})
	}
}

// move is a world that goes on in another cluster.
type move struct {
	campaign *campaign
	found    *findings
	from, to string
}

// wantsBeforeMove is how many wants the first cluster has.
const wantsBeforeMove = 40

func (m *move) run(ctx context.Context) error {
	s := &storm{options: worldOptions{store: m.from}, replicas: 1, agents: 6, commands: wantsBeforeMove,
		strikers: func(*storm) []striker { return nil }, found: m.found, seed: m.campaign.seed}
	first, err := m.campaign.newWorld(ctx, worldOptions{store: m.from})
	defer func() {
		if err := first.close(); err != nil {
			m.found.violate("close: %v", err)
		}
	}()
	if err != nil {
		return err
	}
	s.world = first
	if s.load, err = newLoad(ctx, first, m.found, m.campaign.random("move from "+m.from), s.agents); err != nil {
		return err
	}
	if err := first.replicas(ctx, 1); err != nil {
		return err
	}
	if err := s.pass(ctx); err != nil {
		return err
	}
	second, err := m.campaign.newPlane(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := second.Stop(); err != nil {
			m.found.violate("stop the second cluster: %v", err)
		}
	}()
	copied, err := m.copy(ctx, first)
	if err != nil {
		return err
	}
	w, err := m.campaign.newWorld(ctx, worldOptions{plane: second, ns: first.ns, over: copied})
	defer func() {
		if err := w.close(); err != nil {
			m.found.violate("close: %v", err)
		}
	}()
	if err != nil {
		return err
	}
	return m.compare(ctx, first, w)
}

// copy copies the journal with the command that users have for it.
func (m *move) copy(ctx context.Context, first *world) (store, error) {
	var copied store
	var err error
	if m.to == onPostgres {
		copied, err = m.campaign.database.newStore(ctx, first.ns+"_copy")
	} else {
		copied, err = newSQLiteStore(filepath.Join(first.dir, "copy"))
	}
	if err != nil {
		return nil, err
	}
	url := func(s store) string { return strings.TrimPrefix(s.args("")[0], "--journal=") }
	out, err := exec.CommandContext(ctx, first.binary, "journal", "copy", url(first.store), url(copied)).CombinedOutput()
	if err != nil {
		return copied, fmt.Errorf("edict journal copy: %w\n%s", err, out)
	}
	m.found.inject("journal copied to a second cluster", 1)
	return copied, nil
}

// compare applies the first world's manifests to the second, and looks at what happens: nothing.
func (m *move) compare(ctx context.Context, first, second *world) error {
	before, err := first.commands(ctx)
	if err != nil {
		return err
	}
	records, err := readAll(ctx, second.store)
	if err != nil {
		return err
	}
	outside := activity(first)
	if err := second.replicas(ctx, 1); err != nil {
		return err
	}
	applied, err := apply(ctx, first, second)
	if err != nil {
		return err
	}
	moved := time.Now()
	after, err := second.ended(ctx, applied, patience)
	if err != nil {
		m.found.violate("in the second cluster: %v%s", err, second.logs(25))
		return nil
	}
	m.found.converged(time.Since(moved))
	m.found.still(ctx, second, m.campaign.stillness())
	now, err := readAll(ctx, second.store)
	if err != nil {
		return err
	}
	if len(now) != len(records) {
		m.found.violate("the second cluster appended %d events to the copy", len(now)-len(records))
	}
	if happened := activity(first); !maps.Equal(outside, happened) {
		m.found.violate("the second cluster called: before %v, after %v", outside, happened)
	}
	m.found.count(counts{commands: len(after)})
	for i := range after {
		if wrong := differs(before, &after[i]); wrong != "" {
			m.found.violate("%s: %s", after[i].Name, wrong)
		}
	}
	return nil
}

// activity is what a world's servers were asked.
func activity(w *world) map[string]int {
	return map[string]int{
		"model": len(w.model.requests()), "idempotent calls": w.honours.Stats().Requests, "other calls": w.ignores.Stats().Requests,
	}
}

// apply creates in the second world what users created in the first, and returns how many commands that are.
func apply(ctx context.Context, first, second *world) (int, error) {
	var commands edictv1.CommandList
	var agents edictv1.AgentList
	var views edictv1.ContextViewList
	for _, list := range []client.ObjectList{&views, &agents, &commands} {
		if err := first.plane.client.List(ctx, list, client.InNamespace(first.ns)); err != nil {
			return 0, err
		}
	}
	var objects []client.Object
	for _, v := range views.Items {
		objects = append(objects, &edictv1.ContextView{ObjectMeta: metav1.ObjectMeta{Name: v.Name}, Spec: v.Spec})
	}
	for _, a := range agents.Items {
		objects = append(objects, &edictv1.Agent{ObjectMeta: metav1.ObjectMeta{Name: a.Name}, Spec: a.Spec})
	}
	n := 0
	for _, c := range commands.Items {
		if metav1.GetControllerOf(&c) != nil {
			continue // a decision issued it
		}
		objects = append(objects, &edictv1.Command{ObjectMeta: metav1.ObjectMeta{Name: c.Name}, Spec: c.Spec})
		n++
	}
	return n, second.create(ctx, objects...)
}

// differs says in what a command's status is another than in the first cluster.
func differs(before []edictv1.Command, c *edictv1.Command) string {
	i := slices.IndexFunc(before, func(b edictv1.Command) bool { return b.Name == c.Name })
	if i < 0 {
		return "it was not there before"
	}
	is := func(c *edictv1.Command) string {
		reason := ""
		if ready := meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady); ready != nil {
			reason = ready.Reason
		}
		return fmt.Sprintf("%s (%s), %q, at event %d of %s", c.Status.Phase, reason, c.Status.Response, c.Status.Sequence, c.Status.Stream)
	}
	if was, now := is(&before[i]), is(c); was != now {
		return fmt.Sprintf("it was %s, and is %s", was, now)
	}
	if !meta.IsStatusConditionTrue(c.Status.Conditions, edictv1.ConditionDeduplicated) {
		return "it does not say that it ran before"
	}
	return ""
}
