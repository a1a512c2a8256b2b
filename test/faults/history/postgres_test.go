package history

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/hack/flaky"
	database "github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/postgres"
)

// TestClientsOfPostgreSQLSeeOneJournal lets two handles fence each other on connections that are cut, stall, and lose
// the acknowledgements of commits.
func TestClientsOfPostgreSQLSeeOneJournal(t *testing.T) {
	server := database.Shared(t)
	proxy, err := flaky.NewTCP(server.Address(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	direct := server.URL(server.Database(t))
	through := strings.Replace(direct, server.Address(), proxy.Address, 1)
	if through == direct {
		t.Fatal("the URL does not name the server's address")
	}
	r := NewRecorder()
	first, second := openPostgres(t, through), openPostgres(t, through)
	c := &clients{handles: []journal.Journal{r.Wrap(first), r.Wrap(second)}, streams: []string{"a", "b", "c"}, each: 40}

	ctx, stop := context.WithCancel(t.Context())
	disturbed := make(chan struct{})
	go func() {
		defer close(disturbed)
		disturb(ctx, proxy)
	}()
	c.run(t, 8)
	stop()
	<-disturbed
	c.readAll(t)

	for _, violation := range judge(t, r, c, openPostgres(t, direct)) {
		t.Error(violation)
	}
	injected := proxy.Injected()
	if injected[flaky.LostCommit] == 0 || injected[flaky.CutOff] == 0 {
		t.Errorf("no acknowledgement was lost, or no connection cut: %v", injected)
	}
	t.Logf("%d operations, %d records, %v", len(r.Operations()), len(c.acknowledged), injected)
}

// disturb makes the connections bad in turns until ctx ends, and good again.
func disturb(ctx context.Context, proxy *flaky.TCP) {
	defer proxy.Set(flaky.TCPFaults{})
	for ctx.Err() == nil {
		for _, faults := range []flaky.TCPFaults{
			{LoseCommits: 0.1},
			{LoseCommits: 0.1, Delay: time.Millisecond},
			{BlackHole: true},
		} {
			proxy.Set(faults)
			time.Sleep(100 * time.Millisecond)
		}
		proxy.Cut()
	}
}

func openPostgres(t *testing.T, url string) journal.Journal {
	t.Helper()
	j, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}
