package controller

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// MemberLabel is on the Lease of each replica that shares the work.
	MemberLabel = "edict.dev/member"
	// memberPrefix begins the name of such a Lease; the member's identity follows.
	memberPrefix = "edict-member-"
	// renewals is how often a Lease is renewed within its duration.
	renewals = 3
	// podAnnotation says in which pod a member runs.
	podAnnotation = "edict.dev/pod"
	// goneAfter is how many durations after its last renewal a Lease is deleted.
	goneAfter = 10
	// removals is how many such Leases are deleted in one round: renewing comes first.
	removals = 20
)

// Members shares the journal's shards among the replicas. Each has a Lease of its
// own that it renews, and each computes the same shares from who is alive. Two
// that see different members may both want a shard for a while: the journal's
// epochs say which of them writes it, so nothing here has to be exact.
//
// A replica costs the API server one PUT and one LIST of these few Leases in each
// third of the duration, every 5 seconds by default. A watch would tell sooner,
// and a death is noticed by what does not happen anyway.
type Members struct {
	Reader    client.Reader // past the cache, which would list and watch every Lease
	Writer    client.Writer
	Namespace string        // of the Leases
	Identity  string        // of this replica among all that ever were; see NewIdentity
	Pod       string        // optional: a member that was in the same pod before is dead, and need not be waited for
	Shards    int           // of the journal
	Duration  time.Duration // without a renewal, after which a member is taken for dead

	// Take makes these the shards that this process works for; it is called after
	// each look, with the same ones or with others, and with none when others may
	// have taken them. Its error is logged, and the next look tries again.
	Take func(ctx context.Context, shards []int) error

	Now func() time.Time // with a monotonic reading, as time.Now has
	Log *slog.Logger

	own     *coordinationv1.Lease // as it was written last; nil: not known
	renewed time.Time             // when the last renewal that succeeded was begun
	looked  time.Time             // when the Leases were listed last
	seen    map[string]sighting   // by the Lease's name
	ready   atomic.Bool
}

// sighting is when a Lease was first seen as it is. Whether its holder is alive is
// told by that, on this machine's monotonic clock: the times that are written in a
// Lease are another machine's.
type sighting struct {
	version string
	at      time.Time
}

// NewIdentity returns a name that no other process has or had: a replica that was
// restarted is another member, so that two with one name never are.
func NewIdentity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	valid := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return strings.TrimLeft(valid, "-") + "-" + rand.String(8), nil
}

// Run keeps the Lease and the shares until the context ends. Then it gives up the
// shards, and deletes the Lease, so that the others take them over at once.
func (m *Members) Run(ctx context.Context) {
	tick := time.NewTicker(m.interval())
	defer tick.Stop()
	for ctx.Err() == nil {
		m.round(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	m.leave(context.WithoutCancel(ctx))
}

// Ready returns nil once this replica is a member that has seen the others.
func (m *Members) Ready() error {
	if !m.ready.Load() {
		return fmt.Errorf("this replica has not renewed its Lease %s/%s%s and seen the others' yet", m.Namespace, memberPrefix, m.Identity)
	}
	return nil
}

func (m *Members) interval() time.Duration { return m.Duration / renewals }

// round renews the Lease, looks who else is alive, and takes this member's share.
// Neither the API server nor the journal may hold it up until the Lease is over.
func (m *Members) round(ctx context.Context) {
	m.giveUp(ctx) // this process may have been stopped for long
	asking, cancel := context.WithTimeout(ctx, m.interval())
	defer cancel()
	if err := m.renew(asking); err != nil {
		m.Log.Warn("this replica's Lease cannot be renewed", "error", err.Error())
		m.giveUp(ctx)
		return
	}
	alive, err := m.look(asking)
	if err != nil {
		m.Log.Warn("the Leases of the replicas cannot be listed", "error", err.Error())
		return
	}
	m.take(ctx, shardsOf(m.name(), alive, m.Shards))
	m.ready.Store(true)
}

// giveUp gives up all shards if the others may take this replica for dead.
func (m *Members) giveUp(ctx context.Context) {
	if m.Now().Sub(m.renewed) >= m.Duration {
		m.take(ctx, nil)
	}
}

func (m *Members) take(ctx context.Context, shards []int) {
	ctx, cancel := context.WithTimeout(ctx, m.interval())
	defer cancel()
	if err := m.Take(ctx, shards); err != nil {
		m.Log.Warn("not all shards of this replica can be taken", "error", err.Error())
	}
}

func (m *Members) name() string { return memberPrefix + m.Identity }

// renew writes the Lease. After a failure it is read again first: it may be gone,
// or have been written without this process having heard of it.
func (m *Members) renew(ctx context.Context) error {
	began := m.Now()
	lease, err := m.lease(ctx)
	if err == nil {
		err = m.write(ctx, lease)
	}
	if err != nil {
		m.own = nil
		return err
	}
	m.own, m.renewed = lease, began
	return nil
}

// lease returns the Lease as it was written last, or one to create if there is none.
func (m *Members) lease(ctx context.Context) (*coordinationv1.Lease, error) {
	if m.own != nil {
		return m.own, nil
	}
	var there coordinationv1.Lease
	err := m.Reader.Get(ctx, types.NamespacedName{Namespace: m.Namespace, Name: m.name()}, &there)
	if !apierrors.IsNotFound(err) {
		return &there, err
	}
	fresh := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.name(), Labels: map[string]string{MemberLabel: "true"}}}
	if m.Pod != "" {
		fresh.Annotations = map[string]string{podAnnotation: m.Pod}
	}
	return fresh, nil
}

