package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/projection"
)

// Bounds of what a summary is written from, in bytes: of all of it, which a model with a small window has to take
// beside its answer, and of one turn.
const (
	transcriptBytes = 48 << 10
	saidBytes       = 8 << 10
	// besideText is what a turn takes in a prompt besides its text, about.
	besideText = 40
)

// Limits of what is read for a transcript, in rows. More than these do not fit into one.
const (
	turnsRead     = transcriptBytes / besideText
	documentsRead = 10_000
	commandsRead  = 10_000
	summariesRead = 100
)

// projectedWithin is how long a transcript waits for the projection.
const projectedWithin = 5 * time.Second

// TranscriptReader is what transcripts are read from.
type TranscriptReader interface {
	WaitFor(ctx context.Context, stream string, least int64) error
	Turns(ctx context.Context, of projection.Scope, conversation string, after, upTo int64) ([]projection.Message, error)
	Chunks(ctx context.Context, of projection.Scope, collections ...string) ([]projection.Chunk, error)
	Summaries(ctx context.Context, of projection.Scope, conversation, collection string) ([]projection.Summary, error)
	Pending(ctx context.Context, of projection.Scope, conversation string) ([]projection.Pending, error)
}

// Transcripts reads what summaries are written from.
type Transcripts struct{ Reader TranscriptReader }

// Transcript returns the newest summary that covers nothing later, and the oldest
// of what came after it, as much as fits. It waits a few seconds for the
// projection, and then returns its fault of kind Wait.
func (t *Transcripts) Transcript(ctx context.Context, r agent.TranscriptRequest) (agent.Transcript, error) {
	ctx, cancel := context.WithTimeout(ctx, projectedWithin)
	defer cancel()
	r.Seen = max(r.Seen, r.UpTo)
	if err := t.Reader.WaitFor(ctx, r.Stream, r.Seen); err != nil {
		return agent.Transcript{}, err
	}
	previous, err := t.previous(ctx, r)
	if err != nil {
		return agent.Transcript{}, err
	}
	read := t.turns
	if r.Of.Collection != "" {
		read = t.passages
	}
	items, previous, err := read(ctx, r, previous)
	if err != nil {
		return agent.Transcript{}, err
	}
	return transcript(previous, items), nil
}

// previous returns the summary that reaches furthest and not beyond what is wanted; a zero one if there is none.
func (t *Transcripts) previous(ctx context.Context, r agent.TranscriptRequest) (projection.Summary, error) {
	all, err := t.Reader.Summaries(ctx, projection.Scope{Stream: r.Stream, AsOf: r.Seen, Limit: summariesRead}, r.Of.Conversation, r.Of.Collection)
	return projection.Furthest(all, r.UpTo), err
}

// placed is an item with the sequence of the event that recorded it.
type placed struct {
	sequence int64
	agent.Said
}

// turns returns what was said after the previous summary. Nothing from the first
// question on that is not answered yet is among it: its turn comes later, and a
// summary whose sequences it was within would hide it.
func (t *Transcripts) turns(ctx context.Context, r agent.TranscriptRequest, previous projection.Summary) ([]placed, projection.Summary, error) {
	upTo := r.UpTo
	open, err := t.Reader.Pending(ctx, projection.Scope{Stream: r.Stream, AsOf: r.Seen, Limit: commandsRead}, r.Of.Conversation)
	if err != nil {
		return nil, previous, err
	}
	for _, c := range open {
		if c.Type == agent.Ask && c.Conversation == r.Of.Conversation && c.Sequence > previous.To {
			upTo = min(upTo, c.Sequence-1)
		}
	}
	said, err := t.Reader.Turns(ctx, projection.Scope{Stream: r.Stream, AsOf: r.Seen, Limit: turnsRead}, r.Of.Conversation, previous.To, upTo)
	items := make([]placed, 0, len(said))
	for _, m := range said {
		by := string(m.Role)
		if m.SaidBy != "" {
			by = m.SaidBy
		}
		items = append(items, placed{m.Sequence, agent.Said{Time: m.Time, By: by, Text: m.Text}})
	}
	return items, previous, err
}

// passages returns what came into a collection after the previous summary. If
// something that the summary covers has gone from it since, it is of no use, and
// all is read from the start.
func (t *Transcripts) passages(ctx context.Context, r agent.TranscriptRequest, previous projection.Summary) ([]placed, projection.Summary, error) {
	chunks, err := t.Reader.Chunks(ctx, projection.Scope{Stream: r.Stream, AsOf: r.UpTo, Limit: documentsRead}, r.Of.Collection)
	if err != nil {
		return nil, previous, err
	}
	if previous.To > 0 {
		before, err := t.Reader.Chunks(ctx, projection.Scope{Stream: r.Stream, AsOf: previous.Sequence, Limit: documentsRead}, r.Of.Collection)
		if err != nil {
			return nil, previous, err
		}
		if covered(chunks, previous.To) != covered(before, previous.To) {
			previous = projection.Summary{}
		}
	}
	var items []placed
	for _, c := range chunks {
		if c.Sequence > previous.To {
			items = append(items, placed{c.Sequence, agent.Said{Time: c.Time, By: written(c), Text: c.Text}})
		}
	}
	slices.SortStableFunc(items, func(a, b placed) int { return cmp.Compare(a.sequence, b.sequence) })
	return items, previous, nil
}

// covered counts the chunks up to a sequence.
func covered(chunks []projection.Chunk, upTo int64) (n int) {
	for _, c := range chunks {
		if c.Sequence <= upTo {
			n++
		}
	}
	return n
}

func written(c projection.Chunk) string {
	if c.Heading == "" {
		return c.Document
	}
	return c.Document + ", " + c.Heading
}

// transcript keeps as many of the items as fit, oldest first. What one event
// recorded stays together, cut if it has to be: a summary covers whole events.
func transcript(previous projection.Summary, items []placed) agent.Transcript {
	t := agent.Transcript{Previous: previous.Text, From: previous.From, To: previous.To}
	room := transcriptBytes
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].sequence == items[0].sequence {
			n++
		}
		event, size := items[:n], 0
		for _, i := range event {
			size += min(len(i.Text), saidBytes) + besideText
		}
		if size > room && len(t.Items) > 0 {
			return t
		}
		share := saidBytes
		if size > transcriptBytes {
			share = transcriptBytes / n
		}
		for _, i := range event {
			i.Text = shortened(i.Text, share)
			t.Items = append(t.Items, i.Said)
		}
		if t.From == 0 {
			t.From = event[0].sequence
		}
		t.To, room, items = event[0].sequence, room-size, items[n:]
	}
	return t
}

// shortened returns at most about limit bytes of text, and says what it left out.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	kept := strings.ToValidUTF8(text[:limit], "")
	return fmt.Sprintf("%s … (%d more bytes left out)", kept, len(text)-len(kept))
}
