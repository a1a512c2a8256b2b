package faults

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/test/faults/history"
	"github.com/edict-dev/edict/test/story"
)

// judge compares what the load left behind, at the receivers, at the model, in Kubernetes and in the journal, with what
// was wanted and what was told meanwhile. An error is that it could not look.
func (l *load) judge(ctx context.Context, commands []edictv1.Command) error {
	records, err := readAll(ctx, l.world.store)
	if err != nil {
		return err
	}
	told, err := l.world.told(ctx)
	if err != nil {
		return err
	}
	all, wrong := story.Of(records)
	wrong = append(wrong, history.Records(records)...)
	wrong = append(wrong, checkModel(l.world.model.requests(), all)...)
	wrong = append(wrong, l.promises(records)...)
	wrong = append(wrong, l.remembered(all)...)
	wrong = append(wrong, announced(commands, told)...)
	for i := range commands {
		wrong = append(wrong, mirrors(&commands[i], all)...)
	}
	for _, violation := range wrong {
		l.found.violate("%s", violation)
	}
	l.count(commands, all)
	return nil
}

// promises holds the receivers' counts by Idempotency-Key against the journal.
func (l *load) promises(records []journal.Record) []string {
	outcomes, err := history.Outcomes(records)
	if err != nil {
		return []string{err.Error()}
	}
	effects := map[string]int{}
	for _, r := range []*receiver{l.world.honours, l.world.ignores} {
		for key, n := range r.Stats().BookingsByKey {
			effects[key] += n
		}
	}
	return history.Effects(outcomes, effects)
}

// remembered looks for ends that were told and are not in the journal.
func (l *load) remembered(all []*story.Story) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[string]*agent.Command{}
	for _, s := range all {
		there[s.Stream+" "+s.Key] = s.Command()
	}
	for at, told := range l.seen {
		c := there[at]
		switch {
		case c == nil:
			wrong = append(wrong, fmt.Sprintf("%s was told to be %s, and the journal does not know it", at, told.phase))
		case c.Phase != told.phase:
			wrong = append(wrong, fmt.Sprintf("%s was told to be %s, and is %s in the journal", at, told.phase, c.Phase))
		}
	}
	return wrong
}

// announced looks for ends that no Kubernetes Event tells, or that two do.
func announced(commands []edictv1.Command, told map[types.UID]int) (wrong []string) {
	there := map[types.UID]bool{}
	for i := range commands {
		c := &commands[i]
		there[c.UID] = true
		if n := told[c.UID]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("%d Kubernetes Events tell of the end of %s, want 1", n, c.Name))
		}
	}
	for uid, n := range told {
		if n > 1 && !there[uid] {
			wrong = append(wrong, fmt.Sprintf("%d Kubernetes Events tell of the end of a command that was deleted (%s)", n, uid))
		}
	}
	return wrong
}

// count compares the effects of each want, however their commands were keyed, with how its commands ended.
func (l *load) count(commands []edictv1.Command, all []*story.Story) {
	phases, reasons := map[string]agent.Phase{}, map[string]string{}
	for i := range commands {
		phases[commands[i].Name] = agent.Phase(commands[i].Status.Phase)
		reasons[commands[i].Name] = why(&commands[i])
	}
	effects := map[agent.EffectClass]map[string]int{
		agent.Idempotent: l.world.honours.effects(), agent.NonIdempotent: l.world.ignores.effects(), agent.Internal: memories(all),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := counts{commands: len(all)}
	for _, t := range l.wants {
		phase := phases[t.commands[0]]
		done := effects[t.class][t.tag]
		n.effects += done
		n.duplicates += max(0, done-1)
		for _, name := range t.commands[1:] {
			if phases[name] != phase && t.class != agent.Internal {
				l.found.violate("%s is %s, and its twin %s is %s", t.commands[0], phase, name, phases[name])
			}
		}
		switch {
		case done > 1:
			l.found.violate("%s (%s): %d effects", t.tag, t.class, done)
		case phase == agent.OutcomeUnknown && t.class == agent.NonIdempotent:
			n.unknown++
		case phase == agent.Succeeded && done == 0:
			n.lost++
			l.found.violate("%s (%s): it says that it succeeded, and there is no effect", t.tag, t.class)
		case phase == agent.Failed, phase != agent.Succeeded && !t.may:
			n.lost++
			l.found.violate("%s (%s): it is %s, and nobody wanted that: %s", t.tag, t.class, phase, reasons[t.commands[0]])
		}
	}
	l.found.count(n)
}

// memories returns how often each text was remembered.
func memories(all []*story.Story) map[string]int {
	n := map[string]int{}
	for _, s := range all {
		for _, r := range s.Events {
			if saved, ok := r.Event.(agent.MemorySaved); ok {
				n[saved.Content]++
			}
		}
	}
	return n
}
