package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
)

func summarizing(turns, keep int32) *edictv1.Agent {
	a := concierge()
	a.Spec.Summaries = &edictv1.AgentSummaries{AfterTurns: &turns, KeepTurns: &keep}
	return a
}

// talk lets the concierge answer asks of a conversation, one after the other, and waits until that is projected.
func (h *house) talk(conversation string, from, to int) {
	h.Helper()
	p := profileOf(h.agent("concierge"))
	for i := from; i < to; i++ {
		intent := agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: conversation, Message: "And?"})
		o := agent.Order{Name: fmt.Sprintf("%s-%d", conversation, i), Intent: intent, Timeout: time.Hour, Retry: agent.Retry{MaxAttempts: 1}}
		o.Key = agent.DefaultKey(o.Name, intent)
		for ended := false; !ended; time.Sleep(time.Millisecond) {
			receipt, err := h.engine.Submit(h.Context(), p, o, false)
			h.check(err)
			ended = receipt.Command.Phase.Final()
		}
	}
	sum, err := h.engine.Summary(h.Context(), p)
	h.check(err)
	h.check(h.store.WaitFor(h.Context(), sum.Stream, sum.Sequence))
}

func (h *house) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// summaries returns the Commands that summarise, by name.
func (h *house) summaries() []edictv1.Command {
	h.Helper()
	var list edictv1.CommandList
	h.check(h.api.List(h.Context(), &list, client.InNamespace(h.ns)))
	return slices.DeleteFunc(list.Items, func(c edictv1.Command) bool { return c.Spec.Summarize == nil })
}

// issued returns the summaries that were issued, if they are as many as wanted.
func (h *house) issued(want int, when string) []edictv1.Command {
	h.Helper()
	all := h.summaries()
	if len(all) != want {
		h.Fatalf("%s, %d summaries were issued, want %d", when, len(all), want)
	}
	return all
}

// grown is a house in which a conversation is to be summarised, and nobody has looked yet.
func grown(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.follow()
	h.hire(summarizing(10, 0))
	h.talk("ada", 0, 6)
	return h
}

func TestASummaryIsIssuedOnceWhenAConversationHasGrown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.follow()
	h.hire(summarizing(10, 4))
	h.talk("Ada's trip", 0, 7) // 14 turns, of which 4 stay outside
	h.talk("bob", 0, 2)
	h.must(h.lookAtAgent("concierge"))
	h.issued(0, "before one was due")
	h.talk("Ada's trip", 7, 8)
	h.disk.reset()
	for range 3 {
		h.must(h.lookAtAgent("concierge"))
	}
	c := h.issued(1, "when one was due")[0]
	if h.disk.counts()["create Command"] != 1 {
		t.Fatalf("it was issued with %v", h.disk.counts())
	}
	// An ask has seven events. The oldest turn that stays outside is the seventh question, at 44.
	want := edictv1.SummarizeCommand{Conversation: "Ada's trip", UpTo: 43}
	if diff := cmp.Diff(want, *c.Spec.Summarize); diff != "" || !strings.HasPrefix(c.Name, "ada-s-trip-summary-") {
		t.Errorf("%s (-want +got):\n%s", c.Name, diff)
	}
	owner := h.agent("concierge")
	if refs := c.OwnerReferences; len(refs) != 1 || refs[0].UID != owner.UID || refs[0].Kind != "Agent" || c.Spec.AgentRef.Name != "concierge" {
		t.Errorf("it belongs to %+v", refs)
	}
	if ttl := c.Spec.TTLSecondsAfterFinished; ttl == nil || *ttl != 86400 {
		t.Errorf("it stays for %v", ttl)
	}

	before, _ := h.outside()
	h.settle()
	asked, _ := h.outside()
	if got := h.command(c.Name); got.Status.Phase != edictv1.CommandSucceeded || asked-before != 1 {
		t.Errorf("it is %s after %d requests to the model: %+v", got.Status.Phase, asked-before, got.Status.Conditions)
	}
	h.must(h.lookAtAgent("concierge"))
	h.issued(1, "with what is summarised")
}

// A restart forgets what was looked at, and a cache may be behind: the name is the same again.
func TestASummaryIsNotIssuedTwiceAfterARestart(t *testing.T) {
	t.Parallel()
	h := grown(t)
	h.must(h.lookAtAgent("concierge"))
	all := h.issued(1, "at first")
	h.agents.Summaries = &Summaries{Client: h.agents.Client, Conversations: h.store}
	h.disk.hide(all[0].Name, true)
	h.must(h.lookAtAgent("concierge"))
	h.disk.hide("", false)
	h.issued(1, "after a restart")
}

