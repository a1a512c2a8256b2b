package view

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/tokens"
)

// Reader is what a context is built from. Rows come newest first.
type Reader interface {
	Head(ctx context.Context, stream string) (int64, error)
	WaitFor(ctx context.Context, stream string, min int64) error
	Messages(ctx context.Context, of projection.Scope, conversation string) ([]projection.Message, error)
	Memories(ctx context.Context, of projection.Scope, kinds ...string) ([]projection.Memory, error)
	Results(ctx context.Context, of projection.Scope, conversation string) ([]projection.Result, error)
	Chunks(ctx context.Context, of projection.Scope, collections ...string) ([]projection.Chunk, error)
	Summaries(ctx context.Context, of projection.Scope, conversation, collection string) ([]projection.Summary, error)
	Overviews(ctx context.Context, of projection.Scope, collection string) ([]projection.Summary, error)
	Pending(ctx context.Context, of projection.Scope, conversation string) ([]projection.Pending, error)
	Observations(ctx context.Context, of projection.Scope) ([]projection.Observation, error)
	Time(ctx context.Context, stream string, sequence int64) (time.Time, error)
}

// Request says which context is wanted.
type Request struct {
	Definition Definition
	Stream     string         // of the definition's agent
	Question   agent.Question // what the context is for
	Sequence   int64          // as of this one; 0: as of the newest that is projected
	Min        int64          // no context that has seen less; 0: any
	MaxTokens  int            // at most this many, if the budget is larger; 0: the budget
}

// Builder builds contexts. Its methods may be called from any goroutine.
type Builder struct {
	reader Reader
	finder Finder
	tokens *tokens.Counter

	generations generations // of the rows that finder has read
}

// NewBuilder returns a builder that reads from reader, and searches with finder;
// without one every block shows the newest. The first builder of a process takes
// some 60 ms, to read the vocabulary.
func NewBuilder(reader Reader, finder Finder) (*Builder, error) {
	counter, err := tokens.New()
	if err != nil {
		return nil, fmt.Errorf("read the token vocabulary: %w", err)
	}
	return &Builder{reader: reader, finder: finder, tokens: counter}, nil
}

// Build returns the context that a request asks for.
//
// It waits until the projection has seen as much as is asked for; when the
// context's deadline comes first it returns the reader's fault of kind Wait, and
// never what is older. A definition or a request that cannot work is a fault of
// kind Invalid, a stream that cannot be read one of kind Corrupt.
func (b *Builder) Build(ctx context.Context, r Request) (agent.Context, error) {
	if err := r.validate(); err != nil {
		return agent.Context{}, err
	}
	return b.ofOneGeneration(ctx, r.Stream, func() (agent.Context, error) { return b.build(ctx, r) })
}

func (b *Builder) build(ctx context.Context, r Request) (agent.Context, error) {
	asOf, err := b.asOf(ctx, r)
	if err != nil {
		return agent.Context{}, err
	}
	root := &node{name: r.Definition.Name, most: r.budget()}
	sections, err := b.read(ctx, r, asOf, root)
	if err != nil {
		return agent.Context{}, fmt.Errorf("build view %s/%s as of sequence %d: %w", r.Definition.Namespace, r.Definition.Name, asOf, err)
	}
	present, err := b.begin(sections, root)
	if err != nil {
		return agent.Context{}, err
	}
	fit(present, root)
	made := agent.Context{View: r.Definition.Name, Definition: r.Definition.Digest(), Sequence: asOf, Budget: r.budget()}
	b.compose(&made, r.Definition, present)
	return made, nil
}

func (r Request) validate() error {
	switch {
	case r.Stream == "":
		return fault.NewInvalid("InvalidRequest", "a context needs the stream that it is built from")
	case r.Sequence < 0 || r.Min < 0 || r.MaxTokens < 0:
		return fault.NewInvalid("InvalidRequest", "a sequence or a number of tokens is less than 0")
	case r.Sequence > 0 && r.Min > r.Sequence:
		return fault.NewInvalid("InvalidRequest", "a context as of sequence %d cannot have seen sequence %d", r.Sequence, r.Min)
	}
	return r.Definition.Validate()
}

