// Package postgres keeps a journal in a PostgreSQL database, which several
// processes share: each shard has one writer at a time, and any number of
// readers.
//
// A writer locks the row of its shard for the length of a transaction. That is
// what makes positions gap-free and ordered by commit, and where the epoch is
// compared: nothing that a writer remembers decides anything. Whatever has
// queued for a shard is committed together, in two round trips; different shards
// commit side by side.
//
// An append is durable when Append returns (synchronous_commit=on). A connection
// that breaks in the middle of a commit leaves the writer without an answer; it
// connects again and looks for what it wrote, and tells its callers the truth.
//
// The package knows what package journal says and how PostgreSQL stores it. It
// knows nothing of what the events mean.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/edict-dev/edict/internal/journal"
)

// shardCount is how many shards a journal has. It is in the schema, and never
// changes.
const shardCount = 64

// MaxName is the longest name of a stream, key or subject in bytes: an entry of
// PostgreSQL's indexes is at most a third of a page.
const MaxName = 2048

// Options are how to open a journal. The zero value is what an operator wants.
type Options struct {
	// Clock tells the time of each append. Nil means time.Now.
	Clock func() time.Time

	// ReadOnly opens a handle that never writes: it leaves the schema as it is,
	// and its sessions are read-only, so that a role that may only SELECT will do.
	// Claim fails.
	ReadOnly bool
}

// Journal is a handle on a journal in a PostgreSQL database. Open returns one.
type Journal struct {
	clock    func() time.Time
	reads    *pgxpool.Pool
	commits  *pgxpool.Pool // of the writers, whom no reader may keep waiting for a connection
	tail     *tail
	notices  *notices
	families *families
	patience time.Duration // settleTimeout, but in tests

	mu      sync.Mutex // guards writers
	writers [shardCount]*writer

	closing sync.RWMutex       // held for reading while a request is put into a writer's queue
	life    context.Context    // ends with the first Close
	end     context.CancelFunc // ends life
	working sync.WaitGroup     // the goroutines that live as long as the handle
}

var _ journal.Journal = (*Journal)(nil)

// Open connects to the database at a postgres:// URL, and creates the journal's
// schema, or brings it up to date. Any number of processes may do so at once.
//
// It refuses a server older than version 15, one that cannot be written to, a
// schema that a newer Edict has made, and a role that may not create one. No
// error of this package contains the password.
//
// A handle can read at once. It must Claim a shard before it can append to it.
func Open(ctx context.Context, url string, opts Options) (*Journal, error) {
	config, err := configure(url)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j, err := open(ctx, config, opts)
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", place(config), err)
	}
	return j, nil
}

func open(ctx context.Context, config *pgxpool.Config, opts Options) (*Journal, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if err := prepare(ctx, config.ConnConfig, opts.ReadOnly); err != nil {
		if opts.ReadOnly {
			err = explainToReader(err, config.ConnConfig)
		}
		return nil, explain(err, config.ConnConfig)
	}
	if opts.ReadOnly {
		config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}
	reads, err := newPool(ctx, config, readConnections)
	if err != nil {
		return nil, err
	}
	commits, err := newPool(ctx, config, commitConnections)
	if err != nil {
		reads.Close()
		return nil, err
	}
	j := &Journal{
		clock: opts.Clock, reads: reads, commits: commits, tail: newTail(), families: newFamilies(),
		patience: settleTimeout,
	}
	j.life, j.end = context.WithCancel(context.Background())
	j.notices = newNotices(j.life, config.ConnConfig, reads, j.tail)
	return j, nil
}

// Shards implements journal.Journal.
func (j *Journal) Shards() int { return shardCount }

// Shard implements journal.Journal.
func (j *Journal) Shard(ctx context.Context, stream string) (int, error) {
	family := journal.Family(stream)
	if shard, known := j.families.shard(family); known {
		return shard, nil
	}
	var shard int
	found, err := j.one(ctx, `SELECT shard FROM journal.streams WHERE family = $1 LIMIT 1`, []any{family}, &shard)
	if err != nil {
		return 0, j.readError(err, "look for the shard of %s", stream)
	}
	if !found {
		return journal.ShardOf(stream, shardCount), nil
	}
	j.families.remember(family, shard)
	return shard, nil
}

// Append implements journal.Journal. The batch's bytes must not be changed
// afterwards, even if the context has ended: the writer may still read them.
func (j *Journal) Append(ctx context.Context, batch journal.Batch) ([]journal.Record, error) {
	records, err := j.append(ctx, batch)
	if err != nil && !isRefusal(err) { // a refusal names the stream itself
		return nil, fmt.Errorf("append to %s: %w", batch.Stream, err)
	}
	return records, err
}

