package view

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/edict-dev/edict/internal/projection"
)

// observationsRead is how many observations are looked through for those that a block names.
const observationsRead = 1000

// Observations is a source: what Kubernetes objects said when they were last observed, by the observation's name.
type Observations struct {
	Names []string `json:"names,omitempty"` // in this order; empty: all, by name
}

func (r *reading) observations(ctx context.Context, s *section) error {
	of := s.block.Observations
	s.called("what was observed in Kubernetes", "further", "observation", "observations")
	rows, err := r.reader.Observations(ctx, r.scope(observationsRead))
	if err != nil {
		return err
	}
	if len(of.Names) > 0 {
		rows = slices.DeleteFunc(rows, func(o projection.Observation) bool { return !slices.Contains(of.Names, o.Name) })
	}
	slices.SortFunc(rows, func(a, b projection.Observation) int {
		if len(of.Names) > 0 {
			return slices.Index(of.Names, a.Name) - slices.Index(of.Names, b.Name)
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, row := range rows[:min(len(rows), MaxItems)] {
		s.items = append(s.items, observationItem(row, r.clip))
	}
	return nil
}

func observationItem(o projection.Observation, clip int) item {
	object, text, missing := inline(o.Object), fieldsOf(o.Fields), ""
	if o.Missing {
		text, missing = "There was no such object.", "true"
	}
	head := "- " + inline(o.Name) + " (observed " + stamp(o.Time) + "):"
	i := made("observation", head, text, clip, inline(o.Name), object, missing, stamp(o.Time))
	i.sequence, i.lead = o.Sequence, object
	return i
}

// unbroken spells the line breaks that JSON leaves as they are in a string.
var unbroken = strings.NewReplacer("\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`)

// fieldsOf writes the fields of an observation, each with its value as JSON in a
// line: what an object says cannot begin a line, and so passes for no other field.
func fieldsOf(fields string) string {
	var values map[string]json.RawMessage
	if json.Unmarshal([]byte(fields), &values) != nil {
		return fields // canonical JSON always is; whatever else it might be is shown as it is
	}
	lines := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, inline(name)+": "+unbroken.Replace(string(values[name])))
	}
	return strings.Join(lines, "\n")
}