func (r Request) budget() int {
	if r.MaxTokens > 0 {
		return min(r.Definition.Budget, r.MaxTokens)
	}
	return r.Definition.Budget
}

// asOf returns the sequence that the context shall have seen, once it is projected.
func (b *Builder) asOf(ctx context.Context, r Request) (int64, error) {
	if least := max(r.Sequence, r.Min); least > 0 {
		if err := b.reader.WaitFor(ctx, r.Stream, least); err != nil {
			return 0, err
		}
	}
	if r.Sequence > 0 {
		return r.Sequence, nil
	}
	return b.reader.Head(ctx, r.Stream)
}

// read returns the blocks with all that they may show.
func (b *Builder) read(ctx context.Context, r Request, asOf int64, root *node) ([]*section, error) {
	now, err := b.reader.Time(ctx, r.Stream, asOf)
	if err != nil {
		return nil, fmt.Errorf("read the time of the journal: %w", err)
	}
	// Few tokens are longer than 8 bytes: what is cut off here no budget would hold.
	by := &reading{Builder: b, stream: r.Stream, asOf: asOf, now: now, question: r.Question, clip: 8 * r.budget(), budget: r.budget()}
	return by.view(ctx, r.Definition, place{depth: 1, node: root})
}

// begin counts what the sections that are there take when they are empty, with the
// empty lines between them.
func (b *Builder) begin(sections []*section, root *node) ([]*packing, error) {
	var present []*packing
	for _, s := range sections {
		if !s.absent {
			present = append(present, &packing{section: s, counter: b.tokens, limit: 8*root.most + MaxTemplate})
		}
	}
	for i, p := range present {
		p.begin()
		if i < len(present)-1 {
			p.node.charge(1)
		}
	}
	for _, p := range present {
		for n := p.node; n != nil; n = n.parent {
			switch {
			case n.used <= n.most:
			case n == root:
				return nil, fault.NewInvalid("BudgetTooSmall",
					"View %s has %d tokens to use, and its blocks take %d when they are empty; raise budget.tokens or maxTokens, or remove a block.",
					root.name, root.most, root.used)
			case root.used <= root.most:
				return nil, fault.NewInvalid("BudgetTooSmall",
					"Block or view %s in view %s may take %d tokens, and takes %d when it is empty; raise its maxTokens, or the budget of the view.",
					n.name, root.name, n.most, n.used)
			}
		}
	}
	return present, nil
}

// compose writes the text and says what each block took. An absent block is told
// of with nothing in it.
func (b *Builder) compose(made *agent.Context, d Definition, present []*packing) {
	for _, block := range d.Blocks {
		made.Blocks = append(made.Blocks, agent.ContextBlock{Name: block.Name})
	}
	var text strings.Builder
	for n, p := range present {
		told := &made.Blocks[p.owner]
		items, words := p.chosen()
		pieces, _ := p.written(items, words)
		if end := len(pieces) - 1; n < len(present)-1 {
			pieces[end] = b.spaced(pieces[end])
		}
		for _, piece := range pieces {
			tokens := b.tokens.Count(piece)
			told.Tokens += tokens
			made.Tokens += tokens
			text.WriteString(piece)
		}
		told.Items += len(items) + len(p.summaries)
		told.Cut += p.out
	}
	made.Text = text.String()
	made.Digest = digest([]byte(made.Text))
}

// spaced adds the empty line that separates two blocks, unless that takes more
// than the one token that is set aside for it.
func (b *Builder) spaced(piece string) string {
	if spaced := piece + "\n"; b.tokens.Count(spaced) <= b.tokens.Count(piece)+1 {
		return spaced
	}
	return piece
}
