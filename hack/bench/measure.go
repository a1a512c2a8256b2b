package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// roundLimit bounds one round, so that a command that never ends does not keep the bench.
const roundLimit = 5 * time.Minute

// The clients of a round.
const (
	bareClient     = "bare"
	operatorClient = "operator"
)

// round is what was measured in one. The figures of a command are means over the round.
type round struct {
	Scenario  string  `json:"scenario"`
	Client    string  `json:"client"`
	Round     int     `json:"round"`
	InFlight  int     `json:"inFlight"`
	Commands  int     `json:"commands"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`

	// P50 and P99 are of the time from create to Complete=True in operator rounds, of the three writes in bare ones.
	P50  float64 `json:"p50Millis"`
	P99  float64 `json:"p99Millis"`
	Mean float64 `json:"meanMillis"`

	Writes     writes             `json:"writesPerCommand"`
	Background writes             `json:"backgroundWrites"` // counts, not per command
	CPU        map[string]float64 `json:"cpuMillisPerCommand"`
	Others     float64            `json:"cpusBusyWithOthers"`

	// Model and Tool are the time that requests of a command spent in these servers' handlers.
	Model float64 `json:"modelMillisPerCommand"`
	Tool  float64 `json:"toolMillisPerCommand"`

	took []time.Duration
}

// share is an operator round as a share of the ceiling: the mean of the bare rounds before and after it.
type share struct {
	Scenario  string  `json:"scenario"`
	Round     int     `json:"round"`
	PerSecond float64 `json:"perSecond"`
	Ceiling   float64 `json:"ceilingPerSecond"`
	Share     float64 `json:"shareOfCeiling"`
}

// scenarioResult is all rounds of a scenario. There is one more bare round than operator rounds.
type scenarioResult struct {
	scenario scenario
	bare     []round
	operator []round
	shares   []float64
	// singleBare and singleOperator had one command in flight.
	singleBare, singleOperator round
}

// measureScenarios measures those that are asked for.
func measureScenarios(ctx context.Context, o options, work string, out *results) (all []scenarioResult, err error) {
	chosen := slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return !o.wants(s.Name) })
	if len(chosen) == 0 {
		return nil, nil
	}
	s, err := newStage(ctx, o, work)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = firstOf(err, s.close()); err != nil {
			err = fmt.Errorf("%w (the operator's log is %s)", err, s.log)
		}
	}()
	samples, err := s.samples(ctx, chosen)
	if err != nil {
		return nil, fmt.Errorf("send the first commands: %w", err)
	}
	for _, sc := range chosen {
		client, err := newBare(s.cluster.Config, s.client, sc, samples[sc.Name])
		if err != nil {
			return nil, err
		}
		m := &measurement{stage: s, options: o, bare: client, out: out, result: scenarioResult{scenario: sc}}
		if err := m.run(ctx); err != nil {
			return nil, fmt.Errorf("measure %s: %w", sc.Name, err)
		}
		all = append(all, m.result)
	}
	return all, nil
}

// samples sends one command of each kind through the operator, and returns what it wrote.
func (s *stage) samples(ctx context.Context, chosen []scenario) (map[string]sample, error) {
	if err := s.startOperator(ctx); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	all := map[string]sample{}
	for _, sc := range chosen {
		end, err := s.command(ctx, sc, name(sc, "f00", 0))
		if err != nil {
			return nil, err
		}
		if all[sc.Name], err = sampleOf(ctx, s.client, end.command); err != nil {
			return nil, err
		}
	}
	return all, s.stopOperator(ctx)
}

// name returns a Command's name. All have the same length, because it is in the texts that are written about them.
func name(s scenario, series string, i int) string {
	return fmt.Sprintf("%s-%s-%05d", strings.ToLower(s.Name), series, i)
}

// command creates a Command and waits until it is Complete.
func (s *stage) command(ctx context.Context, sc scenario, name string) (ending, error) {
	expected := s.ended.expect(name)
	if err := s.client.Create(ctx, sc.command(name)); err != nil {
		return ending{}, fmt.Errorf("create command %s: %w", name, err)
	}
	return s.ended.wait(ctx, name, expected)
}

// measurement is the rounds of one scenario.
type measurement struct {
	stage   *stage
	options options
	bare    *bare
	out     *results
	result  scenarioResult
}

// run alternates bare and operator rounds, beginning and ending with a bare one, so that each operator round stands
// between two of them. At its end the operator is stopped and no Command is left.
func (m *measurement) run(ctx context.Context) error {
	if err := m.bareRounds(ctx, 0, false); err != nil {
		return err
	}
	for i := 1; i <= m.options.rounds; i++ {
		last := i == m.options.rounds
		if err := m.operatorRounds(ctx, i, last); err != nil {
			return err
		}
		if err := m.bareRounds(ctx, i, last); err != nil {
			return err
		}
		m.share(i, m.options.rounds)
	}
	return nil
}

// share compares an operator round with the bare rounds around it: what makes the machine faster or slower for a while
// then counts on both sides.
func (m *measurement) share(i, of int) {
	r := &m.result
	ceiling := (r.bare[i-1].PerSecond + r.bare[i].PerSecond) / 2
	s := share{Scenario: r.scenario.Name, Round: i, PerSecond: r.operator[i-1].PerSecond, Ceiling: ceiling}
	s.Share = s.PerSecond / ceiling
	r.shares = append(r.shares, s.Share)
	m.out.add("share", s)
	say("%s, round %d of %d: %.0f/s of %.0f/s, %.2f", s.Scenario, i, of, s.PerSecond, s.Ceiling, s.Share)
}

