package execution

import (
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

// scribe is the read side and the model: what there is to summarise, and what is written.
type scribe struct {
	mu      sync.Mutex
	wanted  []agent.TranscriptRequest
	asked   []agent.SummaryInquiry
	said    []agent.Said // what there is
	behind  int          // so often the read side is behind
	answers func(ctx context.Context, n int) (agent.SummaryAnswer, error)
}

func (s *scribe) Transcript(_ context.Context, r agent.TranscriptRequest) (agent.Transcript, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = append(s.wanted, r)
	if len(s.wanted) <= s.behind {
		return agent.Transcript{}, fault.NewWait(time.Millisecond, "ProjectionBehind", "It is behind.")
	}
	return agent.Transcript{From: 1, To: 2, Items: s.said}, nil
}

func (s *scribe) Summarize(ctx context.Context, q agent.SummaryInquiry) (agent.SummaryAnswer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, q)
	n := len(s.asked)
	s.mu.Unlock()
	return s.answers(ctx, n)
}

func (s *scribe) requests() []agent.SummaryInquiry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func newScribe() *scribe {
	return &scribe{said: []agent.Said{{By: "user", Text: "I like window seats."}},
		answers: func(context.Context, int) (agent.SummaryAnswer, error) {
			return agent.SummaryAnswer{Text: "Likes window seats.", Model: "scripted", Usage: agent.Usage{Input: 7, Output: 4}, Request: []byte(`{"a":1}`)}, nil
		}}
}

// life begins a life of the operator in which the scribe reads and writes.
func (s *scribe) life(w *world, wrap func(journal.Journal) journal.Journal) *process {
	p := w.start(wrap)
	p.engine.Transcripts, p.engine.Summarizer = s, s // nothing runs before the first order
	return p
}

func summaryOrder(name string) agent.Order {
	return order(name, agent.NewIntent(agent.Summarize, agent.SummarizePayload{Conversation: "ada"}))
}

// delivered brings the order through the door, however often that takes.
func delivered(t *testing.T, p *process, as agent.Profile, o agent.Order, cancel bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := p.engine.Submit(context.Background(), as, o, cancel)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestASummaryIsAskedForOnceAndRecordedWithItsEnd(t *testing.T) {
	w, s, counted := newWorld(t), newScribe(), &faulty{}
	p := s.life(w, counted.wrap)
	defer p.end()
	as := profile
	as.Model.APIKey = &agent.SecretKey{Name: "model", Key: "key"}
	o := summaryOrder("sum")
	for range 3 {
		delivered(t, p, as, o, false)
	}
	c := p.wait(o)
	if c.Phase != agent.Succeeded || c.Usage.Total() != 11 || !strings.Contains(c.Message, "the conversation ada, sequences 1 to 2") {
		t.Errorf("got %+v", c)
	}
	want := []string{"CommandAccepted", "CommandApproved", "AttemptStarted", "SummaryWritten", "CommandSucceeded"}
	if got := p.types(); !reflect.DeepEqual(got, want) || counted.appends() != 3 {
		t.Errorf("got %v in %d appends, want %v in 3", got, counted.appends(), want)
	}
	asked := s.requests()
	if len(asked) != 1 || asked[0].APIKey != "s" || asked[0].User != o.Key || !cmp.Equal(asked[0].Transcript.Items, s.said) {
		t.Fatalf("the model was asked %+v", asked)
	}
	if diff := cmp.Diff([]agent.TranscriptRequest{{Stream: "travel/concierge", Of: agent.SummarizePayload{Conversation: "ada"}, UpTo: 1, Seen: 2}}, s.wanted); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	written := recordedSummaries(t, p)[0]
	if blob, err := p.journal.Blob(t.Context(), written.Request); err != nil || string(blob) != `{"a":1}` {
		t.Errorf("the request is kept as %s, %v", blob, err)
	}
	written.Latency, written.Request = 0, ""
	if diff := cmp.Diff(agent.SummaryWritten{Attempt: 1, Conversation: "ada", From: 1, To: 2, Text: "Likes window seats.", Model: "scripted",
		Usage: agent.Usage{Input: 7, Output: 4}}, written); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if sum, err := p.engine.Summary(t.Context(), as); err != nil || sum.Today.Total() != 11 {
		t.Errorf("the agent's tokens today are %+v, %v", sum.Today, err)
	}
}

func TestWhereNothingIsNewNoModelIsAsked(t *testing.T) {
	w, s := newWorld(t), newScribe()
	s.said = nil
	p := s.life(w, nil)
	defer p.end()
	o := summaryOrder("sum")
	delivered(t, p, profile, o, false)
	if c := p.wait(o); c.Phase != agent.Succeeded || c.Attempts != 0 || !strings.Contains(c.Message, "no model was asked") {
		t.Errorf("got %+v", c)
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
}

func TestASummaryOutlivesADeathAtAnyAppend(t *testing.T) {
	for n := 1; n <= 3; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("append %d, after=%v", n, after), func(t *testing.T) {
				t.Parallel()
				w, s, death := newWorld(t), newScribe(), &faulty{dieAt: n, after: after}
				first := s.life(w, death.wrap)
				o := summaryOrder("sum")
				_, _ = first.engine.Submit(t.Context(), profile, o, false) // the process may die of it
				select {
				case <-death.dead:
				case <-time.After(5 * time.Second):
					t.Error("the process did not die")
				}
				first.end()
				before := len(s.requests())

				second := s.life(w, nil)
				defer second.end()
				delivered(t, second, profile, o, false)
				if c := second.wait(o); c.Phase != agent.Succeeded {
					t.Errorf("%s (%s: %s)", c.Phase, c.Reason, c.Message)
				}
				if got := len(recordedSummaries(t, second)); got != 1 {
					t.Errorf("%d summaries are recorded", got)
				}
				recorded := n == 3 && after
				if again := len(s.requests()) - before; recorded && again != 0 || !recorded && again != 1 {
					t.Errorf("the next process asked %d times", again)
				}
			})
		}
	}
}

