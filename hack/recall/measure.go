package main

import (
	"github.com/edict-dev/edict/internal/retrieval"
	"github.com/edict-dev/edict/internal/tokens"
)

// ranking is a way to order the turns for a question.
type ranking struct {
	name   string
	config retrieval.Config
	// join makes one ranking of what the index finds; nil is what it finds.
	join func(x *retrieval.Index, hits []retrieval.Hit) []retrieval.Hit
}

// rankings lead from plain BM25 to the default, each with one part more than the one before.
var rankings = []ranking{
	{name: "plain BM25"},
	{name: "+ three neighbours in the window", config: retrieval.Config{Neighbours: 3}},
	{name: "+ answers read with their questions", config: retrieval.Config{Neighbours: 3, Pairs: true}},
	{name: "+ speakers as a field", config: retrieval.Config{Neighbours: 3, Pairs: true, Speakers: true}},
	{name: "+ the session's score", config: retrieval.Config{Neighbours: 3, Pairs: true, Speakers: true, Sessions: true}},
	{name: "+ irregular forms", config: with(func(c *retrieval.Config) { c.Expect, c.Periods = false, false })},
	{name: "+ expected kind of answer", config: with(func(c *retrieval.Config) { c.Periods = false })},
	{name: "+ periods: **the default**", config: retrieval.Default()},
}

// parts are the default without one of its parts, or with what it leaves out.
var parts = []ranking{
	{name: "default, no neighbours", config: with(func(c *retrieval.Config) { c.Neighbours = 0 })},
	{name: "default, one neighbour", config: with(func(c *retrieval.Config) { c.Neighbours = 1 })},
	{name: "default, two neighbours", config: with(func(c *retrieval.Config) { c.Neighbours = 2 })},
	{name: "default, five neighbours", config: with(func(c *retrieval.Config) { c.Neighbours = 5 })},
	{name: "default, answers without questions", config: with(func(c *retrieval.Config) { c.Pairs = false })},
	{name: "default, speakers in the text", config: with(func(c *retrieval.Config) { c.Speakers = false })},
	{name: "default, no session's score", config: with(func(c *retrieval.Config) { c.Sessions = false })},
	{name: "default, regular forms only", config: with(func(c *retrieval.Config) { c.Irregular = false })},
	{name: "default, no expected kind", config: with(func(c *retrieval.Config) { c.Expect = false })},
	{name: "default, no periods", config: with(func(c *retrieval.Config) { c.Periods = false })},
	{name: "default and proximity", config: with(func(c *retrieval.Config) { c.Proximity = true })},
	{name: "default and feedback", config: with(func(c *retrieval.Config) { c.Feedback = true })},
	{name: "default and recency, fused", config: retrieval.Default(), join: fusedWithRecency},
	{name: "default, near-duplicates dropped", config: retrieval.Default(), join: distinct},
}

func with(change func(*retrieval.Config)) retrieval.Config {
	c := retrieval.Default()
	change(&c)
	return c
}

func fusedWithRecency(x *retrieval.Index, hits []retrieval.Hit) []retrieval.Hit {
	return retrieval.Fuse(hits, retrieval.Recency{Snapshot: x.At(retrieval.Moment{})}.Rank(retrieval.Question{}, 0))
}

func distinct(x *retrieval.Index, hits []retrieval.Hit) []retrieval.Hit {
	return x.Distinct(hits, depths[len(depths)-1])
}

// share sums the recall of questions at each depth.
type share struct {
	questions int
	sums      [4]float64
}

// recall is the mean over the questions; 0 without any.
func (s share) recall() [4]float64 {
	mean := s.sums
	for i := range mean {
		mean[i] /= float64(max(1, s.questions))
	}
	return mean
}

func (s *share) add(ranks []int) {
	s.questions++
	for d, k := range depths {
		found := 0
		for _, rank := range ranks {
			if 0 < rank && rank <= k {
				found++
			}
		}
		s.sums[d] += float64(found) / float64(len(ranks))
	}
}

// result is what a ranking found.
type result struct {
	name       string
	told       bool // by category, too
	overall    share
	categories []share
	// context is the tokens of the first contextDepth turns over those of the conversation: the mean over questions.
	context float64
}

// measure asks every question of every conversation.
func measure(r ranking, conversations []conversation) (result, error) {
	one := result{name: r.name, categories: make([]share, len(categories))}
	for _, c := range conversations {
		tokens, err := count(c.items)
		if err != nil {
			return result{}, err
		}
		x := retrieval.New(c.items, r.config)
		for _, q := range c.questions {
			hits := retrieval.Lexical{Snapshot: x.At(retrieval.Moment{})}.Rank(retrieval.Question{Text: q.Text}, 0)
			if r.join != nil {
				hits = r.join(x, hits)
			}
			ids := make([]string, len(hits))
			for i, hit := range hits {
				ids[i] = c.ids[hit.Item]
			}
			one.add(q, ids)
			one.context += contextShare(tokens, hits)
		}
	}
	one.context /= float64(max(1, one.overall.questions))
	return one, nil
}

// add counts what was found for a question: turns by their ids, best first.
func (r *result) add(q question, ids []string) {
	ranks := ranksOf(q.Evidence, ids)
	r.overall.add(ranks)
	r.categories[q.Category].add(ranks)
}

// ranksOf returns the rank of each evidence turn, from 1; 0 for one that was not found.
func ranksOf(evidence, ids []string) []int {
	rank := map[string]int{}
	for i, id := range ids {
		rank[id] = i + 1
	}
	ranks := make([]int, len(evidence))
	for i, id := range evidence {
		ranks[i] = rank[id]
	}
	return ranks
}

func contextShare(tokens []int, hits []retrieval.Hit) float64 {
	whole, context := 0, 0
	for _, n := range tokens {
		whole += n
	}
	for _, hit := range hits[:min(contextDepth, len(hits))] {
		context += tokens[hit.Item]
	}
	return float64(context) / float64(whole)
}

// count returns the tokens of each item as a prompt has it.
func count(items []retrieval.Item) ([]int, error) {
	counter, err := tokens.New()
	if err != nil {
		return nil, err
	}
	each := make([]int, len(items))
	for i, item := range items {
		each[i] = counter.Count(line(item))
	}
	return each, nil
}

// line is a turn as a prompt has it.
func line(item retrieval.Item) string {
	return item.Speaker + " (" + item.Time.Format("2 January 2006") + "): " + item.Text + "\n"
}
