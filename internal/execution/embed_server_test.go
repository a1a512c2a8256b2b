package execution

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/decision"
	"github.com/edict-dev/edict/internal/journal"
)

// seer is an embedding server, and a read side that knows which texts have no vector: those that it was given, without
// those that the journal has one of.
type seer struct {
	*scriptedmodel.Server
	as    agent.Profile // an agent whose texts it embeds
	texts []string
	p     *process // whose journal is looked at

	mu    sync.Mutex
	wrong error // what the read side says
	stuck bool  // it says nothing
}

func newSeer(t *testing.T, e scriptedmodel.Embeddings, texts ...string) *seer {
	t.Helper()
	server, err := scriptedmodel.New(scriptedmodel.Options{Embeddings: e, APIKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	there := httptest.NewServer(server)
	t.Cleanup(there.Close)
	s := &seer{Server: server, as: profile, texts: texts}
	s.as.Embeddings = &agent.Embeddings{BaseURL: there.URL + "/v1", Model: "vectors", Timeout: 2 * time.Second, APIKey: &agent.SecretKey{Name: "n", Key: "k"}}
	return s
}

func (s *seer) Unembedded(ctx context.Context, _, model string, asOf int64, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	has := s.p.embedded(model, asOf)
	texts := slices.DeleteFunc(slices.Clone(s.texts), func(text string) bool { return has[agent.TextDigest(text)] > 0 })
	return texts[:min(limit, len(texts))], s.wrong
}

// life begins a life of the operator that has texts embedded.
func (s *seer) life(w *world, wrap func(journal.Journal) journal.Journal) *process {
	if w.decide == nil {
		w.decide = scripted("")
	}
	p := w.start(wrap)
	p.as, p.engine.Embedder, p.engine.Passages = s.as, decision.New(decision.Options{}), s // nothing runs before the first order
	p.engine.Tokens = func(text string) int { return (len(text) + 3) / 4 }
	s.p = p
	return p
}

// recorded returns the events of a type that the stream has up to a sequence.
func recorded[E agent.Event](p *process, upTo int64) (all []E) {
	p.t.Helper()
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			p.t.Fatal(err)
		}
		if e, ok := event.(E); ok && r.Sequence <= upTo {
			all = append(all, e)
		}
	}
	return all
}

const everything = 1 << 40

// embedded counts the vectors of a model in the journal, by the digests of their texts. It looks that they can be read.
func (p *process) embedded(model string, upTo int64) map[string]int {
	p.t.Helper()
	counts := map[string]int{}
	for _, e := range recorded[agent.TextsEmbedded](p, upTo) {
		blob, err := p.journal.Blob(context.Background(), e.Vectors)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := agent.DecodeVectors(blob, len(e.Texts), e.Dimensions); err != nil {
			p.t.Error(err)
		}
		for _, digest := range e.Texts {
			if e.Model == model {
				counts[digest]++
			}
		}
	}
	return counts
}

// answered has an ask answered, and returns it.
func (s *seer) answered(p *process, name string) *agent.Command {
	p.t.Helper()
	o := askOrder(name, name)
	delivered(p.t, p, s.as, o, false)
	c := p.wait(o)
	if c.Phase != agent.Succeeded {
		p.t.Errorf("%s is %s (%s: %s)", name, c.Phase, c.Reason, c.Message)
	}
	return c
}

func numberedTexts(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("memory %d of a lot", i)
	}
	return texts
}

func (s *seer) news(t *testing.T) *EmbeddingNews {
	t.Helper()
	sum, err := s.p.engine.Summary(t.Context(), s.as)
	if err != nil {
		t.Fatal(err)
	}
	return sum.Embedding
}

// forget lets the next ask try an embedding server again at once.
func (e *Engine) forget(namespace, agentName string) {
	st, _ := e.open(context.Background(), name{namespace, agentName})
	st.mu.Lock()
	defer st.mu.Unlock()
	st.embedding.alone = time.Time{}
}

type embedderFunc func(context.Context, agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error)

func (f embedderFunc) Embed(ctx context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
	return f(ctx, q)
}
