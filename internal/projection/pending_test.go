package projection

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
)

// What is pending is what the write side holds open, in every journal that it can write.
func TestPendingIsWhatTheWriteSideHoldsOpen(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		rapid.Check(t, func(rt *rapid.T) {
			log, state, accepted := newLog(), agent.NewState(), map[string]bool{}
			open := [][]string{nil}
			for range rapid.IntRange(1, 40).Draw(rt, "appended") {
				key := rapid.SampledFrom([]string{"k1", "k2", "k3", "k4"}).Draw(rt, "subject")
				event := nextOf(rt, state, key, accepted[key])
				accepted[key] = true
				state.Apply(agent.Recorded{Sequence: log.add(stream, key, event), Time: epoch, Subject: key, Event: event})
				open = append(open, state.OpenKeys())
			}
			s := mustOpen(rt, at(rt), log)
			defer func() { _ = s.Close() }()
			catchUp(t, s)
			for asOf, want := range open {
				pending, err := s.Pending(context.Background(), Scope{Stream: stream, AsOf: int64(asOf), Limit: 100}, "ada")
				if err != nil {
					rt.Fatal(err)
				}
				var got []string
				for _, p := range pending {
					got = append(got, p.Key)
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					rt.Fatalf("as of %d (-write side +pending)\n%s", asOf, diff)
				}
			}
		})
	})
}

// nextOf returns an event that may come next about a command.
func nextOf(t *rapid.T, state *agent.State, key string, accepted bool) agent.Event {
	possible := []agent.Event{agent.MemorySaved{ID: "m"}} // of a command that has ended: another's
	switch {
	case !accepted:
		possible = []agent.Event{
			accept(key, "ada", callIntent("book", `{}`)), accept(key, "ada", agent.Intent{Type: agent.Ask, Payload: json.RawMessage(`{"conversation":"ada"}`)}),
		}
	case state.Open[key] != nil:
		possible = []agent.Event{
			agent.CommandApproved{}, agent.AttemptStarted{Attempt: 1}, agent.AttemptSucceeded{Attempt: 1}, agent.AttemptFailed{Attempt: 1}, agent.CancelRequested{},
			agent.CommandSucceeded{}, agent.CommandFailed{}, agent.CommandRefused{}, agent.CommandCancelled{}, agent.OutcomeLost{}, agent.OutcomeLost{}, agent.OutcomeLost{},
		}
	case state.Unknown[key] != nil:
		possible = []agent.Event{
			agent.CommandReopened{}, agent.OutcomeSettled{Outcome: agent.RunAgain}, agent.OutcomeSettled{Outcome: agent.SettledFailed},
		}
	}
	return rapid.SampledFrom(possible).Draw(t, "event")
}
