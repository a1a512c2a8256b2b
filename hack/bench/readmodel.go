package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
	pgjournal "github.com/edict-dev/edict/internal/journal/postgres"
	"github.com/edict-dev/edict/internal/journal/sqlite"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/view"
)

const viewsOnly = "views"

// What the read side promises.
const (
	contextP50Target   = 10.0  // milliseconds, at most
	contextP99Target   = 50.0  // the same
	lagTarget          = 250.0 // the same, of 99 in 100 appends
	rebuildShareTarget = 1.0 / 3
)

// projectedAtOnce is how many records the projection reads at once, and whoever merely reads, too.
const projectedAtOnce = 512

// readModelSize is how large the journal is, and how much is asked of it.
type readModelSize struct {
	Events   int `json:"events"`
	Memories int `json:"memories"` // of them, each a command of four events

	questions int           // to each definition
	rate      int           // events appended per second while the lag is measured
	lag       time.Duration // for so long
}

// readModelResult is what reading costs over one store.
type readModelResult struct {
	readModelSize
	Store string `json:"store"`

	// Reads are of all events, right before and right after the projection was made of them.
	Reads    []float64       `json:"readEventsPerSecond"`
	Rebuild  float64         `json:"rebuildEventsPerSecond"`
	First    float64         `json:"firstContextMillis"` // of a process that has just started: it indexes the stream
	Contexts []contextResult `json:"contexts"`
	Lag      lagResult       `json:"lag"`

	Heap            int64 `json:"heapBytes"` // of the index, and of all that the process needs to answer
	RSS             int64 `json:"rssBytes"`  // of the process; 0: not known
	JournalBytes    int64 `json:"journalBytes"`
	ProjectionBytes int64 `json:"projectionBytes"`
}

// readStore is where a journal and its projection are.
type readStore struct {
	name       string
	open       func(ctx context.Context, clock func() time.Time) (journal.Journal, error)
	projection string // location
	// settle lets the store take notice of what was written, as it does by itself after a while.
	settle func(ctx context.Context) error
	// size returns the bytes of the journal and of the projection.
	size func(ctx context.Context) (journal, projection int64, err error)
}

// measureReadModels measures reading over both stores.
func measureReadModels(ctx context.Context, o options, work string, out *results) (all []readModelResult, err error) {
	embedded := sqliteReadStore(filepath.Join(work, viewsOnly))
	database, err := startPostgres(ctx, work)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, database.Close()) }()
	if err := database.CreateDatabase(ctx, viewsOnly); err != nil {
		return nil, err
	}
	for _, s := range []readStore{embedded, postgresReadStore(database)} {
		r, err := measureReadModel(ctx, s, o.views)
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.name, err)
		}
		out.add(viewsOnly, r)
		all = append(all, r)
	}
	return all, nil
}

func sqliteReadStore(path string) readStore {
	return readStore{
		name: "SQLite",
		open: func(ctx context.Context, clock func() time.Time) (journal.Journal, error) {
			return sqlite.Open(ctx, path+".journal", sqlite.Options{Clock: clock})
		},
		projection: path + ".projection",
		settle:     func(context.Context) error { return nil },
		size: func(context.Context) (journal, projection int64, err error) {
			return filesOf(path + ".journal"), filesOf(path + ".projection"), nil
		},
	}
}

// filesOf returns the bytes of a SQLite file and of those beside it.
func filesOf(path string) (bytes int64) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err == nil { // the two others come and go
			bytes += info.Size()
		}
	}
	return bytes
}

func postgresReadStore(database *postgres.Server) readStore {
	url := database.URL(viewsOnly)
	return readStore{
		name: "PostgreSQL",
		open: func(ctx context.Context, clock func() time.Time) (journal.Journal, error) {
			return pgjournal.Open(ctx, url, pgjournal.Options{Clock: clock})
		},
		projection: url,
		settle:     func(ctx context.Context) error { return database.Exec(ctx, viewsOnly, "ANALYZE") },
		size: func(ctx context.Context) (journal, projection int64, err error) {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return 0, 0, err
			}
			defer func() { _ = conn.Close(ctx) }() // what it was asked for is there
			const of = `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
				JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`
			if err := conn.QueryRow(ctx, of, "journal").Scan(&journal); err != nil {
				return 0, 0, err
			}
			return journal, projection, conn.QueryRow(ctx, of, "projection").Scan(&projection)
		},
	}
}

