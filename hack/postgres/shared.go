package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shared is the server of this process, which its guard ends with it.
var shared = sync.OnceValues(func() (*Server, error) { return Start(context.Background(), Options{}) })

var databases atomic.Int64

// Shared returns a server that all tests of the process share, and the first starts. A test that stops it, or changes
// its settings, disturbs the others: it starts one of its own. Without a PostgreSQL the test fails: it is never skipped.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// ForTest starts a server that is the test's own, and closed with it.
func ForTest(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close PostgreSQL: %v", err)
		}
	})
	return s
}

// Database makes a new, empty database on the server, and returns its name. It is dropped with the test, if the server
// then runs.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.CreateDatabase(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if len(s.Pids()) == 0 {
			return // a server of the test's own, which it has stopped
		}
		if err := s.DropDatabase(ctx, name); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return name
}
