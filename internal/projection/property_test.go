package projection

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

// TestMain runs fewer examples than rapid's hundred: SQLite is slow under the
// race detector. -rapid.checks asks for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// anyEvent adds to the log what may happen to an agent: a few streams, commands,
// conversations, memories and documents, so that they meet.
func anyEvent(t *rapid.T, log *memoryLog) {
	name := rapid.SampledFrom([]string{"travel/a", "travel/b", "travel/a@2"}).Draw(t, "stream")
	subject := rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "subject")
	draw := rapid.SampledFrom([]func(*rapid.T, string) []agent.Event{anyTurn, anyMemory, anyMemory, anyCommand, anyCommand, anyEnd, anyEnd, anyIndexing, anySummary, anyVectors, anyObservation})
	if rapid.IntRange(0, 60).Draw(t, "luck") == 31 { // rapid prefers small numbers
		log.raw(name, journal.Event{Type: "Unheard", Version: 1, Data: json.RawMessage(`{}`)})
		return
	}
	log.add(name, subject, draw.Draw(t, "event")(t, subject)...)
}

var (
	anyConversation = rapid.SampledFrom([]string{"", "ada", "bob"})
	anyCollection   = rapid.SampledFrom([]string{"rules", "menus"})
	anyText         = rapid.StringN(0, 8, -1)
)

func anyTurn(t *rapid.T, _ string) []agent.Event {
	conversation, text := anyConversation.Draw(t, "conversation"), anyText.Draw(t, "text")
	return rapid.SampledFrom([][]agent.Event{
		{agent.MessageReceived{Conversation: conversation, Text: text}},
		{agent.MessageReceived{Conversation: conversation, Text: text, SaidBy: "eve"}},
		{agent.ResponseGiven{Conversation: conversation, Text: text}},
	}).Draw(t, "turn")
}

// anyMemory saves memories that expire after some events, and that supersede each other, in chains and by themselves.
func anyMemory(t *rapid.T, _ string) []agent.Event {
	ids := rapid.SampledFrom([]string{"m1", "m2", "m3", "m4"})
	id := ids.Draw(t, "memory")
	if rapid.IntRange(0, 4).Draw(t, "forget") == 0 {
		return []agent.Event{agent.MemoryForgotten{ID: id}}
	}
	saved := agent.MemorySaved{ID: id, Kind: anyConversation.Draw(t, "kind"), Content: anyText.Draw(t, "content")}
	if rapid.Bool().Draw(t, "of the second version") {
		saved.Importance = rapid.IntRange(0, 10).Draw(t, "importance")
		saved.SaidBy = anyText.Draw(t, "said by")
		saved.Supersedes = rapid.SampledFrom([]string{"", "m1", "m2", "m3", "m4"}).Draw(t, "supersedes")
		saved.TTL = rapid.SampledFrom([]time.Duration{0, time.Nanosecond, time.Second, 6 * time.Second, 30 * time.Second, time.Hour}).Draw(t, "ttl")
	}
	return []agent.Event{saved}
}

func anyCommand(t *rapid.T, subject string) []agent.Event {
	conversation := anyConversation.Draw(t, "conversation")
	return []agent.Event{rapid.SampledFrom([]agent.CommandAccepted{
		accept(subject, conversation, callIntent("book", `{}`)),
		accept(subject, conversation, agent.Intent{Type: agent.Ask, Payload: json.RawMessage(`{}`)}),
		accept(subject, "", agent.Intent{Type: agent.Summarize, Payload: json.RawMessage(`{}`)}),
	}).Draw(t, "command")}
}

