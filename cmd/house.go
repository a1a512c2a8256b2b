package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
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
	"github.com/edict-dev/edict/internal/tokens"
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

// indexPause is between two commands that index the same ConfigMap.
const indexPause = 10 * time.Second

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
	toldOfRebuild(h.store, log)
	secrets := &controller.Secrets{Live: mgr.GetAPIReader(), Now: time.Now}
	catalog := view.NewFinder(h.store, j, 0)
	views, builder, err := reading(mgr, h.store, catalog, j)
	if err != nil {
		return nil, err
	}
	h.views = views
	counter, err := tokens.New()
	if err != nil {
		return nil, err
	}
	model := decision.New(decision.Options{Transport: execution.OnTime{RoundTripper: execution.NewOutboundTransport(outbound)}, Denied: denied})
	objects := &controller.Objects{Config: mgr.GetConfig(), Mapper: mgr.GetRESTMapper(), Client: mgr.GetClient()}
	h.engine = execution.New(execution.Options{
		Journal: j, Authorise: policy.Authorise, Contexts: h.views, Secrets: secrets,
		Decider: model, Summarizer: model, Transcripts: &view.Transcripts{Reader: h.store},
		Embedder: model, Passages: &passages{store: h.store, catalog: catalog},
		Caller:    execution.NewAPICaller(outbound),
		Objects:   objects,
		Documents: &controller.Documents{Live: mgr.GetAPIReader()}, Pages: execution.NewPageReader(outbound), Tokens: counter.Count,
		Poke:   func(ns, name string) { h.bells.Commands.Ring(types.NamespacedName{Namespace: ns, Name: name}) },
		Health: h.health, Lost: func(int) {
			select {
			case h.lost <- struct{}{}:
			default: // it is told already
			}
		},
		Workers: f.workers, Log: log,
	})
	rebuilds := controller.NewRebuilds(h.store, builder.Forget, func(agent types.NamespacedName) { h.ringers.RingViews(agent, 0) })
	observations := &controller.ObservationReconciler{Client: mgr.GetClient(), Engine: h.engine, Objects: objects, Ring: h.bells.Agents.Ring, Now: time.Now}
	h.ringers = controller.Reconcilers{
		Commands: &controller.CommandReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Engine: h.engine, Now: time.Now},
		Agents: &controller.AgentReconciler{Client: mgr.GetClient(), Engine: h.engine, Secrets: secrets, CheckMenu: checkMenu, Now: time.Now,
			Summaries: &controller.Summaries{Client: mgr.GetClient(), Conversations: h.store}, Observations: observations, Recorder: mgr.GetEventRecorder("edict")},
		Views: &controller.ContextViewReconciler{Client: mgr.GetClient(), Engine: h.engine, Views: h.views, Fresh: views.Fresh,
			Rebuilds: rebuilds, Recorder: mgr.GetEventRecorder("edict"), Now: time.Now},
		ConfigMaps: &controller.ConfigMapReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Labelled: mgr.GetCache(), Engine: h.engine,
			Pause: indexPause, Recorder: mgr.GetEventRecorder("edict")},
		Observations: observations,
		Doorbells:    &h.bells, Concurrency: controller.Concurrency{Commands: f.commandWorkers, Others: 2},
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
	api := queryAPI(mgr, h.views, builder, h.store, j)
	return h, errors.Join(mgr.Add(manager.RunnableFunc(write)), mgr.Add(manager.RunnableFunc(h.follow)), mgr.Add(rebuilds), serveQuery(mgr, api, f))
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

// follow keeps the projections up to date. While that fails nobody is told of news, so each view is looked at now and
// then, and says that it is behind once it is.
func (h *house) follow(ctx context.Context) error {
	const often = 30 * time.Second
	var rung time.Time
	return followed(ctx, h.store, h.log, func() {
		if time.Since(rung) >= often {
			h.ringers.RingEveryView(ctx, h.interval)
			rung = time.Now()
		}
	})
}
