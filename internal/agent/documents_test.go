package agent

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fromConfigMap, bySelector and inline are what indexDocuments commands of the collection "rules" want.
var (
	fromConfigMap = IndexDocumentsPayload{Collection: "rules", ConfigMap: &ConfigMapSource{Name: "visa"}}
	someKeys      = IndexDocumentsPayload{Collection: "rules", ConfigMap: &ConfigMapSource{Name: "visa", Keys: []string{"a"}}}
	bySelector    = IndexDocumentsPayload{Collection: "rules", Selector: json.RawMessage(`{"matchLabels":{"topic":"visa"}}`)}
	inline        = IndexDocumentsPayload{Collection: "rules", Inline: []InlineDocument{{Name: "notes", Text: "text"}}}
)

// selected is how a person would write what bySelector selects by.
const selected = "topic=visa"

// read returns a document of two chunks that was read from a ConfigMap.
func read(configMap, key, digest, selector string) Read {
	name, source := ConfigMapDocument(configMap, key, selector)
	return Read{Name: name, Source: source, Digest: digest, Chunks: []Chunk{{Text: "one"}, {Text: "two", Offset: 4}}}
}

func note(digest string) Read {
	return Read{Name: "notes", Source: "inline", Digest: digest, Chunks: []Chunk{{Text: "one"}}}
}

// index carries an indexDocuments out, which read the documents, and returns what followed.
func (s *story) index(name string, p IndexDocumentsPayload, selector string, docs ...Read) []Event {
	s.t.Helper()
	key := s.accept(name, NewIntent(IndexDocuments, p), Internal)
	s.want(name+" starts", s.next(key).Kind, Execute)
	s.given(key, s.state.Open[key].StartAttempt(s.clock, 0, time.Second))
	events := s.state.Indexed(s.state.Open[key], docs, selector)
	s.given(key, events...)
	s.want(name+" is open", s.state.Open[key] != nil, false)
	return events
}

// told writes events as a test expects them: documents by name, ends by their message.
func told(events []Event) []string {
	var out []string
	for _, e := range events {
		switch e := e.(type) {
		case DocumentIndexed:
			out = append(out, "+"+e.Document)
		case DocumentsRemoved:
			out = append(out, "-"+strings.Join(e.Documents, " -"))
		case CommandSucceeded:
			out = append(out, e.Message)
		case CommandFailed:
			out = append(out, e.Reason+": "+e.Message)
		}
	}
	return out
}

