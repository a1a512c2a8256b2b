package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Document is what the state keeps of a document that is in a collection.
type Document struct {
	Digest string // of its content and how it was split
	Source string // where it was read; see ConfigMapDocument
}

// Read is a document that was read and split, and may or may not be in the collection already.
type Read struct {
	Name   string // in its collection; of two in one attempt no two are the same
	Source string // where it was read, for people; of a ConfigMap as ConfigMapDocument says
	Digest string // of its content and how it was split
	Chunks []Chunk
}

// ConfigMapDocument returns the name in its collection, and the source, of the
// document that a key of a ConfigMap holds. Selector is how the ConfigMap was
// chosen, as a person would write it; it is empty where the command names the ConfigMap.
func ConfigMapDocument(configMap, key, selector string) (name, source string) {
	source = sourceOfConfigMap(configMap) + key
	if selector != "" {
		source += sourceBySelector(selector)
	}
	return configMap + "/" + key, source
}

// Neither a ConfigMap's name nor its keys can hold a space, so that these say exactly what was read.
func sourceOfConfigMap(name string) string     { return "configMap " + name + ", key " }
func sourceBySelector(selector string) string  { return ", by selector " + selector }
func (d Document) readFrom(source string) bool { return strings.HasPrefix(d.Source, source) }

// Indexed returns the events of an attempt that read all the documents that its
// command names, and split them. Selector is the text given to ConfigMapDocument.
//
// What is new or has changed is recorded; of what has the same digest nothing is,
// and if that is all of it, nothing is recorded but the command's end. Where the
// command names a whole ConfigMap, or a selection of them, the source says what
// there is: a document that the collection has from there, and that was not read
// now, is withdrawn. With configMap.keys, inline and url nothing is withdrawn.
//
// The events hold at whatever the stream's head has become: only commands of
// the collection's lane change what they follow from, and the lane is this command's.
func (s *State) Indexed(c *Command, docs []Read, selector string) []Event {
	p := c.Intent.IndexDocuments()
	t := tally{collection: p.Collection, read: len(docs)}
	var events []Event
	for _, doc := range docs {
		if s.holds(p.Collection, doc) {
			continue
		}
		t.indexed, t.chunks = t.indexed+1, t.chunks+len(doc.Chunks)
		events = append(events, parts(p.Collection, doc)...)
	}
	if gone := s.gone(p, docs, selector); len(gone) > 0 {
		t.withdrawn = len(gone)
		events = append(events, removals(p.Collection, gone)...)
	}
	message := t.message()
	return append(events, AttemptSucceeded{Attempt: c.Attempts, Result: message}, CommandSucceeded{Message: message})
}

// holds reports whether the collection has the document as it was read now.
func (s *State) holds(collection string, doc Read) bool {
	old, ok := s.Documents[collection][doc.Name]
	return ok && old.Digest == doc.Digest
}

