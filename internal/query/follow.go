package query

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
)

const problemEvent = "event: problem\ndata: %s\n\n"

// follow writes server-sent events: the stream's records, and those to come. The
// id of an event is its sequence, so that who reconnects goes on where it was.
//
// It learns from the projection that the stream has grown, which wakes one
// stream's followers and no other's, and reads the journal: should the projection
// stand still, a heartbeat looks too.
func (h *handler) follow(w http.ResponseWriter, r *http.Request, want reading) error {
	leave, err := enter(h.followers, "follow a journal")
	if err != nil {
		return err
	}
	defer leave()
	out := h.stream(w, eventsType)
	if r.Method == http.MethodHead {
		return nil
	}
	if out.send([]byte("retry: 2000\n\n")) != nil {
		return nil
	}
	f := follower{handler: h, request: r, out: out, want: want, allowed: h.options.Now()}
	for f.step() {
	}
	return nil
}

// follower is who follows a stream.
type follower struct {
	*handler
	request *http.Request
	out     *stream
	want    reading
	allowed time.Time // when that was last asked
}

// step writes what there is, or waits until there is more, and reports whether to go on.
func (f *follower) step() bool {
	ctx := f.request.Context()
	records, err := f.readPage(ctx, &f.want)
	if err != nil {
		f.out.problem(err, problemEvent)
		return false
	}
	if len(records) > 0 && f.out.records(records, eventOf) != nil {
		return false
	}
	switch {
	case f.want.left == 0 || ctx.Err() != nil:
		return false
	case len(records) == page:
		return true
	}
	if err := f.stillAllowed(); err != nil {
		f.out.problem(err, problemEvent)
		return false
	}
	return f.grown(ctx, f.want) || f.out.send([]byte(": heartbeat\n\n")) == nil
}

// stillAllowed asks again, now and then, for a token expires and a role is taken away.
func (f *follower) stillAllowed() error {
	now := f.options.Now()
	if now.Sub(f.allowed) < f.options.Recheck {
		return nil
	}
	f.allowed = now
	if _, err := f.agentStream(f.request, 0); err != nil && !isGone(err) {
		return err
	}
	return nil
}

// isGone reports whether an agent was deleted, which its journal survives.
func isGone(err error) bool { return problemOf(err).Status == http.StatusNotFound }

// grown waits until the stream has the record that is wanted next, a heartbeat at most.
func (h *handler) grown(ctx context.Context, want reading) bool {
	ctx, cancel := context.WithTimeout(ctx, h.options.Heartbeat)
	defer cancel()
	err := h.Projection.WaitFor(ctx, want.stream, want.next)
	if err == nil {
		return true
	}
	if !fault.Is(err, fault.Wait) { // the projection of this stream has stopped: nobody will wake us
		select {
		case <-ctx.Done():
		case <-time.After(min(time.Second, h.options.Heartbeat)):
		}
	}
	return false
}

func eventOf(w io.Writer, record journal.Record) error {
	if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: ", record.Sequence, record.Type); err != nil {
		return err
	}
	if err := linesOf(w, record); err != nil { // ends with a newline, and has no other
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
