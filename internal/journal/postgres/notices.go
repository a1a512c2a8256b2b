package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	channel = "edict_journal"
	// noticeInterval is how often a handle sends a notice at most: PostgreSQL
	// commits those that have some one after another, in the whole cluster.
	noticeInterval = 20 * time.Millisecond
	// listenInterval is how long a listener that lost its connection waits.
	listenInterval = time.Second
)

// notices tell other handles that there is something new, and are told. They are
// a hint that makes followers faster: whether one comes decides nothing.
type notices struct {
	life    context.Context
	config  *pgx.ConnConfig
	pool    *pgxpool.Pool
	tail    *tail
	dirty   chan struct{} // holds a value while there is something to tell
	once    sync.Once     // starts the listener
	working sync.WaitGroup
}

func newNotices(life context.Context, config *pgx.ConnConfig, pool *pgxpool.Pool, tail *tail) *notices {
	n := &notices{life: life, config: config, pool: pool, tail: tail, dirty: make(chan struct{}, 1)}
	n.working.Go(n.send)
	return n
}

// wait returns once nothing is sent and listened for any more, after the end of
// life.
func (n *notices) wait() {
	n.once.Do(func() {}) // nobody starts the listener now
	n.working.Wait()
}

// tell sends a notice soon.
func (n *notices) tell() {
	select {
	case n.dirty <- struct{}{}:
	default:
	}
}

func (n *notices) send() {
	for {
		select {
		case <-n.life.Done():
			return
		case <-n.dirty:
		}
		trip := &pgx.Batch{}
		trip.Queue("BEGIN")
		trip.Queue("SET LOCAL synchronous_commit = off") // a hint is not worth an fsync
		trip.Queue("SELECT pg_notify($1, '')", channel)
		trip.Queue("COMMIT")
		ctx, cancel := context.WithTimeout(n.life, listenInterval)
		_ = n.pool.SendBatch(ctx, trip).Close() // a hint that is lost is made up for by polling
		cancel()
		n.pause(noticeInterval)
	}
}

// listen starts the listener, on a connection of its own, unless it runs.
func (n *notices) listen() {
	n.once.Do(func() { n.working.Go(n.hear) })
}

func (n *notices) hear() {
	for n.life.Err() == nil {
		_ = n.hearUntilLost() // followers poll meanwhile
		n.pause(listenInterval)
	}
}

func (n *notices) hearUntilLost() error {
	conn, err := pgx.ConnectConfig(n.life, n.config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(n.life)) }() // it said all it had to
	if _, err := conn.Exec(n.life, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		if _, err := conn.WaitForNotification(n.life); err != nil {
			return err
		}
		if err := n.tail.refresh(n.life, n.pool); err != nil {
			return err
		}
	}
}

func (n *notices) pause(d time.Duration) {
	select {
	case <-n.life.Done():
	case <-time.After(d):
	}
}
