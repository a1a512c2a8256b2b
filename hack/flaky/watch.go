package flaky

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"
)

// errCut ends a watch in the middle.
var errCut = errors.New("the watch is cut")

// maxFrame bounds one event of a watch: more than etcd stores of an object.
const maxFrame = 16 << 20

// held is an event of a watch on its way to the client.
type held struct {
	frame []byte
	due   time.Time
	err   error // how the watch ends; nil for an event
}

// watchBody is the body of a watch with its faults. The events keep their order, and each is held back by the delay that
// held when it arrived, so that a delay does not add up.
func (p *API) watchBody(response *http.Response) io.ReadCloser {
	ctx, cancel := context.WithCancel(response.Request.Context())
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isJSON := err != nil || media == "application/json"
	next := frames(response.Body, isJSON)
	queue := make(chan held, 1024)
	// A client that asks for another form of the objects is not shown versions in this one.
	form := response.Request.URL.Path + "\x00" + response.Request.Header.Get("Accept")
	go p.receive(ctx, next, isJSON, form, queue)
	out, in := io.Pipe()
	go func() {
		defer cancel()
		for h := range queue {
			if !sleep(ctx, time.Until(h.due)) {
				h.err = ctx.Err()
			}
			if h.err == nil {
				_, h.err = in.Write(h.frame)
			}
			if h.err != nil {
				_ = in.CloseWithError(h.err) // it always succeeds
				return
			}
		}
	}()
	return &watched{PipeReader: out, upstream: response.Body, cancel: cancel}
}

type watched struct {
	*io.PipeReader
	upstream io.Closer
	cancel   context.CancelFunc
}

// Close also ends the two goroutines behind the body.
func (w *watched) Close() error {
	w.cancel()
	return errors.Join(w.upstream.Close(), w.PipeReader.Close())
}

// receive puts what the server sends into the queue, with its faults, and last how it ended.
func (p *API) receive(ctx context.Context, next func() ([]byte, error), isJSON bool, form string, queue chan<- held) {
	defer close(queue)
	send := func(h held) bool {
		select {
		case queue <- h:
			return h.err == nil
		case <-ctx.Done():
			return false
		}
	}
	for {
		frame, err := next()
		faults := p.Faults()
		due := time.Now().Add(faults.WatchDelay)
		if err != nil {
			send(held{err: err, due: due})
			return
		}
		if faults.WatchDelay > 0 {
			p.injected.add(DelayedEvent, 1)
		}
		if old := p.replay(faults, isJSON, form, frame); old != nil && !send(held{frame: old, due: due}) {
			return
		}
		if !send(held{frame: frame, due: due}) {
			return
		}
		if p.dice.happens(faults.CutWatches) {
			p.injected.add(CutWatch, 1)
			send(held{err: errCut, due: due})
			return
		}
	}
}

// frames returns what reads one event after the other: JSON, which may have line ends within an event and need not have
// one behind it, or protobuf with its length before it.
func frames(from io.Reader, isJSON bool) func() ([]byte, error) {
	if isJSON {
		decoder := json.NewDecoder(from)
		return func() ([]byte, error) {
			var one json.RawMessage
			err := decoder.Decode(&one)
			return append(one, '\n'), err
		}
	}
	return func() ([]byte, error) {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size > maxFrame {
			return nil, fmt.Errorf("an event of %d bytes", size)
		}
		frame := make([]byte, len(head)+int(size))
		copy(frame, head[:])
		_, err := io.ReadFull(from, frame[len(head):])
		return frame, err
	}
}

// event is an event of a watch, as far as a replay needs it.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// versions remembers the last versions of each object that went through a watch.
type versions struct {
	mu sync.Mutex
	of map[string][]json.RawMessage
}

// maxVersions is how many versions of an object are remembered.
const maxVersions = 4

// next returns the versions before this one, the oldest first, and remembers it. After a deletion nothing is remembered.
func (v *versions) next(form string, e event) []json.RawMessage {
	var object struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if json.Unmarshal(e.Object, &object) != nil || object.Metadata.UID == "" {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	key := form + "\x00" + object.Metadata.UID
	before := v.of[key]
	switch {
	case e.Type == "DELETED":
		delete(v.of, key)
	case len(before) > 0 && string(before[len(before)-1]) == string(e.Object):
		before = before[:len(before)-1] // another watch of the same told it
	default:
		if v.of == nil {
			v.of = map[string][]json.RawMessage{}
		}
		kept := append(slices.Clone(before), e.Object)
		v.of[key] = kept[max(0, len(kept)-maxVersions):]
	}
	return before
}

// replay returns an older version of the object, as a modification of it, or nil.
func (p *API) replay(faults APIFaults, isJSON bool, form string, frame []byte) []byte {
	var e event
	if !isJSON || json.Unmarshal(frame, &e) != nil {
		return nil
	}
	before := p.versions.next(form, e)
	if len(before) == 0 || (e.Type != "MODIFIED" && e.Type != "DELETED") || !p.dice.happens(faults.Replays) {
		return nil
	}
	old, err := json.Marshal(event{Type: "MODIFIED", Object: before[p.dice.pick(len(before))]})
	if err != nil {
		return nil // it was JSON when it came, so this does not happen
	}
	p.injected.add(Replayed, 1)
	return append(old, '\n')
}
