package view

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/edict-dev/edict/internal/fault"
)

var blockName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Validate returns a fault of kind Invalid that names the first field that no
// context can be built with.
func (d Definition) Validate() error {
	if err := d.validate("", 1); err != nil {
		return err
	}
	if n := d.sections(); n > MaxSections {
		return invalid("blocks", "the view has %d blocks with those of the views that it shows; %d is the most", n, MaxSections)
	}
	return nil
}

// sections returns how many blocks the view has with those of the views that it shows.
func (d Definition) sections() int {
	n := len(d.Blocks)
	for _, b := range d.Blocks {
		if b.View != nil {
			n += b.View.sections()
		}
	}
	return n
}

// validate looks at a view that is depth deep in others; in is the field that shows it.
func (d Definition) validate(in string, depth int) error {
	switch {
	case depth > MaxDepth:
		return invalid(in+"view", "at most %d views are shown in one another; show what is in the innermost one directly", MaxDepth)
	case d.Namespace == "" || d.Name == "":
		return invalid(in+"metadata.name", "a view needs a namespace and a name")
	case d.Agent == "":
		return invalid(in+"agentRef.name", "name the agent whose journal the view reads")
	case len(d.Blocks) < 1 || len(d.Blocks) > MaxBlocks:
		return invalid(in+"blocks", "a view has 1 to %d blocks, not %d", MaxBlocks, len(d.Blocks))
	case d.Budget < 1 || d.Budget > MaxBudget:
		return invalid(in+"budget.tokens", "use 1 to %d tokens, not %d", MaxBudget, d.Budget)
	}
	least := 0
	for i, b := range d.Blocks {
		field := fmt.Sprintf("%sblocks[%d]", in, i)
		if err := b.validate(field); err != nil {
			return err
		}
		if slices.ContainsFunc(d.Blocks[:i], func(o Block) bool { return o.Name == b.Name }) {
			return invalid(field+".name", "another block is called %s; block names differ", b.Name)
		}
		if least += b.MinTokens; least > d.Budget {
			return invalid(field+".minTokens", "the blocks' minimums come to more than the budget of %d tokens; lower one, or raise budget.tokens", d.Budget)
		}
		if b.View == nil {
			continue
		}
		if b.View.Namespace != d.Namespace || b.View.Agent != d.Agent {
			return invalid(field+".view.name", "view %s reads the journal of agent %s; show a view of agent %s", b.View.Name, b.View.Agent, d.Agent)
		}
		if err := b.View.validate(field+".view: ", depth+1); err != nil {
			return err
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
	case b.MaxTokens < 0 || b.MaxTokens > MaxBudget:
		return invalid(field+".maxTokens", "use 1 to %d, or leave it out; not %d", MaxBudget, b.MaxTokens)
	case b.MaxTokens > 0 && b.MaxTokens < b.MinTokens:
		return invalid(field+".maxTokens", "it is less than minTokens, which is %d; raise it, or lower minTokens", b.MinTokens)
	}
	if n := b.sources(); n != 1 {
		return invalid(field, "a block has exactly one of instructions, memories, conversation, documents, turns, results, pending, observations and view, not %d of them", n)
	}
	if err := b.validateStyle(field); err != nil {
		return err
	}
	return b.validateSource(field)
}

func (b Block) sources() (n int) {
	for _, present := range []bool{b.Instructions != nil, b.Memories != nil, b.Conversation != nil, b.Documents != nil,
		b.Turns != nil, b.Results != nil, b.Pending != nil, b.Observations != nil, b.View != nil} {
		if present {
			n++
		}
	}
	return n
}

// validateStyle looks at how a block's items are ranked and written.
func (b Block) validateStyle(field string) error {
	if b.View != nil && (b.Ranking != "" || b.Rendering != "" || b.Template != "") {
		return invalid(field, "another view is shown as its own blocks say; set ranking, rendering and template there")
	}
	switch b.Ranking {
	case "", Newest:
	case Relevance, Lexical, Semantic, Recency, Blended:
		if b.Memories == nil && b.Documents == nil && b.Turns == nil {
			return invalid(field+".ranking", "only memories, documents and turns can be ranked by %s; leave it out", b.Ranking)
		}
	default:
		return invalid(field+".ranking", "use %s, not %q", oneOfRankings, b.Ranking)
	}
	switch b.Rendering {
	case "", Markdown, XML, JSON:
		if b.Template != "" {
			return invalid(field+".template", "it is used with rendering Template alone; set that, or remove the template")
		}
	case Template:
		_, err := parseTemplate(b)
		if err != nil {
			return invalid(field+".template", "%s", err)
		}
	default:
		return invalid(field+".rendering", "use %s, %s, %s or %s, not %q", Markdown, XML, JSON, Template, b.Rendering)
	}
	return nil
}

func (b Block) validateSource(field string) error {
	var items int
	switch {
	case b.Instructions != nil:
		if !names(b.Instructions.Headings) {
			return invalid(field+".instructions.headings", "name at most %d headings, none of them empty", MaxKinds)
		}
		return nil
	case b.Memories != nil:
		if !names(b.Memories.Kinds) {
			return invalid(field+".memories.kinds", "name at most %d kinds, none of them empty", MaxKinds)
		}
		field, items = field+".memories.limit", b.Memories.Limit
	case b.Documents != nil:
		if !names(b.Documents.Collections) {
			return invalid(field+".documents.collections", "name at most %d collections, none of them empty", MaxKinds)
		}
		field, items = field+".documents.limit", b.Documents.Limit
	case b.Conversation != nil:
		field, items = field+".conversation.turns", b.Conversation.Turns
	case b.Turns != nil:
		field, items = field+".turns.limit", b.Turns.Limit
	case b.Results != nil:
		field, items = field+".results.limit", b.Results.Limit
	case b.Pending != nil:
		field, items = field+".pending.limit", b.Pending.Limit
	case b.Observations != nil:
		if !names(b.Observations.Names) {
			return invalid(field+".observations.names", "name at most %d observations, none of them empty", MaxKinds)
		}
		return nil
	default:
		return nil
	}
	if items < 1 || items > MaxItems {
		return invalid(field, "use 1 to %d, not %d", MaxItems, items)
	}
	return nil
}

// names says whether some names can be looked for.
func names(some []string) bool { return len(some) <= MaxKinds && !slices.Contains(some, "") }

func invalid(field, format string, args ...any) error {
	return fault.NewInvalid("InvalidView", "%s: %s", field, fmt.Sprintf(format, args...))
}
