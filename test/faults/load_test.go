package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// patience is how long a user waits for a command under faults before it counts as lost.
const patience = 3 * time.Minute

// load is users who want things of many agents of one world.
type load struct {
	world  *world
	found  *findings
	agents []string
	kinds  []kind
	users  sync.WaitGroup // who come back to what they created
	calm   atomic.Bool    // the last fault is over

	mu     sync.Mutex
	random *rand.Rand
	wants  []*want
	seen   map[string]sighting // ends that a status told, by stream and key
}

// want is one effect that somebody wants once, however many objects say so.
type want struct {
	tag      string            // what the effect is known by, at the receiver or in the memory
	class    agent.EffectClass // where it is looked for
	commands []string          // the objects, without those that a decision issues
	may      bool              // it may also not happen: it is cancelled, or of no effect
}

// sighting is an end that was told.
type sighting struct {
	phase    agent.Phase
	sequence int64
	response string
}

// newLoad makes so many agents.
func newLoad(ctx context.Context, w *world, f *findings, random *rand.Rand, agents int) (*load, error) {
	l := &load{world: w, found: f, random: random, kinds: mixture, seen: map[string]sighting{}}
	for i := range agents {
		name := fmt.Sprintf("agent-%d", i)
		if err := w.create(ctx, w.concierge(name)...); err != nil {
			return nil, err
		}
		l.agents = append(l.agents, name)
	}
	return l, nil
}

// kind is one way in which users want something: it returns the objects to create at once, and what the user does then.
type kind func(l *load, t *want, agent string) (objects []client.Object, then func(context.Context) error)

// mixture is what users want, each as likely as the others.
var mixture = []kind{
	direct, direct, asked, asked, asked, twins, twins, recreated, recreated, expiring, cancelled, forgotten,
}

