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

// indexed has inline documents indexed by an agent whose texts are embedded.
func (s *seer) indexed(p *process, name string, docs ...agent.InlineDocument) *agent.Command {
	p.t.Helper()
	o := indexOrder(name, agent.IndexDocumentsPayload{Inline: docs})
	o.Retry.MaxAttempts = 2
	delivered(p.t, p, s.as, o, false)
	return p.wait(o)
}

func TestDocumentsAreRecordedWithTheirVectorsInOneAppend(t *testing.T) {
	w, s, counted := newWorld(t), newSeer(t, scriptedmodel.Embeddings{}), &faulty{}
	p := s.life(w, counted.wrap)
	defer p.end()
	visa := agent.InlineDocument{Name: "visa", Text: "# Visa\nTen days."}
	c := s.indexed(p, "index", visa, agent.InlineDocument{Name: "copy", Text: "# Visa\nTen days."}, agent.InlineDocument{Name: "empty"})
	want := []string{"CommandAccepted", "CommandApproved", "AttemptStarted", "TextsEmbedded", "DocumentIndexed", "DocumentIndexed", "DocumentIndexed", "AttemptSucceeded", "CommandSucceeded"}
	if diff := cmp.Diff(want, p.types()); diff != "" || counted.appends() != 3 || c.Phase != agent.Succeeded || c.Usage.Input == 0 {
		t.Errorf("%s, %+v, %d appends (-want +got):\n%s", c.Phase, c.Usage, counted.appends(), diff)
	}
	has := p.embedded("vectors", everything)
	for _, e := range recorded[agent.DocumentIndexed](p, everything) {
		for _, chunk := range e.Chunks {
			if has[agent.TextDigest(agent.EmbeddingText(chunk.Heading, chunk.Text))] != 1 {
				t.Errorf("%s has a chunk without a vector: %q", e.Document, chunk.Text)
			}
		}
	}
	s.indexed(p, "again", visa)
	s.indexed(p, "more", visa, agent.InlineDocument{Name: "fees", Text: "Forty euro."})
	if stats := s.Stats(); stats.Embeddings != 2 || stats.Embedded != 2 {
		t.Errorf("%d texts were sent in %d requests", stats.Embedded, stats.Embeddings)
	}
}

func TestManyChunksAreEmbeddedByManyRequestsOfAnySize(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "# Rule %d\n\nThis is rule number %d of a book of many rules.\n\n", i, i)
	}
	for name, e := range map[string]scriptedmodel.Embeddings{"as many as there may be": {}, "few": {MostTexts: 7}} {
		t.Run(name, func(t *testing.T) {
			w, s := newWorld(t), newSeer(t, e)
			p := s.life(w, nil)
			defer p.end()
			if c := s.indexed(p, "index", agent.InlineDocument{Name: "book", Text: text.String()}); c.Phase != agent.Succeeded {
				t.Errorf("%s: %s", c.Reason, c.Message)
			}
			if got := p.embedded("vectors", everything); len(got) < 200 {
				t.Errorf("%d texts are embedded", len(got))
			}
			for _, e := range recorded[agent.TextsEmbedded](p, everything) {
				if len(e.Texts) > textsAtOnce {
					t.Errorf("an event tells of %d texts", len(e.Texts))
				}
			}
		})
	}
}

func TestDocumentsThatCannotBeEmbeddedAreNotIndexed(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   scriptedmodel.Embeddings
		reason   string
		attempts int
		phase    agent.Phase
	}{
		{"the server fails once", scriptedmodel.Embeddings{Status: 503, RetryAfter: "1", Times: 1}, "", 1, agent.Succeeded},
		{"the server says nothing", scriptedmodel.Embeddings{Hang: true}, decision.ReasonEmbeddingTimeout, 2, agent.Failed},
		{"a chunk is too long for it", scriptedmodel.Embeddings{Refuses: "Forty"}, decision.ReasonEmbeddingRejected, 1, agent.Failed},
		{"it gives zeros", scriptedmodel.Embeddings{Zero: true}, decision.ReasonEmbeddingUnfit, 1, agent.Failed},
		{"it gives half an answer", scriptedmodel.Embeddings{Half: true}, decision.ReasonEmbeddingUnreadable, 1, agent.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, s := newWorld(t), newSeer(t, c.server)
			s.as.Embeddings.Timeout = 200 * time.Millisecond
			p := s.life(w, nil)
			defer p.end()
			got := s.indexed(p, "index", agent.InlineDocument{Name: "visa", Text: "Ten days."}, agent.InlineDocument{Name: "fees", Text: "Forty euro."})
			if got.Phase != c.phase || got.Reason != c.reason || got.Attempts != c.attempts {
				t.Errorf("%s (%s: %s) after %d attempts", got.Phase, got.Reason, got.Message, got.Attempts)
			}
			if n := p.count("DocumentIndexed") + p.count("TextsEmbedded"); c.phase == agent.Failed && n != 0 {
				t.Errorf("%d events tell of documents or vectors", n)
			}
			if strings.Contains(got.Message, "told to fail") {
				t.Errorf("the message has the server's words: %s", got.Message)
			}
		})
	}
}

