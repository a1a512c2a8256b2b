package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
)

// load is many callers who append, each batch under a key, again and again until
// they know what became of it.
type load struct {
	t *testing.T
	j journal.Journal

	mu           sync.Mutex
	acknowledged map[string]journal.Span // by "stream key": what Append, or the key, told
	retries      atomic.Int64
	ending       chan struct{}
	callers      sync.WaitGroup
}

const (
	callers = 24
	streams = 10
)

func startLoad(t *testing.T, j journal.Journal) *load {
	l := &load{t: t, j: j, acknowledged: map[string]journal.Span{}, ending: make(chan struct{})}
	for caller := range callers {
		l.callers.Go(func() { l.append(caller) })
	}
	return l
}

func (l *load) append(caller int) {
	for n := 0; ; n++ {
		select {
		case <-l.ending:
			return
		default:
		}
		b := batch(fmt.Sprintf("load/%d", (caller+n)%streams), fmt.Sprintf("%d-%d", caller, n), n%3+1)
		span, err := l.untilKnown(b)
		if err != nil {
			l.t.Errorf("append: %v", err)
			return
		}
		l.mu.Lock()
		l.acknowledged[b.Stream+" "+b.Key] = span
		l.mu.Unlock()
	}
}

// untilKnown appends the batch under its key until that is done.
func (l *load) untilKnown(b journal.Batch) (journal.Span, error) {
	for deadline := time.Now().Add(40 * time.Second); ; {
		records, err := l.j.Append(context.Background(), b)
		var duplicate *journal.DuplicateKeyError
		switch {
		case err == nil:
			return journal.Span{First: records[0].Sequence, Last: records[len(records)-1].Sequence}, nil
		case errors.As(err, &duplicate):
			return duplicate.Span, nil
		case !errors.Is(err, journal.ErrUnavailable) || time.Now().After(deadline):
			return journal.Span{}, err
		}
		l.retries.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
}

// end stops the callers, and compares what they were told with what is there.
func (l *load) end() {
	l.t.Helper()
	close(l.ending)
	l.callers.Wait()
	events := 0
	for name, told := range l.acknowledged {
		var stream, key string
		if _, err := fmt.Sscan(name, &stream, &key); err != nil {
			l.t.Fatal(err)
		}
		there, found, err := l.j.Find(soon(l.t), stream, key)
		if err != nil || !found || there != told {
			l.t.Errorf("%s: told %v, there %v, found %v, error %v", name, told, there, found, err)
		}
		events += int(told.Last - told.First + 1)
	}
	// Each event is of a batch that was acknowledged, and is there once.
	sound(l.t, l.j, events)
	l.t.Logf("%d batches, %d retries by callers", len(l.acknowledged), l.retries.Load())
	if len(l.acknowledged) < callers {
		l.t.Error("too little was appended to show anything")
	}
}

// startFollower follows the journal as a projection does, from another handle.
// What it returns ends it, when everything was read, and returns what it saw.
func startFollower(t *testing.T, j journal.Journal) func(total int) []journal.Record {
	ctx, cancel := context.WithCancel(context.Background())
	var seen []journal.Record
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for after := journal.Cursor(nil); ctx.Err() == nil; {
			if err := j.Wait(ctx, after); err != nil {
				time.Sleep(20 * time.Millisecond) // the server is away
				continue
			}
			page, err := j.ReadAll(ctx, after, 50)
			if err != nil {
				continue
			}
			seen, after = append(seen, page...), after.After(page)
			count.Store(int64(len(seen)))
		}
	}()
	return func(total int) []journal.Record {
		defer cancel()
		eventually(t, func() bool { return count.Load() >= int64(total) })
		cancel()
		<-done
		return seen
	}
}

// sawAll checks that a follower saw each record once, in the order of its shard,
// without a gap.
func sawAll(t *testing.T, seen []journal.Record) {
	t.Helper()
	last := journal.Cursor(nil)
	for _, r := range seen {
		if r.Position != last.Position(r.Shard)+1 {
			t.Fatalf("shard %d: position %d was seen after %d", r.Shard, r.Position, last.Position(r.Shard))
		}
		last = last.After([]journal.Record{r})
	}
}

