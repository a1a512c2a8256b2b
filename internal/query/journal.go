package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
)

const (
	linesType  = "application/x-ndjson"
	eventsType = "text/event-stream"
)

// page is how many records are in memory at once, for one reader.
const page = 64

// line is a record as a reader of the journal sees it.
type line struct {
	Stream   string          `json:"stream"`
	Sequence int64           `json:"sequence"`
	Position int64           `json:"position"`
	Time     time.Time       `json:"time"`
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Subject  string          `json:"subject,omitempty"`
	Epoch    int64           `json:"epoch"`
	Data     json.RawMessage `json:"data"`
}

// reading is one request for a stream's records.
type reading struct {
	stream string
	next   int64 // the sequence to be read next
	left   int64 // how many more are wanted; negative: all
	follow bool
}

// journal answers with a stream's records: JSON lines up to its end, or
// server-sent events that go on. An answer that has to end early ends with a
// line, or an event, that says why: {"problem": …}.
func (h *handler) journal(w http.ResponseWriter, r *http.Request) error {
	p := parametersOf(r, "from", "limit", "life", "follow")
	want := reading{next: max(1, p.number("from", 1)), left: -1, follow: p.flag("follow")}
	if p.has("limit") {
		want.left = p.number("limit", 1)
	}
	life := p.number("life", 1)
	media, err := accepted(r, linesType, jsonType, eventsType)
	if p.bad != nil {
		return p.bad
	}
	if err != nil {
		return err
	}
	want.follow = want.follow || media == eventsType
	if last := r.Header.Get("Last-Event-ID"); last != "" && want.follow {
		id, err := strconv.ParseInt(last, 10, 64)
		if err != nil || id < 0 {
			return badParameter("Last-Event-ID", "it is the id of an event that was received")
		}
		want.next = id + 1
	}
	if want.stream, err = h.agentStream(r, int(life)); err != nil {
		return err
	}
	if want.follow {
		return h.follow(w, r, want)
	}
	return h.lines(w, r, want)
}

// agentStream returns the stream that the path names, of the agent's life number
// life (0: the present one), if the reader may read it: the agent, and every
// command of the namespace, for it tells of all.
func (h *handler) agentStream(r *http.Request, life int) (string, error) {
	namespace, name, err := named(r)
	if err != nil {
		return "", err
	}
	if err := h.allow(r, "get", "agents", namespace, name); err != nil {
		return "", err
	}
	if err := h.allow(r, "get", "commands", namespace, ""); err != nil {
		return "", err
	}
	if life > 0 {
		stream := agent.StreamName(namespace, name, life)
		head, err := h.Journal.Head(r.Context(), stream)
		if err == nil && head == 0 {
			err = &problem{Status: http.StatusNotFound, Reason: "NotFound", Parameter: "life",
				Detail: fmt.Sprintf("The journal holds no life %d of agent %s in namespace %s.", life, name, namespace), Remedy: "Lives are counted from 1."}
		}
		return stream, err
	}
	stream, err := h.Streams.Stream(r.Context(), namespace, name)
	if errors.Is(err, ErrNotFound) {
		return "", &problem{Status: http.StatusNotFound, Reason: "NotFound",
			Detail: fmt.Sprintf("There is no Agent %s in namespace %s.", name, namespace), Remedy: "To read the journal of one that was deleted, say which of its lives: life=1."}
	}
	if err != nil {
		return "", fmt.Errorf("find the stream of agent %s/%s: %w", namespace, name, err)
	}
	return stream, nil
}

// lines writes what a stream holds, page by page.
func (h *handler) lines(w http.ResponseWriter, r *http.Request, want reading) error {
	leave, err := enter(h.readers, "read the journal")
	if err != nil {
		return err
	}
	defer leave()
	records, err := h.readPage(r.Context(), &want) // the first, while a refusal can still be told
	if err != nil {
		return err
	}
	out := h.stream(w, linesType)
	for ; len(records) > 0; records, err = h.readPage(r.Context(), &want) {
		if out.records(records, linesOf) != nil || r.Method == http.MethodHead {
			return nil
		}
	}
	if err != nil {
		out.problem(err, problemLine)
	}
	return nil
}

// readPage returns the next records, none at the stream's end or when enough were read.
func (h *handler) readPage(ctx context.Context, want *reading) ([]journal.Record, error) {
	limit := int64(page)
	if want.left >= 0 {
		limit = min(limit, want.left)
	}
	if limit == 0 {
		return nil, nil
	}
	records, err := h.Journal.ReadStream(ctx, want.stream, want.next, int(limit))
	if err != nil {
		return nil, fmt.Errorf("read %s from sequence %d: %w", want.stream, want.next, err)
	}
	if n := len(records); n > 0 {
		want.next = records[n-1].Sequence + 1
		if want.left > 0 {
			want.left -= int64(n)
		}
	}
	return records, nil
}

// enter takes one of the places, or says that all are taken.
func enter(places chan struct{}, what string) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		const soon = 5 * time.Second
		return nil, &problem{Status: http.StatusServiceUnavailable, Reason: "TooManyReaders", retryAfter: soon,
			Detail: fmt.Sprintf("%d others %s at this moment, and that is all there may be.", cap(places), what), Remedy: "Ask again after the time in Retry-After."}
	}
}

// inPast does what reads a journal's past when there is a place for it. The answer is written after that: a reader who is
// slow to take it keeps nobody from reading.
func inPast[T any](h *handler, read func() (T, error)) (T, error) {
	leave, err := enter(h.readers, "read the journal")
	if err != nil {
		var none T
		return none, err
	}
	defer leave()
	return read()
}

// stream is an answer that is written bit by bit.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	timeout time.Duration
}

func (h *handler) stream(w http.ResponseWriter, media string) *stream {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, control: http.NewResponseController(w), now: h.options.Now, timeout: h.options.Timeout}
}

// send writes a bit, and gives a reader that does not read a time to do so.
func (s *stream) send(data []byte) error {
	if err := s.control.SetWriteDeadline(s.now().Add(s.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (s *stream) records(records []journal.Record, format func(io.Writer, journal.Record) error) error {
	var out bytes.Buffer
	for _, record := range records {
		if err := format(&out, record); err != nil {
			return err
		}
	}
	return s.send(out.Bytes())
}

// problem tells why the answer ends here, to who still listens.
func (s *stream) problem(err error, format string) {
	p := problemOf(err)
	p.Title = http.StatusText(p.Status)
	if body, err := encode(p); err == nil {
		_ = s.send(fmt.Appendf(nil, format, bytes.TrimSpace(body)))
	}
}

const problemLine = "{\"problem\":%s}\n"

func linesOf(w io.Writer, record journal.Record) error {
	body, err := encode(line{
		Stream: record.Stream, Sequence: record.Sequence, Position: record.Position, Time: record.Time, Type: record.Type,
		Version: record.Version, Subject: record.Subject, Epoch: record.Epoch, Data: record.Data,
	})
	if err == nil {
		_, err = w.Write(body)
	}
	return err
}

// encode returns v as one line of JSON, as people write it.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return out.Bytes(), err
}
