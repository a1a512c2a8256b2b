package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/test/faults/history"
	"github.com/edict-dev/edict/test/story"
)

// TestFencedWriter pauses a replica just before it accepts a command, deletes the command, so that no other replica
// accepts it in its place, and lets the replica go on when another one has written its shard: only the fence is left to
// refuse what it then appends.
func TestFencedWriter(t *testing.T) {
	t.Parallel()
	c := started(t)
	f := newFindings("a fenced writer")
	c.report.add(f)
	if err := usurp(t.Context(), c, f, ""); err != nil {
		t.Error(err)
	}
	f.fail(t)
}

func usurp(ctx context.Context, c *campaign, f *findings, defect string) error {
	w, err := c.newWorld(ctx, worldOptions{store: onPostgres, defect: defect})
	defer func() {
		if err := w.close(); err != nil {
			f.violate("close: %v", err)
		}
	}()
	if err != nil {
		return err
	}
	deleted := newSave("deleted", "concierge", "deleted")
	if err := w.create(ctx, append(w.concierge("concierge"), deleted)...); err != nil {
		return err
	}
	const place = "append:CommandAccepted"
	usurped, err := w.newOperator(ctx, "usurped")
	if err != nil {
		return err
	}
	if err := usurped.start(place + "=stop"); err != nil {
		return err
	}
	if !usurped.stops(place, reachWithin) {
		return errors.New(place + " was not reached")
	}
	f.inject("SIGSTOP at a failpoint", 1)
	if err := w.plane.client.Delete(ctx, deleted); client.IgnoreNotFound(err) != nil {
		return err
	}
	usurper, err := w.newOperator(ctx, "usurper")
	if err != nil {
		return err
	}
	if err := usurper.start(""); err != nil {
		return err
	}
	if err := w.create(ctx, newSave("kept", "concierge", "kept")); err != nil {
		return err
	}
	commands, err := w.ended(ctx, 1, endWithin)
	if err != nil {
		f.violate("%v", err)
		return nil
	}
	if err := usurped.life.Continue(); err != nil {
		return err
	}
	records, err := waitForAppend(ctx, w, 4*awake)
	if err != nil {
		return err
	}
	all, wrong := story.Of(records)
	for _, violation := range append(wrong, history.Records(records)...) {
		f.violate("%s", violation)
	}
	kept := memories(all)
	f.count(counts{commands: len(commands), effects: kept["kept"] + kept["deleted"]})
	return nil
}

// waitForAppend waits until something is appended, or for that long, and returns what the journal then holds.
func waitForAppend(ctx context.Context, w *world, within time.Duration) ([]journal.Record, error) {
	before, err := readAll(ctx, w.store)
	for now, deadline := before, time.Now().Add(within); err == nil; now, err = readAll(ctx, w.store) {
		if len(now) > len(before) || time.Now().After(deadline) {
			return now, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}
