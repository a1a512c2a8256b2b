package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// stillness is how long a world that has converged has to stay as it is.
func (c *campaign) stillness() time.Duration {
	if c.long() {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// settleWithin is how long a world may take to come to rest after the last command has ended: the operator looks at what
// waits for something each half a minute.
const settleWithin = time.Minute

// still waits until a world without faults and without work does nothing for so long: no write to the API server but its
// replicas' Leases, and no append. It is a violation if that does not come.
func (f *findings) still(ctx context.Context, w *world, d time.Duration) {
	begun := time.Now()
	for {
		wrong, err := watchStill(ctx, w, d)
		switch {
		case err != nil:
			f.violate("watch a world at rest: %v", err)
			return
		case wrong == "":
			return
		case time.Since(begun) > settleWithin+d:
			f.violate("it did not come to rest within %s: %s", settleWithin, wrong)
			return
		}
	}
}

// watchStill returns what a world did in that time.
func watchStill(ctx context.Context, w *world, d time.Duration) (string, error) {
	before := w.gate.counted()
	records, err := readAll(ctx, w.store)
	if err != nil {
		return "", err
	}
	time.Sleep(d)
	now, err := readAll(ctx, w.store)
	if err != nil {
		return "", err
	}
	var did []string
	after := w.gate.counted()
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		if n := after[kind] - before[kind]; n > 0 && !strings.HasSuffix(kind, " leases") {
			did = append(did, fmt.Sprintf("%d × %s", n, kind))
		}
	}
	if n := len(now) - len(records); n > 0 {
		did = append(did, fmt.Sprintf("%d appends", n))
	}
	return strings.Join(did, ", "), nil
}