func (m *Members) write(ctx context.Context, lease *coordinationv1.Lease) error {
	now := metav1.NewMicroTime(m.Now()) // for people
	seconds := int32(max(1, m.Duration/time.Second))
	lease.Spec.HolderIdentity, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds = &m.Identity, &now, &seconds
	if lease.ResourceVersion == "" {
		lease.Spec.AcquireTime = &now
		return m.Writer.Create(ctx, lease)
	}
	return m.Writer.Update(ctx, lease)
}

// fromWatchCache lets the API server answer from its memory, without asking etcd
// whether that is the newest: on a busy machine that takes longer than a round
// may. What is old there only delays what the epochs decide anyway.
func fromWatchCache() client.ListOption { // each its own: the client writes into it
	return &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}
}

// look lists the Leases, and returns the names of those whose holders are alive.
func (m *Members) look(ctx context.Context) ([]string, error) {
	var list coordinationv1.LeaseList
	err := m.Reader.List(ctx, &list, client.InNamespace(m.Namespace), client.HasLabels{MemberLabel}, fromWatchCache())
	if err != nil {
		return nil, err
	}
	now := m.Now()
	if now.Sub(m.looked) >= m.Duration {
		m.seen = nil // who did not look for so long cannot tell who died meanwhile
	}
	m.looked = now
	seen := make(map[string]sighting, len(list.Items))
	alive := []string{m.name()} // renewed just now, whether the API server's memory says so already or not
	var dead []*coordinationv1.Lease
	for i := range list.Items {
		lease := &list.Items[i]
		s, known := m.seen[lease.Name]
		if !known || s.version != lease.ResourceVersion {
			s = sighting{version: lease.ResourceVersion, at: now}
		}
		seen[lease.Name] = s
		switch unchanged := now.Sub(s.at); {
		case lease.Name == m.name():
		case m.succeeds(lease), unchanged >= goneAfter*m.Duration:
			dead = append(dead, lease)
		case unchanged < m.Duration:
			alive = append(alive, lease.Name)
		}
	}
	m.seen = seen
	for _, lease := range dead[:min(len(dead), removals)] {
		m.remove(ctx, lease)
	}
	return alive, nil
}

// succeeds reports whether another's Lease is that of a process which had this
// one's pod before it. A pod runs one process at a time.
func (m *Members) succeeds(lease *coordinationv1.Lease) bool {
	return m.Pod != "" && lease.Annotations[podAnnotation] == m.Pod
}

// remove deletes a Lease, unless it was renewed meanwhile. A failure is nobody's
// loss: whoever sees the Lease tries again.
func (m *Members) remove(ctx context.Context, lease *coordinationv1.Lease) {
	err := m.Writer.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		m.Log.Info("a replica's Lease is not deleted yet", "lease", lease.Name, "error", err.Error())
	}
}

// leave gives up the shards first: whoever sees that the Lease is gone takes them at once.
func (m *Members) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.interval())
	defer cancel()
	m.take(ctx, nil)
	if m.own != nil {
		m.remove(ctx, m.own)
	}
}
