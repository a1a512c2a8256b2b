package history

import (
	"slices"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

func TestACleanHistoryHasNoViolation(t *testing.T) {
	all := records(story())
	for _, violation := range slices.Concat(Records(all), Acknowledged(all, all)) {
		t.Error(violation)
	}
}

// finds fails the test unless one of the violations says so.
func finds(t *testing.T, violations []string, phrase string) {
	t.Helper()
	if !slices.ContainsFunc(violations, func(v string) bool { return strings.Contains(v, phrase) }) {
		t.Errorf("no violation says %q; there are %q", phrase, violations)
	}
}

// TestPlantedEventsAreFound changes the story: what stands at the label is replaced by the lines, with itself among them
// where that is meant.
func TestPlantedEventsAreFound(t *testing.T) {
	this := line{label: "this"}
	of := func(subject string, e agent.Event) line { return line{subject: subject, event: e} }
	pay, memory := child.Key, func(e agent.Event) line { return line{stream: "n/b", epoch: 2, subject: "memory", event: e} }
	late := func(subject string, e agent.Event) line { return line{stream: "n/b", subject: subject, event: e} }
	for _, c := range []struct {
		name  string
		label string
		lines []line
		want  string
	}{
		{"a command is accepted twice", "next", []line{this, of("next", asks("next"))}, "was accepted before"},
		{"a command is never accepted", "next", nil, "was never accepted"},
		{"a child is accepted that nobody issued", "next", []line{this, of("x", agent.CommandAccepted{Name: "x", IssuedBy: &agent.Issue{Command: "ask", Step: 1}})}, "no decision issued it"},
		{"a child does not say who issued it", "child", []line{of(pay, pays(child.Name, agent.NonIdempotent))}, "does not say so"},
		{"a child wants something else", "child", []line{of(pay, agent.CommandAccepted{Name: child.Name, Intent: question, IssuedBy: &agent.Issue{Command: "ask", Step: 1}})}, "is not what step 1"},
		{"a child has a key of its own", "decided", []line{of("ask", agent.DecisionMade{Attempt: 1, Step: 1, Issued: []agent.IssuedCommand{{Name: "ask-1-0", Key: "k"}}})}, "is not made from the ask's"},
		{"a decision issues less than it decided", "decided", []line{of("ask", agent.DecisionMade{Attempt: 1, Step: 1, Decision: agent.Decision{Commands: []agent.Choice{{}}}})}, "1 commands were decided, and 0 issued"},
		{"a decision is made twice", "decided", []line{this, of("ask", agent.AttemptStarted{Attempt: 2, Step: 1}), of("ask", agent.DecisionMade{Attempt: 2, Step: 1})}, "decision 1 follows decision 1"},
		{"a decision of a closed attempt is recorded", "decided again", []line{this, this}, "attempt 3 is not open"},
		{"a decision is for another step", "decided again", []line{of("ask", agent.DecisionMade{Attempt: 3, Step: 3})}, "was for decision 2, not 3"},
		{"an attempt is started twice", "third", []line{this, this}, "attempt 3 follows attempt 3"},
		{"an attempt is left out", "failed", []line{this, of(pay, agent.AttemptStarted{Attempt: 4}), of(pay, agent.AttemptFailed{Attempt: 4})}, "attempt 4 follows attempt 2"},
		{"two attempts are open", "failed", nil, "attempt 3 is started while attempt 2 is open"},
		{"an attempt is closed twice", "failed", []line{this, this}, "attempt 2 is not open"},
		{"a summary comes of an attempt that is closed", "failed", []line{this, of(pay, agent.SummaryWritten{Attempt: 2})}, "attempt 2 is not open"},
		{"a document comes of no attempt", "failed", []line{this, of(pay, agent.DocumentIndexed{Collection: "rules"})}, "no attempt at it is open"},
		{"an attempt succeeds twice", "paid", []line{this, of(pay, agent.AttemptStarted{Attempt: 4}), of(pay, agent.AttemptSucceeded{Attempt: 4})}, "is started after one has succeeded"},
		{"a command that has ended is attempted", "child done", []line{this, of(pay, agent.AttemptStarted{Attempt: 4})}, "has ended with CommandSucceeded"},
		{"a lost command is attempted without a person", "settled", nil, "has ended with OutcomeLost"},
		{"a lost command is attempted although it was settled", "settled", []line{of(pay, agent.OutcomeSettled{Outcome: agent.SettledFailed})}, "has ended with OutcomeSettled"},
		{"a NonIdempotent attempt is abandoned and repeated", "failed", []line{of(pay, agent.AttemptAbandoned{Attempt: 2})}, "attempted again although nobody knows"},
		{"what is not lost is settled", "failed", []line{this, of(pay, agent.OutcomeSettled{Outcome: agent.RunAgain})}, "there is nothing to settle"},
		{"an ask is reopened that runs", "decided again", []line{this, of("ask", agent.CommandReopened{})}, "is reopened"},
		{"a command ends twice", "ask done", []line{this, of("ask", agent.CommandFailed{})}, "has ended with CommandSucceeded"},
		{"a command ends in the middle of an attempt", "paid", []line{of(pay, agent.CommandFailed{}), this}, "ends while attempt 3 is open"},
		{"a command succeeds without an effect", "paid", []line{of(pay, agent.AttemptFailed{Attempt: 3})}, "no attempt at its effect succeeded"},
		{"an ask responds twice", "response", []line{this, this}, "has responded before"},
		{"a memory is saved twice", "saved", []line{this, this}, "has changed the memory before"},
		{"an ask starts before its turn", "next", []line{this, of("next", agent.ContextBuilt{Step: 1})}, "it runs while ask"},
		{"an ask starts although another runs", "next runs", []line{this, of("other", asks("other")), of("other", agent.AttemptStarted{Attempt: 1, Step: 1})}, "it runs while next"},
		{"a closed stream goes on", "put done", []line{this, {stream: "n/b", epoch: 2, event: agent.AgentDeleted{}}}, "was closed before"},
		{"a fenced writer accepts a command", "fence", []line{this, late("x", pays("x", agent.Idempotent))}, "under epoch 1 after epoch 2"},
		{"a fenced writer starts an attempt", "put", []line{late("put", agent.AttemptFailed{Attempt: 1}), late("put", agent.AttemptStarted{Attempt: 2}), late("put", agent.AttemptSucceeded{Attempt: 2})}, "under epoch 1 after epoch 2"},
		{"a fenced writer ends an attempt that is not its own", "putting", []line{{stream: "n/b", epoch: 3, subject: "put", event: agent.AttemptStarted{Attempt: 1}}}, "ends no attempt of epoch 1"},
		{"a fenced writer ends another command", "memory done", []line{late("memory", agent.CommandSucceeded{})}, "under epoch 1 after epoch 2"},
		{"a fenced writer's conclusion comes apart from its attempt", "put done", []line{memory(agent.CancelRequested{}), this}, "under epoch 1 after epoch 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := story()
			at := where(t, lines, c.label)
			var planted []line
			for _, l := range c.lines {
				if l.label == "this" {
					l = lines[at]
				}
				planted = append(planted, l)
			}
			finds(t, Records(records(slices.Replace(lines, at, at+1, planted...))), c.want)
		})
	}
}

func TestPlantedDamageIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(all []journal.Record) []journal.Record
		want   string
	}{
		{"a record is gone", func(all []journal.Record) []journal.Record { return slices.Delete(all, 5, 6) }, "sequence 7 follows sequence 5"},
		{"the first record is gone", func(all []journal.Record) []journal.Record { return all[1:] }, "sequence 2 follows sequence 0"},
		{"a record was changed", func(all []journal.Record) []journal.Record { all[5].Subject += "x"; return all }, "has hash"},
		{"the first record has a past", func(all []journal.Record) []journal.Record { all[0].Previous[0] = 1; return all }, "has hash"},
		{"a position is used twice", func(all []journal.Record) []journal.Record { all[7].Position = all[6].Position; return all }, "position 7 of shard 0 follows position 7"},
		{"a stream moves to another shard", func(all []journal.Record) []journal.Record { all[7].Shard = 1; return all }, "from shard 0 to shard 1"},
		{"time runs backwards", func(all []journal.Record) []journal.Record {
			all[38].Time = all[37].Time.Add(-1e9)
			return all
		}, "is before that of the event before it"},
		{"an event is unknown", func(all []journal.Record) []journal.Record { all[38].Type = "Nonsense"; return all }, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) { finds(t, Records(c.damage(records(story()))), c.want) })
	}
}

