package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	// rememberer is the stream whose contexts are measured, and neighbours are how many there are besides.
	rememberer = "bench/rememberer"
	neighbours = 50
	// ownExchanges is how many exchanges are the rememberer's: one in so many.
	ownExchanges = 10
	// conversations are how many each stream's exchanges are spread over.
	conversations = 50

	// filledAtOnce is how many events one append has while the journal is made.
	filledAtOnce = 500
	// span is the time that all events that the journal is made of are spread over.
	span = 365 * 24 * time.Hour

	documents, chunksOfDocument = 200, 10
	collection                  = "handbook"
	observations                = 10
)

// corpus says what happens: the same with each run. It is used by one goroutine.
type corpus struct {
	random    *rand.Rand
	words     *rand.Zipf
	commands  int
	memories  int
	exchanges int
}

// newCorpus has words as common as in a language: the n-th about 1/n as often as the first, and no stop words.
func newCorpus() *corpus {
	random := rand.New(rand.NewPCG(1, 2))
	return &corpus{random: random, words: rand.NewZipf(random, 1.1, 2, 50_000)}
}

// say returns a sentence of so many words.
func (c *corpus) say(words int) string {
	var s strings.Builder
	for i := range words {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(word(c.words.Uint64()))
	}
	return s.String() + "."
}

// word spells a number in syllables.
func word(n uint64) string {
	const consonants, vowels = "bdfgklmnprtvz", "aiou"
	var s []byte
	for {
		s = append(s, consonants[n%13], vowels[n/13%4])
		if n /= 13 * 4; n == 0 {
			return string(s) + "k"
		}
	}
}

// life is what a command's life adds to a stream.
type life struct {
	stream string
	events []journal.Event
}

// begin returns the life of a new command, and its key.
func (c *corpus) begin(stream string, accepted agent.CommandAccepted) (*life, string) {
	c.commands++
	accepted.Name = fmt.Sprintf("command-%d", c.commands)
	accepted.Timeout, accepted.Retry = 10*time.Minute, agent.Retry{MaxAttempts: 3, Backoff: time.Second}
	key := agent.DefaultKey(accepted.Name, accepted.Intent)
	l := &life{stream: stream}
	l.add(key, accepted)
	return l, key
}

func (l *life) add(key string, events ...agent.Event) {
	for _, e := range events {
		l.events = append(l.events, journal.Event(agent.Encode(key, e)))
	}
}

// remember is a saveMemory command of the rememberer.
func (c *corpus) remember() *life {
	c.memories++
	kind, said, importance := []string{"fact", "preference", "plan"}[c.memories%3], c.say(20), 1+c.random.IntN(10)
	l, key := c.begin(rememberer, agent.CommandAccepted{
		Intent: agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: kind, Content: said, Importance: importance})})
	l.add(key, agent.CommandApproved{Rule: "saveMemory is in the menu"},
		agent.MemorySaved{ID: fmt.Sprintf("mem-%010x", c.memories), Kind: kind, Content: said, Importance: importance},
		agent.CommandSucceeded{Message: "Remembered."})
	return l
}

// exchange is an ask with its answer; each third one calls an API first.
func (c *corpus) exchange() *life {
	c.exchanges++
	stream := rememberer
	if c.exchanges%ownExchanges != 0 {
		stream = fmt.Sprintf("bench/agent-%d", c.random.IntN(neighbours))
	}
	conversation := conversationOf(c.random.IntN(conversations))
	question := c.say(10)
	l, key := c.begin(stream, agent.CommandAccepted{Conversation: conversation,
		Intent: agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: conversation, Message: question})})
	l.add(key, agent.MessageReceived{Conversation: conversation, Text: question}, agent.CommandApproved{Rule: "asks are in the menu"},
		agent.ContextBuilt{Step: 1, View: "knows", Digest: journal.Digest([]byte(question)), Sequence: 1, Tokens: 2000, Budget: 4000},
		agent.AttemptStarted{Attempt: 1, Step: 1, Deadline: time.Unix(1_800_000_000, 0).UTC()})
	if c.exchanges%3 == 0 {
		c.call(l, conversation, key)
	}
	answer := c.say(30)
	l.add(key, agent.DecisionMade{Attempt: 1, Step: 1, Decision: agent.Decision{Response: answer, Rationale: c.say(10)}, Model: "scripted",
		Usage: agent.Usage{Input: 2500, Output: 60}, Latency: time.Second, Request: journal.Digest([]byte(answer))},
		agent.ResponseGiven{Conversation: conversation, Text: answer}, agent.CommandSucceeded{Message: "Answered."})
	return l
}

func conversationOf(n int) string { return fmt.Sprintf("conversation-%d", n) }

