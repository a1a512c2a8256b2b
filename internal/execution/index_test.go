package execution

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

// shelf is what lives outside: ConfigMaps, or whatever a test has Read return.
type shelf struct {
	mu   sync.Mutex
	asks int
	read func(ctx context.Context, n int) (Library, error)
}

func (s *shelf) Read(ctx context.Context, _ string, _ agent.IndexDocumentsPayload) (Library, error) {
	s.mu.Lock()
	s.asks++
	n := s.asks
	s.mu.Unlock()
	return s.read(ctx, n)
}

// holds lets the shelf hold the ConfigMap rules, with these keys.
func (s *shelf) holds(keys map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = func(context.Context, int) (Library, error) {
		var l Library
		for key, text := range keys {
			name, source := agent.ConfigMapDocument("rules", key, "")
			l.Documents = append(l.Documents, SourceDocument{Name: name, Source: source, Data: []byte(text)})
		}
		slices.SortFunc(l.Documents, func(a, b SourceDocument) int { return strings.Compare(a.Name, b.Name) })
		return l, nil
	}
}

// life begins a life of the operator that reads from the shelf.
func (s *shelf) life(w *world, wrap func(journal.Journal) journal.Journal) *process {
	p := w.start(wrap)
	p.engine.Documents, p.engine.Tokens = s, func(text string) int { return (len(text) + 3) / 4 } // nothing runs before the first order
	return p
}

var small = agent.Chunking{MaxTokens: 20, OverlapTokens: 4}

func indexOrder(name string, p agent.IndexDocumentsPayload) agent.Order {
	p.Collection = "visa"
	if p.Chunking == (agent.Chunking{}) {
		p.Chunking = small
	}
	o := order(name, agent.NewIntent(agent.IndexDocuments, p))
	o.Timeout = time.Hour
	return o
}

func indexRules(name string) agent.Order {
	return indexOrder(name, agent.IndexDocumentsPayload{ConfigMap: &agent.ConfigMapSource{Name: "rules"}})
}

// shelved folds the stream into what the collection visa holds: the texts of the chunks, by document.
func (p *process) shelved() map[string][]string {
	p.t.Helper()
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 10_000)
	if err != nil {
		p.t.Fatal(err)
	}
	held := map[string][]string{}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			p.t.Fatal(err)
		}
		switch e := event.(type) {
		case agent.DocumentIndexed:
			if e.Part == 1 {
				held[e.Document] = nil
			}
			for _, c := range e.Chunks {
				held[e.Document] = append(held[e.Document], c.Text)
			}
		case agent.DocumentsRemoved:
			for _, name := range e.Documents {
				delete(held, name)
			}
		}
	}
	return held
}

func (p *process) count(event string) int {
	n := 0
	for _, t := range p.types() {
		if t == event {
			n++
		}
	}
	return n
}

// brought brings an order through the door, and returns what it came to.
func (p *process) brought(o agent.Order) *agent.Command {
	p.t.Helper()
	delivered(p.t, p, profile, o, false)
	return p.wait(o)
}

func TestDocumentsAreSplitAndRecordedInOneAppend(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	s.holds(map[string]string{"a.md": "# Visa\nA visa takes ten days. It costs forty euro, and children pay half of it.", "b.md": "Short."})
	counted := &faulty{}
	p := s.life(w, counted.wrap)
	defer p.end()
	c := p.brought(indexRules("index"))
	if c.Phase != agent.Succeeded || !strings.Contains(c.Message, "Indexed 2 documents (3 chunks) into visa") {
		t.Errorf("%s: %s", c.Phase, c.Message)
	}
	want := map[string][]string{
		"rules/a.md": {"# Visa\nA visa takes ten days.", "ten days. It costs forty euro, and children pay half of it."},
		"rules/b.md": {"Short."},
	}
	if diff := cmp.Diff(want, p.shelved()); diff != "" {
		t.Error(diff)
	}
	events := []string{"CommandAccepted", "CommandApproved", "AttemptStarted", "DocumentIndexed", "DocumentIndexed", "AttemptSucceeded", "CommandSucceeded"}
	if got := p.types(); !reflect.DeepEqual(got, events) || counted.appends() != 3 {
		t.Errorf("got %v in %d appends", got, counted.appends())
	}
}