func recordedSummaries(t *testing.T, p *process) []agent.SummaryWritten {
	t.Helper()
	records, err := p.journal.ReadStream(context.Background(), "travel/concierge", 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all []agent.SummaryWritten
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := event.(agent.SummaryWritten); ok {
			all = append(all, e)
		}
	}
	return all
}

// Of two summaries of one conversation the second reads what the first has written.
func TestSummariesOfAConversationAreWrittenOneAfterTheOther(t *testing.T) {
	w, s := newWorld(t), newScribe()
	open := make(chan struct{})
	written := s.answers
	s.answers = func(ctx context.Context, n int) (agent.SummaryAnswer, error) {
		<-open
		return written(ctx, n)
	}
	p := s.life(w, nil)
	defer p.end()
	as := w.patient(time.Minute)
	as.Model.Timeout = time.Minute
	delivered(t, p, as, summaryOrder("first"), false)
	delivered(t, p, as, summaryOrder("second"), false)
	close(open)
	p.wait(summaryOrder("first"))
	p.wait(summaryOrder("second"))
	end := int64(slices.Index(p.types(), "CommandSucceeded")) + 1
	if s.mu.Lock(); len(s.wanted) != 2 || s.wanted[1].Seen < end || s.wanted[1].UpTo >= end {
		t.Errorf("the first ended at %d, and what was read is %+v", end, s.wanted)
	}
	s.mu.Unlock()
}

func TestAModelThatFailsAtASummaryIsAskedAgainWhereThatMayHelp(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		asked int
		phase agent.Phase
		cost  int
	}{
		"busy":    {fault.NewWait(0, "ModelRateLimited", "Later."), 2, agent.Succeeded, 22},
		"refused": {fault.NewInvalid("SummaryInvalid", "It is empty."), 1, agent.Failed, 11},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := newWorld(t), newScribe()
			good := s.answers
			s.answers = func(ctx context.Context, n int) (agent.SummaryAnswer, error) {
				answer, _ := good(ctx, n)
				if n == 1 {
					return answer, c.err
				}
				return answer, nil
			}
			p := s.life(w, nil)
			defer p.end()
			o := summaryOrder("sum")
			delivered(t, p, profile, o, false)
			got := p.wait(o)
			if got.Phase != c.phase || len(s.requests()) != c.asked || got.Usage.Total() != c.cost {
				t.Errorf("%s (%s) after %d requests that cost %d", got.Phase, got.Reason, len(s.requests()), got.Usage.Total())
			}
			if c.phase == agent.Failed && (got.Reason != "SummaryInvalid" || got.Message != "It is empty.") {
				t.Errorf("it failed with %s: %s", got.Reason, got.Message)
			}
		})
	}
}

func TestASummaryWaitsForAReadSideThatIsBehind(t *testing.T) {
	w, s := newWorld(t), newScribe()
	s.behind = 3
	p := s.life(w, nil)
	defer p.end()
	o := summaryOrder("sum")
	delivered(t, p, profile, o, false)
	if c := p.wait(o); c.Phase != agent.Succeeded || c.Attempts != 1 || len(s.requests()) != 1 {
		t.Errorf("%s after %d attempts and %d requests", c.Phase, c.Attempts, len(s.requests()))
	}
}

func TestACancelledSummaryCutsTheModelOff(t *testing.T) {
	w, s := newWorld(t), newScribe()
	began := make(chan struct{})
	s.answers = func(ctx context.Context, _ int) (agent.SummaryAnswer, error) {
		close(began)
		<-ctx.Done()
		return agent.SummaryAnswer{}, ctx.Err()
	}
	p := s.life(w, nil)
	defer p.end()
	as := profile
	as.Model.Timeout = time.Minute
	o := summaryOrder("sum")
	delivered(t, p, as, o, false)
	<-began
	delivered(t, p, as, o, true)
	if c := p.wait(o); c.Phase != agent.Cancelled || len(recordedSummaries(t, p)) != 0 {
		t.Errorf("%s (%s)", c.Phase, c.Reason)
	}
}
