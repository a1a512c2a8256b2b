package controller

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/query"
)

// account makes a service account, and returns a token of it.
func (h *house) account(name string) (token string) {
	h.Helper()
	account := &corev1.ServiceAccount{}
	account.Name = name
	h.create(account)
	request := &authenticationv1.TokenRequest{}
	if err := h.api.SubResource("token").Create(h.Context(), account, request); err != nil {
		h.Fatal(err)
	}
	return request.Status.Token
}

// as returns a reader with the rights of a token.
func (h *house) as(token string) client.Reader {
	h.Helper()
	config, api := apiServer(h.T)
	mine := rest.AnonymousClientConfig(config)
	mine.BearerToken = token
	c, err := client.New(mine, client.Options{Scheme: api.Scheme()})
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// letRead grants an account to get ContextViews, and waits until the API server's authorizer has learned of it.
func (h *house) letRead(account string) *rbacv1.RoleBinding {
	h.Helper()
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{APIGroups: []string{"edict.dev"}, Resources: []string{"contextviews"}, Verbs: []string{"get"}}}}
	role.Name = "reader"
	binding := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: h.ns}}}
	binding.Name = role.Name
	h.create(role, binding)
	h.learned(account, true)
	return binding
}

// learned waits until the API server's authorizer, which follows RBAC by a watch of its own, says so.
func (h *house) learned(account string, allowed bool) {
	h.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + h.ns + ":" + account,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: "edict.dev", Resource: "contextviews", Verb: "get", Namespace: h.ns},
		}}
		if err := h.api.Create(h.Context(), review); err != nil {
			h.Fatal(err)
		}
		if review.Status.Allowed == allowed {
			return
		}
	}
	h.Fatalf("the API server does not learn that access is %v", allowed)
}

// accessWith returns an Access, and the count of its requests to the API server; broken lets them fail.
func (h *house) accessWith(broken *atomic.Bool) (*Access, *atomic.Int64) {
	h.Helper()
	count := &atomic.Int64{}
	through := h.kubernetesThrough(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		count.Add(1)
		if broken.Load() {
			return nil, errConnection
		}
		return next.RoundTrip(r)
	})
	return &Access{Kubernetes: through, Now: h.clock.Now}, count
}

// kubernetesThrough returns a client each of whose requests goes through a function.
func (h *house) kubernetesThrough(do func(next http.RoundTripper, r *http.Request) (*http.Response, error)) kubernetes.Interface {
	h.Helper()
	shared, _ := apiServer(h.T)
	config := rest.CopyConfig(shared)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) { return do(next, r) })
	})
	return kubernetes.NewForConfigOrDie(config)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func bearing(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func TestOnlyWhomKubernetesKnowsAndAllowsMayRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	reader, stranger := h.account("reader"), h.account("stranger")
	h.letRead("reader")
	a, _ := h.accessWith(&atomic.Bool{})
	for _, c := range []struct {
		name, authorization, namespace string
		want                           error
	}{
		{"no token", "", h.ns, query.ErrUnauthenticated},
		{"an empty token", "Bearer ", h.ns, query.ErrUnauthenticated},
		{"a name and a password", "Basic YTpi", h.ns, query.ErrUnauthenticated},
		{"a token of nobody's", "Bearer nonsense", h.ns, query.ErrUnauthenticated},
		{"a token of an account without rights", "Bearer " + stranger, h.ns, query.ErrForbidden},
		{"a token of an account with rights elsewhere", "Bearer " + reader, "default", query.ErrForbidden},
		{"a token of an account with rights", "Bearer " + reader, h.ns, nil},
	} {
		for range 2 { // asked, and remembered
			if err := a.Allow(bearing(c.authorization), "get", "contextviews", c.namespace, "concierge"); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		}
	}
	if err := a.Allow(bearing("Bearer "+reader), "get", "agents", h.ns, "concierge"); !errors.Is(err, query.ErrForbidden) {
		t.Errorf("of another resource: %v", err)
	}
}

func TestAVerdictIsAskedForAgainAfterTenSeconds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.account("reader")
	binding := h.letRead("reader")
	a, requests := h.accessWith(&atomic.Bool{})
	allow := func() error { return a.Allow(bearing("Bearer "+token), "get", "contextviews", h.ns, "concierge") }
	for range 3 {
		if err := allow(); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests to the API server, want a TokenReview and a SubjectAccessReview", n)
	}
	if err := h.api.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	h.learned("reader", false)
	h.clock.pass(verdictsFor - time.Millisecond)
	if err := allow(); err != nil {
		t.Errorf("before the ten seconds are over: %v", err)
	}
	h.clock.pass(time.Millisecond)
	if err := allow(); !errors.Is(err, query.ErrForbidden) {
		t.Errorf("after ten seconds: %v", err)
	}
}

func TestManyUnknownTokensNeitherFloodTheAPIServerNorDriveOutThoseWhoMayRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.account("reader")
	h.letRead("reader")
	a, _ := h.accessWith(&atomic.Bool{})
	allow := func(token string) error {
		return a.Allow(bearing("Bearer "+token), "get", "contextviews", h.ns, "concierge")
	}
	if err := allow(token); err != nil {
		t.Fatal(err)
	}
	var under, most atomic.Int64
	release := make(chan struct{})
	a.Kubernetes = h.kubernetesThrough(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		for n := under.Add(1); ; {
			if was := most.Load(); n <= was || most.CompareAndSwap(was, n) {
				break
			}
		}
		defer under.Add(-1)
		<-release
		return next.RoundTrip(r)
	})
	const strangers = 3 * reviewsAtOnce
	refusals := make(chan error, strangers)
	for i := range strangers {
		go func() { refusals <- allow(fmt.Sprint("nobody-", i)) }()
	}
	for range strangers - reviewsAtOnce {
		if err := <-refusals; fault.Of(err).Reason != "TooManyReaders" {
			t.Errorf("one too many: %v", err)
		}
	}
	if err := allow(token); err != nil {
		t.Errorf("who is known waits for strangers: %v", err)
	}
	close(release)
	for range reviewsAtOnce {
		if err := <-refusals; !errors.Is(err, query.ErrUnauthenticated) {
			t.Errorf("a stranger: %v", err)
		}
	}
	if most.Load() > reviewsAtOnce {
		t.Errorf("%d reviews at the same time, want at most %d", most.Load(), reviewsAtOnce)
	}
}

func TestAnAPIServerThatCannotBeAskedIsNoVerdict(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.account("reader")
	h.letRead("reader")
	var broken atomic.Bool
	a, _ := h.accessWith(&broken)
	broken.Store(true)
	err := a.Allow(bearing("Bearer "+token), "get", "contextviews", h.ns, "concierge")
	if err == nil || errors.Is(err, query.ErrForbidden) || errors.Is(err, query.ErrUnauthenticated) {
		t.Errorf("got %v", err)
	}
	broken.Store(false)
	if err := a.Allow(bearing("Bearer "+token), "get", "contextviews", h.ns, "concierge"); err != nil {
		t.Errorf("once it can be asked: %v", err)
	}
}