func TestWhatIndexingRecords(t *testing.T) {
	type indexing struct {
		of       IndexDocumentsPayload
		selector string
		docs     []Read
	}
	visa := func(docs ...Read) indexing { return indexing{of: fromConfigMap, docs: docs} }
	topic := func(docs ...Read) indexing { return indexing{of: bySelector, selector: selected, docs: docs} }
	a, b := read("visa", "a", "1", ""), read("visa", "b", "1", "")
	for _, tc := range []struct {
		name  string
		given []indexing
		when  indexing
		then  []string
	}{
		{"what is new is recorded", nil, visa(a, b), []string{"+visa/a", "+visa/b", "Indexed 2 documents (4 chunks) into rules."}},
		{"what is there already is not", []indexing{visa(a, b)}, visa(a, b), []string{"All 2 documents are indexed in rules already; nothing was recorded."}},
		{"one document that is there already is not", []indexing{visa(a)}, visa(a), []string{"The document is indexed in rules already; nothing was recorded."}},
		{"what has changed is recorded again", []indexing{visa(a, b)}, visa(a, read("visa", "b", "2", "")),
			[]string{"+visa/b", "Indexed 1 document (2 chunks) into rules; 1 was unchanged."}},
		{"what changes back is recorded again", []indexing{visa(a), visa(read("visa", "a", "2", ""))}, visa(a),
			[]string{"+visa/a", "Indexed 1 document (2 chunks) into rules."}},
		{"what a ConfigMap has lost is withdrawn", []indexing{visa(a, b)}, visa(a),
			[]string{"-visa/b", "Withdrew 1 document from rules that the source has no more; 1 was unchanged."}},
		{"what it has lost is withdrawn beside what it has now", []indexing{visa(a)}, visa(b),
			[]string{"+visa/b", "-visa/a", "Indexed 1 document (2 chunks) into rules. Withdrew 1 document from rules that the source has no more."}},
		{"what some of its keys do not name stays", []indexing{visa(a, b)}, indexing{of: someKeys, docs: []Read{read("visa", "a", "2", "")}},
			[]string{"+visa/a", "Indexed 1 document (2 chunks) into rules."}},
		{"what another ConfigMap holds stays", []indexing{{of: IndexDocumentsPayload{Collection: "rules", ConfigMap: &ConfigMapSource{Name: "visa-2"}}, docs: []Read{read("visa-2", "a", "1", "")}}},
			visa(a), []string{"+visa/a", "Indexed 1 document (2 chunks) into rules."}},
		{"what was inline stays", []indexing{{of: inline, docs: []Read{note("1")}}}, visa(a), []string{"+visa/a", "Indexed 1 document (2 chunks) into rules."}},
		{"inline withdraws nothing", []indexing{visa(a), {of: inline, docs: []Read{note("1")}}}, indexing{of: inline, docs: []Read{{Name: "others", Source: "inline", Digest: "1"}}},
			[]string{"+others", "Indexed 1 document (0 chunks) into rules."}},
		{"another collection is another matter", []indexing{visa(a, b)}, indexing{of: IndexDocumentsPayload{Collection: "other", ConfigMap: fromConfigMap.ConfigMap}, docs: []Read{a}},
			[]string{"+visa/a", "Indexed 1 document (2 chunks) into other."}},
		{"a ConfigMap that is selected no more is withdrawn", []indexing{topic(read("visa", "a", "1", selected), read("food", "a", "1", selected))}, topic(read("visa", "a", "1", selected)),
			[]string{"-food/a", "Withdrew 1 document from rules that the source has no more; 1 was unchanged."}},
		{"so is the key of one that is", []indexing{topic(read("visa", "a", "1", selected), read("visa", "b", "1", selected))}, topic(read("visa", "a", "1", selected)),
			[]string{"-visa/b", "Withdrew 1 document from rules that the source has no more; 1 was unchanged."}},
		{"what another selector chose stays", []indexing{{of: bySelector, selector: "topic=food", docs: []Read{read("food", "a", "1", "topic=food")}}}, topic(read("visa", "a", "1", selected)),
			[]string{"+visa/a", "Indexed 1 document (2 chunks) into rules."}},
		{"what a ConfigMap by its name has lost is withdrawn, however it came", []indexing{topic(read("visa", "a", "1", selected), read("visa", "b", "1", selected))}, visa(a),
			[]string{"-visa/b", "Withdrew 1 document from rules that the source has no more; 1 was unchanged."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			for i, g := range tc.given {
				s.index(fmt.Sprintf("given-%d", i), g.of, g.selector, g.docs...)
			}
			events := s.index("when", tc.when.of, tc.when.selector, tc.when.docs...)
			s.want("events", told(events), tc.then)
			s.want("the end", names(events[len(events)-2:]), []string{"AttemptSucceeded", "CommandSucceeded"})
		})
	}
}