// call is a command that the ask with that key issued.
func (c *corpus) call(ask *life, conversation, key string) {
	arguments, _ := json.Marshal(map[string]string{"about": c.say(2)}) // strings always marshal
	l, called := c.begin(ask.stream, agent.CommandAccepted{Conversation: conversation, IssuedBy: &agent.Issue{Command: key, Step: 1},
		Intent: agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "look_up", Arguments: arguments})})
	result, _ := json.Marshal(map[string]string{"found": c.say(30)})
	l.add(called, agent.CommandApproved{Rule: "look_up is in the menu"}, agent.AttemptStarted{Attempt: 1, Deadline: time.Unix(1_800_000_000, 0).UTC()},
		agent.AttemptSucceeded{Attempt: 1, Status: 200, Result: string(result)}, agent.CommandSucceeded{Message: "Status 200."})
	ask.events = append(ask.events, l.events...)
}

// library is what the rememberer knows besides: documents, a summary, what Kubernetes objects say, and a command that has
// not ended.
func (c *corpus) library() *life {
	l, key := c.begin(rememberer, agent.CommandAccepted{
		Intent: agent.NewIntent(agent.IndexDocuments, agent.IndexDocumentsPayload{Collection: collection})})
	l.add(key, agent.CommandApproved{Rule: "indexDocuments is in the menu"})
	for n := range documents {
		indexed := agent.DocumentIndexed{Collection: collection, Document: fmt.Sprintf("document-%d.md", n), Source: "inline", Part: 1, Parts: 1,
			Digest: journal.Digest([]byte(fmt.Sprint(n)))}
		for range chunksOfDocument {
			indexed.Chunks = append(indexed.Chunks, agent.Chunk{Heading: c.say(3), Text: c.say(150)})
		}
		l.add(key, indexed)
	}
	l.add(key, agent.CommandSucceeded{Message: "Indexed."})
	for n := range observations {
		fields, _ := json.Marshal(map[string]any{"replicas": n, "image": word(uint64(n))}) // as above
		l.add(key, agent.ObjectObserved{Observation: fmt.Sprintf("deployment-%d", n), APIVersion: "apps/v1", Kind: "Deployment",
			Namespace: "bench", Name: fmt.Sprintf("deployment-%d", n), Fields: fields})
	}
	for n := range conversations {
		l.add(key, agent.SummaryWritten{Conversation: conversationOf(n), From: 1, To: 2, Text: c.say(60), Model: "scripted"})
	}
	open, _ := c.begin(rememberer, agent.CommandAccepted{Intent: agent.NewIntent(agent.CallAPI, agent.CallAPIPayload{Operation: "look_up"})})
	l.events = append(l.events, open.events...)
	return l
}

// historic is the clock of a journal: it moves a step with each append.
type historic struct{ now, step atomic.Int64 }

// newHistoric returns one that goes through the span in so many steps.
func newHistoric(steps int) *historic {
	h := &historic{}
	h.now.Store(time.Date(2027, 1, 1, 8, 0, 0, 0, time.UTC).UnixNano())
	h.step.Store(int64(span) / int64(max(1, steps)))
	return h
}

func (h *historic) read() time.Time { return time.Unix(0, h.now.Add(h.step.Load())).UTC() }

// fill appends so many events, with the memories spread among them: commands whole, and filledAtOnce events at a time.
func (c *corpus) fill(ctx context.Context, j journal.Journal, size readModelSize) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lots := make(chan life)
	go func() {
		defer close(lots)
		c.tell(ctx, size, lots)
	}()
	const writers = 4
	_, _, err := closedLoop(ctx, writers, writers, func(ctx context.Context, _ int) (time.Duration, error) {
		for lot := range lots {
			if _, err := j.Append(ctx, journal.Batch{Stream: lot.stream, Expected: journal.AnyVersion, Events: lot.events}); err != nil {
				cancel(err)
				return 0, err
			}
		}
		return 0, nil
	})
	return err
}

// tell sends what happens in lots that an append can take.
func (c *corpus) tell(ctx context.Context, size readModelSize, lots chan<- life) {
	waiting := map[string]*life{}
	told := 0
	send := func(l *life) {
		select {
		case lots <- *l:
		case <-ctx.Done():
		}
	}
	take := func(l *life) {
		told += len(l.events)
		w := waiting[l.stream]
		if w == nil {
			w = &life{stream: l.stream}
			waiting[l.stream] = w
		}
		w.events = append(w.events, l.events...)
		if len(w.events) >= filledAtOnce {
			send(w)
			delete(waiting, l.stream)
		}
	}
	take(c.library())
	for told < size.Events && ctx.Err() == nil {
		if c.memories < size.Memories && c.memories*size.Events <= told*size.Memories {
			take(c.remember())
		} else {
			take(c.exchange())
		}
	}
	for _, w := range waiting {
		send(w)
	}
}

// next is what happens next while a reader looks on: of ten commands of the rememberer's and others', four are memories.
func (c *corpus) next() *life {
	if c.commands%10 < 4 {
		return c.remember()
	}
	return c.exchange()
}
