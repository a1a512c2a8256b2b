package controller

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const leaseFor = 15 * time.Second

// club is the members of one namespace. The test calls their rounds, and moves their clock.
type club struct {
	*testing.T
	api   client.WithWatch
	ns    string
	clock *clock
}

func newClub(t *testing.T) *club {
	t.Helper()
	_, api := apiServer(t)
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "members-"}}
	if err := api.Create(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	return &club{T: t, api: api, ns: space.Name, clock: &clock{now: time.Now()}}
}

// replica is a member, and the shards that it was told to take.
type replica struct {
	*Members
	shards  []int
	cut     atomic.Bool // the API server does not answer it
	deaf    atomic.Bool // the API server takes its writes, and lists nothing
	refused error       // what the journal says
}

func (c *club) join(identity string) *replica {
	r := &replica{}
	through := interceptor.NewClient(c.api, interceptor.Funcs{
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return r.unless(r.cut.Load(), func() error { return api.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return r.unless(r.cut.Load() || r.deaf.Load(), func() error { return api.List(ctx, list, opts...) })
		},
		Update: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return r.unless(r.cut.Load(), func() error { return api.Update(ctx, o, opts...) })
		},
	})
	r.Members = &Members{
		Reader: through, Writer: through, Namespace: c.ns, Identity: identity, Shards: testShards, Duration: leaseFor,
		Now: c.clock.Now, Log: slog.New(slog.DiscardHandler),
		Take: func(_ context.Context, shards []int) error {
			r.shards = shards
			return r.refused
		},
	}
	return r
}

func (*replica) unless(cut bool, ask func() error) error {
	if cut {
		return errors.New("the API server does not answer")
	}
	return ask()
}

// rounds lets the replicas look once in each third of a lease, for so long.
func (c *club) rounds(d time.Duration, replicas ...*replica) {
	for ; d > 0; d -= leaseFor / renewals {
		c.clock.pass(leaseFor / renewals)
		for _, r := range replicas {
			r.round(c.Context())
		}
	}
}

// wantShared checks that the replicas have all shards among them, each once.
func (c *club) wantShared(replicas ...*replica) {
	c.Helper()
	var all []int
	for _, r := range replicas {
		if len(r.shards) == 0 {
			c.Errorf("%s has no shard", r.Identity)
		}
		all = append(all, r.shards...)
	}
	slices.Sort(all)
	if len(all) != testShards || len(slices.Compact(slices.Clone(all))) != testShards {
		c.Errorf("the replicas have the shards %v", all)
	}
}

func (c *club) leases() []string {
	c.Helper()
	var list coordinationv1.LeaseList
	if err := c.api.List(c.Context(), &list, client.InNamespace(c.ns)); err != nil {
		c.Fatal(err)
	}
	var names []string
	for _, l := range list.Items {
		names = append(names, l.Name)
	}
	return names
}

func TestReplicasShareAllShards(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a, b, d := c.join("a"), c.join("b"), c.join("d")
	if a.Ready() == nil {
		t.Error("a replica is ready before it has looked")
	}
	c.rounds(leaseFor, a)
	c.wantShared(a)
	c.rounds(leaseFor/renewals, a, b, d)
	c.rounds(leaseFor/renewals, a, b, d) // by now all have seen all
	c.wantShared(a, b, d)
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

func TestTheShardsOfADeadReplicaAreTakenAfterTheLeaseAndNotBefore(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a, b := c.join("a"), c.join("b")
	c.rounds(leaseFor, a, b)
	before := slices.Clone(a.shards)
	c.rounds(leaseFor-leaseFor/renewals, a) // b is dead
	if !slices.Equal(a.shards, before) {
		t.Errorf("a took %v while b's lease lasted", a.shards)
	}
	c.rounds(2*leaseFor/renewals, a) // a had looked last before b renewed
	c.wantShared(a)

	b.round(t.Context()) // it was only paused: it gives up what it had before it asks who is alive
	c.rounds(leaseFor/renewals, a, b)
	c.wantShared(a, b)
}

func TestAReplicaThatLeavesHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a, b := c.join("a"), c.join("b")
	c.rounds(leaseFor, a, b)
	b.leave(t.Context())
	if len(b.shards) > 0 {
		t.Errorf("b left, and has %v", b.shards)
	}
	c.rounds(leaseFor/renewals, a)
	c.wantShared(a)
	if names := c.leases(); !slices.Equal(names, []string{a.name()}) {
		t.Errorf("there are the leases %v", names)
	}
}