func TestWhatRemovingDocumentsCauses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		given []Read
		when  RemoveDocumentsPayload
		then  []string
	}{
		{"one", []Read{note("1"), read("visa", "a", "1", "")}, RemoveDocumentsPayload{Collection: "rules", Documents: []string{"notes"}},
			[]string{"-notes", "Removed 1 document from rules, which has 1 left; they are in no context from here on."}},
		{"all", []Read{note("1"), read("visa", "a", "1", "")}, RemoveDocumentsPayload{Collection: "rules"},
			[]string{"-notes -visa/a", "Removed 2 documents from rules, which has 0 left; they are in no context from here on."}},
		{"one that is named twice", []Read{note("1")}, RemoveDocumentsPayload{Collection: "rules", Documents: []string{"notes", "notes"}},
			[]string{"-notes", "Removed 1 document from rules, which has 0 left; they are in no context from here on."}},
		{"one that is not there, and so none", []Read{note("1")}, RemoveDocumentsPayload{Collection: "rules", Documents: []string{"notes", "other"}},
			[]string{`DocumentUnknown: The collection rules has no document "other", so none was removed. It has notes. Correct spec.removeDocuments.documents and apply the command under another name.`}},
		{"of a collection that is not there", []Read{note("1")}, RemoveDocumentsPayload{Collection: "other"},
			[]string{`CollectionUnknown: The agent has no documents in a collection "other". Its collections are rules.`}},
		{"where there are none at all", nil, RemoveDocumentsPayload{Collection: "rules"},
			[]string{`CollectionUnknown: The agent has no documents in a collection "rules". It has no documents at all; a command of type indexDocuments gives it some.`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			if len(tc.given) > 0 {
				s.index("given", inline, "", tc.given...)
			}
			o := s.order("remove", NewIntent(RemoveDocuments, tc.when))
			s.want("it follows from others", o.FollowsOthers(), true)
			events := s.state.Accept(o, Approval{Allowed: true, Effect: Internal})
			s.want("events", told(events), tc.then)
			s.given(o.Key, events...)
			s.want("open", len(s.state.Open), 0)
			s.want("queues", len(s.state.queues), 0)
		})
	}
}

// A collection may not be found half removed: what is indexed meanwhile was asked
// for before.
func TestRemovingWaitsForAnIndexingThatIsUnderWay(t *testing.T) {
	s := newStory(t)
	s.index("given", inline, "", note("1"))
	first := s.accept("index", NewIntent(IndexDocuments, inline), Internal)
	s.given(first, s.state.Open[first].StartAttempt(s.clock, 0, time.Second))

	o := s.order("remove", NewIntent(RemoveDocuments, RemoveDocumentsPayload{Collection: "rules"}))
	accepted := s.state.Accept(o, Approval{Allowed: true, Effect: Internal})
	s.want("accepted", names(accepted), []string{"CommandAccepted", "CommandApproved"})
	s.given(o.Key, accepted...)
	s.want("it waits", s.next(o.Key).Kind, Rest)

	other := s.order("remove-other", NewIntent(RemoveDocuments, RemoveDocumentsPayload{Collection: "other"}))
	s.want("another collection's does not", names(s.state.Accept(other, Approval{Allowed: true})), []string{"CommandAccepted", "CommandApproved", "CommandFailed"})

	ended := Encode(first, CommandSucceeded{})
	s.given(first, s.state.Indexed(s.state.Open[first], []Read{note("1"), read("visa", "a", "1", "")}, "")[:2]...)
	event, err := Decode(ended)
	if err != nil {
		t.Fatal(err)
	}
	moved := s.state.Apply(Recorded{Sequence: s.state.Sequence + 1, Time: s.clock, Subject: first, Event: event})
	s.want("its end lets the next move", moved, []string{first, o.Key})
	action := s.next(o.Key)
	s.want("then it removes all", told(action.Events), []string{"-notes -visa/a", "Removed 2 documents from rules, which has 0 left; they are in no context from here on."})
	s.want("wherever the head is", action.Head, int64(0))
	s.given(o.Key, action.Events...)
	s.want("documents", len(s.state.Documents), 0)
}

func TestWhatIndexesACollectionRunsInTheOrderAccepted(t *testing.T) {
	s := newStory(t)
	first, second := s.accept("first", NewIntent(IndexDocuments, fromConfigMap), Internal), s.accept("second", NewIntent(IndexDocuments, bySelector), Internal)
	other := s.accept("other", NewIntent(IndexDocuments, IndexDocumentsPayload{Collection: "other"}), Internal)
	s.want("first", s.next(first).Kind, Execute)
	s.want("second", s.next(second), Action{At: s.state.Open[second].Deadline})
	s.want("of another collection", s.next(other).Kind, Execute)
	s.given(first, s.state.Open[first].StartAttempt(s.clock, 0, time.Second))
	s.given(first, s.state.Open[first].Executed(s.clock, Outcome{Verdict: Rejected, Reason: "SourceNotFound", Message: "No."})...)
	s.want("second, after the first has failed", s.next(second).Kind, Execute)
}

