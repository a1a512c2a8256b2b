// Package view renders contexts: what an agent knows before it decides, as
// prompt-ready text within a token budget.
//
// A context is a pure function of a definition, the journal up to a sequence and
// a question: the same three give the same bytes and the same digest, whenever
// and wherever they are asked for. Nothing here reads a clock, and building a
// context changes nothing.
//
// It does not know where a definition was declared, who may read a context, what
// a model is, or how its text is fenced off in a prompt. It does not know how a
// journal is stored, only what is projected from it.
package view

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/edict-dev/edict/internal/fault"
)

// format counts the changes in how contexts are rendered. It is part of every
// definition's digest: who compares contexts sees that another version made them.
const format = 1

// Definition is a declared read model.
type Definition struct {
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Agent     string  `json:"agent"`  // name of the agent whose stream it reads
	Blocks    []Block `json:"blocks"` // in this order in the context
	Budget    int     `json:"budget"` // tokens of the whole text, at most
}

// Block is one part of a context, with exactly one source.
type Block struct {
	Name      string `json:"name"`
	Weight    int    `json:"weight"`    // its part of what the minimums leave; 0 means 1
	MinTokens int    `json:"minTokens"` // what it gets before the weights count, if it has so much

	Memories     *Memories     `json:"memories,omitempty"`
	Conversation *Conversation `json:"conversation,omitempty"`
	Results      *Results      `json:"results,omitempty"`
}

// Memories is a source: what the agent remembers, newest first.
type Memories struct {
	Kinds []string `json:"kinds,omitempty"` // empty: all
	Limit int      `json:"limit"`
}

// Conversation is a source: the last turns, oldest first.
type Conversation struct {
	Name  string `json:"name,omitempty"` // empty: the question's; without one the block is left out
	Turns int    `json:"turns"`          // a turn is one message of either side
}

// Results is a source: what came of the last calls, oldest first. Those that were
// issued in a conversation are seen in that conversation alone.
type Results struct {
	Limit int `json:"limit"`
}

// Bounds of a definition.
const (
	MaxBlocks = 16
	MaxItems  = 200 // of one block
	MaxKinds  = 16
	MaxWeight = 1000
	MaxBudget = 1_000_000
)

// Digest identifies the definition and the format of its rendering.
func (d Definition) Digest() string {
	d.Blocks = slices.Clone(d.Blocks)
	for i := range d.Blocks {
		d.Blocks[i].Weight = d.Blocks[i].weight()
	}
	raw, err := json.Marshal(struct {
		Format     int        `json:"format"`
		Definition Definition `json:"definition"`
	}{format, d})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return digest(raw)
}

func (b Block) weight() int { return max(b.Weight, 1) }

// digest is spelled like the journal's.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var blockName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Validate returns a fault of kind Invalid that names the first field that no
// context can be built with.
func (d Definition) Validate() error {
	switch {
	case d.Namespace == "" || d.Name == "":
		return invalid("metadata.name", "a view needs a namespace and a name")
	case d.Agent == "":
		return invalid("agentRef.name", "name the agent whose journal the view reads")
	case len(d.Blocks) < 1 || len(d.Blocks) > MaxBlocks:
		return invalid("blocks", "a view has 1 to %d blocks, not %d", MaxBlocks, len(d.Blocks))
	case d.Budget < 1 || d.Budget > MaxBudget:
		return invalid("budget.tokens", "use 1 to %d tokens, not %d", MaxBudget, d.Budget)
	}
	least := 0
	for i, b := range d.Blocks {
		field := fmt.Sprintf("blocks[%d]", i)
		if err := b.validate(field); err != nil {
			return err
		}
		if slices.ContainsFunc(d.Blocks[:i], func(o Block) bool { return o.Name == b.Name }) {
			return invalid(field+".name", "another block is called %s; block names differ", b.Name)
		}
		if least += b.MinTokens; least > d.Budget {
			return invalid(field+".minTokens", "the blocks' minimums come to more than the budget of %d tokens; lower one, or raise budget.tokens", d.Budget)
		}
	}
	return nil
}

func (b Block) validate(field string) error {
	switch {
	case !blockName.MatchString(b.Name):
		return invalid(field+".name", "use 1 to 63 lower-case letters, digits and inner dashes")
	case b.Weight < 0 || b.Weight > MaxWeight:
		return invalid(field+".weight", "use 1 to %d, not %d", MaxWeight, b.Weight)
	case b.MinTokens < 0:
		return invalid(field+".minTokens", "use 0 or more, not %d", b.MinTokens)
	}
	sources := 0
	for _, present := range []bool{b.Memories != nil, b.Conversation != nil, b.Results != nil} {
		if present {
			sources++
		}
	}
	if sources != 1 {
		return invalid(field, "a block has exactly one of memories, conversation and results, not %d of them", sources)
	}
	return b.validateSource(field)
}

func (b Block) validateSource(field string) error {
	var items int
	switch {
	case b.Memories != nil:
		if len(b.Memories.Kinds) > MaxKinds || slices.Contains(b.Memories.Kinds, "") {
			return invalid(field+".memories.kinds", "name at most %d kinds, none of them empty", MaxKinds)
		}
		field, items = field+".memories.limit", b.Memories.Limit
	case b.Conversation != nil:
		field, items = field+".conversation.turns", b.Conversation.Turns
	default:
		field, items = field+".results.limit", b.Results.Limit
	}
	if items < 1 || items > MaxItems {
		return invalid(field, "use 1 to %d, not %d", MaxItems, items)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return fault.NewInvalid("InvalidView", "%s: %s", field, fmt.Sprintf(format, args...))
}
