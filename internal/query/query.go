// Package query is the read-only HTTP API: which context views there are, the
// context that a view gives for a question, and an agent's journal, as lines or
// as it grows.
//
// A reader may demand how fresh an answer is, and gets it, or is told how far the
// read side has come; never older data without a word. Every refusal is a problem
// document (RFC 9457) with a reason and what to do.
//
// Nothing here changes anything. The package knows neither Kubernetes nor how a
// caller proves who it is: it asks the Access that it is given.
package query

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/view"
)

// Sources are what the API answers from. All are needed.
type Sources struct {
	Views      Views
	Access     Access
	Streams    Streams
	Contexts   Contexts
	Projection Projection
	Journal    Journal
}

// Views are the declared read models.
type Views interface {
	// View returns one, or an error that wraps ErrNotFound.
	View(ctx context.Context, namespace, name string) (view.Definition, error)
	// List returns those of a namespace, by name.
	List(ctx context.Context, namespace string) ([]view.Definition, error)
	// Candidate returns what a declared view would be with another spec, and
	// declares nothing. It returns an error that wraps ErrNotFound if there is no
	// such view, and a fault of kind Invalid if the manifest is none.
	Candidate(ctx context.Context, namespace, name string, manifest []byte) (view.Definition, error)
}

// Access decides who may read.
type Access interface {
	// Allow returns nil if whoever sent the request may do what the verb says with
	// the named object, or with any of that resource in the namespace if name is
	// empty. It returns an error that wraps ErrUnauthenticated or ErrForbidden if
	// not, and any other if it could not find out.
	Allow(r *http.Request, verb, resource, namespace, name string) error
}

// Streams tell which stream an agent writes now.
type Streams interface {
	// Stream returns its name, or an error that wraps ErrNotFound.
	Stream(ctx context.Context, namespace, agent string) (string, error)
}

// Contexts build contexts; see view.Builder.
type Contexts interface {
	Build(ctx context.Context, request view.Request) (agent.Context, error)
}

// Projection tells how far the read side is; see projection.Store.
type Projection interface {
	Head(ctx context.Context, stream string) (int64, error)
	WaitFor(ctx context.Context, stream string, min int64) error
	Generation(ctx context.Context, stream string) (int64, error)
}

// Journal is the reading half of a journal.
type Journal interface {
	Head(ctx context.Context, stream string) (int64, error)
	ReadStream(ctx context.Context, stream string, from int64, limit int) ([]journal.Record, error)
	ReadSubject(ctx context.Context, stream, subject string) ([]journal.Record, error)
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// What the sources' errors wrap.
var (
	ErrNotFound        = errors.New("not found")
	ErrUnauthenticated = errors.New("not authenticated")
	ErrForbidden       = errors.New("forbidden")
)

// Options shape the API. The zero value is good.
type Options struct {
	Patience  time.Duration    // how long a context waits for a sequence that was asked for; 0: 3 s
	Timeout   time.Duration    // of a request that does not stream, and of each write of one that does; 0: 15 s
	Heartbeat time.Duration    // between signs of life to who follows; 0: 15 s
	Recheck   time.Duration    // after which somebody who follows has to be allowed again; 0: 1 min
	Followers int              // at most so many at once; 0: 64
	Readers   int              // at most so many read a journal's past at once; 0: 16
	Cache     int              // bytes of contexts that are kept; 0: 32 MiB
	Now       func() time.Time // nil: time.Now
}

func (o Options) withDefaults() Options {
	for value, standard := range map[*time.Duration]time.Duration{
		&o.Patience: 3 * time.Second, &o.Timeout: 15 * time.Second, &o.Heartbeat: 15 * time.Second, &o.Recheck: time.Minute,
	} {
		if *value <= 0 {
			*value = standard
		}
	}
	if o.Followers <= 0 {
		o.Followers = 64
	}
	if o.Readers <= 0 {
		o.Readers = 16
	}
	if o.Cache <= 0 {
		o.Cache = 32 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// handler answers requests.
type handler struct {
	Sources
	options   Options
	followers chan struct{} // a place for each that may follow
	readers   chan struct{} // a place for each that may read the past
	fresh     Freshness
	cache     *cache
}

// New returns the API. Followers end with their request's context: the server's
// BaseContext has to end when the process wants to stop.
func New(sources Sources, options Options) http.Handler {
	options = options.withDefaults()
	h := &handler{
		Sources: sources, options: options,
		followers: make(chan struct{}, options.Followers), readers: make(chan struct{}, options.Readers),
		fresh: Freshness{Journal: sources.Journal, Projection: sources.Projection}, cache: newCache(options.Cache),
	}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/namespaces/{namespace}/contextviews", h.bounded(h.listViews))
	mux.Handle("GET /v1/namespaces/{namespace}/contextviews/{name}/context", h.bounded(h.context))
	mux.Handle("GET /v1/namespaces/{namespace}/agents/{name}/journal", answer(h.journal))
	mux.Handle("GET /v1/namespaces/{namespace}/agents/{name}/blobs/{digest}", h.bounded(h.blob))
	mux.Handle("GET /v1/namespaces/{namespace}/agents/{name}/commands/{command}/contexts", h.bounded(h.pastContexts))
	mux.Handle("/v1/namespaces/{namespace}/contextviews/{name}/compare", h.bounded(h.compare))
	mux.Handle("/", answer(func(http.ResponseWriter, *http.Request) error {
		return &problem{Status: http.StatusNotFound, Reason: "UnknownPath", Detail: "There is nothing at this path.",
			Remedy: "Begin with /v1/namespaces/{namespace}/contextviews, or /v1/namespaces/{namespace}/agents/{name}/journal."}
	}))
	return readOnly(mux)
}

// endpoint answers a request, or returns why it cannot, before it has written anything.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is read here is somebody's: no cache between keeps it.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := e(w, r); err != nil && !errors.Is(r.Context().Err(), context.Canceled) {
			problemOf(err).write(w)
		}
	})
}

// bounded gives an endpoint that does not stream a time to answer in, and the
// reader as long to send what it asks for, and again to take the answer.
func (h *handler) bounded(e endpoint) http.Handler {
	return answer(func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), h.options.Timeout)
		defer cancel()
		control, now := http.NewResponseController(w), time.Now() // connections know no other clock
		_ = control.SetReadDeadline(now.Add(h.options.Timeout))   // where it cannot be set there is no connection to guard
		_ = control.SetWriteDeadline(now.Add(2 * h.options.Timeout))
		return e(w, r.WithContext(ctx))
	})
}

// readOnly lets pass what only reads: GET, HEAD, and the POST whose body is a
// definition to compare with.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		compares := r.Method == http.MethodPost && comparison.MatchString(r.URL.Path)
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !compares {
			w.Header().Set("Allow", "GET, HEAD")
			(&problem{Status: http.StatusMethodNotAllowed, Reason: "ReadOnly", Detail: "This API only reads.",
				Remedy: "Use GET or HEAD; to change something, apply a Command."}).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}