// A Lease says when it was renewed, by its holder's clock, which may show any time.
func TestTheTimesInALeaseAreNotJudged(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	for name, ahead := range map[string]time.Duration{"past": -1000 * time.Hour, "future": 1000 * time.Hour} {
		a, b := c.join("here-"+name), c.join("in-the-"+name)
		b.Now = func() time.Time { return c.clock.Now().Add(ahead) }
		c.rounds(leaseFor, a, b)
		c.wantShared(a, b)
		c.rounds(leaseFor+leaseFor/renewals, a)
		c.wantShared(a)
		a.leave(t.Context())
		b.leave(t.Context())
	}
}

func TestAReplicaThatCannotRenewGivesUpItsShardsAndTakesThemAgain(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a := c.join("a")
	c.rounds(leaseFor, a)
	a.cut.Store(true)
	c.rounds(leaseFor-leaseFor/renewals, a)
	c.wantShared(a)
	c.rounds(leaseFor/renewals, a)
	if len(a.shards) > 0 {
		t.Errorf("it could not renew its Lease for %s, and has %v", leaseFor, a.shards)
	}
	a.cut.Store(false)
	c.rounds(leaseFor/renewals, a)
	c.wantShared(a)
}

// The API server was away, and one of two comes back to it first.
func TestWhoCouldNotLookTakesNobodyForDead(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a, b := c.join("a"), c.join("b")
	c.rounds(leaseFor, a, b)
	a.deaf.Store(true)
	c.rounds(2*leaseFor, a)
	a.deaf.Store(false)
	c.rounds(leaseFor/renewals, a)
	c.wantShared(a, b)
	c.rounds(leaseFor, a)
	c.wantShared(a)
}

func TestALeaseThatWasDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a := c.join("a")
	c.rounds(leaseFor, a)
	if err := c.api.DeleteAllOf(t.Context(), &coordinationv1.Lease{}, client.InNamespace(c.ns)); err != nil {
		t.Fatal(err)
	}
	c.rounds(2*leaseFor/renewals, a)
	c.wantShared(a)
}

func TestTheLeasesOfReplicasLongGoneAreDeleted(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a, b := c.join("a"), c.join("b")
	c.rounds(leaseFor, a, b)
	c.rounds((goneAfter-1)*leaseFor, a)
	if names := c.leases(); len(names) != 2 {
		t.Errorf("there are the leases %v", names)
	}
	c.rounds(2*leaseFor, a)
	if names := c.leases(); !slices.Equal(names, []string{a.name()}) {
		t.Errorf("there are the leases %v", names)
	}
}

func TestShardsThatTheJournalRefusedAreAskedForAgain(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a := c.join("a")
	a.refused = errors.New("the journal cannot be written to")
	c.rounds(leaseFor, a)
	a.shards, a.refused = nil, nil
	c.rounds(leaseFor/renewals, a)
	c.wantShared(a)
}

func TestAnIdentityIsAnObjectsNameAndNobodyElses(t *testing.T) {
	one, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewIdentity()
	if err != nil || one == other {
		t.Errorf("%s and %s, %v", one, other, err)
	}
	c := newClub(t)
	c.rounds(1, c.join(one))
	if len(c.leases()) != 1 {
		t.Errorf("%q makes no Lease", one)
	}
}

func TestRunRenewsUntilItEndsAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	a := c.join("a")
	a.Now, a.Duration = time.Now, 600*time.Millisecond
	var rounds, held atomic.Int32
	a.Take = func(_ context.Context, shards []int) error {
		rounds.Add(1)
		held.Store(int32(len(shards)))
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	for deadline := time.Now().Add(patience); rounds.Load() < 5 || held.Load() != testShards; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d shards after %d rounds", held.Load(), rounds.Load())
		}
	}
	stop()
	<-ended
	if held.Load() != 0 || len(c.leases()) != 0 {
		t.Errorf("it ended with %d shards and the leases %v", held.Load(), c.leases())
	}
}

func TestAProcessThatIsRestartedInItsPodTakesOverAtOnce(t *testing.T) {
	c := newClub(t)
	first, other := c.join("first"), c.join("other")
	first.Pod, other.Pod = "pod-a", "pod-b"
	c.rounds(leaseFor, first, other)

	second := c.join("second") // the first one was killed a moment ago
	second.Pod = "pod-a"
	second.round(t.Context())
	want := shardsOf(second.name(), []string{second.name(), other.name()}, testShards)
	if !slices.Equal(second.shards, want) {
		t.Errorf("the second process took %v, want what is its own of two: %v", second.shards, want)
	}
	if names := c.leases(); len(names) != 2 {
		t.Errorf("the Leases are %v, want those of the two that live", names)
	}
}
