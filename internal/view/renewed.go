package view

import (
	"context"
	"sync"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// Renewable is a Reader whose rows of a stream may be made anew, by whichever process.
type Renewable interface {
	// Generation returns a number that is another each time that a stream's rows were made anew.
	Generation(ctx context.Context, stream string) (int64, error)
}

// generations are those that a finder's indexes may be of, by stream.
type generations struct {
	mutex sync.Mutex
	last  map[string]int64
}

// moved reports whether a stream's generation is another than it was.
func (g *generations) moved(stream string, now int64) bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	was, known := g.last[stream]
	if g.last == nil {
		g.last = map[string]int64{}
	}
	g.last[stream] = now
	return known && was != now
}

// Forget lets the finder read streams anew when they are searched next.
func (b *Builder) Forget(streams ...string) {
	if f, ok := b.finder.(interface{ Forget(streams ...string) }); ok && len(streams) > 0 {
		f.Forget(streams...)
	}
}

// ofOneGeneration returns what build makes, once no rows of its stream were made
// anew meanwhile: so that no context holds some of the old and some of the new.
func (b *Builder) ofOneGeneration(ctx context.Context, stream string, build func() (agent.Context, error)) (agent.Context, error) {
	rows, ok := b.reader.(Renewable)
	if !ok {
		return build()
	}
	before, err := rows.Generation(ctx, stream)
	if err != nil {
		return agent.Context{}, err
	}
	for range 3 {
		if b.generations.moved(stream, before) {
			b.Forget(stream)
		}
		made, err := build()
		if err != nil {
			return made, err
		}
		after, err := rows.Generation(ctx, stream)
		if err != nil {
			return agent.Context{}, err
		}
		if after == before || before == 0 { // it was not projected before
			return made, nil
		}
		before = after
	}
	return agent.Context{}, fault.NewWait(time.Second, "ProjectionReplaced",
		"The projection of stream %s is made anew again and again; ask again shortly.", stream)
}
