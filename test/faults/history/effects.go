package history

import (
	"fmt"
	"maps"
	"slices"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// Outcome is what the journal says of a command that has an effect outside of it.
type Outcome struct {
	Class agent.EffectClass
	Phase agent.Phase // as it ended; Running: it has not

	Untouched bool // it is known that nothing was done: no attempt was started, or a NonIdempotent one failed for certain
	Settled   bool // a person said how it ended
	Again     int  // how often a person let it run again
}

// Outcomes folds the commands of type callAPI out of a whole journal, by idempotency key. Keys have to be different in
// all streams, because a receiver is told nothing else.
func Outcomes(records []journal.Record) (map[string]Outcome, error) {
	subjects := map[string][]agent.Recorded{}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			return nil, fmt.Errorf("event %d of stream %s: %w", r.Sequence, r.Stream, err)
		}
		if r.Subject != "" {
			subjects[r.Subject] = append(subjects[r.Subject], agent.Recorded{Sequence: r.Sequence, Time: r.Time, Subject: r.Subject, Event: event})
		}
	}
	outcomes := map[string]Outcome{}
	for key, events := range subjects {
		if c := agent.Fold(events); c != nil && c.Intent.Type == agent.CallAPI {
			outcomes[key] = outcome(c, events)
		}
	}
	return outcomes, nil
}

func outcome(c *agent.Command, events []agent.Recorded) Outcome {
	o := Outcome{Class: c.Effect, Phase: c.Phase}
	for _, r := range events {
		if settled, ok := r.Event.(agent.OutcomeSettled); ok && settled.Outcome == agent.RunAgain {
			o.Again++
		} else if ok {
			o.Settled = true
		}
	}
	failed := c.Phase == agent.Failed || c.Phase == agent.Cancelled
	// Of a NonIdempotent effect, whatever could have been done ends as OutcomeUnknown.
	o.Untouched = c.Attempts == 0 || (failed && c.Effect == agent.NonIdempotent && !o.Settled && o.Again == 0)
	return o
}

// Effects returns where the number of effects that a receiver counted, by idempotency key, is not what the outcomes
// promise. Zero need not be in effects.
func Effects(outcomes map[string]Outcome, effects map[string]int) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(outcomes)) {
		o, n := outcomes[key], effects[key]
		if least, most := o.allowed(); n < least || n > most {
			found = append(found, fmt.Sprintf("%s (%s, %s): %d effects, and %s promised", key, o.Class, o.Phase, n, span(least, most)))
		}
		if !o.Phase.Final() {
			found = append(found, fmt.Sprintf("%s (%s): it has not ended, but is %s", key, o.Class, o.Phase))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(effects)) {
		if _, known := outcomes[key]; !known && effects[key] > 0 {
			found = append(found, fmt.Sprintf("%s: %d effects of a command that was never accepted", key, effects[key]))
		}
	}
	return found
}

// allowed returns how many effects there may be.
func (o Outcome) allowed() (least, most int) {
	if o.Untouched {
		return 0, 0
	}
	most = 1
	if o.Class == agent.NonIdempotent {
		most += o.Again // each time a person took it upon himself
	}
	if o.Phase == agent.Succeeded && !o.Settled {
		least = 1
	}
	return least, most
}

func span(least, most int) string {
	if least == most {
		return fmt.Sprintf("%d are", least)
	}
	return fmt.Sprintf("%d to %d are", least, most)
}
