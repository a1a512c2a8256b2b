package execution

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/decision"
	"github.com/edict-dev/edict/internal/fault"
)

func TestAQuestionIsEmbeddedBeforeItsContextIsBuilt(t *testing.T) {
	w, s, counted := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, "likes the aisle", "saw Lisbon"), &faulty{}
	s.as.Views = []string{"concierge"}
	p := s.life(w, counted.wrap)
	defer p.end()
	if s.news(t) != nil {
		t.Error("there is news of a server that nobody asked")
	}
	c := s.answered(p, "where do I sit")
	want := []string{"CommandAccepted", "MessageReceived", "CommandApproved", "TextsEmbedded", "ContextBuilt", "AttemptStarted", "DecisionMade", "ResponseGiven", "CommandSucceeded"}
	if diff := cmp.Diff(want, p.types()); diff != "" || counted.appends() != 4 {
		t.Errorf("%d appends (-want +got):\n%s", counted.appends(), diff)
	}
	if built := recorded[agent.ContextBuilt](p, everything)[0]; built.Sequence < 4 {
		t.Errorf("the context has seen %d, and the vector is event 4", built.Sequence)
	}
	question := agent.TextDigest("where do I sit")
	if got := p.embedded("vectors", everything); len(got) != 3 || got[question] != 1 || got[agent.TextDigest("saw Lisbon")] != 1 {
		t.Errorf("embedded are %v", got)
	}
	if stats := s.Stats(); stats.Embeddings != 1 || stats.Unauthorized != 0 {
		t.Errorf("the server was asked %+v", stats)
	}
	if c.Usage.Input <= 3 || c.Embedded != "vectors" {
		t.Errorf("it cost %+v, and has a vector of %q", c.Usage, c.Embedded)
	}
	if sum, _ := p.engine.Summary(t.Context(), s.as); sum.Today != c.Usage || sum.Embedding == nil || sum.Embedding.Failed != nil {
		t.Errorf("the agent says %+v", sum)
	}
	s.answered(p, "and again") // only the question is new
	if stats := s.Stats(); stats.Embeddings != 2 || stats.Embedded != 4 {
		t.Errorf("after the second ask the server was asked %+v", stats)
	}
}

func TestAnAskHasABoundedNumberOfPassagesEmbedded(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, numberedTexts(1000)...)
	p := s.life(w, nil)
	defer p.end()
	for i, want := range []int{passagesAtOnce + 1, 1002, 1003, 1004} {
		s.answered(p, fmt.Sprintf("ask %d", i))
		got := p.embedded("vectors", everything)
		if len(got) != want {
			t.Errorf("after %d asks %d texts are embedded, not %d", i+1, len(got), want)
		}
		for digest, n := range got {
			if n != 1 {
				t.Errorf("%s was embedded %d times", digest, n)
			}
		}
	}
	for _, e := range recorded[agent.TextsEmbedded](p, everything) {
		if len(e.Texts) > textsAtOnce {
			t.Errorf("an event tells of %d texts", len(e.Texts))
		}
	}
}

// Asks side by side do not pay for the same passages.
func TestOneAskAtATimeHasPassagesEmbedded(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, numberedTexts(200)...)
	p := s.life(w, nil)
	defer p.end()
	var all []agent.Order
	for i := range 20 {
		o := askOrder(fmt.Sprintf("ask-%d", i), fmt.Sprintf("person-%d", i))
		delivered(t, p, s.as, o, false)
		all = append(all, o)
	}
	for _, o := range all {
		p.wait(o)
	}
	if got := p.embedded("vectors", everything); len(got) != 220 {
		t.Errorf("%d texts are embedded", len(got))
	}
	if stats := s.Stats(); stats.Embedded != 220 {
		t.Errorf("%d texts were sent", stats.Embedded)
	}
}

func TestAnAskGoesOnByWordsAloneWhereThereAreNoVectors(t *testing.T) {
	for _, c := range []struct {
		name   string
		server scriptedmodel.Embeddings
		reason string
	}{
		{"it is busy", scriptedmodel.Embeddings{Status: 429}, decision.ReasonEmbeddingRateLimited},
		{"it is busy for longer than an ask waits", scriptedmodel.Embeddings{Status: 429, RetryAfter: "3"}, decision.ReasonEmbeddingRateLimited},
		{"it fails", scriptedmodel.Embeddings{Status: 500}, decision.ReasonEmbeddingUnavailable},
		{"it rejects everything", scriptedmodel.Embeddings{Status: 400}, decision.ReasonEmbeddingRejected},
		{"it says nothing", scriptedmodel.Embeddings{Hang: true}, decision.ReasonEmbeddingTimeout},
		{"its numbers are none", scriptedmodel.Embeddings{First: "null"}, decision.ReasonEmbeddingUnfit},
		{"it gives fewer vectors", scriptedmodel.Embeddings{Fewer: 1}, decision.ReasonEmbeddingUnfit},
		{"it gives half an answer", scriptedmodel.Embeddings{Half: true}, decision.ReasonEmbeddingUnreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, s := newWorld(t), newSeer(t, c.server, "likes the aisle")
			s.as.Embeddings.Timeout = 300 * time.Millisecond
			p := s.life(w, nil)
			defer p.end()
			s.answered(p, "where do I sit")
			s.answered(p, "once more") // which leaves the server alone
			if n := len(recorded[agent.TextsEmbedded](p, everything)); n != 0 {
				t.Errorf("%d events of vectors", n)
			}
			asked := s.Stats().Embeddings
			if most := map[bool]int{true: 2, false: 1}[c.server.Status == 400]; asked != most {
				t.Errorf("the server was asked %d times", asked)
			}
			if news := s.news(t); news == nil || fault.Of(news.Failed).Reason != c.reason {
				t.Fatalf("the news is %+v", news)
			}
			p.engine.alone = 0
			s.SetEmbeddings(scriptedmodel.Embeddings{})
			p.engine.forget("travel", "concierge")
			s.answered(p, "better now")
			if got := p.embedded("vectors", everything); got[agent.TextDigest("better now")] != 1 || got[agent.TextDigest("likes the aisle")] != 1 {
				t.Errorf("embedded are %v", got)
			}
			if news := s.news(t); news == nil || news.Failed != nil {
				t.Errorf("the news is %+v", news)
			}
		})
	}
}

