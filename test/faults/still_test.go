package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// stillness is how long a world that has converged has to stay as it is.
func (c *campaign) stillness() time.Duration {
	if c.long() {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// settleWithin is how long the last writes may take after the last command has ended: statuses of agents and views are
// brought up to date once a second.
const settleWithin = 30 * time.Second

// still checks that a world without faults and without work does nothing: no write to the API server but its replicas'
// Leases, and no append.
func (f *findings) still(ctx context.Context, w *world, d time.Duration) {
	const quiet = 3 * time.Second
	err := until(ctx, settleWithin, func() error {
		if _, last := w.gate.counted(); time.Since(last) < quiet {
			return fmt.Errorf("the last write was %s ago", time.Since(last).Round(time.Millisecond))
		}
		return nil
	})
	if err != nil {
		f.violate("it does not come to rest: %v", err)
		return
	}
	before, _ := w.gate.counted()
	records, err := readAll(ctx, w.store)
	if err != nil {
		f.violate("read the journal: %v", err)
		return
	}
	time.Sleep(d)
	after, _ := w.gate.counted()
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		if n := after[kind] - before[kind]; n > 0 && kind != "PUT leases" {
			f.violate("at rest it made %d writes in %s: %s", n, d, kind)
		}
	}
	now, err := readAll(ctx, w.store)
	if err != nil {
		f.violate("read the journal: %v", err)
	} else if len(now) != len(records) {
		f.violate("at rest it made %d appends in %s, the first a %s", len(now)-len(records), d, now[len(records)].Type)
	}
}