// bareRounds makes a bare round and, if it is the last, one with a single command in flight.
func (m *measurement) bareRounds(ctx context.Context, i int, last bool) error {
	if err := m.warmUp(ctx, m.bareWrites(warmSeries(i))); err != nil {
		return err
	}
	r, err := m.round(ctx, round{Client: bareClient, Round: i, InFlight: m.options.workers, Commands: m.options.objects})
	if err != nil {
		return err
	}
	m.result.bare = append(m.result.bare, r)
	if last {
		m.result.singleBare, err = m.round(ctx, round{Client: bareClient, Round: i, InFlight: 1, Commands: m.options.single})
		if err != nil {
			return err
		}
	}
	return m.stage.clear(ctx)
}

// operatorRounds does the same with the operator, which it starts before and stops after.
func (m *measurement) operatorRounds(ctx context.Context, i int, last bool) error {
	if err := m.stage.startOperator(ctx); err != nil {
		return err
	}
	if err := m.warmUp(ctx, m.operator(warmSeries(i))); err != nil {
		return err
	}
	r, err := m.round(ctx, round{Client: operatorClient, Round: i, InFlight: m.options.workers, Commands: m.options.objects})
	if err != nil {
		return err
	}
	m.result.operator = append(m.result.operator, r)
	if last {
		m.result.singleOperator, err = m.round(ctx, round{Client: operatorClient, Round: i, InFlight: 1, Commands: m.options.single})
		if err != nil {
			return err
		}
	}
	return m.stage.stopOperator(ctx)
}

// warmUp does what a round does without measuring it: caches, connections and heaps are then as they are in processes
// that have run for a while.
func (m *measurement) warmUp(ctx context.Context, do timed) error {
	_, _, err := closedLoop(ctx, m.options.workers, max(100, 4*m.options.workers), do)
	return err
}

func warmSeries(i int) string { return fmt.Sprintf("w%02d", i) }

// bareWrites does the bare client's three writes; it takes as long as they do.
func (m *measurement) bareWrites(series string) timed {
	return func(ctx context.Context, i int) (time.Duration, error) {
		return m.bare.write(ctx, name(m.result.scenario, series, i))
	}
}

// operator does a command through the operator; it takes from the create to the watch's message that it is Complete.
func (m *measurement) operator(series string) timed {
	return func(ctx context.Context, i int) (time.Duration, error) {
		began := time.Now()
		end, err := m.stage.command(ctx, m.result.scenario, name(m.result.scenario, series, i))
		return end.at.Sub(began), err
	}
}

// series keeps the names of rounds apart: a name that the journal knows runs nothing.
func (r round) series() string {
	if r.InFlight == 1 {
		return fmt.Sprintf("s%02d", r.Round)
	}
	return fmt.Sprintf("r%02d", r.Round)
}

// round measures one.
func (m *measurement) round(ctx context.Context, r round) (round, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round took longer than %s", roundLimit))
	defer cancel()
	r.Scenario = m.result.scenario.Name
	do := m.operator(r.series())
	if r.Client == bareClient {
		do = m.bareWrites(r.series())
	}
	before, err := m.read(ctx)
	if err != nil {
		return r, err
	}
	took, elapsed, err := closedLoop(ctx, r.InFlight, r.Commands, do)
	if err != nil {
		return r, err
	}
	after := m.readQuickly()
	if after.writes, err = settledWrites(ctx, m.stage.discovery); err != nil {
		return r, err
	}
	r.fill(took, elapsed, before, after)
	m.out.add("round", r)
	return r, nil
}

// reading is what the counters say at one moment.
type reading struct {
	writes      writes
	cpu         cpu
	model, tool account
}

func (m *measurement) read(ctx context.Context) (reading, error) {
	written, err := settledWrites(ctx, m.stage.discovery)
	r := m.readQuickly()
	r.writes = written
	return r, err
}

// readQuickly reads all but the API server's metrics, which cost it time to write.
func (m *measurement) readQuickly() reading {
	return reading{
		cpu:   readCPU(filepath.Join(m.stage.work, "controlplane")),
		model: m.stage.servers.model.account(), tool: m.stage.servers.tool.account(),
	}
}

func (r *round) fill(took []time.Duration, elapsed time.Duration, before, after reading) {
	r.took = took
	r.Seconds, r.PerSecond = elapsed.Seconds(), float64(r.Commands)/elapsed.Seconds()
	r.P50, r.P99, r.Mean = millis(quantile(took, 0.50)), millis(quantile(took, 0.99)), millis(mean(took))
	commands, background := after.writes.since(before.writes).split()
	r.Writes, r.Background = commands.by(r.Commands), background
	spent := after.cpu.since(before.cpu)
	r.CPU, r.Others = spent.perCommand(r.Commands), spent.others(elapsed)
	r.Model = millis(after.model.since(before.model).spent) / float64(r.Commands)
	r.Tool = millis(after.tool.since(before.tool).spent) / float64(r.Commands)
}
