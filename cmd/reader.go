package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/controller"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// What a manager does.
const (
	roleAll   = "all"   // everything
	roleQuery = "query" // the read side alone: the HTTP API, over what the others write
)

// checkRole refuses a role that there is not, or that cannot be taken with the other settings.
func (f *flags) checkRole(l location) error {
	switch {
	case f.role == roleAll:
		return nil
	case f.role != roleQuery:
		return fmt.Errorf("--role %q: give %s, or %s for the read side alone", f.role, roleAll, roleQuery)
	case l.url == nil:
		return errors.New("--role=query: the journal is an SQLite file, which one process has, and that process serves the HTTP API itself; " +
			"to run readers beside it, move the journal to PostgreSQL with `edict journal copy`")
	case f.query == "0":
		return errors.New("--role=query: with --query-bind-address=0 there is nothing to do; name an address")
	}
	return nil
}

// buildReader makes the read side alone, over a journal that was opened to be read,
// and registers what runs with the manager. It claims no shard, has no engine and no
// reconciler, and writes nothing to the API server. The tables of the projections
// are those that the others keep in PostgreSQL; or, if a file is named for them, it
// keeps its own.
func buildReader(ctx context.Context, mgr manager.Manager, j journal.Journal, f *flags, log *slog.Logger) (*projection.Store, error) {
	open, follows := projection.OpenReadOnly, false
	if !isDatabase(f.projections) {
		open, follows = projection.Open, true
	}
	store, err := open(ctx, f.projections, j, projection.Options{})
	if err != nil {
		return nil, err
	}
	if follows {
		toldOfRebuild(store, log)
		err = mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return followed(ctx, store, log, func() {}) }))
	}
	err = errors.Join(err, mgr.AddReadyzCheck("projection", func(r *http.Request) error { return store.Check(r.Context()) }))
	views, builder, failed := reading(mgr, store, view.NewFinder(store, j, 0), j)
	for _, object := range []client.Object{&edictv1.Agent{}, &edictv1.ContextView{}} { // so that the first reader need not wait for them
		_, informed := mgr.GetCache().GetInformer(ctx, object)
		err = errors.Join(err, informed)
	}
	if err = errors.Join(err, failed); err == nil {
		err = serveQuery(mgr, queryAPI(mgr, views, builder, store, j), f)
	}
	if err != nil {
		_ = store.Close() // what went wrong first is what matters
		return nil, err
	}
	return store, nil
}

// toldOfRebuild says in the log that everybody waits until the journal was replayed, and why.
func toldOfRebuild(store *projection.Store, log *slog.Logger) {
	if why := store.Rebuilt(); why != "" {
		log.Info("the projections are made anew from the journal; until that is done, asks and readers wait", "because", why)
	}
}

// reading makes what renders contexts, and what knows the declared views.
func reading(mgr manager.Manager, store *projection.Store, finder view.Finder, j journal.Journal) (*controller.Views, *view.Builder, error) {
	builder, err := view.NewBuilder(store, finder)
	if err != nil {
		return nil, nil, err
	}
	return &controller.Views{
		Reader: mgr.GetClient(), Builder: builder, Fresh: query.Freshness{Journal: j, Projection: store},
		Newest: func(ctx context.Context, namespace, agent string) (string, error) {
			return execution.NewestStream(ctx, j, namespace, agent)
		},
	}, builder, nil
}

// queryAPI is the HTTP API over the read side.
func queryAPI(mgr manager.Manager, views *controller.Views, builder *view.Builder, store *projection.Store, j journal.Journal) http.Handler {
	return query.New(query.Sources{Views: views, Streams: views, Contexts: builder, Projection: store, Journal: j,
		Access: &controller.Access{Kubernetes: kubernetes.NewForConfigOrDie(mgr.GetConfig()), Now: time.Now}}, query.Options{})
}

// followed keeps the projections up to date until the context ends. A disk that
// refuses them is no reason to end: the journal is the truth, and following goes on
// where it was. It tells of each failure.
func followed(ctx context.Context, store *projection.Store, log *slog.Logger, failed func()) error {
	for {
		err := store.Follow(ctx)
		if err == nil {
			return nil
		}
		failed()
		log.Error("the projections cannot be written; it is tried again", "error", err.Error())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
