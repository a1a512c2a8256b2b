package controller

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// secretsFor is how long a Secret that was read is used again: a rotated key is
// in use that much later at the most.
const secretsFor = 15 * time.Second

// Secrets reads single values of Secrets from the API server. It neither lists
// nor watches Secrets, so the operator needs no right to; values that it read are
// kept in memory for a few seconds, because every call of an agent needs one.
type Secrets struct {
	Live client.Reader
	Now  func() time.Time

	mu   sync.Mutex
	kept map[types.NamespacedName]keptSecret
}

type keptSecret struct {
	data  map[string][]byte
	until time.Time
}

// Value returns the value, or a Wait with reason SecretNotFound. Its errors hold no value.
func (s *Secrets) Value(ctx context.Context, namespace string, key agent.SecretKey) (string, error) {
	name := types.NamespacedName{Namespace: namespace, Name: key.Name}
	data, err := s.read(ctx, name)
	switch {
	case apierrors.IsNotFound(err):
		return "", fault.NewWait(5*time.Second, edictv1.ReasonSecretNotFound, "There is no Secret %q in namespace %q; create it with the key %q, and this goes on by itself.", key.Name, namespace, key.Key)
	case apierrors.IsForbidden(err):
		return "", fault.NewWait(slowly, edictv1.ReasonSecretNotFound, "The operator may not read Secret %q in namespace %q; grant its service account get on it.", key.Name, namespace)
	case err != nil:
		return "", err
	}
	value, ok := data[key.Key]
	if !ok {
		s.forget(name)
		return "", fault.NewWait(5*time.Second, edictv1.ReasonSecretNotFound, "Secret %q in namespace %q has no key %q; add it, and this goes on by itself.", key.Name, namespace, key.Key)
	}
	return string(value), nil
}

func (s *Secrets) read(ctx context.Context, name types.NamespacedName) (map[string][]byte, error) {
	s.mu.Lock()
	kept, ok := s.kept[name]
	s.mu.Unlock()
	if ok && s.Now().Before(kept.until) {
		return kept.data, nil
	}
	var secret corev1.Secret
	if err := s.Live.Get(ctx, name, &secret); err != nil {
		s.forget(name)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[types.NamespacedName]keptSecret{}
	}
	for other, k := range s.kept { // there are as many as agents name, so this stays short
		if s.Now().After(k.until) {
			delete(s.kept, other)
		}
	}
	s.kept[name] = keptSecret{data: secret.Data, until: s.Now().Add(secretsFor)}
	return secret.Data, nil
}

func (s *Secrets) forget(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, name)
}
