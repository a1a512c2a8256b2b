package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"path/filepath"
)

const (
	replicasOnly = "replicas"
	// mostReplicas is how many processes share the work at most.
	mostReplicas = 3
	// replicaAgents share the commands of a round, so that the shards of every replica have work.
	replicaAgents = 24
)

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

// replicasResult is the rounds with so many replicas over one PostgreSQL journal.
type replicasResult struct {
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
	s.setting = setting{replicas: 1, journal: database.URL(replicasOnly)}
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
	m := &measurement{stage: s, options: o, bare: client, out: out, result: scenarioResult{scenario: sc}}
	return m.turns(ctx)
}

// turns lets each number of replicas have its turn, once a round.
func (m *measurement) turns(ctx context.Context) ([]replicasResult, error) {
	all := make([]replicasResult, mostReplicas)
	if err := m.bareRounds(ctx, 0, false); err != nil {
		return nil, err
	}
	turns := m.options.rounds * mostReplicas
	for turn := range turns {
		r := &all[turn%mostReplicas]
		r.Replicas = turn%mostReplicas + 1
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
