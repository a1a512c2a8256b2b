package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/controller"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/projection"
)

// stopWithin is how long calls under way may finish when the operator is told to stop.
const stopWithin = 30 * time.Second

// flags are the manager's settings.
type flags struct {
	role                               string
	journal, projections               string
	password                           passwordFlag
	metrics, health, query, queryCerts string
	leaderElect                        bool
	leaderNamespace                    string
	allow, deny                        []string
	workers, commandWorkers            int
	statusInterval, memberLease        time.Duration
}

func managerCommand() *cobra.Command { return managerCommandOf(&flags{}) }

// managerCommandOf returns the command that fills f in, and runs the operator by it.
func managerCommandOf(f *flags) *cobra.Command {
	cmd := &cobra.Command{Use: "manager", Short: "Run the operator", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) }}
	set := cmd.Flags()
	set.StringVar(&f.role, "role", roleAll, "all, or query for the read side alone: the HTTP API beside other replicas, which only reads a journal in PostgreSQL and writes nothing")
	set.StringVar(&f.journal, "journal", defaultJournal, "the journal, as sqlite:///path/to/journal.db, which one process writes, or as postgres://user@host:5432/database, whose shards the replicas share")
	f.password.add(set)
	set.StringVar(&f.projections, "projections", "", "the file or the postgres:// database of the projections, which can be deleted at any time; default: beside the journal. With --role=query those in PostgreSQL are the other replicas', and a file is its own")
	set.StringVar(&f.query, "query-bind-address", ":8443", "where the read-only HTTP API listens, with TLS; 0 turns it off")
	set.StringVar(&f.queryCerts, "query-cert-dir", "", "a directory with tls.crt and tls.key for the HTTP API; default: a self-signed certificate, new at each start")
	set.StringVar(&f.metrics, "metrics-bind-address", ":8080", "where metrics are served; 0 turns them off")
	set.StringVar(&f.health, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	set.BoolVar(&f.leaderElect, "leader-elect", false, "elect a leader with a Lease before anything is done; ignored with a journal in PostgreSQL, for whose shards every replica works")
	set.StringVar(&f.leaderNamespace, "leader-election-namespace", "", "the namespace of the leader's Lease, or of the replicas'; default: the pod's own")
	set.DurationVar(&f.memberLease, "member-lease-duration", 15*time.Second, "with PostgreSQL: how long after the last sign of life of a replica the others take over its shards; each renews its Lease three times as often")
	set.StringSliceVar(&f.allow, "outbound-allow", nil, "address prefixes that models and APIs may be reached at although they are refused by default (loopback, link-local, …), such as 127.0.0.0/8")
	set.StringSliceVar(&f.deny, "outbound-deny", nil, "further address prefixes that no model or API may be reached at")
	set.IntVar(&f.workers, "workers", 64, "calls to models and APIs at the same time")
	set.IntVar(&f.commandWorkers, "concurrent-commands", 32, "Commands reconciled at the same time")
	set.DurationVar(&f.statusInterval, "status-interval", 10*time.Second, "how often the status of a busy Agent or ContextView is brought up to date")
	return cmd
}

func (f *flags) run(ctx context.Context) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the Kubernetes API server: %w", err)
	}
	config.QPS = -1 // the API server's own priority and fairness bounds us
	where, err := f.where(log)
	if err != nil {
		return err
	}
	mgr, err := f.manager(config)
	if err != nil {
		return err
	}
	j, err := where.open(ctx, f.role == roleQuery)
	if err != nil {
		return err
	}
	defer func() { _ = j.Close() }()
	store, err := f.rooms(ctx, mgr, j, log)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // disposable
	return mgr.Start(ctx)
}

// rooms makes what the role takes, and returns the projections to be closed at the end.
func (f *flags) rooms(ctx context.Context, mgr manager.Manager, j journal.Journal, log *slog.Logger) (*projection.Store, error) {
	if f.role == roleQuery {
		return buildReader(ctx, mgr, j, f, log)
	}
	h, err := build(ctx, mgr, j, f, log)
	if err != nil {
		return nil, err
	}
	return h.store, nil
}

// where returns the journal's location, and makes the other settings fit it.
func (f *flags) where(log *slog.Logger) (location, error) {
	l, err := f.password.locate("--journal", f.journal)
	if err != nil {
		return l, err
	}
	if err := f.checkRole(l); err != nil {
		return l, err
	}
	if f.projections == "" {
		f.projections = l.projections()
	}
	if l.url != nil && f.leaderElect {
		log.Info("--leader-elect is ignored: with a journal in PostgreSQL every replica works for its share of the shards")
		f.leaderElect = false
	}
	if f.memberLease < 100*time.Millisecond {
		return l, fmt.Errorf("--member-lease-duration %s: give at least 100ms", f.memberLease)
	}
	return l, nil
}

func (f *flags) manager(config *rest.Config) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	grace := stopWithin + 5*time.Second
	warm := true // a standby has listed everything by the time it leads
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: f.metrics},
		HealthProbeBindAddress:        f.health,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              "edict.dev",
		LeaderElectionNamespace:       f.leaderNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
		Controller:                    ctrlconfig.Controller{EnableWarmup: &warm},
		// Of ConfigMaps, the cache holds the metadata of those that are followed.
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Label: controller.FollowedConfigMaps()}}},
		// Both are read past the cache. Secrets are neither listed nor watched: the operator has no right to, and needs none.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

func (f *flags) outbound() (execution.OutboundOptions, error) {
	var o execution.OutboundOptions
	for _, list := range []struct {
		flag  string
		texts []string
		into  *[]netip.Prefix
	}{{"--outbound-allow", f.allow, &o.Allow}, {"--outbound-deny", f.deny, &o.Deny}} {
		for _, text := range list.texts {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return o, fmt.Errorf("%s %q: give prefixes such as 127.0.0.0/8: %w", list.flag, text, err)
			}
			*list.into = append(*list.into, prefix)
		}
	}
	return o, nil
}
