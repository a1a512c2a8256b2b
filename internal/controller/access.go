package controller

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/query"
)

// verdictsFor is how long an answer of the API server about a token is used again.
const verdictsFor = 10 * time.Second

// Access asks Kubernetes who a reader of the HTTP API is and what they may read,
// so that RBAC alone says who sees a context.
type Access struct {
	Kubernetes kubernetes.Interface
	Now        func() time.Time

	mu       sync.Mutex
	verdicts map[accessQuestion]accessVerdict
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
// API server could not be asked.
func (a *Access) Allow(r *http.Request, verb, resource, namespace, name string) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return query.ErrUnauthenticated
	}
	q := accessQuestion{sha256.Sum256([]byte(token)), verb, resource, namespace, name}
	if v, ok := a.known(q); ok {
		return v.refusal
	}
	refusal, err := a.ask(r.Context(), token, q)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verdicts == nil || len(a.verdicts) > 10_000 { // so that a stream of bad tokens cannot fill the memory
		a.verdicts = map[accessQuestion]accessVerdict{}
	}
	a.verdicts[q] = accessVerdict{refusal: refusal, until: a.Now().Add(verdictsFor)}
	return refusal
}

func (a *Access) known(q accessQuestion) (accessVerdict, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.verdicts[q]
	return v, ok && a.Now().Before(v.until)
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