func TestAFailedCreationIsMadeGoodByTheNextLook(t *testing.T) {
	t.Parallel()
	h := grown(t)
	for n := 1; h.disk.counts()["create Command"] == 0; n++ { // the status may come first
		h.disk.reset()
		h.disk.failAt = n
		if _, err := h.lookAtAgent("concierge"); err == nil {
			t.Fatal("the failed write was not told")
		}
	}
	h.disk.reset()
	h.must(h.lookAtAgent("concierge"))
	h.issued(1, "at the next look")
}

// Tables that are made anew may not hold the newest summary yet: nothing is issued before they do.
func TestNoSummaryIsIssuedWhileTheProjectionIsBehind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hire(summarizing(10, 0))
	stop := h.followUntil()
	h.talk("ada", 0, 6)
	stop()
	p := profileOf(h.agent("concierge"))
	intent := agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "k", Content: "c"})
	_, err := h.engine.Submit(h.Context(), p, agent.Order{Name: "m", Key: "m", Intent: intent, Timeout: time.Hour}, false)
	h.check(err)
	if result := h.must(h.lookAtAgent("concierge")); result.RequeueAfter == 0 {
		t.Errorf("the next look is in %s", result.RequeueAfter)
	}
	h.issued(0, "while the projection is behind")
	h.follow()
	h.must(h.lookAtAgent("concierge"))
	h.issued(1, "when the projection caught up")
}

func TestASuspendedAgentIssuesNoSummaries(t *testing.T) {
	t.Parallel()
	h := grown(t)
	a := h.agent("concierge")
	a.Spec.Suspend = true
	h.check(h.api.Update(h.Context(), a))
	h.must(h.lookAtAgent("concierge"))
	h.issued(0, "while it is suspended")
}

func TestASummaryIsDueAgainEachTimeThatSoMuchWasSaid(t *testing.T) {
	for _, c := range []struct {
		declared declaredSummaries
		amount   projection.Amount
		want     int64
	}{
		{declaredSummaries{turns: 10}, projection.Amount{Turns: 10, Bytes: 1 << 20}, 0},
		{declaredSummaries{turns: 10}, projection.Amount{Turns: 11}, 1},
		{declaredSummaries{turns: 10}, projection.Amount{Turns: 19}, 1},
		{declaredSummaries{turns: 10}, projection.Amount{Turns: 20}, 2},
		{declaredSummaries{tokens: 500}, projection.Amount{Turns: 99, Bytes: 2003}, 0},
		{declaredSummaries{tokens: 500}, projection.Amount{Bytes: 2004}, 1},
		{declaredSummaries{turns: 10, tokens: 500}, projection.Amount{Turns: 11, Bytes: 4000}, 2},
	} {
		if got := c.declared.due(c.amount); got != c.want {
			t.Errorf("%+v with %+v: due %d, want %d", c.declared, c.amount, got, c.want)
		}
	}
}

func TestAQuestionStaysOutsideWithItsAnswer(t *testing.T) {
	turns := []projection.Message{ // newest first
		{Sequence: 40, Command: "c"}, {Sequence: 38, Command: "c"}, {Sequence: 30, Command: "b"}, {Sequence: 28, Command: "b"},
	}
	for keep, want := range map[int]int64{0: 50, 1: 37, 2: 37, 3: 27} {
		if got := before(turns[:min(keep+1, len(turns))], keep, 50); got != want {
			t.Errorf("with %d outside, up to %d, want %d", keep, got, want)
		}
	}
}

func TestNamesOfSummariesAreNamesOfKubernetes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []struct {
		conversation string
		last, due    int64
		prefix       string
	}{
		{"ada", 0, 1, "ada-summary-"}, {"ada", 7, 1, "ada-summary-"}, {"ada", 0, 2, "ada-summary-"},
		{"Ada Lovelace", 0, 1, "ada-lovelace-summary-"}, {"ada-lovelace", 0, 1, "ada-lovelace-summary-"},
		{"東京", 0, 1, "conversation-summary-"}, {"大阪", 0, 1, "conversation-summary-"}, {strings.Repeat("x", 63), 0, 1, "xxx"},
	} {
		name := summaryName("travel/concierge", c.conversation, c.last, c.due)
		if seen[name] || !strings.HasPrefix(name, c.prefix) || len(name) > 100 {
			t.Errorf("%+v is named %s", c, name)
		}
		seen[name] = true
	}
	if again := summaryName("travel/concierge", "ada", 0, 1); !seen[again] {
		t.Error("the same summary has another name")
	}
	if other := summaryName("travel/porter", "ada", 0, 1); seen[other] {
		t.Error("another agent's summary has the same name")
	}
}