// reader is a journal with what reads it.
type reader struct {
	store   readStore
	size    readModelSize
	corpus  *corpus
	clock   *historic
	journal journal.Journal

	projection *projection.Store
	following  chan error // what Follow returned
	stop       context.CancelFunc
	builder    *view.Builder
}

// measureReadModel measures reading over one store.
func measureReadModel(ctx context.Context, s readStore, size readModelSize) (r readModelResult, err error) {
	r = readModelResult{readModelSize: size, Store: s.name}
	m := &reader{store: s, size: size, corpus: newCorpus(), clock: newHistoric(size.Events / filledAtOnce)}
	if m.journal, err = s.open(ctx, m.clock.read); err != nil {
		return r, err
	}
	defer func() { err = firstOf(err, m.journal.Close()) }()
	for shard := range m.journal.Shards() {
		if _, err := m.journal.Claim(ctx, shard); err != nil {
			return r, err
		}
	}
	say("%s: making a journal of %d events", s.name, size.Events)
	if err := m.corpus.fill(ctx, m.journal, size); err != nil {
		return r, err
	}
	m.clock.step.Store(int64(time.Second))
	if err := s.settle(ctx); err != nil {
		return r, err
	}
	defer func() { err = firstOf(err, m.close()) }()
	if err := m.measureRebuild(ctx, &r); err != nil {
		return r, err
	}
	if err := s.settle(ctx); err != nil {
		return r, err
	}
	say("%s: asking", s.name)
	if err := m.measureContexts(ctx, &r); err != nil {
		return r, err
	}
	say("%s: appending %d events a second", s.name, size.rate)
	if r.Lag, err = m.measureLag(ctx); err != nil {
		return r, err
	}
	r.Heap, r.RSS = memory()
	runtime.KeepAlive(m)
	r.JournalBytes, r.ProjectionBytes, err = s.size(ctx)
	return r, err
}

// measureRebuild makes the projection of the whole journal. Right before and right after, all of it is merely read.
func (m *reader) measureRebuild(ctx context.Context, r *readModelResult) error {
	say("%s: reading, projecting, and reading again", r.Store)
	events, perSecond, err := readThrough(ctx, m.journal, projectedAtOnce)
	if err != nil {
		return err
	}
	r.Events, r.Reads = events, []float64{perSecond}
	began := time.Now()
	m.projection, err = projection.Open(ctx, m.store.projection, m.journal, projection.Options{Batch: projectedAtOnce})
	if err != nil {
		return err
	}
	m.follow(ctx)
	if err := m.caughtUp(ctx); err != nil {
		return err
	}
	r.Rebuild = float64(events) / time.Since(began).Seconds()
	_, perSecond, err = readThrough(ctx, m.journal, projectedAtOnce)
	r.Reads = append(r.Reads, perSecond)
	return err
}

func (m *reader) follow(ctx context.Context) {
	ctx, m.stop = context.WithCancel(ctx)
	m.following = make(chan error, 1)
	go func() { m.following <- m.projection.Follow(ctx) }()
}

// close ends the projection. What it failed with is why others waited in vain.
func (m *reader) close() error {
	if m.projection == nil {
		return nil
	}
	m.stop()
	return firstOf(<-m.following, m.projection.Close())
}

// caughtUp waits until all that the journal holds is projected.
func (m *reader) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-m.following:
			m.following <- err
			cancel(err)
		case <-ctx.Done():
		}
	}()
	tips, err := m.journal.Tips(ctx, "", 1+neighbours)
	if err != nil {
		return err
	}
	for _, tip := range tips {
		if err := m.projection.WaitFor(ctx, tip.Stream, tip.Sequence); err != nil {
			return cause(ctx, err)
		}
	}
	return nil
}

// memory returns the bytes of what is in use, and of the whole process.
func memory() (heap, rss int64) {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return int64(stats.HeapAlloc), 0
	}
	for line := range strings.Lines(string(status)) {
		if kib, is := strings.CutPrefix(line, "VmRSS:"); is {
			if _, err := fmt.Sscan(kib, &rss); err == nil {
				rss <<= 10
			}
		}
	}
	return int64(stats.HeapAlloc), rss
}
