package view

import (
	"context"
	"fmt"
	"strings"

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
	tokens *tokens.Counter
}

// NewBuilder returns a builder that reads from reader. The first one of a process
// takes some 60 ms, to read the vocabulary.
func NewBuilder(reader Reader) (*Builder, error) {
	counter, err := tokens.New()
	if err != nil {
		return nil, fmt.Errorf("read the token vocabulary: %w", err)
	}
	return &Builder{reader: reader, tokens: counter}, nil
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
	asOf, err := b.asOf(ctx, r)
	if err != nil {
		return agent.Context{}, err
	}
	budget := r.budget()
	sections, err := b.read(ctx, r, asOf)
	if err != nil {
		return agent.Context{}, fmt.Errorf("build view %s/%s as of sequence %d: %w", r.Definition.Namespace, r.Definition.Name, asOf, err)
	}
	present := make([]priced, 0, len(sections))
	room := budget
	for _, s := range sections {
		if s.absent {
			continue
		}
		if len(present) > 0 {
			room-- // the empty line between two blocks
		}
		present = append(present, price(s, b.tokens, budget))
	}
	if least := floors(present); least > room {
		return agent.Context{}, fault.NewInvalid("BudgetTooSmall",
			"View %s has %d tokens to use, and its blocks take %d when they are empty; raise budget.tokens or maxTokens, or remove a block.",
			r.Definition.Name, budget, least+budget-room)
	}
	made := agent.Context{View: r.Definition.Name, Definition: r.Definition.Digest(), Sequence: asOf, Budget: budget}
	b.compose(&made, sections, present, fit(present, room))
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
func (b *Builder) read(ctx context.Context, r Request, asOf int64) ([]section, error) {
	// Few tokens are longer than 8 bytes: what is cut off here no budget would hold.
	clip := 8 * r.budget()
	sections := make([]section, 0, len(r.Definition.Blocks))
	for _, block := range r.Definition.Blocks {
		s, err := b.readBlock(ctx, block, r, asOf, clip)
		if err != nil {
			return nil, fmt.Errorf("read block %s: %w", block.Name, err)
		}
		sections = append(sections, s)
	}
	return sections, nil
}

func (b *Builder) readBlock(ctx context.Context, block Block, r Request, asOf int64, clip int) (section, error) {
	of := projection.Scope{Stream: r.Stream, AsOf: asOf}
	switch {
	case block.Memories != nil:
		of.Limit = block.Memories.Limit
		memories, err := b.reader.Memories(ctx, of, block.Memories.Kinds...)
		return memoriesSection(block, memories, clip), err
	case block.Results != nil:
		of.Limit = block.Results.Limit
		results, err := b.reader.Results(ctx, of, r.Question.Conversation)
		return resultsSection(block, results, clip), err
	}
	name := block.Conversation.Name
	if name == "" {
		name = r.Question.Conversation
	}
	if name == "" {
		return section{block: block, absent: true}, nil
	}
	of.Limit = block.Conversation.Turns
	turns, err := b.reader.Messages(ctx, of, name)
	return conversationSection(block, name, turns, clip), err
}

func floors(sections []priced) (least int) {
	for _, s := range sections {
		least += s.floor()
	}
	return least
}

// compose writes the text and says what each block took. An absent block is told
// of with nothing in it.
func (b *Builder) compose(made *agent.Context, sections []section, present []priced, choices []choice) {
	var text strings.Builder
	next := 0
	for _, s := range sections {
		told := agent.ContextBlock{Name: s.block.Name}
		if !s.absent {
			c := choices[next]
			next++
			pieces := s.pieces(c)
			if next < len(present) {
				end := len(pieces) - 1
				pieces[end] = b.spaced(pieces[end])
			}
			for _, piece := range pieces {
				told.Tokens += b.tokens.Count(piece)
				text.WriteString(piece)
			}
			told.Items, told.Cut = c.shown(), s.cut(c)
		}
		made.Tokens += told.Tokens
		made.Blocks = append(made.Blocks, told)
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
