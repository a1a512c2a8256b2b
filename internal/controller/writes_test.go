package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// errConnection is what a client sees of a request that did not reach the API server, or whose answer did not come back.
var errConnection = errors.New("the connection was lost")

// ledger counts what the reconcilers write, and lets one write fail. A read it can answer as a cache would that is behind.
type ledger struct {
	mu     sync.Mutex
	made   []string // such as "create Event", in order
	failAt int      // the write that fails, from 1; 0: none
	after  bool     // it fails after it has reached the API server
	unseen map[string]bool
	stale  *edictv1.Command // what a read of that Command returns; nil: what there is
}

// through returns a client whose writes the ledger counts.
func (l *ledger) through(c client.WithWatch) client.Client {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if l.hides(key.Name) {
				return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
			}
			if command, ok := o.(*edictv1.Command); ok && l.stale != nil && l.stale.Name == key.Name {
				l.stale.DeepCopyInto(command)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return l.write("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return l.write("update", o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return l.write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return l.write("delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return l.write(sub+" of", o, func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return l.write(sub+" patch of", o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}

func (l *ledger) write(verb string, o client.Object, write func() error) error {
	l.mu.Lock()
	kind := fmt.Sprintf("%T", o)
	l.made = append(l.made, verb+" "+kind[strings.LastIndex(kind, ".")+1:])
	fails := len(l.made) == l.failAt
	l.mu.Unlock()
	if !fails {
		return write()
	}
	if l.after {
		if err := write(); err != nil {
			return err
		}
	}
	return errConnection
}

// reset forgets what was written, and fails no write.
func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made, l.failAt = nil, 0
}

// counts returns how often each write was made.
func (l *ledger) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for _, what := range l.made {
		counts[what]++
	}
	return counts
}

// failed reports whether the write that was to fail was made.
func (l *ledger) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failAt > 0 && len(l.made) >= l.failAt
}

// hide lets reads of that name find nothing, as a cache that is behind.
func (l *ledger) hide(name string, hidden bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unseen = map[string]bool{name: hidden}
}

func (l *ledger) hides(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unseen[name]
}

// secretOf is a Secret with one key.
func secretOf(name, key, value string) *corev1.Secret {
	s := &corev1.Secret{StringData: map[string]string{key: value}}
	s.Name = name
	return s
}
