package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/scriptedmodel"
	"github.com/edict-dev/edict/hack/travelapi"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// The specs share one API server, and one manager that is wired as in production; each has a namespace of its own. What
// answers it, a model and an API, runs in this process.
var (
	api        client.Client // the specs' own hands, past every cache
	theJournal *sqlite.Journal
	model      *scriptedmodel.Server
	travel     *travelapi.Server
	// The addresses of the two, for manifests.
	modelURL, travelURL string
)

func TestManager(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "the manager with its watches")
}

var _ = BeforeSuite(func() {
	logger := slog.New(slog.NewJSONHandler(GinkgoWriter, nil))
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	startOutside()

	plane, err := cluster.Start(context.Background(), cluster.Options{CRDDirs: []string{"../config/crd/bases"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(plane.Stop()).To(Succeed()) })

	dir := GinkgoT().TempDir()
	f := &flags{
		projections: filepath.Join(dir, "projections.db"), metrics: "0", health: "0", query: "0",
		allow: []string{"127.0.0.0/8"}, workers: 64, commandWorkers: 32, statusInterval: 100 * time.Millisecond,
	}
	mgr, err := f.manager(plane.Config)
	Expect(err).NotTo(HaveOccurred())
	api, err = client.New(plane.Config, client.Options{Scheme: mgr.GetScheme()})
	Expect(err).NotTo(HaveOccurred())
	theJournal, err = sqlite.Open(context.Background(), filepath.Join(dir, "journal.db"), sqlite.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(theJournal.Close()).To(Succeed()) })
	h, err := build(context.Background(), mgr, theJournal, f, logger)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(h.store.Close()).To(Succeed()) })

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	DeferCleanup(func() {
		stop()
		Eventually(ended).Should(Receive(BeNil()))
	})
})

// startOutside starts the model and the API.
func startOutside() {
	var err error
	model, err = scriptedmodel.New(scriptedmodel.Options{Script: script})
	Expect(err).NotTo(HaveOccurred())
	travel = travelapi.New(travelapi.Options{})
	m, t := httptest.NewServer(model), httptest.NewServer(travel)
	modelURL, travelURL = m.URL+"/v1", t.URL
	DeferCleanup(m.Close)
	DeferCleanup(t.Close)
}

// newNamespace makes a namespace for one spec. It stays: nothing here finishes namespaces.
func newNamespace(ctx context.Context) string {
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "manager-"}}
	Expect(api.Create(ctx, space)).To(Succeed())
	return space.Name
}
