package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/view"
)

// comparison is the one path that is asked with a body.
var comparison = regexp.MustCompile(`^/v1/namespaces/[^/]+/contextviews/[^/]+/compare$`)

const (
	longestManifest  = 256 << 10 // bytes
	usualQuestions   = 20
	mostQuestions    = 200
	farthestQuestion = 100_000 // records back from the stream's end
	mostLines        = 20      // that are listed of what only one of the two shows
	longestLine      = 200     // bytes, of these and of a question
)

// comparisons is two definitions on questions that were asked.
type comparisons struct {
	View      string     `json:"view"`
	Stream    string     `json:"stream"`
	Current   string     `json:"current"`   // digest of the definition that is declared
	Candidate string     `json:"candidate"` // digest of the definition that was sent
	Summary   summary    `json:"summary"`
	Questions []contrast `json:"questions"` // the last that was asked first
}

// summary is the means over the questions.
type summary struct {
	Questions       int     `json:"questions"`
	Same            int     `json:"same"` // whose context is the same, byte for byte
	TokensCurrent   float64 `json:"tokensCurrent"`
	TokensCandidate float64 `json:"tokensCandidate"`
	Overlap         float64 `json:"overlap"`
}

// contrast is one question, and what either definition makes of it as of the
// sequence at which it was answered.
type contrast struct {
	Key           string   `json:"key"` // of the ask
	Step          int      `json:"step"`
	Sequence      int64    `json:"sequence"`
	Conversation  string   `json:"conversation"`
	Question      string   `json:"question"`
	TokensThen    int      `json:"tokensThen"` // of the context that was recorded
	Current       compared `json:"current"`
	Candidate     compared `json:"candidate"`
	Overlap       float64  `json:"overlap"`       // the share of all their lines that both have, 1 if they show the same
	OnlyCurrent   excerpt  `json:"onlyCurrent"`   // what the candidate drops
	OnlyCandidate excerpt  `json:"onlyCandidate"` // what is dropped today
	question      agent.Question
}

// compared is what one definition makes of a question; a block's cut is what did not fit.
type compared struct {
	Digest string               `json:"digest"`
	Tokens int                  `json:"tokens"`
	Blocks []agent.ContextBlock `json:"blocks"`
}

// excerpt is lines, and how many there are of them in all.
type excerpt struct {
	Count int      `json:"count"`
	Lines []string `json:"lines"`
}

// compare answers with what another definition of a view would have shown for the
// questions that the view's contexts were built for. It declares and records nothing.
//
// A definition can show anything of its agent's stream, and the questions were
// somebody's. So who compares must be allowed to read the stream as well as the view.
func (h *handler) compare(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return &problem{Status: http.StatusMethodNotAllowed, Reason: "MethodNotAllowed", Detail: "A comparison is asked for with POST, and changes nothing.",
			Remedy: "POST the ContextView to compare with, in YAML or JSON."}
	}
	p := parametersOf(r, "limit")
	limit := cmp.Or(p.number("limit", 1), usualQuestions)
	if limit > mostQuestions {
		p.refuse("limit", "it is at most %d", mostQuestions)
	}
	if p.bad != nil {
		return p.bad
	}
	namespace, name, err := named(r)
	if err != nil {
		return err
	}
	if _, err := accepted(r, jsonType); err != nil {
		return err
	}
	current, stream, err := h.comparing(r, namespace, name)
	if err != nil {
		return err
	}
	candidate, err := h.candidate(w, r, current)
	if err != nil {
		return err
	}
	questions, err := inPast(h, func() ([]contrast, error) {
		questions, err := h.asked(r.Context(), stream, name, int(limit))
		for i := 0; err == nil && i < len(questions); i++ {
			err = h.compareOne(r.Context(), stream, current, candidate, &questions[i])
		}
		return questions, err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, comparisons{View: name, Stream: stream, Current: current.Digest(), Candidate: candidate.Digest(),
		Summary: sum(questions), Questions: questions})
}

// comparing returns the view and its agent's stream, if the reader may read both.
func (h *handler) comparing(r *http.Request, namespace, name string) (view.Definition, string, error) {
	if err := h.allow(r, "get", "contextviews", namespace, name); err != nil {
		return view.Definition{}, "", err
	}
	current, stream, err := h.viewed(r.Context(), namespace, name)
	if err != nil {
		return current, "", err
	}
	if err := h.allow(r, "get", "agents", namespace, current.Agent); err != nil {
		return current, "", err
	}
	return current, stream, h.allow(r, "get", "commands", namespace, "")
}

