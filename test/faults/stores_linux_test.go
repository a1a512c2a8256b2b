package faults

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edict-dev/edict/hack/flaky"
)

// TestStoreFaults takes the journal's store away in every way that it can go, while users want things.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	t.Run(onSQLite, func(t *testing.T) {
		t.Parallel()
		c := started(t)
		faults, commands := c.rounds()
		c.weather(t, "faults of SQLite", &storm{
			options: worldOptions{store: onSQLite}, replicas: 1, faults: faults, commands: commands, strikers: breakFile,
		})
	})
	t.Run(onPostgres, func(t *testing.T) {
		t.Parallel()
		c := started(t)
		server, err := startDatabase(t.Context()) // its own, because it is killed
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := server.stop(); err != nil {
				t.Error(err)
			}
		}()
		proxy, err := flaky.NewTCP(server.Address(), c.seed)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := proxy.Close(); err != nil {
				t.Error(err)
			}
		}()
		store, err := server.newStore(t.Context(), "stores")
		if err != nil {
			t.Fatal(err)
		}
		store.via = proxy.Address
		faults, commands := c.rounds()
		c.weather(t, "faults of PostgreSQL", &storm{
			options: worldOptions{over: store, lease: leaseDuration}, replicas: 2, faults: faults, commands: commands,
			strikers: func(s *storm) []striker { return []striker{breakServer(s, server, proxy)} },
		})
	})
}

// breakFile fills the disk for a moment, or kills the operator in the middle of a write.
func breakFile(s *storm) []striker {
	o := s.world.operators[0]
	return []striker{func(_ context.Context, random *mathrand.Rand) error {
		for s.left.Add(-1) >= 0 {
			time.Sleep(time.Second + time.Duration(random.Int64N(int64(time.Second))))
			var err error
			if random.IntN(2) == 0 {
				err = s.fillDisk(o, random)
			} else {
				err = s.tear(o)
			}
			if err != nil {
				return fmt.Errorf("%w\n%s", err, o.logs.Tail(20))
			}
		}
		return nil
	}}
}

// fillDisk has the kernel refuse every write of the operator's to a file, as a full disk does, for a while. An operator
// that ends by itself meanwhile, because it cannot start without a disk, takes the limit with it.
func (s *storm) fillDisk(o *operator, random *mathrand.Rand) error {
	o.turn.Lock()
	pid := o.life.PID()
	o.turn.Unlock()
	err := s.refuseWrites(pid, time.Duration(random.Int64N(int64(3*time.Second))))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func (s *storm) refuseWrites(pid int, d time.Duration) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		return err
	}
	full := limit
	full.Cur = 0
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &full, nil); err != nil {
		return err
	}
	s.found.inject("disk full", 1)
	time.Sleep(d)
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil)
}

// tear kills the operator and leaves the beginning of a page at the end of its log, as a write does that was cut off.
func (s *storm) tear(o *operator) error {
	store, ok := s.world.store.(*sqliteStore)
	if !ok {
		return fmt.Errorf("the journal is in %T", s.world.store)
	}
	return o.restart(func() error {
		log, err := os.OpenFile(store.path+"-wal", os.O_APPEND|os.O_WRONLY, 0)
		if os.IsNotExist(err) {
			return nil // nothing was written since the last start
		}
		if err != nil {
			return err
		}
		page := make([]byte, 1500)
		_, _ = rand.Read(page) // it never fails
		s.found.inject("SIGKILL with a torn page", 1)
		_, err = log.Write(page)
		return errors.Join(err, log.Close())
	})
}

// breakServer does to PostgreSQL, and to the connections to it, what can be done to them.
func breakServer(s *storm, server *database, proxy *flaky.TCP) striker {
	store, _ := s.world.store.(*postgresStore) // it is what the storm was given
	ways := []func(ctx context.Context, d time.Duration) error{
		func(ctx context.Context, d time.Duration) error {
			s.found.inject("PostgreSQL killed", 1)
			return s.down(ctx, d, server.Kill, server.Restart)
		},
		func(ctx context.Context, d time.Duration) error {
			s.found.inject("PostgreSQL stopped", 1)
			return s.down(ctx, d, server.Stop, server.Restart)
		},
		func(ctx context.Context, _ time.Duration) error {
			n, err := server.TerminateConnections(ctx, store.name)
			s.found.inject("PostgreSQL connection terminated", n)
			return err
		},
		func(ctx context.Context, d time.Duration) error {
			s.found.inject("PostgreSQL read-only", 1)
			return s.down(ctx, d, func() error { return server.SetReadOnly(ctx, true) },
				func(ctx context.Context) error { return server.SetReadOnly(ctx, false) })
		},
		s.through(proxy, flaky.TCPFaults{LoseCommits: 0.2}),
		s.through(proxy, flaky.TCPFaults{BlackHole: true}),
		s.through(proxy, flaky.TCPFaults{Refuse: true}),
		func(context.Context, time.Duration) error {
			proxy.Cut()
			return nil
		},
	}
	return func(ctx context.Context, random *mathrand.Rand) error {
		turn := random.Perm(len(ways)) // each once, before any comes again
		for i := 0; s.left.Add(-1) >= 0; i++ {
			time.Sleep(time.Second)
			d := 500*time.Millisecond + time.Duration(random.Int64N(int64(2*time.Second)))
			if err := ways[turn[i%len(turn)]](ctx, d); err != nil {
				return err
			}
		}
		proxy.Set(flaky.TCPFaults{})
		for kind, n := range proxy.Injected() {
			s.found.inject("PostgreSQL: "+strings.ToLower(string(kind)), n)
		}
		return nil
	}
}

// down takes something away for a while.
func (s *storm) down(ctx context.Context, d time.Duration, take func() error, back func(context.Context) error) error {
	if err := take(); err != nil {
		return err
	}
	time.Sleep(d)
	return back(ctx)
}

// through makes the connections bad for a while.
func (s *storm) through(proxy *flaky.TCP, faults flaky.TCPFaults) func(context.Context, time.Duration) error {
	return func(_ context.Context, d time.Duration) error {
		proxy.Set(faults)
		time.Sleep(d)
		proxy.Set(flaky.TCPFaults{})
		return nil
	}
}