func TestAnIndexingThatWasCutOffIsDoneAgain(t *testing.T) {
	s := newStory(t)
	key := s.accept("index", NewIntent(IndexDocuments, inline), Internal)
	attempt := s.state.Open[key].StartAttempt(s.clock, 0, time.Second)
	s.given(key, attempt)
	s.clock = attempt.Deadline
	s.want("after the deadline", names(s.next(key).Events), []string{"AttemptAbandoned"})
	s.given(key, s.next(key).Events...)
	s.want("then", s.next(key).Kind, Execute)
	s.given(key, s.state.Open[key].StartAttempt(s.clock, 0, time.Second))
	events := s.state.Indexed(s.state.Open[key], []Read{note("1")}, "")
	s.want("it closes its own attempt", events[1].(AttemptSucceeded).Attempt, 2)
}

// The state counts a document by its first part, also when an indexing has many.
func TestADocumentInPartsIsOneDocument(t *testing.T) {
	s := newStory(t)
	long := Read{Name: "long", Source: "inline", Digest: "1"}
	for i := range 40 {
		long.Chunks = append(long.Chunks, Chunk{Text: strings.Repeat("x", 10_000), Offset: 10_000 * i})
	}
	s.index("index", inline, "", long, note("1"))
	s.want("documents", s.state.Documents, map[string]map[string]Document{"rules": {
		"long": {Digest: "1", Source: "inline"}, "notes": {Digest: "1", Source: "inline"}}})
	s.want("again", told(s.index("again", inline, "", long, note("1"))), []string{"All 2 documents are indexed in rules already; nothing was recorded."})
}

func TestTheResultsOfDocumentCommands(t *testing.T) {
	s := newStory(t)
	o := s.order("index", NewIntent(IndexDocuments, inline))
	fold := func(o Order, events ...Event) *Command {
		var records []Recorded
		for i, e := range events {
			records = append(records, Recorded{Sequence: int64(i + 1), Time: s.clock, Subject: o.Key, Event: e})
		}
		return Fold(records)
	}
	accepted := s.state.Accept(o, Approval{Allowed: true, Effect: Internal})
	s.given(o.Key, accepted...)
	s.given(o.Key, s.state.Open[o.Key].StartAttempt(s.clock, 0, time.Second))
	ended := s.state.Indexed(s.state.Open[o.Key], []Read{note("1")}, "")
	s.given(o.Key, ended...)
	s.want("of indexing", fold(o, append(accepted, ended...)...).Result, "Indexed 1 document (1 chunk) into rules.")
	o = s.order("remove", NewIntent(RemoveDocuments, RemoveDocumentsPayload{Collection: "rules"}))
	s.want("of removing", fold(o, s.state.Accept(o, Approval{Allowed: true})...).Result, "removed notes from rules")
}

func TestTheStateOfDocumentsIsTheSameFromAnyReplay(t *testing.T) {
	s := newStory(t)
	var records []Recorded
	add := func(key string, events ...Event) {
		for _, e := range events {
			r := Recorded{Sequence: s.state.Sequence + 1, Time: s.clock, Subject: key, Event: e}
			records = append(records, r)
			s.state.Apply(r)
		}
	}
	o := s.order("index", NewIntent(IndexDocuments, inline))
	add(o.Key, s.state.Accept(o, Approval{Allowed: true, Effect: Internal})...)
	add(o.Key, s.state.Open[o.Key].StartAttempt(s.clock, 0, time.Second))
	add(o.Key, s.state.Indexed(s.state.Open[o.Key], []Read{note("1"), read("visa", "a", "1", "")}, "")...)
	o = s.order("remove", NewIntent(RemoveDocuments, RemoveDocumentsPayload{Collection: "rules", Documents: []string{"notes"}}))
	add(o.Key, s.state.Accept(o, Approval{Allowed: true, Effect: Internal})...)
	again := NewState()
	for _, r := range records {
		again.Apply(r)
	}
	if !reflect.DeepEqual(again, s.state) {
		t.Errorf("got %+v, want %+v", again, s.state)
	}
}
