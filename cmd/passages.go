package main

import (
	"context"
	"time"

	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/view"
)

// seenWithin bounds how long an ask's question waits for the read side: it can be embedded without.
const seenWithin = 300 * time.Millisecond

// passages tells the write side what a model gave no vector of, as soon as the read side has seen as much as it asks for.
// It is no read of the past: what is told goes through the journal before anything can depend on it.
type passages struct {
	store   *projection.Store
	catalog *view.Catalog
}

// Unembedded implements execution.Passages.
func (p *passages) Unembedded(ctx context.Context, stream, model string, asOf int64, limit int) ([]string, error) {
	within, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	if err := p.store.WaitFor(within, stream, asOf); err != nil {
		return nil, err
	}
	return p.catalog.Unembedded(ctx, stream, model, asOf, limit)
}
