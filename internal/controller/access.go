package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
)

const (
	// verdictsFor is how long an answer of the API server about a token is used again.
	verdictsFor = 10 * time.Second
	// verdictsKept bounds the verdicts, and likewise the tokens that nobody knows, so that neither can fill the memory.
	verdictsKept = 10_000
	// reviewsAtOnce is how many readers the API server is asked about at the same time: whoever sends tokens that nobody
	// knows can make it no busier than that.
	reviewsAtOnce = 16
	// reviewedWithin is how long a reader waits for their turn.
	reviewedWithin = time.Second
)

// Access asks Kubernetes who a reader of the HTTP API is and what they may read,
// so that RBAC alone says who sees a context.
type Access struct {
	Kubernetes kubernetes.Interface
	Now        func() time.Time

	mu       sync.Mutex
	reviews  chan struct{} // a place for each that is under way
	verdicts map[accessQuestion]accessVerdict
	unknown  map[[sha256.Size]byte]time.Time // tokens that the API server does not know, and until when it is not asked again
}

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

type accessQuestion struct {
	token                           [sha256.Size]byte
	verb, resource, namespace, name string
}

type accessVerdict struct {
	refusal error // nil: allowed
	until   time.Time
}

// Allow returns nil if the request's bearer may do that to the resource of the
// group edict.dev, query.ErrUnauthenticated if the API server does not know the
// token, and query.ErrForbidden if RBAC says no. Any other error means that the
// API server could not be asked; it is a fault of kind Wait if it is asked about too many readers already.
func (a *Access) Allow(r *http.Request, verb, resource, namespace, name string) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return query.ErrUnauthenticated
	}
	q := accessQuestion{sha256.Sum256([]byte(token)), verb, resource, namespace, name}
	if known, refusal := a.known(q); known {
		return refusal
	}
	leave, err := a.turn(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	if known, refusal := a.known(q); known { // somebody else with the same question was first
		return refusal
	}
	refusal, err := a.ask(r.Context(), token, q)
	if err != nil {
		return err
	}
	a.learn(q, refusal)
	return refusal
}

// turn waits for a place among those who are asked about.
func (a *Access) turn(ctx context.Context) (leave func(), err error) {
	a.mu.Lock()
	if a.reviews == nil {
		a.reviews = make(chan struct{}, reviewsAtOnce)
	}
	reviews := a.reviews
	a.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, reviewedWithin)
	defer cancel()
	select {
	case reviews <- struct{}{}:
		return func() { <-reviews }, nil
	case <-within.Done():
		return nil, fault.NewWait(time.Second, "TooManyReaders", "The API server is asked about %d other readers at this moment, and that is all there may be.", reviewsAtOnce)
	}
}

func (a *Access) known(q accessQuestion) (known bool, refusal error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Now()
	if now.Before(a.unknown[q.token]) {
		return true, query.ErrUnauthenticated
	}
	v, ok := a.verdicts[q]
	return ok && now.Before(v.until), v.refusal
}

// learn keeps a verdict. Tokens that nobody knows are kept apart, so that many of them do not drive out what is known of
// those who may read.
func (a *Access) learn(q accessQuestion, refusal error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.Now().Add(verdictsFor)
	if errors.Is(refusal, query.ErrUnauthenticated) {
		if a.unknown == nil || len(a.unknown) >= verdictsKept {
			a.unknown = map[[sha256.Size]byte]time.Time{}
		}
		a.unknown[q.token] = until
		return
	}
	if a.verdicts == nil || len(a.verdicts) >= verdictsKept {
		a.verdicts = map[accessQuestion]accessVerdict{}
	}
	a.verdicts[q] = accessVerdict{refusal: refusal, until: until}
}

func (a *Access) ask(ctx context.Context, token string, q accessQuestion) (refusal, err error) {
	review, err := a.Kubernetes.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return nil, err
	case !review.Status.Authenticated:
		return query.ErrUnauthenticated, nil
	}
	user := review.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	access, err := a.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: edictv1.GroupVersion.Group, Resource: q.resource, Verb: q.verb, Namespace: q.namespace, Name: q.name},
		}}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return nil, err
	case !access.Status.Allowed:
		return query.ErrForbidden, nil
	}
	return nil, nil
}