func TestAServerThatAsksForAPauseGetsItIfThereIsTime(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{Status: 429, RetryAfter: "1", Times: 1})
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	if got := p.embedded("vectors", everything); len(got) != 1 || s.Stats().Embeddings != 2 {
		t.Errorf("%d texts are embedded after %d requests", len(got), s.Stats().Embeddings)
	}
}

func TestATextThatTheServerRejectsKeepsNoOtherFromBeingEmbedded(t *testing.T) {
	texts := numberedTexts(100)
	texts[3], texts[70], texts[71] = "too long 1", "too long 2", "too long 3"
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{Refuses: "too long"}, texts...)
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	if got := p.embedded("vectors", everything); len(got) != 98 {
		t.Errorf("%d texts are embedded", len(got))
	}
	if news := s.news(t); news == nil || news.Failed != nil {
		t.Errorf("the news is %+v", news)
	}
	before := s.Stats()
	s.answered(p, "and again") // the three are not tried again
	if after := s.Stats(); after.Embedded-before.Embedded != 1 {
		t.Errorf("the second ask sent %d texts", after.Embedded-before.Embedded)
	}
}

func TestAServerThatTakesFewerTextsGetsFewer(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{MostTexts: 5}, numberedTexts(100)...)
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	if got := p.embedded("vectors", everything); len(got) != 101 {
		t.Errorf("%d texts are embedded", len(got))
	}
}

func TestWhatWasEmbeddedBeforeTheServerFailedIsKept(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, numberedTexts(100)...)
	p := s.life(w, nil)
	defer p.end()
	honest := p.engine.Embedder
	p.engine.Embedder = embedderFunc(func(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
		if len(q.Texts) < textsAtOnce {
			return agent.EmbeddingAnswer{}, fault.NewWait(0, decision.ReasonEmbeddingUnavailable, "It is gone.")
		}
		return honest.Embed(ctx, q)
	})
	s.answered(p, "where do I sit")
	if got := p.embedded("vectors", everything); len(got) != textsAtOnce || got[agent.TextDigest("where do I sit")] != 1 {
		t.Errorf("%d texts are embedded", len(got))
	}
	if news := s.news(t); news == nil || fault.Of(news.Failed).Message != "It is gone." {
		t.Errorf("the news is %+v", news)
	}
}

func TestASlowServerIsAskedForLessAtOnce(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, numberedTexts(100)...)
	s.as.Embeddings.Timeout = 200 * time.Millisecond
	p := s.life(w, nil)
	defer p.end()
	honest := p.engine.Embedder
	p.engine.Embedder = embedderFunc(func(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
		if len(q.Texts) > 10 {
			<-ctx.Done()
		}
		return honest.Embed(ctx, q)
	})
	for i := range 3 {
		s.answered(p, fmt.Sprintf("ask %d", i))
		p.engine.forget("travel", "concierge")
	}
	got := p.embedded("vectors", everything)
	if got[agent.TextDigest("ask 0")] != 0 || got[agent.TextDigest("ask 2")] != 1 || len(got) < 5 {
		t.Errorf("embedded are %v", got)
	}
}

func TestVectorsOfAnotherDimensionAreNotRecorded(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{Dimensions: 8})
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	s.SetEmbeddings(scriptedmodel.Embeddings{Dimensions: 16})
	s.answered(p, "and today")
	if got := p.embedded("vectors", everything); len(got) != 1 {
		t.Errorf("embedded are %v", got)
	}
	if news := s.news(t); news == nil || fault.Of(news.Failed).Reason != decision.ReasonEmbeddingDimensions || !strings.Contains(news.Failed.Error(), "of 16 dimensions, and those that the journal has of it have 8") {
		t.Errorf("the news is %+v", news)
	}
	s.as.Embeddings = &agent.Embeddings{BaseURL: s.as.Embeddings.BaseURL, Model: "other", Timeout: time.Second, APIKey: s.as.Embeddings.APIKey}
	if s.news(t) != nil {
		t.Error("the news is of a model that is not declared any more")
	}
	s.answered(p, "with another model")
	if got := p.embedded("other", everything); len(got) != 1 {
		t.Errorf("embedded are %v", got)
	}
}