func TestTheSameContentIsRecordedOnceAndAnotherTakesItsPlace(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	s.holds(map[string]string{"a.md": "Ten days.", "b.md": "Forty euro."})
	p := s.life(w, nil)
	defer p.end()
	p.brought(indexRules("first"))
	again := p.brought(indexRules("second"))
	if again.Phase != agent.Succeeded || !strings.Contains(again.Message, "already") || p.count("DocumentIndexed") != 2 {
		t.Errorf("the same again: %s, and %d DocumentIndexed", again.Message, p.count("DocumentIndexed"))
	}
	s.holds(map[string]string{"a.md": "Twelve days."})
	p.brought(indexRules("third"))
	if diff := cmp.Diff(map[string][]string{"rules/a.md": {"Twelve days."}}, p.shelved()); diff != "" {
		t.Error(diff)
	}
	coarse := indexRules("fourth")
	payload := coarse.Intent.IndexDocuments()
	payload.Chunking.MaxTokens = 100
	coarse.Intent = agent.NewIntent(agent.IndexDocuments, payload)
	if c := p.brought(coarse); !strings.Contains(c.Message, "Indexed 1 document") {
		t.Errorf("split otherwise, it counts as the same: %s", c.Message)
	}
}

func TestCollectionsSayWhatIsIndexed(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	s.holds(map[string]string{"a.md": "Ten days."})
	p := s.life(w, nil)
	defer p.end()
	p.brought(indexRules("first"))
	got, err := p.engine.Collections(context.Background(), "travel", "concierge")
	want := map[string]map[string]agent.Document{"visa": {"rules/a.md": {Digest: DocumentDigest("Ten days.", small), Source: "configMap rules, key a.md"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestInlineDocumentsAreIndexedAsTheyAre(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	p := s.life(w, nil)
	defer p.end()
	c := p.brought(indexOrder("index", agent.IndexDocumentsPayload{Inline: []agent.InlineDocument{{Name: "visa", Text: "Ten days."}, {Name: "empty"}}}))
	if c.Phase != agent.Succeeded || s.asks != 0 {
		t.Errorf("%s: %s, and ConfigMaps were read %d times", c.Phase, c.Message, s.asks)
	}
	if diff := cmp.Diff(map[string][]string{"visa": {"Ten days."}, "empty": nil}, p.shelved()); diff != "" {
		t.Error(diff)
	}
}

// TestDocumentsThatCannotBeIndexedFailByNameAndRecordNothing: all documents or none.
func TestDocumentsThatCannotBeIndexedFailByNameAndRecordNothing(t *testing.T) {
	good := SourceDocument{Name: "good.md", Source: "inline", Data: []byte("Good.")}
	named := func(data []byte) []SourceDocument {
		return []SourceDocument{good, {Name: "bad.md", Source: "inline", Data: data}}
	}
	many := make([]SourceDocument, MaxDocuments+1)
	for i := range many {
		many[i] = SourceDocument{Name: fmt.Sprint(i)}
	}
	large := make([]SourceDocument, 3)
	for i := range large {
		large[i] = SourceDocument{Name: fmt.Sprint(i), Data: bytes.Repeat([]byte("a "), MaxSource/6+1)}
	}
	headings := []byte(strings.Repeat("# a\nb\n", maxChunks))
	for _, test := range []struct {
		name, reason, says string
		docs               []SourceDocument
	}{
		{"nothing", "SourceEmpty", "removeDocuments", nil},
		{"a document of 50 MB", "DocumentTooLarge", `"bad.md" has 52 428 800 bytes; at most 4 MiB`, named(make([]byte, 50<<20))},
		{"Latin-1", "DocumentEncoding", `"bad.md" cannot be read: byte 3 is not UTF-8 text`, named([]byte("caf\xe9"))},
		{"a binary", "DocumentEncoding", "NUL", named([]byte("\x7fELF\x00"))},
		{"too many", "SourceTooLarge", "more than 256 documents", many},
		{"too much", "SourceTooLarge", "more than 8 MiB in all", large},
		{"the same name twice", "DocumentNameTaken", `"good.md"`, []SourceDocument{good, good}},
		{"a heading for every word", "TooManyChunks", "raise spec.indexDocuments.chunking.maxTokens", named(headings)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, s := newWorld(t), &shelf{}
			s.read = func(context.Context, int) (Library, error) { return Library{Documents: test.docs}, nil }
			p := s.life(w, nil)
			defer p.end()
			c := p.brought(indexRules("index"))
			if c.Phase != agent.Failed || c.Reason != test.reason || !strings.Contains(c.Message, test.says) {
				t.Errorf("%s (%s): %s", c.Phase, c.Reason, c.Message)
			}
			if n := p.count("DocumentIndexed"); n != 0 || s.asks != 1 {
				t.Errorf("%d documents are recorded, and the source was read %d times", n, s.asks)
			}
		})
	}
}

func TestAMillionTinyLinesAreADocument(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	s.holds(map[string]string{"lines.txt": strings.Repeat("a\n", 1_000_000)})
	p := s.life(w, nil)
	defer p.end()
	o := indexOrder("index", agent.IndexDocumentsPayload{ConfigMap: &agent.ConfigMapSource{Name: "rules"}, Chunking: agent.Chunking{MaxTokens: 400, OverlapTokens: 40}})
	if c := p.brought(o); c.Phase != agent.Succeeded {
		t.Fatalf("%s: %s", c.Reason, c.Message)
	}
	if n := len(p.shelved()["rules/lines.txt"]); n < 1000 || n > 6000 {
		t.Errorf("%d chunks", n)
	}
	if n := p.count("DocumentIndexed"); n < 2 {
		t.Errorf("they are in %d event, which no journal would take if the document were a little larger", n)
	}
}

func TestASourceThatCannotBeReadNowIsReadAgain(t *testing.T) {
	for name, err := range map[string]error{
		"it says so":        fault.NewWait(time.Millisecond, ReasonSourceNotFound, "It is not there yet."),
		"something failed":  fmt.Errorf("the API server is away"),
		"it took too long":  context.DeadlineExceeded,
		"another was first": fault.NewConflict("Moved", "It moved."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := newWorld(t), &shelf{}
			s.read = func(_ context.Context, n int) (Library, error) {
				if n < 3 {
					return Library{}, err
				}
				return Library{Documents: []SourceDocument{{Name: "a", Data: []byte("Ten days.")}}}, nil
			}
			p := s.life(w, nil)
			defer p.end()
			if c := p.brought(indexRules("index")); c.Phase != agent.Succeeded || s.asks != 3 {
				t.Errorf("%s (%s) after %d reads: %s", c.Phase, c.Reason, s.asks, c.Message)
			}
			if n := p.count("AttemptFailed"); n != 2 {
				t.Errorf("%d failed attempts are recorded", n)
			}
		})
	}
}

func TestCancelCutsReadingOff(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	began := make(chan struct{})
	s.read = func(ctx context.Context, _ int) (Library, error) {
		close(began)
		<-ctx.Done()
		return Library{}, fmt.Errorf("read rules: %w", ctx.Err())
	}
	p := s.life(w, nil)
	defer p.end()
	o := indexRules("index")
	delivered(t, p, profile, o, false)
	<-began
	delivered(t, p, profile, o, true)
	if c := p.wait(o); c.Phase != agent.Cancelled || c.Failures != 0 {
		t.Errorf("%s (%s), %d failures", c.Phase, c.Reason, c.Failures)
	}
}

// TestAfterADeathAtAnyAppendTheDocumentsAreThereOnce kills the process before and after each append, and lets the next
// one go on when the attempt's deadline is over.
func TestAfterADeathAtAnyAppendTheDocumentsAreThereOnce(t *testing.T) {
	for n := 1; n <= 3; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("append %d, after=%v", n, after), func(t *testing.T) {
				t.Parallel()
				w, s := newWorld(t), &shelf{}
				s.holds(map[string]string{"a.md": "Ten days.", "b.md": "Forty euro."})
				o := indexRules("index")
				f := &faulty{dieAt: n, after: after}
				first := s.life(w, f.wrap)
				first.apply(o)
				<-f.dead
				first.end()
				second := s.life(w, nil)
				defer second.end()
				second.engine.Now = func() time.Time { return time.Now().Add(2 * indexTimeout) }
				second.apply(o)
				if c := second.wait(o); c.Phase != agent.Succeeded {
					t.Errorf("%s (%s): %s", c.Phase, c.Reason, c.Message)
				}
				want := map[string][]string{"rules/a.md": {"Ten days."}, "rules/b.md": {"Forty euro."}}
				if diff := cmp.Diff(want, second.shelved()); diff != "" || second.count("DocumentIndexed") != 2 {
					t.Errorf("%d DocumentIndexed\n%s", second.count("DocumentIndexed"), diff)
				}
			})
		}
	}
}

func TestIndexingKeepsNoOtherCommandWaiting(t *testing.T) {
	w, s := newWorld(t), &shelf{}
	w.decide = scripted("")
	release := make(chan struct{})
	s.read = func(context.Context, int) (Library, error) {
		<-release
		return Library{Documents: []SourceDocument{{Name: "a", Data: []byte("Ten days.")}}}, nil
	}
	p := s.life(w, nil)
	defer p.end()
	defer close(release)
	for i := range 70 { // more than there are workers
		o := indexRules(fmt.Sprintf("index-%d", i))
		payload := o.Intent.IndexDocuments()
		payload.Collection = fmt.Sprintf("collection-%d", i)
		o.Intent = agent.NewIntent(agent.IndexDocuments, payload)
		o.Key = agent.DefaultKey(o.Name, o.Intent)
		delivered(t, p, profile, o, false)
	}
	o := askOrder("hello", "ada")
	p.apply(o)
	if c := p.wait(o); c.Response != "Done." {
		t.Errorf("got %+v", c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asks > indexAtOnce {
		t.Errorf("%d sources are read side by side", s.asks)
	}
}
