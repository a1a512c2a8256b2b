package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"
)

// machine says where the figures come from.
type machine struct {
	At   time.Time `json:"at"`
	OS   string    `json:"os"`
	Arch string    `json:"arch"`
	CPUs int       `json:"cpus"`
	Go   string    `json:"go"`
	Load string    `json:"loadAverage,omitempty"` // of the last minute, before anything was started
}

func describeMachine() machine {
	m := machine{At: time.Now().UTC().Truncate(time.Second), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(load), " ")
	}
	return m
}

// report is everything that was measured.
type report struct {
	options   options
	machine   machine
	journals  []journalResult // none if not asked for, and so on
	scenarios []scenarioResult
	replicas  []replicasResult
	views     []readModelResult
}

// reportText is Markdown. A table's cells are padded by nobody: it is read rendered, or as it is.
var reportText = template.Must(template.New("report").Parse(`
# Edict: what a command costs

{{.Machine}}
{{if .Scenarios}}
## Throughput and API writes

Commands in flight: {{.InFlight}}; commands a round: {{.Objects}}; operator rounds: {{.Rounds}}. The ceiling is a bare client that creates,
updates the status once and creates one Kubernetes Event, without the operator. Share is of the mean of the bare rounds
before and after: the median, the lowest and the highest round. Time is from create to Complete=True as a watch shows it.
Writes are the operator's per command, beyond the creation of Commands.

| command | commands/s | ceiling/s | share | target | p50 ms | p99 ms | writes | target |
|---|---|---|---|---|---|---|---|---|
{{range .Scenarios}}| {{.Throughput}} |
{{end}}
Successful API writes per command, the user's own creation among them:

{{range .Scenarios}}- {{.Title}}: {{.Writes}}; Commands created by the operator: {{.Created}}.
{{end}}
Writes that go by the clock, in all operator rounds together ({{.Seconds}} s): {{.Background}}.

## CPU, milliseconds per command

The bench is the users, the model and the tool. Others says how many CPUs were busy with anything else meanwhile: what
they took is missing in the figures above.

| command | client | operator | API server | etcd | bench | others, CPUs |
|---|---|---|---|---|---|---|
{{range .Scenarios}}| {{.BareCPU}} |
| {{.OperatorCPU}} |
{{end}}
## One command in flight, mean milliseconds

Outside is the time from create to Complete=True less what the model's and the tool's servers took.

| command | bare client's three writes | create to Complete | in the model | in the tool | outside |
|---|---|---|---|---|---|
{{range .Scenarios}}| {{.Single}} |
{{end}}{{end}}{{if .Replicas}}
## Replicas

Processes that share one PostgreSQL journal, on the same machine as the API server, the database and the users. The
command is an {{.ReplicaTitle}}.

| load | replicas | commands/s | ceiling/s | share |
|---|---|---|---|---|
{{range .Replicas}}| {{.}} |
{{end}}{{end}}{{.Reading}}{{if .Journals}}
## Journal

One event of 300 bytes an append, durable when it returns; replay in pages of 500. The fsync is of 4 KiB at a file's end,
in the store's own directory.

| store | appends/s, 1 writer | appends/s, 64 writers | replay, events/s | fsync p50 ms | fsync p99 ms |
|---|---|---|---|---|---|
{{range .Journals}}| {{.}} |
{{end}}{{end}}`))

// reportPage is the report as its text wants it.
type reportPage struct {
	Machine                   string
	InFlight, Objects, Rounds int
	Scenarios                 []scenarioRow
	Seconds, Background       string
	ReplicaTitle              string
	Replicas, Journals        []string
	Reading                   string
}

// scenarioRow is one scenario's cells, ready to stand between the bars.
type scenarioRow struct {
	Title, Throughput, Writes, Created string
	BareCPU, OperatorCPU, Single       string
}

func (r *report) write(w io.Writer) error {
	p := r.page()
	var err error
	if p.Reading, err = readModels(r.views); err != nil {
		return err
	}
	return reportText.Execute(w, p)
}