// anyEnd is what may become of a command.
func anyEnd(t *rapid.T, _ string) []agent.Event {
	text := anyText.Draw(t, "text")
	outcome := rapid.SampledFrom([]agent.Settlement{agent.SettledSucceeded, agent.SettledFailed, agent.RunAgain})
	return []agent.Event{rapid.SampledFrom([]agent.Event{
		agent.AttemptSucceeded{Attempt: 1, Result: text},
		agent.CommandSucceeded{Message: text},
		agent.OutcomeLost{Reason: "Lost", Message: text},
		agent.CommandFailed{Reason: "Failed", Message: text},
		agent.CommandCancelled{Reason: "Cancelled", Message: text},
		agent.CommandRefused{Reason: "Refused", Message: text},
		agent.DecisionMade{Step: 1},
		agent.CommandReopened{Message: text},
		agent.CommandReopened{Message: text},
		agent.OutcomeSettled{Outcome: outcome.Draw(t, "outcome"), Reason: text, By: "ada@example.com"},
		agent.OutcomeSettled{Outcome: outcome.Draw(t, "outcome"), Reason: text, By: "ada@example.com"},
	}).Draw(t, "end")}
}

// anyIndexing is documents of one command, with its end in most cases, or a removal.
func anyIndexing(t *rapid.T, _ string) []agent.Event {
	collection := anyCollection.Draw(t, "collection")
	names := rapid.SampledFrom([]string{"a.md", "b.md", "c.md"})
	if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
		return []agent.Event{agent.DocumentsRemoved{Collection: collection, Documents: rapid.SliceOfN(names, 0, 3).Draw(t, "documents")}}
	}
	var all []agent.Event
	for range rapid.IntRange(1, 3).Draw(t, "documents") {
		all = append(all, anyDocument(t, anyCollection.Draw(t, "collection"), names.Draw(t, "document"))...)
	}
	return append(all, rapid.SampledFrom([][]agent.Event{
		{agent.AttemptSucceeded{Attempt: 1, Result: "indexed"}, agent.CommandSucceeded{}},
		{agent.DocumentsRemoved{Collection: collection, Documents: rapid.SliceOfN(names, 0, 2).Draw(t, "withdrawn")}, agent.CommandSucceeded{}},
		append(anyVectors(t, ""), agent.CommandSucceeded{}),
		{agent.CommandFailed{Reason: "Failed"}},
		nil,
	}).Draw(t, "then")...)
}

// anyDocument is the parts of one.
func anyDocument(t *rapid.T, collection, document string) []agent.Event {
	digest, parts := anyText.Draw(t, "digest"), rapid.IntRange(1, 3).Draw(t, "parts")
	var all []agent.Event
	for part := range parts {
		var chunks []agent.Chunk
		for range rapid.IntRange(0, 2).Draw(t, "chunks") {
			chunks = append(chunks, agent.Chunk{Heading: anyText.Draw(t, "heading"), Text: anyText.Draw(t, "text")})
		}
		all = append(all, agent.DocumentIndexed{
			Collection: collection, Document: document, Source: "inline", Digest: digest, Part: part + 1, Parts: parts, Chunks: chunks,
		})
	}
	return all
}

func anyVectors(t *rapid.T, _ string) []agent.Event {
	texts := rapid.SliceOfN(rapid.SampledFrom([]string{agent.TextDigest("a"), agent.TextDigest("b"), "no digest, [\"1\"]"}), 0, 3)
	return []agent.Event{agent.TextsEmbedded{
		Model: rapid.SampledFrom([]string{"small", "large"}).Draw(t, "model"), Dimensions: rapid.IntRange(1, 4096).Draw(t, "dimensions"),
		Texts: texts.Draw(t, "texts"), Vectors: anyText.Draw(t, "vectors"), Usage: agent.Usage{Input: 7},
	}}
}

// anyObservation is of a few names and objects, some of which are not there.
func anyObservation(t *rapid.T, _ string) []agent.Event {
	return []agent.Event{agent.ObjectObserved{
		Observation: rapid.SampledFrom([]string{"web", "Zone", "wöb"}).Draw(t, "observation"), APIVersion: "v1", Kind: "Pod",
		Namespace: rapid.SampledFrom([]string{"", "default"}).Draw(t, "namespace"), Name: anyText.Draw(t, "name"), Missing: rapid.Bool().Draw(t, "missing"),
		Fields: json.RawMessage(rapid.SampledFrom([]string{`{}`, `{"ready":3}`, `{"text":"\u0000 ä"}`}).Draw(t, "fields")),
	}}
}

