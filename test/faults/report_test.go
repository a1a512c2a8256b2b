package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// report is what the campaign prints at its end. Its zero value is ready to use.
type report struct {
	mu     sync.Mutex
	parts  []*findings
	caught []caught
}

// caught is a defect with the violation that gave it away.
type caught struct {
	defect, by, violation string // no violation: it was missed
}

func (r *report) add(f *findings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, f)
}

func (r *report) addCaught(c caught) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.caught = append(r.caught, c)
}

// write prints the report, and keeps it in bin/faults/report.md. A campaign of which no part ran has none.
func (r *report) write(c *campaign) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.parts) == 0 && len(r.caught) == 0 {
		return nil
	}
	text := r.text(c)
	fmt.Print("\n" + text)
	dir := filepath.Join(c.root, "bin", "faults")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), []byte(text), 0o644)
}

func (r *report) text(c *campaign) string {
	var b strings.Builder
	repeat := fmt.Sprintf("make faults EDICT_SEED=%d FAULTS_BUDGET=%s", c.seed, c.budget)
	if c.kills > 0 {
		repeat += fmt.Sprintf(" EDICT_KILLS=%d", c.kills)
	}
	fmt.Fprintf(&b, "Seed %d, %s. To repeat it: `%s`\n\n", c.seed, time.Since(c.began).Round(time.Second), repeat)
	slices.SortFunc(r.parts, func(x, y *findings) int { return strings.Compare(x.part, y.part) })
	r.partsTable(&b)
	r.faultsTable(&b)
	r.defectsTable(&b)
	return b.String()
}

func (r *report) partsTable(b *strings.Builder) {
	b.WriteString("| part | faults | commands | effects | duplicates | lost | unknown | longest stall | converged after | violations |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	var sum counts
	faults, violations := 0, 0
	var stall, converge time.Duration
	row := func(part string, faults int, n counts, stall, converge time.Duration, violations int) {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %s | %s | %d |\n", part, faults,
			n.commands, n.effects, n.duplicates, n.lost, n.unknown, seconds(stall), seconds(converge), violations)
	}
	for _, f := range r.parts {
		injected := 0
		for _, n := range f.injected() {
			injected += n
		}
		row(f.part, injected, f.counts, f.stall, f.converge, len(f.violations))
		sum = counts{sum.commands + f.counts.commands, sum.effects + f.counts.effects, sum.duplicates + f.counts.duplicates,
			sum.lost + f.counts.lost, sum.unknown + f.counts.unknown}
		faults, violations = faults+injected, violations+len(f.violations)
		stall, converge = max(stall, f.stall), max(converge, f.converge)
	}
	row("**all**", faults, sum, stall, converge, violations)
}

func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func (r *report) faultsTable(b *strings.Builder) {
	total := map[string]int{}
	for _, f := range r.parts {
		for kind, n := range f.injected() {
			total[kind] += n
		}
	}
	if len(total) == 0 {
		return
	}
	b.WriteString("\n| fault | injected |\n|---|---:|\n")
	for _, kind := range slices.Sorted(maps.Keys(total)) {
		fmt.Fprintf(b, "| %s | %d |\n", kind, total[kind])
	}
}

func (r *report) defectsTable(b *strings.Builder) {
	if len(r.caught) == 0 {
		return
	}
	b.WriteString("\n| seeded defect | caught by | what gave it away |\n|---|---|---|\n")
	for _, c := range r.caught {
		what := strings.ReplaceAll(strings.SplitN(c.violation, "\n", 2)[0], "|", `\|`)
		if what == "" {
			what = "**nothing: it was missed**"
		}
		fmt.Fprintf(b, "| `%s` | %s | %.200s |\n", c.defect, c.by, what)
	}
}