func TestNothingIsLostOrDoubledWhenEveryConnectionIsCutAgainAndAgain(t *testing.T) {
	server := postgres.Shared(t)
	name := server.Database(t)
	l := startLoad(t, mustClaim(t, server.URL(name)))
	follower := mustOpen(t, server.URL(name))
	follow := startFollower(t, follower)
	cut := 0
	for range 40 {
		time.Sleep(50 * time.Millisecond)
		n, err := server.TerminateConnections(soon(t), name)
		if err != nil {
			t.Fatal(err)
		}
		cut += n
	}
	l.end()
	t.Logf("%d connections cut", cut)
	if cut < 40 {
		t.Error("too few to show anything")
	}
	sawAll(t, follow(len(readAll(t, follower))))
}

func TestNothingIsLostOrDoubledWhenTheServerIsKilledAndRestarted(t *testing.T) {
	server := postgres.ForTest(t, postgres.Options{})
	name := server.Database(t)
	j := mustClaim(t, server.URL(name))
	l := startLoad(t, j)
	follow := startFollower(t, j)
	for _, stop := range []func() error{server.Kill, server.Stop, server.Kill} {
		time.Sleep(500 * time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	l.end()
	sawAll(t, follow(len(readAll(t, j))))
}

func TestAReplicaThatStopsInATransactionHoldsNobodyUpForLong(t *testing.T) {
	server := postgres.Shared(t)
	address := server.URL(server.Database(t))
	j := mustClaim(t, address)
	shard, err := j.Shard(soon(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	config, err := configure(address)
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := pgx.ConnectConfig(soon(t), config.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stopped.Close(context.Background()) }()
	if _, err := stopped.Exec(soon(t), fmt.Sprintf("BEGIN; SELECT FROM journal.shards WHERE shard = %d FOR UPDATE", shard)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, batch("a", "k", 1))
	sound(t, j, 1)
}

func TestAFollowerIsToldWithoutPolling(t *testing.T) {
	server := postgres.Shared(t)
	address := server.URL(server.Database(t))
	writer, follower := mustClaim(t, address), mustOpen(t, address)
	var after journal.Cursor
	eventually(t, func() bool { // until it listens
		after = after.After([]journal.Record{mustAppend(t, writer, batch("a", "", 1))[0]})
		began := time.Now()
		waited := make(chan error, 1)
		go func() { waited <- follower.Wait(soon(t), after) }()
		time.Sleep(10 * time.Millisecond) // it has looked, and waits
		after = after.After([]journal.Record{mustAppend(t, writer, batch("a", "", 1))[0]})
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		return time.Since(began) < pollInterval/2
	})
}

func TestARecordThatIsMissingIsNotPassedOver(t *testing.T) {
	server := postgres.Shared(t)
	name := server.Database(t)
	j := mustClaim(t, server.URL(name))
	mustAppend(t, j, batch("a", "k", 3))
	if err := server.Exec(soon(t), name, `DELETE FROM journal.events WHERE sequence = 2`); err != nil {
		t.Fatal(err)
	}
	_, err := j.ReadAll(soon(t), nil, 10)
	fails(t, err, journal.ErrCorrupt, "position 2")
}

func TestANameThatDoesNotFitIsInvalid(t *testing.T) {
	server := postgres.Shared(t)
	j := mustClaim(t, server.URL(server.Database(t)))
	long := func(n int) string { // PostgreSQL compresses what repeats
		var name []byte
		for i := range n {
			name = append(name, byte('a'+(i*i*7+i*i*i)%26))
		}
		return string(name)
	}
	for _, b := range []journal.Batch{batch(long(MaxName+1), "", 1), batch("a", long(MaxName+1), 1)} {
		_, err := j.Append(soon(t), b)
		fails(t, err, journal.ErrInvalid, "2048")
	}
	mustAppend(t, j, batch(long(MaxName), long(MaxName), 1))
	sound(t, j, 1)
}
