package faults

import (
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// story is what the journal tells of one command.
type story struct {
	stream, key string
	events      []agent.Recorded
}

// stories returns what the journal tells of each command, in the order in which they were accepted, and the events that
// cannot be read.
func stories(records []journal.Record) (all []*story, wrong []string) {
	byKey := map[string]*story{}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("event %d of stream %s: %v", r.Sequence, r.Stream, err))
			continue
		}
		if r.Subject == "" {
			continue // about the agent
		}
		s := byKey[r.Stream+" "+r.Subject]
		if s == nil {
			s = &story{stream: r.Stream, key: r.Subject}
			byKey[r.Stream+" "+r.Subject] = s
			all = append(all, s)
		}
		s.events = append(s.events, agent.Recorded{Sequence: r.Sequence, Time: r.Time, Subject: r.Subject, Event: event})
	}
	return all, wrong
}

func (s *story) command() *agent.Command { return agent.Fold(s.events) }

// howMany returns how many events of type E the story has.
func howMany[E agent.Event](s *story) int {
	n := 0
	for _, r := range s.events {
		if _, ok := r.Event.(E); ok {
			n++
		}
	}
	return n
}

// thought is one step of one ask.
type thought struct {
	key  string
	step int
}

// checkModel compares what the model was asked with what the journal tells: a step is asked once, and once more for
// each attempt that came to nothing, and never after its decision, or its summary, was recorded.
func checkModel(calls []modelCall, all []*story) (wrong []string) {
	lost, decided := map[thought]int{}, map[thought]time.Time{}
	for _, s := range all {
		open := map[int]int{} // step by attempt
		for _, r := range s.events {
			switch e := r.Event.(type) {
			case agent.AttemptStarted:
				open[e.Attempt] = max(1, e.Step) // a summary is asked for in one step
			case agent.AttemptAbandoned:
				lost[thought{s.key, open[e.Attempt]}]++
			case agent.AttemptFailed:
				lost[thought{s.key, open[e.Attempt]}]++
			case agent.DecisionMade:
				decided[thought{s.key, e.Step}] = r.Time
			case agent.SummaryWritten:
				decided[thought{s.key, 1}] = r.Time
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
