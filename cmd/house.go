package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/controller"
	"github.com/edict-dev/edict/internal/decision"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/policy"
	"github.com/edict-dev/edict/internal/projection"
	"github.com/edict-dev/edict/internal/query"
	"github.com/edict-dev/edict/internal/view"
)

// house is the rooms, and the wires between them.
type house struct {
	mgr       manager.Manager
	log       *slog.Logger
	interval  time.Duration
	bells     controller.Doorbells
	engine    *execution.Engine
	store     *projection.Store
	views     *controller.Views
	ringers   controller.Reconcilers
	shards    int           // of the journal
	projected []int         // the shards that the projections follow
	lost      chan struct{} // another process has claimed the only shard
}

// build makes the rooms over a journal, and registers what runs with the manager.
func build(ctx context.Context, mgr manager.Manager, j journal.Journal, f *flags, log *slog.Logger) (*house, error) {
	h := &house{mgr: mgr, log: log, interval: f.statusInterval, shards: j.Shards(), lost: make(chan struct{}, 1)}
	outbound, err := f.outbound()
	if err != nil {
		return nil, err
	}
	h.store, err = projection.Open(ctx, f.projections, j, projection.Options{OnChange: h.changed})
	if err != nil {
		return nil, err
	}
	secrets := &controller.Secrets{Live: mgr.GetAPIReader(), Now: time.Now}
	builder, err := view.NewBuilder(h.store)
	if err != nil {
		return nil, err
	}
	h.views = &controller.Views{Reader: mgr.GetClient(), Builder: builder, Newest: h.stream}
	h.engine = execution.New(execution.Options{
		Journal: j, Authorise: policy.Authorise, Contexts: h.views, Secrets: secrets,
		Decider: decision.New(decision.Options{Transport: execution.NewOutboundTransport(outbound), Denied: denied}),
		Caller:  execution.NewAPICaller(outbound),
		Poke:    func(ns, name string) { h.bells.Commands.Ring(types.NamespacedName{Namespace: ns, Name: name}) },
		Health:  h.health, Lost: func(int) {
			select {
			case h.lost <- struct{}{}:
			default: // it is told already
			}
		},
		Workers: f.workers, Log: log,
	})
	h.ringers = controller.Reconcilers{
		Commands: &controller.CommandReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Engine: h.engine, Now: time.Now},
		Agents: &controller.AgentReconciler{Client: mgr.GetClient(), Engine: h.engine, Secrets: secrets, CheckMenu: checkMenu, Now: time.Now,
			Recorder: mgr.GetEventRecorder("edict")},
		Views: &controller.ContextViewReconciler{Client: mgr.GetClient(), Engine: h.engine, Views: h.views, Freshness: h.store,
			Recorder: mgr.GetEventRecorder("edict")},
		Doorbells: &h.bells, Concurrency: controller.Concurrency{Commands: f.commandWorkers, Others: 2},
	}
	if err := h.ringers.Setup(ctx, mgr); err != nil {
		return nil, err
	}
	write := h.alone
	if h.shards > 1 {
		if write, err = h.shared(f); err != nil {
			return nil, err
		}
	}
	api := query.New(query.Sources{Views: h.views, Streams: h.views, Contexts: builder, Projection: h.store, Journal: j,
		Access: &controller.Access{Kubernetes: kubernetes.NewForConfigOrDie(mgr.GetConfig()), Now: time.Now}}, query.Options{})
	return h, errors.Join(mgr.Add(manager.RunnableFunc(write)), mgr.Add(manager.RunnableFunc(h.follow)), serveQuery(mgr, api, f))
}

func (h *house) stream(ctx context.Context, namespace, agent string) (string, error) {
	return h.engine.Stream(ctx, namespace, agent)
}

// health lets every Agent say whether the journal takes writes.
func (h *house) health(err error) {
	if err != nil {
		h.log.Error("the journal does not take writes; nothing is decided or executed until it does", "error", err.Error())
	} else {
		h.log.Info("the journal takes writes again")
	}
	go func() { // listing takes a while, and the caller must not wait
		var agents edictv1.AgentList
		if h.mgr.GetClient().List(context.Background(), &agents) != nil {
			return // their slow look stands in
		}
		for i := range agents.Items {
			h.bells.Agents.Ring(client.ObjectKeyFromObject(&agents.Items[i]))
		}
	}()
}

// changed lets the views of streams that grew be looked at, soon and once, and
// the engine see what another process appended.
func (h *house) changed(streams []string) {
	for _, stream := range streams {
		namespace, name := agent.ParseStream(stream)
		agentName := types.NamespacedName{Namespace: namespace, Name: name}
		h.engine.Moved(stream)
		h.ringers.RingViews(agentName, h.interval)
		h.bells.Agents.RingAfter(agentName, h.interval)
	}
}

// checkMenu says whether an agent's menu can be offered and enforced.
func checkMenu(p agent.Profile) error {
	for _, op := range p.Operations {
		if err := policy.CheckParameters(op); err != nil {
			return fault.NewInvalid(edictv1.ReasonMenuInvalid, "%s", err)
		}
	}
	return decision.CheckMenu(p)
}

// denied recognises a connection to a model that the outbound rules refused.
func denied(err error) (string, bool) {
	var refused *execution.OutboundDenied
	if !errors.As(err, &refused) {
		return "", false
	}
	return refused.Address, true
}

// follow keeps the projections up to date. A disk that refuses them is no reason to
// end: the journal is the truth, and following goes on where it was.
func (h *house) follow(ctx context.Context) error {
	for {
		err := h.store.Follow(ctx)
		if err == nil {
			return nil
		}
		h.log.Error("the projections cannot be written; it is tried again", "error", err.Error())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