// gone returns the names of the documents that the collection has from the source, and that were not read from it now.
func (s *State) gone(p IndexDocumentsPayload, docs []Read, selector string) []string {
	var whole []string // beginnings of the sources that were read as a whole
	switch {
	case p.ConfigMap != nil && len(p.ConfigMap.Keys) == 0:
		whole = append(whole, sourceOfConfigMap(p.ConfigMap.Name))
	case len(p.Selector) > 0:
		for _, doc := range docs {
			configMap, _, _ := strings.Cut(doc.Name, "/")
			whole = append(whole, sourceOfConfigMap(configMap))
		}
	default:
		return nil
	}
	read := make(map[string]struct{}, len(docs))
	for _, doc := range docs {
		read[doc.Name] = struct{}{}
	}
	whole = slices.Compact(slices.Sorted(slices.Values(whole)))
	var gone []string
	for name, doc := range s.Documents[p.Collection] {
		if _, ok := read[name]; ok {
			continue
		}
		selected := selector != "" && strings.HasSuffix(doc.Source, sourceBySelector(selector))
		if selected || slices.ContainsFunc(whole, doc.readFrom) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return gone
}

// withdraw returns the whole effect of a removeDocuments: all that it names, or nothing.
func (s *State) withdraw(p RemoveDocumentsPayload) []Event {
	has := s.Documents[p.Collection]
	if len(has) == 0 {
		return []Event{CommandFailed{Reason: "CollectionUnknown", Message: fmt.Sprintf(
			"The agent has no documents in a collection %q. %s", bound(p.Collection, 100), listed("Its collections are", s.Documents))}}
	}
	names := slices.Compact(slices.Sorted(slices.Values(p.Documents)))
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(has))
	}
	for _, name := range names {
		if _, ok := has[name]; !ok {
			return []Event{CommandFailed{Reason: "DocumentUnknown", Message: fmt.Sprintf(
				"The collection %s has no document %q, so none was removed. %s Correct spec.removeDocuments.documents and apply the command under another name.",
				p.Collection, bound(name, 300), listed("It has", has))}}
		}
	}
	left := len(has) - len(names)
	message := fmt.Sprintf("Removed %s from %s, which has %d left; they are in no context from here on.", counted(len(names), "document"), p.Collection, left)
	return append(removals(p.Collection, names), CommandSucceeded{Message: message})
}

// shelve folds that a document is in a collection. Its further parts say nothing more about it.
func (s *State) shelve(e DocumentIndexed) {
	if e.Part != 1 {
		return
	}
	if s.Documents[e.Collection] == nil {
		s.Documents[e.Collection] = map[string]Document{}
	}
	s.Documents[e.Collection][e.Document] = Document{Digest: e.Digest, Source: e.Source}
}

// unshelve folds that documents are gone. A collection is there as long as it has one.
func (s *State) unshelve(e DocumentsRemoved) {
	has := s.Documents[e.Collection]
	for _, name := range e.Documents {
		delete(has, name)
	}
	if len(has) == 0 {
		delete(s.Documents, e.Collection)
	}
}

// tally is what an indexing came to.
type tally struct {
	collection                       string
	read, indexed, chunks, withdrawn int
}

func (t tally) message() string {
	withdrawn := fmt.Sprintf("Withdrew %s from %s that the source has no more", counted(t.withdrawn, "document"), t.collection)
	indexed := fmt.Sprintf("Indexed %s (%s) into %s", counted(t.indexed, "document"), counted(t.chunks, "chunk"), t.collection)
	rest := "."
	switch unchanged := t.read - t.indexed; {
	case unchanged == 1:
		rest = "; 1 was unchanged."
	case unchanged > 1:
		rest = fmt.Sprintf("; %d were unchanged.", unchanged)
	}
	switch {
	case t.indexed > 0 && t.withdrawn > 0:
		return indexed + rest + " " + withdrawn + "."
	case t.indexed > 0:
		return indexed + rest
	case t.withdrawn > 0:
		return withdrawn + rest
	case t.read == 1:
		return fmt.Sprintf("The document is indexed in %s already; nothing was recorded.", t.collection)
	}
	return fmt.Sprintf("All %d documents are indexed in %s already; nothing was recorded.", t.read, t.collection)
}

func withdrawnResult(e DocumentsRemoved) string {
	return fmt.Sprintf("removed %s from %s", bound(strings.Join(e.Documents, ", "), 1000), e.Collection)
}

// listed names what there is, for a message that says that something is not.
func listed[V any](lead string, there map[string]V) string {
	const most = 20
	names := slices.Sorted(maps.Keys(there))
	if len(names) == 0 {
		return "It has no documents at all; a command of type indexDocuments gives it some."
	}
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return fmt.Sprintf("%s %s%s.", lead, bound(strings.Join(names, ", "), 600), more)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// removals says that documents are gone, in events of which each fits into the journal.
func removals(collection string, names []string) []Event {
	var events []Event
	for batch := range batches(names, func(name string) int { return encodedSize(name) + 1 }, maxPart-1024) {
		events = append(events, DocumentsRemoved{Collection: collection, Documents: batch})
	}
	return events
}