func (r *report) page() reportPage {
	p := reportPage{Machine: r.machine.String(), InFlight: r.options.workers, Objects: r.options.objects, Rounds: r.options.rounds}
	background, seconds := writes{}, 0.0
	for _, s := range r.scenarios {
		p.Scenarios = append(p.Scenarios, s.row())
		for _, round := range s.operator {
			background = background.plus(round.Background)
			seconds += round.Seconds
		}
	}
	p.Background, p.Seconds = background.list("%.0f"), fmt.Sprintf("%.0f", seconds)
	p.ReplicaTitle = replicaScenario().Title
	for _, one := range r.replicas {
		p.Replicas = append(p.Replicas, one.row())
	}
	for _, j := range r.journals {
		p.Journals = append(p.Journals, j.Store+" | "+cells("%.0f", j.Appends1, j.Appends64, j.Replay)+" | "+cells("%.2f", j.SyncP50, j.SyncP99))
	}
	return p
}

func (m machine) String() string {
	text := fmt.Sprintf("%s; %d CPUs, %s/%s, %s, etcd and the journal with fsync.", m.At.Format(time.RFC3339), m.CPUs, m.OS, m.Arch, m.Go)
	if m.Load != "" {
		text += " The load average before it began was " + m.Load + "."
	}
	return text
}

func (s scenarioResult) row() scenarioRow {
	w := s.writes()
	created := w["POST commands"]
	return scenarioRow{
		Title: s.scenario.Title, Throughput: s.throughput(), Writes: w.list("%.2f"),
		Created: fmt.Sprintf("%.2f (expected: %d)", created-1, s.scenario.Children),
		BareCPU: s.cpu(s.bare, "bare"), OperatorCPU: s.cpu(s.operator, "operator"), Single: s.single(),
	}
}

func (s scenarioResult) throughput() string {
	var took []time.Duration
	for _, r := range s.operator {
		took = append(took, r.took...)
	}
	w := s.writes()
	return strings.Join([]string{
		s.scenario.Title,
		cells("%.0f", median(collect(s.operator, perSecond)), median(collect(s.bare, perSecond))),
		fmt.Sprintf("%.2f (%.2f to %.2f)", median(s.shares), slices.Min(s.shares), slices.Max(s.shares)),
		fmt.Sprintf("≥ %.2f", s.scenario.Share),
		cells("%.1f", millis(quantile(took, 0.50)), millis(quantile(took, 0.99))),
		fmt.Sprintf("%.2f", w.commands()-w["POST commands"]),
		fmt.Sprintf("≤ %.0f", s.scenario.Writes),
	}, " | ")
}

// writes are those of all operator rounds, per command.
func (s scenarioResult) writes() writes {
	sum := writes{}
	for _, r := range s.operator {
		sum = sum.plus(r.Writes)
	}
	return sum.by(max(1, len(s.operator)))
}

func (s scenarioResult) cpu(rounds []round, client string) string {
	row := []string{s.scenario.Title, client}
	for _, process := range []string{cpuOperator, cpuAPIServer, cpuEtcd, cpuBench} {
		row = append(row, fmt.Sprintf("%.2f", median(collect(rounds, func(r round) float64 { return r.CPU[process] }))))
	}
	others := median(collect(rounds, func(r round) float64 { return r.Others }))
	return strings.Join(append(row, fmt.Sprintf("%.2f", others)), " | ")
}

func (s scenarioResult) single() string {
	o := s.singleOperator
	return s.scenario.Title + " | " + cells("%.2f", s.singleBare.Mean, o.Mean, o.Model, o.Tool, o.Mean-o.Model-o.Tool)
}

func (r replicasResult) row() string {
	shares := r.shares()
	return fmt.Sprintf("%s | %d | %.0f | %.0f | %.2f (%.2f to %.2f)", r.Load, r.Replicas, median(collect(r.operator, perSecond)), median(r.ceilings),
		median(shares), slices.Min(shares), slices.Max(shares))
}

func perSecond(r round) float64 { return r.PerSecond }

func collect(rounds []round, value func(round) float64) []float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, value(r))
	}
	return values
}

func cells(format string, values ...float64) string {
	var row []string
	for _, v := range values {
		row = append(row, fmt.Sprintf(format, v))
	}
	return strings.Join(row, " | ")
}