// candidate reads the definition to compare with.
func (h *handler) candidate(w http.ResponseWriter, r *http.Request, current view.Definition) (view.Definition, error) {
	manifest, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestManifest))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return view.Definition{}, &problem{Status: http.StatusRequestEntityTooLarge, Reason: "BodyTooLarge",
			Detail: fmt.Sprintf("The body has more than %d KiB.", longestManifest>>10), Remedy: "Send one ContextView."}
	}
	if err != nil {
		return view.Definition{}, fmt.Errorf("read the body: %w", err)
	}
	d, err := h.Views.Candidate(r.Context(), current.Namespace, current.Name, manifest)
	if err == nil && d.Agent != current.Agent {
		err = fault.NewInvalid("InvalidView", "spec.agentRef.name: the view reads the journal of agent %s, and its questions were asked there; compare with a view of the same agent", current.Agent)
	}
	if err == nil {
		err = d.Validate()
	}
	if fault.Is(err, fault.Invalid) {
		return d, &problem{Status: http.StatusBadRequest, Reason: fault.Of(err).Reason, Parameter: "body", Detail: fault.Of(err).Message,
			Remedy: "Change the ContextView that is sent."}
	}
	return d, err
}

// asked returns the last questions that a view's contexts were built for, newest
// first. An ask whose context was built in several steps counts as often.
func (h *handler) asked(ctx context.Context, stream, name string, limit int) ([]contrast, error) {
	end, err := h.Journal.Head(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("read the head of %s: %w", stream, err)
	}
	questions := []contrast{}
	for oldest := max(0, end-farthestQuestion); end > oldest && len(questions) < limit; end -= page {
		from := max(1, end-page+1)
		want := reading{stream: stream, next: from, left: end - from + 1}
		records, err := h.readPage(ctx, &want)
		if err != nil {
			return nil, err
		}
		for _, record := range slices.Backward(records) {
			built, ok := decoded[agent.ContextBuilt](record, "ContextBuilt")
			if !ok || built.View != name || len(questions) == limit {
				continue
			}
			questions = append(questions, contrast{Key: record.Subject, Step: built.Step, Sequence: built.Sequence, TokensThen: built.Tokens})
		}
	}
	return questions, h.recall(ctx, stream, questions)
}

// recall fills in what was asked.
func (h *handler) recall(ctx context.Context, stream string, questions []contrast) error {
	known := map[string]agent.Question{}
	for i := range questions {
		q := &questions[i]
		if _, ok := known[q.Key]; !ok {
			records, err := h.subject(ctx, stream, q.Key)
			if err != nil {
				return err
			}
			past := told(stream, records) // there is one at least: that of the context
			known[q.Key] = agent.Question{Conversation: past.Conversation, Text: past.Question}
		}
		q.question = known[q.Key]
		q.Conversation, q.Question = q.question.Conversation, shortened(q.question.Text)
	}
	return nil
}

func (h *handler) compareOne(ctx context.Context, stream string, current, candidate view.Definition, q *contrast) error {
	var texts [2]string
	for i, side := range []struct {
		definition view.Definition
		into       *compared
	}{{current, &q.Current}, {candidate, &q.Candidate}} {
		built, err := h.Contexts.Build(ctx, view.Request{Definition: side.definition, Stream: stream, Question: q.question, Sequence: q.Sequence})
		if err != nil {
			return err
		}
		*side.into = compared{Digest: built.Digest, Tokens: built.Tokens, Blocks: built.Blocks}
		texts[i] = built.Text
	}
	both, onlyCurrent, onlyCandidate := difference(linesIn(texts[0]), linesIn(texts[1]))
	q.Overlap = 1
	if all := both + onlyCurrent.Count + onlyCandidate.Count; all > 0 {
		q.Overlap = float64(both) / float64(all)
	}
	q.OnlyCurrent, q.OnlyCandidate = onlyCurrent, onlyCandidate
	return nil
}

// linesIn returns the lines that say something.
func linesIn(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// difference returns how many lines are in both, each as often as it is, and those
// that are in one alone, in its order.
func difference(a, b []string) (both int, onlyA, onlyB excerpt) {
	left, matched := map[string]int{}, map[string]int{}
	for _, line := range b {
		left[line]++
	}
	onlyA, onlyB = excerpt{Lines: []string{}}, excerpt{Lines: []string{}}
	for _, line := range a {
		if left[line] == 0 {
			onlyA.add(line)
			continue
		}
		left[line]--
		matched[line]++
		both++
	}
	for _, line := range b {
		if matched[line] == 0 {
			onlyB.add(line)
			continue
		}
		matched[line]--
	}
	return both, onlyA, onlyB
}

func (e *excerpt) add(line string) {
	if e.Count++; len(e.Lines) < mostLines {
		e.Lines = append(e.Lines, shortened(line))
	}
}

// shortened cuts a line to what is listed of it, without splitting a character.
func shortened(line string) string {
	if len(line) <= longestLine {
		return line
	}
	return strings.ToValidUTF8(line[:longestLine], "") + "…"
}

func sum(questions []contrast) (s summary) {
	s.Questions = len(questions)
	if s.Questions == 0 {
		return s
	}
	for i := range questions {
		q := &questions[i]
		if q.Current.Digest == q.Candidate.Digest {
			s.Same++
		}
		s.TokensCurrent += float64(q.Current.Tokens)
		s.TokensCandidate += float64(q.Candidate.Tokens)
		s.Overlap += q.Overlap
	}
	n := float64(s.Questions)
	s.TokensCurrent, s.TokensCandidate, s.Overlap = s.TokensCurrent/n, s.TokensCandidate/n, s.Overlap/n
	return s
}