// add lets one more user want something.
func (l *load) add(ctx context.Context) error {
	l.mu.Lock()
	t := &want{tag: fmt.Sprintf("w%d", len(l.wants))}
	l.wants = append(l.wants, t)
	how, name := l.kinds[l.random.IntN(len(l.kinds))], l.agents[l.random.IntN(len(l.agents))]
	objects, then := how(l, t, name)
	l.mu.Unlock()
	var together sync.WaitGroup
	errs := make([]error, len(objects))
	for i, o := range objects {
		together.Go(func() { errs[i] = l.insist(ctx, o) })
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil || then == nil {
		return err
	}
	l.users.Go(func() {
		if err := then(ctx); err != nil {
			l.found.violate("%s: %v", t.tag, err)
		}
	})
	return nil
}

// insist creates an object, again and again while the API server is away.
func (l *load) insist(ctx context.Context, object client.Object) error {
	return l.until(ctx, func() error {
		again, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return errors.New("a copy is of another kind")
		}
		err := l.world.create(ctx, again)
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// effect returns a command for the want whose effect class is drawn. The caller holds the lock.
func (l *load) effect(t *want, name, agentName string) *edictv1.Command {
	t.commands = append(t.commands, name)
	switch l.random.IntN(3) {
	case 0:
		t.class = agent.Internal
		return newSave(name, agentName, t.tag)
	case 1:
		t.class = agent.Idempotent
		return newBooking(name, agentName, "put", flightPlain, t.tag)
	}
	t.class = agent.NonIdempotent
	return newBooking(name, agentName, "post", flightPlain, t.tag)
}

func direct(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	return []client.Object{l.effect(t, t.tag, name)}, nil
}

// asked lets a decision issue the command.
func asked(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	message := ""
	switch l.random.IntN(4) {
	case 0:
		t.class, message = agent.Internal, "Remember "+t.tag
	case 1:
		t.class, message = agent.NonIdempotent, "Post "+flightPlain+" for "+t.tag
	case 2:
		t.class, message = agent.Idempotent, "Put and say "+flightPlain+" for "+t.tag
	default:
		t.class, message = agent.Idempotent, "Put "+flightPlain+" for "+t.tag
	}
	t.commands = []string{t.tag}
	c := newAsk(t.tag, name, message)
	c.Spec.Ask.Conversation = fmt.Sprintf("conversation-%d", l.random.IntN(3))
	return []client.Object{c}, nil
}

// twins are two objects that want the same under one key, at the same moment.
func twins(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	first := l.effect(t, t.tag+"-castor", name)
	first.Spec.IdempotencyKey = "twins-" + t.tag
	second := first.DeepCopy()
	second.Name = t.tag + "-pollux"
	t.commands = append(t.commands, second.Name)
	return []client.Object{first, second}, nil
}

// recreated is deleted when it has ended, and applied again, as GitOps does.
func recreated(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	c := l.effect(t, t.tag, name)
	return []client.Object{c.DeepCopy()}, func(ctx context.Context) error {
		if err := l.end(ctx, c.Name); err != nil {
			return err
		}
		if err := l.until(ctx, func() error {
			old := c.DeepCopy()
			old.Namespace = l.world.ns
			return client.IgnoreNotFound(l.world.plane.client.Delete(ctx, old))
		}); err != nil {
			return err
		}
		if err := l.gone(ctx, c.Name); err != nil {
			return err
		}
		return l.insist(ctx, c)
	}
}

// expiring is deleted by its time to live, and applied again.
func expiring(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	c := l.effect(t, t.tag, name)
	soon := c.DeepCopy()
	ttl := int32(0)
	soon.Spec.TTLSecondsAfterFinished = &ttl
	return []client.Object{soon}, func(ctx context.Context) error {
		if err := l.gone(ctx, c.Name); err != nil {
			return err
		}
		return l.insist(ctx, c)
	}
}

// cancelled is called off a moment after it was wanted.
func cancelled(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	c := l.effect(t, t.tag, name)
	t.may = true
	wait := time.Duration(l.random.IntN(400)) * time.Millisecond
	return []client.Object{c.DeepCopy()}, func(ctx context.Context) error {
		time.Sleep(wait)
		return l.until(ctx, func() error {
			c.Namespace = l.world.ns
			return l.world.plane.client.Patch(ctx, c, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`)))
		})
	}
}

// forgotten is a memory that is forgotten when it was saved.
func forgotten(l *load, t *want, name string) ([]client.Object, func(context.Context) error) {
	t.class, t.commands = agent.Internal, []string{t.tag, t.tag + "-forget"}
	save := newSave(t.tag, name, t.tag)
	return []client.Object{save}, func(ctx context.Context) error {
		if err := l.end(ctx, t.tag); err != nil {
			return err
		}
		key := agent.DefaultKey(t.tag, agent.NewIntent(agent.SaveMemory, agent.SaveMemoryPayload{Kind: "note", Content: t.tag}))
		return l.insist(ctx, newForget(t.tag+"-forget", name, agent.MemoryID(key)))
	}
}

// until is patient: what users wait for may take as long as the faults last, and then as long as anything.
func (l *load) until(ctx context.Context, check func() error) error {
	for {
		calm := l.calm.Load()
		if err := until(ctx, patience, check); err == nil || calm || ctx.Err() != nil {
			return err
		}
	}
}

// end waits until the command says that it has ended.
func (l *load) end(ctx context.Context, name string) error {
	return l.until(ctx, func() error {
		var c edictv1.Command
		if err := l.world.plane.client.Get(ctx, types.NamespacedName{Namespace: l.world.ns, Name: name}, &c); err != nil {
			return err
		}
		if !agent.Phase(c.Status.Phase).Final() {
			return fmt.Errorf("%s is %s (%s)", name, c.Status.Phase, why(&c))
		}
		l.see(&c)
		return nil
	})
}

// gone waits until there is no such command any more.
func (l *load) gone(ctx context.Context, name string) error {
	return l.until(ctx, func() error {
		var c edictv1.Command
		err := l.world.plane.client.Get(ctx, types.NamespacedName{Namespace: l.world.ns, Name: name}, &c)
		if err == nil {
			l.see(&c)
			return fmt.Errorf("%s is still there, %s", name, c.Status.Phase)
		}
		return client.IgnoreNotFound(err)
	})
}

// watch notes every end that a status tells, until the context ends: what was told has to stay so.
func (l *load) watch(ctx context.Context) {
	for ctx.Err() == nil {
		commands, err := l.world.commands(ctx)
		if err == nil { // the API server may be away
			for i := range commands {
				l.see(&commands[i])
			}
		}
		time.Sleep(time.Second)
	}
}

func (l *load) see(c *edictv1.Command) {
	if c.Status.Stream == "" || !agent.Phase(c.Status.Phase).Final() {
		return
	}
	at := c.Status.Stream + " " + c.Status.IdempotencyKey
	now := sighting{agent.Phase(c.Status.Phase), c.Status.Sequence, c.Status.Response}
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.seen[at]; ok && before != now {
		l.found.violate("%s ended as %v, and later as %v", at, before, now)
	}
	l.seen[at] = now
}

// finish waits until every user has what they wanted, and every command has ended.
func (l *load) finish(ctx context.Context) ([]edictv1.Command, error) {
	l.users.Wait()
	commands, err := l.world.ended(ctx, 1, patience)
	for i := range commands {
		l.see(&commands[i])
	}
	return commands, err
}
