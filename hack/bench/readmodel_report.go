package main

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// readModelText is the part of the report that is about reading.
var readModelText = template.Must(template.New("views").Parse(`
## Reading

A journal of {{.Events}} events of {{.Streams}} agents, of which one remembers {{.Memories}} things. Each context is for another question of
some ten words, and between two questions one more thing is saved; how long that takes to be there is the lag. The first
context is that of a process that has just started, and indexes what the agent remembers.

| store | view | p50 ms | target | p99 ms | target | tokens |
|---|---|---|---|---|---|---|
{{range .Contexts}}| {{.}} |
{{end}}
The lag is from when an append has returned until all of it is projected. A projection is made anew of all events; its
share is of the rate at which they are merely read, right before and right after.

| store | events/s appended | lag p50 ms | lag p99 ms | target | rebuild, events/s | read, events/s | share | target |
|---|---|---|---|---|---|---|---|---|
{{range .Projections}}| {{.}} |
{{end}}
The heap is what is in use in the end, with the index and the token vocabulary.

| store | first context, s | heap MB | process MB | journal MB | projection MB |
|---|---|---|---|---|---|
{{range .Costs}}| {{.}} |
{{end}}`))

// readModelPage is what the text wants.
type readModelPage struct {
	Events, Memories, Streams    int
	Contexts, Projections, Costs []string
}

// readModels is the part of the report that is about reading; empty if it was not measured.
func readModels(all []readModelResult) (string, error) {
	if len(all) == 0 {
		return "", nil
	}
	p := readModelPage{Events: all[0].Events, Memories: all[0].Memories, Streams: 1 + neighbours}
	for _, r := range all {
		for _, c := range r.Contexts {
			p.Contexts = append(p.Contexts, strings.Join([]string{r.Store, c.Name,
				fmt.Sprintf("%.1f | < %.0f | %.1f | < %.0f | %.0f", c.P50, contextP50Target, c.P99, contextP99Target, c.Tokens)}, " | "))
		}
		p.Projections = append(p.Projections, r.projected())
		p.Costs = append(p.Costs, fmt.Sprintf("%s | %.1f | %s", r.Store, r.First/1000,
			cells("%.0f", megabytes(r.Heap), megabytes(r.RSS), megabytes(r.JournalBytes), megabytes(r.ProjectionBytes))))
	}
	var text strings.Builder
	err := readModelText.Execute(&text, p)
	return text.String(), err
}

func (r readModelResult) projected() string {
	read := median(r.Reads)
	shares := []float64{r.Rebuild / slices.Max(r.Reads), r.Rebuild / slices.Min(r.Reads)}
	return fmt.Sprintf("%s | %s | < %.0f | %.0f | %.0f | %.2f (%.2f to %.2f) | ≥ %.2f", r.Store, cells("%.1f", r.Lag.PerSecond, r.Lag.P50, r.Lag.P99),
		lagTarget, r.Rebuild, read, r.Rebuild/read, shares[0], shares[1], rebuildShareTarget)
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
