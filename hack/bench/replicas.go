package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"time"
)

const (
	replicasOnly = "replicas"
	// mostReplicas is how many processes share the work at most.
	mostReplicas = 3
	// replicaAgents share the commands of a round, so that the shards of every replica have work.
	replicaAgents = 24
)

// load is what replicas are measured under.
type load struct {
	Title    string
	delay    time.Duration // of each of the model's answers
	calls    int           // to the model at the same time, of each replica
	inFlight int           // commands; 0: as many as in the other rounds
	commands int           // of a round, if that is less
}

// loads are the two that tell the most: with a model that answers at once, all replicas want the processors; with one that
// takes its time, as models do, each replica adds the calls that it can have under way.
var loads = []load{
	{Title: "the model answers at once", calls: defaultCalls},
	{Title: "the model takes half a second, and each replica asks it at most 6 questions at the same time",
		delay: 500 * time.Millisecond, calls: 6, inFlight: 48, commands: 240},
}

// replicaScenario is the command that is shared out: an ask without a tool call, to one agent of many.
func replicaScenario() scenario {
	return scenario{
		Name: replicasOnly, Title: "ask, no tool call, to one of " + fmt.Sprint(replicaAgents) + " agents",
		spec: ask("What do you know of %s?"), agent: agentOf,
	}
}

func replicaAgent(i int) string { return fmt.Sprintf("bench-%02d", i) }

func agentOf(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash takes every byte
	return replicaAgent(int(h.Sum32() % replicaAgents))
}

// replicasResult is the rounds under one load with so many replicas over one PostgreSQL journal.
type replicasResult struct {
	Load     string
	Replicas int
	operator []round
	ceilings []float64 // of each round: the mean of the bare rounds before and after it
}

func (r replicasResult) shares() []float64 {
	var shares []float64
	for i, round := range r.operator {
		shares = append(shares, round.PerSecond/r.ceilings[i])
	}
	return shares
}

// measureReplicas has 1, 2 and 3 replicas take turns, round by round, so that what makes the machine slower for a while
// counts for all; before and after each stands a bare round.
func measureReplicas(ctx context.Context, o options, work string, out *results) (all []replicasResult, err error) {
	database, err := startPostgres(ctx, work)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, database.Close()) }()
	if err := database.CreateDatabase(ctx, replicasOnly); err != nil {
		return nil, err
	}
	s, err := newStage(ctx, o, filepath.Join(work, replicasOnly))
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, s.close()) }()
	s.setting = setting{replicas: 1, calls: defaultCalls, journal: database.URL(replicasOnly)}
	for i := range replicaAgents {
		name := replicaAgent(i)
		if err := s.create(ctx, benchView(name), benchAgent(name, s.servers.model.url, s.servers.tool.url)); err != nil {
			return nil, err
		}
	}
	sc := replicaScenario()
	samples, err := s.samples(ctx, []scenario{replicaScenario()})
	if err != nil {
		return nil, fmt.Errorf("send the first commands: %w", err)
	}
	client, err := newBare(s.cluster.Config, s.client, sc, samples[sc.Name])
	if err != nil {
		return nil, err
	}
	for i, l := range loads {
		sc.Name = fmt.Sprint(replicasOnly, i+1)
		m := &measurement{stage: s, options: l.of(o), bare: client, out: out, result: scenarioResult{scenario: sc}}
		s.setting.calls = l.calls
		s.servers.model.delay.Store(int64(l.delay))
		some, err := m.turns(ctx, l)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// of returns the options of a measurement under the load.
func (l load) of(o options) options {
	if l.inFlight > 0 {
		o.workers = l.inFlight
		o.objects = min(o.objects, l.commands)
	}
	return o
}

// turns lets each number of replicas have its turn, once a round.
func (m *measurement) turns(ctx context.Context, l load) ([]replicasResult, error) {
	all := make([]replicasResult, mostReplicas)
	if err := m.bareRounds(ctx, 0, false); err != nil {
		return nil, err
	}
	turns := m.options.rounds * mostReplicas
	for turn := range turns {
		r := &all[turn%mostReplicas]
		r.Load, r.Replicas = l.Title, turn%mostReplicas+1
		m.stage.setting.replicas = r.Replicas
		if err := m.operatorRounds(ctx, turn+1, false); err != nil {
			return nil, err
		}
		if err := m.bareRounds(ctx, turn+1, false); err != nil {
			return nil, err
		}
		m.share(turn+1, turns)
		r.operator = append(r.operator, m.result.operator[turn])
		r.ceilings = append(r.ceilings, (m.result.bare[turn].PerSecond+m.result.bare[turn+1].PerSecond)/2)
	}
	return all, nil
}
