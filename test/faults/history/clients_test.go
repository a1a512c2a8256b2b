package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/journal"
)

// clients are what a test lets loose on a journal. Each works on its own, on the same few streams, through one of the
// handles, which fence each other now and then.
type clients struct {
	handles []journal.Journal // recorded
	streams []string
	each    int // operations of one client

	mu           sync.Mutex
	acknowledged []journal.Record
}

// run returns when all have done their operations.
func (c *clients) run(t *testing.T, count int) {
	t.Helper()
	var work sync.WaitGroup
	for client := range count {
		work.Go(func() { c.work(t, client) })
	}
	work.Wait()
}

// readAll reads every stream once more, so that what is not known of appends is decided.
func (c *clients) readAll(t *testing.T) {
	t.Helper()
	for _, stream := range c.streams {
		if _, err := c.handles[0].ReadStream(t.Context(), stream, 1, 1_000_000); err != nil {
			t.Error(err)
		}
	}
}

func (c *clients) work(t *testing.T, client int) {
	rnd := rand.New(rand.NewPCG(1, uint64(client)))
	j := c.handles[client%len(c.handles)]
	for i := range c.each {
		stream := c.streams[rnd.IntN(len(c.streams))]
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		var err error
		switch key := fmt.Sprintf("key-%d", rnd.IntN(client*c.each+i+1)); rnd.IntN(10) {
		case 0:
			_, _, err = j.Find(ctx, stream, key)
		case 1:
			_, err = j.Head(ctx, stream)
		case 2:
			_, err = j.ReadStream(ctx, stream, 1+rnd.Int64N(10), 5)
		default:
			err = c.append(ctx, j, rnd, stream, key, fmt.Sprintf("%d-%d", client, i))
		}
		cancel()
		if err != nil {
			t.Logf("client %d: %v", client, err)
		}
	}
}

// append appends under a key that others use, too, and often at a version that others have seen, too. A handle that was
// fenced claims what it lost; an append whose outcome is not known is made again under its key.
func (c *clients) append(ctx context.Context, j journal.Journal, rnd *rand.Rand, stream, key, text string) error {
	b := journal.Batch{Stream: stream, Key: key, Expected: journal.AnyVersion}
	for i := range 1 + rnd.IntN(2) {
		b.Events = append(b.Events, journal.Event{Type: "Said", Version: 1, Subject: key, Data: fmt.Appendf(nil, `{"text":"%s-%d"}`, text, i)})
	}
	if rnd.IntN(2) == 0 {
		head, err := j.Head(ctx, stream)
		if err != nil {
			return err
		}
		b.Expected = head
	}
	for {
		records, err := j.Append(ctx, b)
		var duplicate *journal.DuplicateKeyError
		var version *journal.VersionError
		switch {
		case err == nil:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.acknowledged = append(c.acknowledged, records...)
			return nil
		case errors.As(err, &duplicate), errors.As(err, &version):
			return nil
		case errors.Is(err, journal.ErrFenced):
			if err := claim(ctx, j, stream); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return err
		default:
			time.Sleep(10 * time.Millisecond) // and again, under the same key
		}
	}
}

func claim(ctx context.Context, j journal.Journal, stream string) error {
	shard, err := j.Shard(ctx, stream)
	if err != nil {
		return err
	}
	_, err = j.Claim(ctx, shard)
	return err
}

// everything returns a whole journal.
func everything(t *testing.T, j journal.Journal) []journal.Record {
	t.Helper()
	var all []journal.Record
	var after journal.Cursor
	for {
		page, err := j.ReadAll(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), after.After(page)
	}
}

// judge returns what is wrong with what the clients saw, and with the journal that they left.
func judge(t *testing.T, r *Recorder, c *clients, j journal.Journal) []string {
	t.Helper()
	violations := Check(r.Operations(), CheckOptions{Timeout: time.Minute})
	violations = append(violations, Acknowledged(c.acknowledged, everything(t, j))...)
	if len(c.acknowledged) < 50 {
		t.Errorf("only %d records were acknowledged", len(c.acknowledged))
	}
	return violations
}