func (j *Journal) append(ctx context.Context, batch journal.Batch) ([]journal.Record, error) {
	if err := validate(batch); err != nil {
		return nil, err
	}
	if j.isClosed() {
		return nil, journal.ErrClosed
	}
	shard, err := j.Shard(ctx, batch.Stream)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case j.isClosed():
		return nil, journal.ErrClosed
	default:
		return nil, unavailable(err)
	}
	w := j.writer(shard)
	if w == nil {
		return nil, journal.ErrFenced
	}
	r := &request{batch: batch}
	if err := j.submit(ctx, w, r); err != nil {
		return nil, err
	}
	j.families.remember(journal.Family(batch.Stream), shard)
	return r.records, nil
}

// validate refuses what no journal takes, and names that PostgreSQL could not
// index.
func validate(batch journal.Batch) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	longest := max(len(batch.Stream), len(batch.Key))
	for _, e := range batch.Events {
		longest = max(longest, len(e.Subject))
	}
	if longest > MaxName {
		return fmt.Errorf("%w: a name, key or subject has %d bytes; at most %d fit", journal.ErrInvalid, longest, MaxName)
	}
	return nil
}

// Check implements journal.Journal.
func (j *Journal) Check(ctx context.Context) error {
	err := j.check(ctx)
	if err != nil {
		return fmt.Errorf("check journal: %w", err)
	}
	return nil
}

func (j *Journal) check(ctx context.Context) error {
	if j.isClosed() {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	shards, epochs := j.held()
	if len(shards) == 0 {
		return journal.ErrFenced
	}
	// A handle that was fenced everywhere writes nothing.
	const probe = `UPDATE journal.probe SET count = count + 1 WHERE EXISTS (
		SELECT FROM journal.shards s JOIN unnest($1::integer[], $2::bigint[]) AS held (shard, epoch) USING (shard, epoch))`
	var written int64
	err := again(ctx, j.commits, func(ctx context.Context) error {
		tag, err := j.commits.Exec(ctx, probe, shards, epochs)
		written = tag.RowsAffected()
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		j.renew(err)
		return unavailable(err)
	case written == 0:
		return journal.ErrFenced
	}
	return nil
}

// Close implements journal.Journal. Appends that have been accepted are
// committed first; whoever waits in Wait gets ErrClosed. A second Close does
// nothing.
func (j *Journal) Close() error {
	j.closing.Lock()
	defer j.closing.Unlock()
	if j.isClosed() {
		return nil
	}
	j.mu.Lock()
	for _, w := range j.writers {
		if w != nil {
			close(w.queue)
		}
	}
	j.mu.Unlock()
	j.end()
	j.working.Wait()
	j.notices.wait()
	j.commits.Close()
	j.reads.Close()
	return nil
}

func (j *Journal) isClosed() bool { return j.life.Err() != nil }

// writer returns the shard's writer, nil if this handle never claimed the shard.
func (j *Journal) writer(shard int) *writer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.writers[shard]
}

// held returns the shards that this handle believes to hold, with its epochs.
func (j *Journal) held() (shards []int32, epochs []int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for shard, w := range j.writers {
		if w == nil {
			continue
		}
		if epoch := w.held.Load(); epoch != 0 {
			shards, epochs = append(shards, int32(shard)), append(epochs, epoch)
		}
	}
	return shards, epochs
}

// renew drops the idle connections after an error that says that their server,
// or their session, has become one that cannot write.
func (j *Journal) renew(err error) {
	if isReadOnly(err) {
		j.commits.Reset()
	}
}

// submit hands a request to a writer, and waits for the answer or for the end
// of the context.
func (j *Journal) submit(ctx context.Context, w *writer, r *request) error {
	r.ctx, r.done = ctx, make(chan struct{})
	if err := j.enqueue(ctx, w, r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueue holds the lock while it waits for a place, so that Close cannot close
// the queue under it. The writer empties the queue meanwhile.
func (j *Journal) enqueue(ctx context.Context, w *writer, r *request) error {
	j.closing.RLock()
	defer j.closing.RUnlock()
	if j.isClosed() {
		return journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case w.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// one scans the only row of a query, and reports whether there was one.
func (j *Journal) one(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	err := again(ctx, j.reads, func(ctx context.Context) error {
		return j.reads.QueryRow(ctx, query, args...).Scan(into...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
