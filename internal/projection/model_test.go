package projection

import (
	order "cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// model is what a stream came to by one record: plain values, without a table, and
// without any time but now. It is the specification of the reads.
type model struct {
	now       time.Time
	turns     []turn
	memories  map[string]Memory
	documents map[string]*indexing // that hold, by collection and name
	parts     map[string]*indexing // whose command has not ended
	summaries []Summary
	embedded  []Embedded
	observed  map[string]Observation
	commands  map[string]Pending // that were ever accepted
	open      map[string]bool
	results   map[string]Result
}

// turn is a message; it is past from the sequence on at which its ask ended.
type turn struct {
	Message
	conversation string
	past         int64
}

type indexing struct {
	command     string
	first, past int64 // the sequences of its first part, and of the end of its command
	chunks      []Chunk
}

func newModel() *model {
	return &model{
		memories: map[string]Memory{}, documents: map[string]*indexing{}, parts: map[string]*indexing{},
		observed: map[string]Observation{}, commands: map[string]Pending{}, open: map[string]bool{}, results: map[string]Result{},
	}
}

func (m *model) apply(r journal.Record, event agent.Event) {
	m.now = r.Time
	switch e := event.(type) {
	case agent.MessageReceived:
		m.turns = append(m.turns, turn{conversation: e.Conversation, Message: Message{
			Sequence: r.Sequence, Time: r.Time, Role: User, Text: e.Text, SaidBy: e.SaidBy, Command: r.Subject,
		}})
	case agent.ResponseGiven:
		m.turns = append(m.turns, turn{conversation: e.Conversation, Message: Message{
			Sequence: r.Sequence, Time: r.Time, Role: Agent, Text: e.Text, Command: r.Subject,
		}})
		m.pass(r)
	case agent.MemorySaved:
		m.remember(r, e)
	case agent.MemoryForgotten:
		delete(m.memories, e.ID)
	case agent.DocumentIndexed:
		m.index(r, e)
	case agent.DocumentsRemoved:
		for _, name := range e.Documents {
			delete(m.documents, e.Collection+"/"+name)
		}
	case agent.SummaryWritten:
		m.summaries = append(m.summaries, Summary{
			Sequence: r.Sequence, Time: r.Time, Conversation: e.Conversation, Collection: e.Collection, Command: r.Subject, From: e.From, To: e.To, Text: e.Text,
		})
	case agent.TextsEmbedded:
		m.embedded = append(m.embedded, Embedded{Sequence: r.Sequence, Model: e.Model, Dimensions: e.Dimensions, Texts: e.Texts, Vectors: e.Vectors})
	case agent.ObjectObserved:
		m.observe(r, e)
	default:
		m.command(r, event)
	}
}

func (m *model) observe(r journal.Record, e agent.ObjectObserved) {
	seen := Observation{Sequence: r.Sequence, Time: r.Time, Name: e.Observation, Object: e.Kind + " " + e.Name, Missing: e.Missing}
	if e.Namespace != "" {
		seen.Object = e.Kind + " " + e.Namespace + "/" + e.Name
	}
	if !e.Missing {
		seen.Fields = string(e.Fields)
	}
	m.observed[e.Observation] = seen
}

func (m *model) remember(r journal.Record, e agent.MemorySaved) {
	delete(m.memories, e.Supersedes)
	saved := Memory{Sequence: r.Sequence, Time: r.Time, ID: e.ID, Kind: e.Kind, Content: e.Content, Importance: e.Importance, SaidBy: e.SaidBy}
	if e.Importance == 0 {
		saved.Importance = 5
	}
	if e.TTL > 0 {
		saved.Expires = r.Time.Add(e.TTL).Truncate(time.Microsecond)
	}
	m.memories[e.ID] = saved
}

func (m *model) index(r journal.Record, e agent.DocumentIndexed) {
	name := e.Collection + "/" + e.Document
	if e.Part == 1 {
		m.parts[name] = &indexing{command: r.Subject, first: r.Sequence}
	}
	doc := m.parts[name]
	for _, chunk := range e.Chunks {
		doc.chunks = append(doc.chunks, Chunk{
			Sequence: r.Sequence, Time: r.Time, Collection: e.Collection, Document: e.Document, Source: e.Source, Digest: e.Digest,
			Index: len(doc.chunks), Heading: chunk.Heading, Text: chunk.Text,
		})
	}
}

// shelve lets the documents hold that a command has indexed.
func (m *model) shelve(r journal.Record) {
	for name, doc := range m.parts {
		if doc.command == r.Subject {
			doc.past = r.Sequence
			m.documents[name] = doc
			delete(m.parts, name)
		}
	}
}

func (m *model) command(r journal.Record, event agent.Event) {
	_, known := m.commands[r.Subject]
	switch e := event.(type) {
	case agent.CommandAccepted:
		if known {
			return
		}
		p := Pending{Sequence: r.Sequence, Time: r.Time, Command: e.Name, Key: r.Subject, Type: e.Intent.Type, Conversation: e.Conversation}
		if e.Intent.Type == agent.CallAPI {
			p.Operation, p.Arguments = e.Intent.CallAPI().Operation, string(e.Intent.CallAPI().Arguments)
		}
		m.commands[r.Subject], m.open[r.Subject] = p, true
	case agent.CommandReopened:
		for i := range m.turns {
			if m.turns[i].Command == r.Subject {
				m.turns[i].past = 0
			}
		}
		m.open[r.Subject] = known
	case agent.CommandSucceeded:
		delete(m.open, r.Subject)
		m.shelve(r)
	case agent.AttemptSucceeded:
		m.result(r, Result{Phase: agent.Succeeded, Status: e.Status, Text: e.Result})
	case agent.CommandRefused:
		m.end(r, Result{Phase: agent.Failed, Reason: e.Reason, Text: e.Message})
	case agent.CommandFailed:
		m.end(r, Result{Phase: agent.Failed, Reason: e.Reason, Text: e.Message})
	case agent.CommandCancelled:
		m.end(r, Result{Phase: agent.Cancelled, Reason: e.Reason, Text: e.Message})
	case agent.OutcomeLost:
		m.end(r, Result{Phase: agent.OutcomeUnknown, Reason: e.Reason, Text: e.Message})
	case agent.OutcomeSettled:
		text := fmt.Sprintf("settled as %s by %s", e.Outcome, e.By)
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		switch e.Outcome {
		case agent.SettledSucceeded:
			m.result(r, Result{Phase: agent.Succeeded, Text: text})
		case agent.SettledFailed:
			m.pass(r)
			m.result(r, Result{Phase: agent.Failed, Reason: "SettledAsFailed", Text: text})
		case agent.RunAgain:
			m.open[r.Subject] = known
		}
	}
}

func (m *model) end(r journal.Record, what Result) {
	delete(m.open, r.Subject)
	m.pass(r)
	m.result(r, what)
}

// pass makes past what was said in an ask.
func (m *model) pass(r journal.Record) {
	for i := range m.turns {
		if m.turns[i].Command == r.Subject && m.turns[i].past == 0 {
			m.turns[i].past = r.Sequence
		}
	}
}

func (m *model) result(r journal.Record, what Result) {
	call, ok := m.commands[r.Subject]
	if !ok || call.Type != agent.CallAPI {
		return
	}
	what.Sequence, what.Time, what.Command, what.Key = r.Sequence, r.Time, call.Command, call.Key
	what.Operation, what.Arguments, what.Conversation = call.Operation, call.Arguments, call.Conversation
	m.results[r.Subject] = what
}

// tells returns what the reads have to return, by the names that reads gives them.
func (m *model) tells(limit int) map[string]any {
	all := map[string]any{"time": m.now}
	memories := slices.DeleteFunc(slices.Collect(maps.Values(m.memories)), func(x Memory) bool { return !x.Expires.IsZero() && !m.now.Before(x.Expires) })
	bySequence := func(x Memory) int64 { return x.Sequence }
	all["memories"] = newest(memories, limit, bySequence)
	all["memories of two kinds"] = newest(slices.DeleteFunc(slices.Clone(memories), func(x Memory) bool { return x.Kind == "bob" }), limit, bySequence)
	for _, conversation := range []string{"", "ada", "bob"} {
		turns := slices.DeleteFunc(slices.Clone(m.turns), func(x turn) bool { return x.conversation != conversation || x.past == 0 })
		var said []Message
		for _, x := range newest(turns, limit, func(x turn) int64 { return x.past<<32 | x.Sequence }) {
			said = append(said, x.Message)
		}
		all["messages of "+conversation] = said
		all["results of "+conversation] = newest(slices.DeleteFunc(slices.Collect(maps.Values(m.results)), func(x Result) bool {
			return x.Conversation != "" && x.Conversation != conversation
		}), limit, func(x Result) int64 { return x.Sequence })
		var open []Pending
		for key, yes := range m.open {
			if p := m.commands[key]; yes && (p.Conversation == "" || p.Conversation == conversation) {
				open = append(open, p)
			}
		}
		all["pending in "+conversation] = newest(open, limit, func(x Pending) int64 { return x.Sequence })
	}
	all["chunks"] = m.chunks(limit, "rules", "menus")
	all["chunks of rules"] = m.chunks(limit, "rules")
	of := func(conversation, collection string) []Summary {
		return newest(slices.DeleteFunc(slices.Clone(m.summaries), func(x Summary) bool {
			return x.Conversation != conversation || x.Collection != collection
		}), limit, func(x Summary) int64 { return x.Sequence })
	}
	all["summaries of ada"], all["summaries of rules"] = of("ada", ""), of("", "rules")
	all["embedded"] = m.embedded
	observed := newest(slices.Collect(maps.Values(m.observed)), limit, func(x Observation) int64 { return x.Sequence })
	slices.SortFunc(observed, func(a, b Observation) int { return order.Compare(a.Name, b.Name) })
	all["observations"] = observed
	return all
}

func (m *model) chunks(limit int, collections ...string) []Chunk {
	var documents []*indexing
	for name, doc := range m.documents {
		if slices.ContainsFunc(collections, func(c string) bool { return len(name) > len(c) && name[:len(c)+1] == c+"/" }) {
			documents = append(documents, doc)
		}
	}
	var all []Chunk
	for _, doc := range newest(documents, limit, func(x *indexing) int64 { return x.past<<32 | x.first }) {
		all = append(all, doc.chunks...)
	}
	slices.SortFunc(all, func(a, b Chunk) int {
		return order.Or(order.Compare(a.Collection, b.Collection), order.Compare(a.Document, b.Document), order.Compare(a.Index, b.Index))
	})
	return all
}

// passages returns what can be searched now, without Since and Until.
func (m *model) passages() []Passage {
	var all []Passage
	for _, x := range m.memories {
		all = append(all, Passage{
			Shelf: Memories, Sequence: x.Sequence, Time: x.Time, Expires: x.Expires, Text: x.Content, Name: x.ID, Within: x.Kind, Speaker: x.SaidBy, Importance: x.Importance,
		})
	}
	for _, x := range m.turns {
		if x.past > 0 {
			all = append(all, Passage{
				Shelf: Turns, Sequence: x.Sequence, Time: x.Time, Text: x.Text, Name: x.Command, Within: x.conversation, Speaker: order.Or(x.SaidBy, string(x.Role)), Source: string(x.Role),
			})
		}
	}
	for _, doc := range m.documents {
		for _, x := range doc.chunks {
			all = append(all, Passage{
				Shelf: Documents, Sequence: x.Sequence, Index: x.Index, Time: x.Time, Text: x.Text, Name: x.Document, Within: x.Collection, Speaker: x.Heading, Source: x.Source,
			})
		}
	}
	return all
}

func newest[T any](rows []T, limit int, sequence func(T) int64) []T {
	slices.SortFunc(rows, func(a, b T) int { return order.Compare(sequence(b), sequence(a)) })
	return rows[:min(len(rows), limit)]
}

// history keeps when passages began and ceased to hold, by looking at the model after each record.
type history struct {
	all     []Passage
	holding map[string]int // where in all
}

func (h *history) look(sequence int64, now []Passage) {
	here := map[string]bool{}
	for _, p := range now {
		name := fmt.Sprint(p.Shelf, p.Sequence, p.Index)
		here[name] = true
		if _, ok := h.holding[name]; !ok {
			h.holding[name] = len(h.all)
			p.Since = sequence
			h.all = append(h.all, p)
		}
	}
	for name, i := range h.holding {
		if !here[name] {
			h.all[i].Until = sequence
			delete(h.holding, name)
		}
	}
}

// between returns what Passages has to return. What ceased to hold after upTo is not known yet.
func (h *history) between(after, upTo int64) []Passage {
	var found []Passage
	for _, p := range h.all {
		if p.Since > after && p.Since <= upTo || p.Until > after && p.Until <= upTo {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Passage) int {
		return order.Or(order.Compare(a.Sequence, b.Sequence), order.Compare(a.Index, b.Index), order.Compare(a.Since, b.Since))
	})
	return found
}

// As of each sequence, a read tells what a fold of the records up to it comes to.
func TestAReadAsOfASequenceIsAFoldOfThePrefix(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		rapid.Check(t, func(rt *rapid.T) {
			log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
			for range rapid.IntRange(1, 60).Draw(rt, "appended") {
				anyEvent(rt, log)
			}
			s := mustOpen(rt, at(rt), log)
			defer func() { _ = s.Close() }()
			s.options.Batch = rapid.IntRange(1, 20).Draw(rt, "batch")
			catchUp(t, s)
			limit := rapid.SampledFrom([]int{1, 2, 100}).Draw(rt, "limit")
			for stream := range log.heads {
				foldOfThePrefix(rt, s, stream, limit)
			}
		})
	})
}

