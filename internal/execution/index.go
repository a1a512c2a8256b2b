package execution

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/document"
	"github.com/edict-dev/edict/internal/fault"
)

// The bounds of one indexDocuments. A document of that size makes some 2,500 chunks of 400 tokens.
const (
	MaxDocument  = 4 << 20 // bytes of one document
	MaxSource    = 8 << 20 // bytes of all that one command reads
	MaxDocuments = 256     // that one command reads
	maxChunks    = 20_000  // that one command records
)

const (
	// indexTimeout bounds an attempt: a source that does not answer, mostly. Splitting takes seconds at the worst.
	indexTimeout = 30 * time.Second
	// indexAtOnce is how many attempts read and split side by side: they take memory and processors, which decisions need too.
	indexAtOnce = 2
)

// Why documents were not indexed, as Outcome.Reason says it.
const (
	// ReasonSourceNotFound: there is no such ConfigMap, or no such key in it, or the URL's server knows no such page.
	ReasonSourceNotFound = "SourceNotFound"
	// ReasonSourceEmpty: the source holds no documents.
	ReasonSourceEmpty = "SourceEmpty"
	// ReasonSourceChanged: the ConfigMap holds something else than the command was issued for.
	ReasonSourceChanged = "SourceChanged"
	// ReasonSourceInvalid: the source is none that can be read, whatever it holds.
	ReasonSourceInvalid = "SourceInvalid"
	// ReasonSourceForbidden: the operator may not read the ConfigMap.
	ReasonSourceForbidden = "SourceForbidden"
	// ReasonSourceRejected: the URL's server refused the request (4xx).
	ReasonSourceRejected = "SourceRejected"
	// ReasonSourceRedirected: the URL's server answered with a redirect, which is not followed.
	ReasonSourceRedirected = "SourceRedirected"
	// ReasonSourceUnavailable: the source could not be read now.
	ReasonSourceUnavailable = "SourceUnavailable"
	// ReasonSourceTooLarge: the source holds too many documents, or too much in all.
	ReasonSourceTooLarge = "SourceTooLarge"
	// ReasonDocumentTooLarge: one document is too large.
	ReasonDocumentTooLarge = "DocumentTooLarge"
	// ReasonDocumentEncoding: a document is not UTF-8 text.
	ReasonDocumentEncoding = "DocumentEncoding"
	// ReasonDocumentType: the URL's server says that what it sends is no text.
	ReasonDocumentType = "DocumentType"
	// ReasonDocumentNameTaken: two documents of one source have the same name.
	ReasonDocumentNameTaken = "DocumentNameTaken"
	// ReasonTooManyChunks: the documents would be split into too many chunks.
	ReasonTooManyChunks = "TooManyChunks"
	// ReasonTooManyVectors: the chunks' vectors would be too much for one append.
	ReasonTooManyVectors = "TooManyVectors"
	// ReasonEmbeddingsFull: the vectors of the agent's stream take all the memory that they may.
	ReasonEmbeddingsFull = "EmbeddingsFull"
)

// Documents reads documents that live in Kubernetes.
type Documents interface {
	// Read returns what the ConfigMaps hold that the payload names or selects. Its errors are faults: Invalid if reading
	// again cannot help, Wait if it may.
	Read(ctx context.Context, namespace string, source agent.IndexDocumentsPayload) (Library, error)
}

// Pages reads a document from a server.
type Pages interface {
	// Read returns the bytes at a URL, at most MaxDocument. Its errors are faults, as those of Documents are.
	Read(ctx context.Context, url string) ([]byte, error)
}

// Library is what a source holds, read at one moment.
type Library struct {
	Documents []SourceDocument
	Selector  string // how ConfigMaps were selected, as it was given to agent.ConfigMapDocument; empty if they were not
}

// SourceDocument is a document as it was read.
type SourceDocument struct {
	Name   string // in its collection
	Source string // for people; of a ConfigMap, as agent.ConfigMapDocument says
	Data   []byte
}

