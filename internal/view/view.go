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
	"slices"

	"github.com/edict-dev/edict/internal/document"
)

// format counts the changes in how contexts are rendered. It is part of every
// definition's digest: who compares contexts sees that another version made them.
//
// 2: blocks take the budget item by item, by marginal value, where each had a
// share of it before; and a memory that has expired is shown no more.
const format = 2

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
	Name      string    `json:"name"`
	Weight    int       `json:"weight"`              // what its items are worth beside those of other blocks; 0 means 1
	MinTokens int       `json:"minTokens"`           // what it gets before the weights count, if it has so much
	MaxTokens int       `json:"maxTokens,omitempty"` // what it takes at the most; 0: the budget
	Ranking   Ranking   `json:"ranking,omitempty"`   // empty: what is best for its source
	Rendering Rendering `json:"rendering,omitempty"` // empty: Markdown
	Template  string    `json:"template,omitempty"`  // with rendering Template

	Instructions *Instructions `json:"instructions,omitempty"`
	Memories     *Memories     `json:"memories,omitempty"`
	Conversation *Conversation `json:"conversation,omitempty"`
	Documents    *Documents    `json:"documents,omitempty"`
	Turns        *Turns        `json:"turns,omitempty"`
	Results      *Results      `json:"results,omitempty"`
	Pending      *Pending      `json:"pending,omitempty"`
	Observations *Observations `json:"observations,omitempty"`
	View         *Definition   `json:"view,omitempty"` // another view of the same agent
}

// Instructions is a source: what the agent's author wrote, from the beginning. It
// is part of the definition, so that a context stays a function of that.
type Instructions struct {
	Text     string   `json:"text"`
	Headings []string `json:"headings,omitempty"` // empty: all of the text; else what stands under these of its Markdown headings
}

// Excerpt returns what the block shows of the text, and which headings the text does not have.
func (i Instructions) Excerpt() (text string, missing []string) {
	if len(i.Headings) == 0 {
		return i.Text, nil
	}
	return document.Excerpt(i.Text, i.Headings)
}

// Memories is a source: what the agent remembers, best first.
type Memories struct {
	Kinds []string `json:"kinds,omitempty"` // empty: all
	Limit int      `json:"limit"`
}

// Conversation is a source: the last turns, oldest first.
type Conversation struct {
	Name    string `json:"name,omitempty"`    // empty: the question's; without one the block is left out
	Turns   int    `json:"turns"`             // a turn is one message of either side
	Summary bool   `json:"summary,omitempty"` // the newest summary that fits stands in the place of the turns that it covers
}

// Documents is a source: passages of documents that answer the question, best first.
type Documents struct {
	Collections []string `json:"collections,omitempty"` // empty: all
	Limit       int      `json:"limit"`                 // passages found; their neighbours are not counted
	Summary     bool     `json:"summary,omitempty"`     // before them the newest summary that fits of each collection: of those named, or of those that the passages are of
}

// Turns is a source: turns of the question's conversation that answer it and that
// no conversation block shows, oldest first. Without a conversation it is left out.
type Turns struct {
	Limit int `json:"limit"` // turns found; their neighbours are not counted
}

// Results is a source: what came of the last calls, oldest first. Those that were
// issued in a conversation are seen in that conversation alone.
type Results struct {
	Limit  int  `json:"limit"`
	Latest bool `json:"latest,omitempty"` // of each operation with the same arguments the newest alone
}

// Pending is a source: commands that have not ended, oldest first, but for asks,
// which are what contexts are made for. It sees what Results sees.
type Pending struct {
	Limit int `json:"limit"`
}

// Rendering is how a block is written.
type Rendering string

// The renderings.
const (
	Markdown Rendering = "Markdown" // a heading, and a list item for each
	XML      Rendering = "XML"      // an element for each in a <block>
	JSON     Rendering = "JSON"     // an object with a list
	Template Rendering = "Template" // what the block's template makes of its items
)

// Bounds of a definition.
const (
	MaxBlocks   = 16
	MaxSections = 64  // blocks of a view and of those that it shows, together
	MaxDepth    = 4   // views in one another
	MaxItems    = 200 // of one block
	MaxKinds    = 16
	MaxWeight   = 1000
	MaxBudget   = 1_000_000
	MaxTemplate = 4 << 10 // bytes
)

// Digest identifies the definition and the format of its rendering.
func (d Definition) Digest() string {
	raw, err := json.Marshal(struct {
		Format     int        `json:"format"`
		Definition Definition `json:"definition"`
	}{format, d.plain()})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return digest(raw)
}

// plain returns the definition with what is left out filled in, where that says the same.
func (d Definition) plain() Definition {
	d.Blocks = slices.Clone(d.Blocks)
	for i := range d.Blocks {
		b := &d.Blocks[i]
		b.Weight = b.weight()
		if b.Rendering == Markdown {
			b.Rendering = ""
		}
		if b.View != nil {
			shown := b.View.plain()
			b.View = &shown
		}
	}
	return d
}

func (b Block) weight() int { return max(b.Weight, 1) }

// ranking returns how the block's items are ranked for a question.
func (b Block) ranking(question string) Ranking {
	switch {
	case b.Ranking != "":
		return b.Ranking
	case b.Memories != nil && question != "":
		return Blended
	case b.Documents != nil, b.Turns != nil:
		return Relevance
	}
	return Newest
}

// digest is spelled like the journal's.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