func TestAnAskIsEmbeddedAgainOnlyIfThatWasNotRecorded(t *testing.T) {
	for n := 1; n <= 4; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("append %d, after=%v", n, after), func(t *testing.T) {
				t.Parallel()
				w, s, death := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, "likes the aisle"), &faulty{dieAt: n, after: after}
				first := s.life(w, death.wrap)
				o := askOrder("seats", "ada")
				_, _ = first.engine.Submit(t.Context(), s.as, o, false) // the process may die of it
				select {
				case <-death.dead:
				case <-time.After(5 * time.Second):
					t.Error("the process did not die")
				}
				first.end()
				before := s.Stats().Embeddings

				second := s.life(w, nil)
				defer second.end()
				delivered(t, second, s.as, o, false)
				if c := second.wait(o); c.Phase != agent.Succeeded {
					t.Errorf("%s (%s: %s)", c.Phase, c.Reason, c.Message)
				}
				if got := second.embedded("vectors", everything); got[agent.TextDigest("seats")] != 1 || len(got) != 2 {
					t.Errorf("embedded are %v", got)
				}
				want := 1
				if n > 2 || n == 2 && after {
					want = 0
				}
				if again := s.Stats().Embeddings - before; again != want {
					t.Errorf("the next process asked %d times, not %d", again, want)
				}
			})
		}
	}
}

func TestACancelledAskWaitsForNoVectors(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{Hang: true})
	s.as.Embeddings.Timeout = time.Minute
	p := s.life(w, nil)
	defer p.end()
	o := askOrder("seats", "ada")
	delivered(t, p, s.as, o, false)
	for s.Stats().Embeddings == 0 {
		time.Sleep(time.Millisecond)
	}
	delivered(t, p, s.as, o, true)
	if c := p.wait(o); c.Phase != agent.Cancelled {
		t.Errorf("%s (%s)", c.Phase, c.Reason)
	}
	if news := s.news(t); news != nil {
		t.Errorf("cancelled, it counts as the server's failure: %+v", news)
	}
}

func TestWithoutAReadSideTheQuestionIsEmbeddedAllTheSame(t *testing.T) {
	for name, behind := range map[string]func(s *seer){
		"behind": func(s *seer) { s.wrong = fault.NewWait(time.Second, "ProjectionBehind", "It is behind.") },
		"silent": func(s *seer) { s.stuck = true },
	} {
		t.Run(name, func(t *testing.T) {
			w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, "likes the aisle")
			behind(s)
			p := s.life(w, nil)
			defer p.end()
			s.answered(p, "where do I sit")
			if got := p.embedded("vectors", everything); len(got) != 1 || got[agent.TextDigest("where do I sit")] != 1 {
				t.Errorf("embedded are %v", got)
			}
		})
	}
}

func TestAnAgentWithoutEmbeddingsAsksNobody(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, "likes the aisle")
	s.as.Embeddings = nil
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	if stats := s.Stats(); stats.Embeddings+stats.Unauthorized != 0 || len(recorded[agent.TextsEmbedded](p, everything)) != 0 {
		t.Errorf("%+v", stats)
	}
}

// Who searches a stream has all of its vectors in memory, so there is a last one.
func TestAStreamThatIsFullOfVectorsGetsNoMore(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}, "likes the aisle")
	p := s.life(w, nil)
	defer p.end()
	s.answered(p, "where do I sit")
	st, err := p.engine.open(t.Context(), name{s.as.Namespace, s.as.Name})
	if err != nil {
		t.Fatal(err)
	}
	st.mu.Lock()
	if each := int64(4 * st.state.Dimensions["vectors"]); each == 0 || st.state.VectorBytes != 2*each {
		t.Errorf("two vectors of %d bytes are counted as %d", each, st.state.VectorBytes)
	}
	st.state.VectorBytes = mostVectorBytes
	st.mu.Unlock()
	before := s.Stats().Embeddings
	if c := s.answered(p, "and where does Ben sit"); c.Embedded != "" {
		t.Errorf("the ask has a vector of %q", c.Embedded)
	}
	news := s.news(t)
	if news == nil || fault.Of(news.Failed).Reason != ReasonEmbeddingsFull || !strings.Contains(news.Failed.Error(), "spec.embeddings.dimensions") {
		t.Errorf("the agent says %+v", news)
	}
	if c := s.indexed(p, "rules", agent.InlineDocument{Name: "a", Text: "Rule one."}); c.Phase != agent.Failed || c.Reason != ReasonEmbeddingsFull {
		t.Errorf("the documents are %s (%s)", c.Phase, c.Reason)
	}
	if after := s.Stats().Embeddings; after != before {
		t.Errorf("the server was asked %d times more", after-before)
	}
}