// index makes one attempt at an indexDocuments: read the source, split what it
// holds, have that embedded if the agent says by whom, and record all of it or nothing.
func (e *Engine) index(st *stream, c *agent.Command, p agent.Profile) error {
	timeout, vectors := indexTimeout, &round{}
	if p.Embeddings != nil && e.Embedder != nil {
		var err error
		if vectors, err = e.round(st, c, p); err != nil {
			return err
		}
		timeout += embedTimeouts * p.Embeddings.Timeout
	}
	attempt, bound := e.attempt(c, 0, timeout)
	first, err := e.record(st, c, []agent.Event{attempt})
	if err != nil || !first {
		return err
	}
	read, selector, err := e.collect(st, c, bound)
	if err == nil && vectors.embedder != nil {
		err = e.embedChunks(st, c, vectors, bound, read)
	}
	blobs := vectors.blobs
	if err != nil {
		blobs = nil
	}
	return e.settle(st, c.Key, attempt.Attempt, func(c *agent.Command) []agent.Event {
		switch {
		case errors.Is(err, context.Canceled): // the command was cancelled, or the operator is stopping
			return []agent.Event{agent.AttemptAbandoned{Attempt: attempt.Attempt}}
		case err != nil:
			return c.ExecutedAtCost(e.Now(), unread(err), vectors.cost)
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		return append(slices.Clone(vectors.events), st.state.Indexed(c, read, selector)...)
	}, blobs...)
}

// collect reads and splits the documents that a command names. A command that is
// cancelled cuts it off.
func (e *Engine) collect(st *stream, c *agent.Command, bound limit) (read []agent.Read, selector string, err error) {
	ctx, cut := bound(e.ctx)
	defer cut()
	st.setCut(c.Key, cut)
	defer st.setCut(c.Key, nil)
	ctx, done := context.WithTimeout(ctx, indexTimeout) // what the attempt has beyond that is for vectors
	defer done()
	p := c.Intent.IndexDocuments()
	library, err := e.library(ctx, st.namespace, p)
	if err == nil {
		read, err = e.split(ctx, library.Documents, p.Chunking)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return read, library.Selector, err
}

// library reads the payload's source.
func (e *Engine) library(ctx context.Context, namespace string, p agent.IndexDocumentsPayload) (Library, error) {
	switch {
	case p.URL != "":
		data, err := e.Pages.Read(ctx, p.URL)
		return Library{Documents: []SourceDocument{{Name: p.URL, Source: p.URL, Data: data}}}, err
	case p.ConfigMap != nil || len(p.Selector) > 0:
		return e.Documents.Read(ctx, namespace, p)
	}
	var l Library
	for _, doc := range p.Inline {
		l.Documents = append(l.Documents, SourceDocument{Name: doc.Name, Source: "inline", Data: []byte(doc.Text)})
	}
	return l, nil
}

// split makes chunks of what was read, within the bounds of one command.
func (e *Engine) split(ctx context.Context, docs []SourceDocument, how agent.Chunking) ([]agent.Read, error) {
	if err := inBounds(docs); err != nil {
		return nil, err
	}
	read, chunks := make([]agent.Read, 0, len(docs)), 0
	for _, doc := range docs {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text, err := document.Decode(doc.Data)
		if err != nil {
			return nil, fault.NewInvalid(ReasonDocumentEncoding, "The document %q cannot be read: %s.", doc.Name, err)
		}
		one := agent.Read{Name: doc.Name, Source: doc.Source, Digest: DocumentDigest(text, how)}
		for _, chunk := range document.Split(text, document.Options(how), e.Tokens) {
			one.Chunks = append(one.Chunks, agent.Chunk(chunk))
		}
		if chunks += len(one.Chunks); chunks > maxChunks {
			return nil, fault.NewInvalid(ReasonTooManyChunks,
				"The documents make more than %d chunks of at most %d tokens; raise spec.indexDocuments.chunking.maxTokens, or index fewer at once.", maxChunks, how.MaxTokens)
		}
		read = append(read, one)
	}
	return read, nil
}

func inBounds(docs []SourceDocument) error {
	switch {
	case len(docs) == 0:
		return fault.NewInvalid(ReasonSourceEmpty, "The source holds no documents, so there is nothing to index. To withdraw what was indexed before, apply a command of type removeDocuments.")
	case len(docs) > MaxDocuments:
		return TooManyDocuments()
	}
	names := map[string]struct{}{}
	total := 0
	for _, doc := range docs {
		if _, taken := names[doc.Name]; taken {
			return fault.NewInvalid(ReasonDocumentNameTaken, "The source has two documents of the name %q; give each a name of its own.", doc.Name)
		}
		names[doc.Name] = struct{}{}
		if len(doc.Data) > MaxDocument {
			return fault.NewInvalid(ReasonDocumentTooLarge, "The document %q has %s bytes; at most %d MiB are indexed. Index it in parts.",
				doc.Name, thousands(len(doc.Data)), MaxDocument>>20)
		}
		total += len(doc.Data)
	}
	if total > MaxSource {
		return TooMuchAtOnce()
	}
	return nil
}

// TooManyDocuments is why a source of that many documents is not indexed. Who reads a source may say so before it has read all.
func TooManyDocuments() error {
	return fault.NewInvalid(ReasonSourceTooLarge, "The source holds more than %d documents; index them by several commands.", MaxDocuments)
}

// TooMuchAtOnce is why a source of that size is not indexed. Who reads a source may say so before it has read all.
func TooMuchAtOnce() error {
	return fault.NewInvalid(ReasonSourceTooLarge, "The source holds more than %d MiB in all; index it by several commands.", MaxSource>>20)
}

// unread says what a failure to read or split means for the attempt. What is read has no effect, so nothing is ambiguous.
func unread(err error) agent.Outcome {
	f := fault.Of(err)
	switch {
	case f.Kind == fault.Retry && errors.Is(err, context.DeadlineExceeded):
		return agent.Outcome{Verdict: agent.NotDone, Reason: ReasonSourceUnavailable, Message: fmt.Sprintf("The source could not be read and split within %s.", indexTimeout)}
	case f.Kind == fault.Invalid || f.Kind == fault.Corrupt:
		return agent.Outcome{Verdict: agent.Rejected, Reason: f.Reason, Message: f.Message}
	case f.Kind == fault.Retry:
		return agent.Outcome{Verdict: agent.NotDone, Reason: ReasonSourceUnavailable, Message: "The source could not be read just now."}
	}
	return agent.Outcome{Verdict: agent.NotDone, Reason: f.Reason, Message: f.Message, RetryAfter: f.After}
}

// splitting is the version of how texts are split: another one, and every document counts as changed.
const splitting = "2"

// DocumentDigest returns the digest of a document's text and how it is split.
func DocumentDigest(text string, how agent.Chunking) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d\n", splitting, how.MaxTokens, how.OverlapTokens)
	_, _ = io.WriteString(h, text) // a hash takes every byte
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Unchanged reports whether indexing the documents into a collection that has what is
// held would record none of them.
func Unchanged(docs []SourceDocument, how agent.Chunking, held map[string]agent.Document) bool {
	for _, doc := range docs {
		old, ok := held[doc.Name]
		text, err := document.Decode(doc.Data)
		if !ok || err != nil || old.Digest != DocumentDigest(text, how) {
			return false
		}
	}
	return true
}

// Collections returns what the agent's collections hold, by collection and
// document, as far as this process has seen the stream. It returns the fault
// NotHere if another process holds the agent's shard.
func (e *Engine) Collections(ctx context.Context, namespace, agentName string) (map[string]map[string]agent.Document, error) {
	st, err := e.open(ctx, name{namespace, agentName})
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	out := make(map[string]map[string]agent.Document, len(st.state.Documents))
	for collection, documents := range st.state.Documents {
		out[collection] = maps.Clone(documents)
	}
	return out, nil
}

// slotsFor returns what bounds how many commands of a type are executed at once.
func (e *Engine) slotsFor(t agent.Type) chan struct{} {
	if t == agent.IndexDocuments {
		return e.indexing
	}
	return e.slots
}

// thousands writes a number so that people can read it: 52 428 800.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}