func TestWhatWasAcknowledgedIsMissed(t *testing.T) {
	all := records(story())
	finds(t, Acknowledged(all, all[:len(all)-1]), "is not in the journal")
	for name, change := range map[string]func(*journal.Record){
		"data":     func(r *journal.Record) { r.Data = []byte(`{"attempt":9}`) },
		"position": func(r *journal.Record) { r.Position += 100 },
		"epoch":    func(r *journal.Record) { r.Epoch = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			final := slices.Clone(all)
			change(&final[3])
			finds(t, Acknowledged(all, final), "the journal has")
		})
	}
}

func TestEffectsAreHeldAgainstOutcomes(t *testing.T) {
	const (
		internal      = agent.Internal
		idempotent    = agent.Idempotent
		nonIdempotent = agent.NonIdempotent
	)
	for _, c := range []struct {
		name    string
		outcome Outcome
		effects []int // allowed; 0 to 3 are tried
	}{
		{"internal succeeded", Outcome{Class: internal, Phase: agent.Succeeded}, []int{1}},
		{"idempotent succeeded", Outcome{Class: idempotent, Phase: agent.Succeeded}, []int{1}},
		{"idempotent failed after attempts", Outcome{Class: idempotent, Phase: agent.Failed}, []int{0, 1}},
		{"refused", Outcome{Class: idempotent, Phase: agent.Failed, Untouched: true}, []int{0}},
		{"not idempotent succeeded", Outcome{Class: nonIdempotent, Phase: agent.Succeeded}, []int{1}},
		{"not idempotent failed for certain", Outcome{Class: nonIdempotent, Phase: agent.Failed, Untouched: true}, []int{0}},
		{"unknown", Outcome{Class: nonIdempotent, Phase: agent.OutcomeUnknown}, []int{0, 1}},
		{"settled as failed", Outcome{Class: nonIdempotent, Phase: agent.Failed, Settled: true}, []int{0, 1}},
		{"settled as succeeded", Outcome{Class: nonIdempotent, Phase: agent.Succeeded, Settled: true}, []int{0, 1}},
		{"run again", Outcome{Class: nonIdempotent, Phase: agent.Succeeded, Again: 1}, []int{1, 2}},
		{"still running", Outcome{Class: idempotent, Phase: agent.Running}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range 4 {
				found := Effects(map[string]Outcome{"k": c.outcome}, map[string]int{"k": n})
				if allowed := slices.Contains(c.effects, n); allowed != (len(found) == 0) {
					t.Errorf("%d effects: %q", n, found)
				}
			}
		})
	}
	finds(t, Effects(nil, map[string]int{"k": 1}), "never accepted")
}

func TestOutcomesAreFoldedFromTheJournal(t *testing.T) {
	lines := append(story(),
		line{subject: "refused", event: pays("refused", agent.Idempotent)}, line{subject: "refused", event: agent.CommandRefused{}},
		line{subject: "put off", event: pays("put off", agent.NonIdempotent)}, line{subject: "put off", event: agent.AttemptStarted{Attempt: 1}},
		line{subject: "put off", event: agent.AttemptFailed{Attempt: 1}}, line{subject: "put off", event: agent.CommandFailed{}},
	)
	got, err := Outcomes(records(lines))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Outcome{
		child.Key: {Class: agent.NonIdempotent, Phase: agent.Succeeded, Again: 1},
		"put":     {Class: agent.Idempotent, Phase: agent.Succeeded},
		"refused": {Class: agent.Idempotent, Phase: agent.Failed, Untouched: true},
		"put off": {Class: agent.NonIdempotent, Phase: agent.Failed, Untouched: true},
	}
	for key, o := range want {
		if got[key] != o {
			t.Errorf("%s: %+v, not %+v", key, got[key], o)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d: %v", len(got), got)
	}
}