func anySummary(t *rapid.T, _ string) []agent.Event {
	written := agent.SummaryWritten{Attempt: 1, From: 1, To: rapid.Int64Range(1, 9).Draw(t, "to"), Text: anyText.Draw(t, "text")}
	if rapid.Bool().Draw(t, "of a collection") {
		written.Collection = anyCollection.Draw(t, "collection")
	} else {
		written.Conversation = rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "conversation")
	}
	return []agent.Event{written}
}

// A projection that was made in random batches, closed, killed and opened again
// in between, tells the same as one made at once, as of any sequence, and so it
// told whenever that sequence was the newest.
func TestRebuildEqualsIncremental(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		rapid.Check(t, func(rt *rapid.T) { rebuildEqualsIncremental(t, rt, at) })
	})
}

func rebuildEqualsIncremental(t *testing.T, rt *rapid.T, at location) {
	log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
	where := at(rt)
	s := mustOpen(rt, where, log)
	defer func() { _ = s.Close() }()
	type point struct {
		stream   string
		sequence int64
	}
	earlier, newest := map[string]any{}, map[point]bool{}
	for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
		for range rapid.IntRange(0, 6).Draw(rt, "appended") {
			anyEvent(rt, log)
		}
		s.options.Batch = rapid.IntRange(1, 5).Draw(rt, "batch")
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			if _, err := s.advance(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}
		for name := range log.heads {
			seen, _ := s.Head(context.Background(), name)
			snapshot(t, s, name, seen, earlier)
			newest[point{name, seen}] = true
		}
		switch rapid.SampledFrom([]string{"go on", "go on", "go on", "close", "kill"}).Draw(rt, "then") {
		case "close":
			_ = s.Close()
			s = mustOpen(rt, where, log)
		case "kill":
			where = killed(t, rt, where)
			_ = s.Close()
			s = mustOpen(rt, where, log)
		}
	}
	s.options.Batch = 512
	catchUp(t, s)

	fresh := mustOpen(rt, at(rt), log)
	defer func() { _ = fresh.Close() }()
	catchUp(t, fresh)
	want := everything(t, fresh, log)
	if diff := cmp.Diff(want, everything(t, s, log)); diff != "" {
		rt.Fatalf("(-fresh +incremental)\n%s", diff)
	}
	now := map[string]any{}
	for at := range newest {
		snapshot(t, s, at.stream, at.sequence, now)
	}
	if diff := cmp.Diff(earlier, now); diff != "" {
		rt.Fatalf("(-when it was the newest +now)\n%s", diff)
	}
}

// Both stores tell the same of the same journal, as of every sequence.
func TestBothStoresTellTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := newLogOf(rapid.IntRange(1, 3).Draw(rt, "shards"))
		for range rapid.IntRange(1, 60).Draw(rt, "appended") {
			anyEvent(rt, log)
		}
		told := map[string]map[string]any{}
		for name, at := range stores {
			s := mustOpen(rt, at(rt), log)
			s.options.Batch = rapid.IntRange(1, 20).Draw(rt, "batch")
			catchUp(t, s)
			all := map[string]any{}
			for stream, end := range log.heads {
				all[stream], _ = s.Head(context.Background(), stream)
				for asOf := range end + 1 {
					snapshot(t, s, stream, asOf, all)
				}
			}
			told[name] = all
			_ = s.Close()
		}
		if diff := cmp.Diff(told["SQLite"], told["PostgreSQL"]); diff != "" {
			rt.Fatalf("(-SQLite +PostgreSQL)\n%s", diff)
		}
	})
}

func mustOpen(t *rapid.T, where string, log Log) *Store {
	s, err := Open(context.Background(), where, log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// killed returns where a process that is killed leaves its projection: in a
// server that notices, or as the file and its write-ahead log.
func killed(t *testing.T, rt *rapid.T, where string) string {
	if isURL(where) {
		disconnect(t, where)
		return where
	}
	to := inFile(rt)
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(where + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			rt.Fatal(err)
		}
	}
	return to
}