func TestAnIndexingIsPatientWithABusyServerAndEndsAllTheSame(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{})
	p := s.life(w, nil)
	defer p.end()
	asked := 0
	p.engine.Embedder = embedderFunc(func(context.Context, agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
		asked++
		return agent.EmbeddingAnswer{}, fault.NewWait(time.Millisecond, decision.ReasonEmbeddingUnavailable, "It is not available.")
	})
	c := s.indexed(p, "index", agent.InlineDocument{Name: "visa", Text: "Ten days."})
	if c.Phase != agent.Failed || c.Reason != decision.ReasonEmbeddingUnavailable || c.Attempts != 2 || asked != 2*triesAtOnce {
		t.Errorf("%s (%s) after %d attempts and %d requests", c.Phase, c.Reason, c.Attempts, asked)
	}
	if n := p.count("DocumentIndexed") + p.count("TextsEmbedded"); n != 0 {
		t.Errorf("%d events tell of documents or vectors", n)
	}
}

func TestAnIndexingThatIsOutOfTimeSaysHowFarItGot(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{})
	p := s.life(w, nil)
	defer p.end()
	honest := p.engine.Embedder
	p.engine.Embedder = embedderFunc(func(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
		if len(q.Texts) < textsAtOnce {
			<-ctx.Done()
		}
		return honest.Embed(ctx, q)
	})
	var docs []agent.InlineDocument
	for i := range textsAtOnce + 6 {
		docs = append(docs, agent.InlineDocument{Name: fmt.Sprint(i), Text: fmt.Sprintf("This is rule %d of many.", i)})
	}
	o := indexOrder("index", agent.IndexDocumentsPayload{Inline: docs})
	o.Timeout = 700 * time.Millisecond
	delivered(t, p, s.as, o, false)
	c := p.wait(o)
	if c.Phase != agent.Failed || !strings.Contains(c.Message, "Of 70 chunks 64 were embedded") || !strings.Contains(c.Message, "12 times spec.embeddings.timeout") {
		t.Errorf("%s (%s: %s)", c.Phase, c.Reason, c.Message)
	}
}

func TestWhatAFailedIndexingCostIsCounted(t *testing.T) {
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{Refuses: "rule 150 "})
	p := s.life(w, nil)
	defer p.end()
	var docs []agent.InlineDocument
	for i := range 200 {
		docs = append(docs, agent.InlineDocument{Name: fmt.Sprint(i), Text: fmt.Sprintf("This is rule %d of many.", i)})
	}
	c := s.indexed(p, "index", docs...)
	if c.Phase != agent.Failed || c.Usage.Input < 100 {
		t.Errorf("%s, and it cost %+v", c.Phase, c.Usage)
	}
	if sum, err := p.engine.Summary(t.Context(), s.as); err != nil || sum.Today != c.Usage {
		t.Errorf("the agent's tokens today are %+v, %v", sum.Today, err)
	}
}

func TestVectorsThatAreTooMuchForOneAppendAreRefusedBeforeTheyAreMade(t *testing.T) {
	const dimensions = 1 << 20
	w, s := newWorld(t), newSeer(t, scriptedmodel.Embeddings{})
	p := s.life(w, nil)
	defer p.end()
	asked := 0
	p.engine.Embedder = embedderFunc(func(_ context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
		asked += len(q.Texts)
		vector := make([]float32, dimensions)
		vector[0] = 1
		answer := agent.EmbeddingAnswer{}
		for range q.Texts {
			answer.Vectors = append(answer.Vectors, vector)
		}
		return answer, nil
	})
	o := askOrder("one text", "ada")
	delivered(t, p, s.as, o, false) // from here on the dimension is known
	p.wait(o)
	var docs []agent.InlineDocument
	for i := range maxVectors/4/dimensions + 1 {
		docs = append(docs, agent.InlineDocument{Name: fmt.Sprint(i), Text: fmt.Sprintf("Rule %d.", i)})
	}
	c := s.indexed(p, "index", docs...)
	if c.Phase != agent.Failed || c.Reason != ReasonTooManyVectors || asked != 1 {
		t.Errorf("%s (%s) after %d texts", c.Phase, c.Reason, asked)
	}
	for _, says := range []string{"9 chunks in 1048576 dimensions take 36 MiB", "at most 32 MiB", "spec.embeddings.dimensions", "chunking.maxTokens", "several commands"} {
		if !strings.Contains(c.Message, says) {
			t.Errorf("%q does not say %q", c.Message, says)
		}
	}
	if news := s.news(t); news == nil || news.Failed != nil {
		t.Errorf("that is not the server's fault: %+v", news)
	}
}
