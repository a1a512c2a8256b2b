package faults

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/edict-dev/edict/hack/flaky"
)

// TestKubernetesFaults puts a bad connection between two replicas and a control plane of their own, and restarts that.
func TestKubernetesFaults(t *testing.T) {
	t.Parallel()
	c := started(t)
	p, err := c.newPlane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	config := rest.CopyConfig(p.Config)
	proxy, err := flaky.NewAPI(config, c.seed)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	}()
	faults, commands := c.rounds()
	c.weather(t, "faults of Kubernetes", &storm{
		options:  worldOptions{plane: p, store: onPostgres, via: proxy.Config(config), lease: leaseDuration},
		replicas: 2, faults: faults, commands: commands,
		strikers: func(s *storm) []striker { return []striker{breakPlane(s, p, proxy)} },
	})
}

// connections are the ways in which the connection to the API server is bad.
var connections = []flaky.APIFaults{
	{WatchDelay: 2 * time.Second, Latency: 200 * time.Millisecond},
	{RefuseWrites: 0.4},
	{LoseAnswers: 0.4},
	{Drop: 0.3, CutWatches: 0.2},
	{Replays: 0.7, StaleReads: 0.5, CutWatches: 0.1},
	{Outage: true},
	{WatchDelay: 500 * time.Millisecond, RefuseWrites: 0.2, LoseAnswers: 0.2, Drop: 0.1, CutWatches: 0.1, Replays: 0.3, StaleReads: 0.2},
}

// breakPlane makes the connection bad in each of those ways, and restarts the API server and etcd.
func breakPlane(s *storm, p *plane, proxy *flaky.API) striker {
	return func(ctx context.Context, random *rand.Rand) error {
		turn := random.Perm(len(connections) + 2) // each once, before any comes again
		for i := 0; s.left.Add(-1) >= 0; i++ {
			d := time.Second + time.Duration(random.Int64N(int64(3*time.Second)))
			switch way := turn[i%len(turn)]; way {
			case len(connections):
				s.found.inject("kube-apiserver restarted", 1)
				if err := p.RestartAPIServer(ctx, d); err != nil {
					return err
				}
			case len(connections) + 1:
				s.found.inject("etcd restarted", 1)
				if err := p.RestartEtcd(ctx, d); err != nil {
					return err
				}
			default:
				proxy.Set(connections[way])
				time.Sleep(d)
				proxy.Set(flaky.APIFaults{})
			}
			time.Sleep(500 * time.Millisecond)
		}
		for kind, n := range proxy.Injected() {
			s.found.inject("API: "+string(kind), n)
		}
		return nil
	}
}
