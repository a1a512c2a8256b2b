package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// timed does one thing, the i-th, and says how long what is to be measured of it took.
type timed func(ctx context.Context, i int) (time.Duration, error)

// closedLoop has workers do n things between them, each one after the other, and returns how long each took and how
// long all did. The first error ends it.
func closedLoop(ctx context.Context, workers, n int, do timed) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, n)
	var next atomic.Int64
	var working sync.WaitGroup
	began := time.Now()
	for range min(workers, n) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				d, err := do(ctx, i)
				if err != nil {
					cancel(err)
					return
				}
				took[i] = d
			}
		})
	}
	working.Wait()
	return took, time.Since(began), context.Cause(ctx)
}
