package faults

import (
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/test/story"
)

// thought is one step of one ask.
type thought struct {
	key  string
	step int
}

// checkModel compares what the model was asked with what the journal tells: a step is asked once, and once more for
// each attempt that came to nothing, and never after its decision, or its summary, was recorded.
func checkModel(calls []modelCall, all []*story.Story) (wrong []string) {
	lost, decided := map[thought]int{}, map[thought]time.Time{}
	for _, s := range all {
		open := map[int]int{} // step by attempt
		for _, r := range s.Events {
			switch e := r.Event.(type) {
			case agent.AttemptStarted:
				open[e.Attempt] = max(1, e.Step) // a summary is asked for in one step
			case agent.AttemptAbandoned:
				lost[thought{s.Key, open[e.Attempt]}]++
			case agent.AttemptFailed:
				lost[thought{s.Key, open[e.Attempt]}]++
			case agent.DecisionMade:
				decided[thought{s.Key, e.Step}] = r.Time
			case agent.SummaryWritten:
				decided[thought{s.Key, 1}] = r.Time
			}
		}
	}
	asked := map[thought]int{}
	for _, call := range calls {
		at := thought{call.key, call.step}
		asked[at]++
		if when, ok := decided[at]; ok && call.at.After(when) {
			wrong = append(wrong, fmt.Sprintf("step %d of %s was asked for at %s, after its decision was recorded at %s", call.step, call.key, call.at.UTC(), when))
		}
	}
	for at, n := range asked {
		if n > 1+lost[at] {
			wrong = append(wrong, fmt.Sprintf("step %d of %s was asked for %d times, and %d attempts are recorded as lost", at.step, at.key, n, lost[at]))
		}
	}
	return wrong
}