func foldOfThePrefix(t *rapid.T, s *Store, stream string, limit int) {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	records, err := s.log.ReadStream(ctx, stream, 1, 1000)
	fail(err)
	m, h := newModel(), history{holding: map[string]int{}}
	equal := func(what string, want, got any) {
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-model +store)\n%s", what, diff)
		}
	}
	for _, r := range records {
		event, err := agent.Decode(agent.Stored(r.Event))
		if err != nil {
			break // here the stream stops
		}
		m.apply(r, event)
		h.look(r.Sequence, m.passages())
		equal(fmt.Sprintf("%s as of %d", stream, r.Sequence), m.tells(limit), reads(s, Scope{Stream: stream, AsOf: r.Sequence, Limit: limit}, fail))
		for _, after := range []int64{0, r.Sequence - 1, rapid.Int64Range(0, r.Sequence).Draw(t, "after")} {
			got, err := s.Passages(ctx, stream, after, r.Sequence)
			fail(err)
			equal(fmt.Sprintf("%s: passages after %d up to %d", stream, after, r.Sequence), h.between(after, r.Sequence), got)
			vectors, err := s.Embedded(ctx, stream, after, r.Sequence)
			fail(err)
			later := slices.IndexFunc(m.embedded, func(e Embedded) bool { return e.Sequence > after })
			if later < 0 {
				later = len(m.embedded)
			}
			equal(fmt.Sprintf("%s: embedded after %d up to %d", stream, after, r.Sequence), m.embedded[later:], vectors)
		}
	}
}
