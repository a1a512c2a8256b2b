package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
	"github.com/edict-dev/edict/hack/postgres"
	"github.com/edict-dev/edict/internal/controller"
)

// asProgram is set in a process that is to be the program and not its tests.
const asProgram = "EDICT_TEST_RUNS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// edict is the program with arguments, as a process of its own.
func edict(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=yes")
	return cmd
}

// site is a control plane with the configuration for PostgreSQL applied, and a database.
type site struct {
	*testing.T
	plane      *cluster.Cluster
	api        client.Client
	kubeconfig string // the operator's own, with its rights and no others
	server     *postgres.Server
	namespace  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, namespace: "travel"}
	plane, err := cluster.Start(t.Context(), cluster.Options{})
	s.must(err)
	t.Cleanup(func() { s.must(plane.Stop()) })
	s.plane = plane
	_, err = plane.Kubectl(t.Context(), "apply", "--server-side", "--validate=strict", "-k", "../config/postgres")
	s.must(err)
	_, err = plane.Kubectl(t.Context(), "wait", "--for=condition=Established", "crd", "--all")
	s.must(err)
	_, s.kubeconfig, err = plane.TokenConfig(t.Context(), "edict-system", "edict-controller-manager")
	s.must(err)
	scheme := runtime.NewScheme()
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(edictv1.AddToScheme(scheme))
	s.api, err = client.New(plane.Config, client.Options{Scheme: scheme})
	s.must(err)
	s.must(s.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.server, err = postgres.Start(t.Context(), postgres.Options{})
	s.must(err)
	t.Cleanup(func() { s.must(s.server.Close()) })
	s.must(s.server.CreateDatabase(t.Context(), "edict"))
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// replica starts a manager over a journal.
func (s *site) replica(journal string) *exec.Cmd {
	s.Helper()
	cmd := edict(s.T, "manager", "--journal="+journal, "--leader-elect", "--leader-election-namespace=edict-system",
		"--member-lease-duration=1500ms", "--query-bind-address=0", "--metrics-bind-address=0", "--health-probe-bind-address=0", "--status-interval=100ms")
	cmd.Env = append(cmd.Env, "KUBECONFIG="+s.kubeconfig)
	log, err := os.Create(filepath.Join(s.TempDir(), "log"))
	s.must(err)
	cmd.Stderr = log
	s.must(cmd.Start())
	s.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = log.Close()
		text, err := os.ReadFile(log.Name())
		s.must(err)
		if strings.Contains(string(text), s.password()) {
			s.Error("the log holds the password")
		}
		if s.Failed() {
			s.Logf("a replica says:\n%s", text)
		}
	})
	return cmd
}

func (s *site) eventually(what string, look func() (bool, error)) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		done, err := look()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: not within a minute (%v)", what, err)
		}
	}
}

func (s *site) members(n int) {
	s.Helper()
	s.eventually(fmt.Sprintf("%d members", n), func() (bool, error) {
		var list coordinationv1.LeaseList
		err := s.api.List(s.Context(), &list, client.InNamespace("edict-system"), client.HasLabels{controller.MemberLabel})
		return len(list.Items) == n, err
	})
}

const agents = 8

// remember lets each agent remember something.
func (s *site) remember(name string) {
	s.Helper()
	for i := range agents {
		c := &edictv1.Command{Spec: edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "preference", Content: name}}}
		c.Namespace, c.Name = s.namespace, fmt.Sprintf("%s-%d", name, i)
		c.Spec.AgentRef.Name = fmt.Sprintf("concierge-%d", i)
		s.must(s.api.Create(s.Context(), c))
	}
	s.eventually("each agent remembers "+name, func() (bool, error) {
		var list edictv1.CommandList
		err := s.api.List(s.Context(), &list, client.InNamespace(s.namespace))
		for i := range list.Items {
			if list.Items[i].Status.Phase != edictv1.CommandSucceeded {
				return false, fmt.Errorf("%s is %q: %+v", list.Items[i].Name, list.Items[i].Status.Phase, list.Items[i].Status.Conditions)
			}
		}
		return err == nil, err
	})
}

func (s *site) hire() {
	s.Helper()
	for i := range agents {
		a := &edictv1.Agent{Spec: edictv1.AgentSpec{Instructions: "You help people travel.",
			Model: edictv1.Model{BaseURL: "http://127.0.0.1:1/v1", Name: "none"}}}
		a.Namespace, a.Name = s.namespace, fmt.Sprintf("concierge-%d", i)
		v := &edictv1.ContextView{Spec: edictv1.ContextViewSpec{AgentRef: edictv1.AgentReference{Name: a.Name},
			Blocks: []edictv1.Block{{Name: "profile", Memories: &edictv1.MemoriesBlock{}}}}}
		v.Namespace, v.Name = s.namespace, a.Name
		s.must(s.api.Create(s.Context(), a))
		s.must(s.api.Create(s.Context(), v))
	}
}

// current waits until every view has seen so many events of its stream.
func (s *site) current(events int64) {
	s.Helper()
	s.eventually(fmt.Sprintf("every view has seen %d events", events), func() (bool, error) {
		var list edictv1.ContextViewList
		err := s.api.List(s.Context(), &list, client.InNamespace(s.namespace))
		for i := range list.Items {
			v := &list.Items[i].Status
			if v.Sequence != events || !meta.IsStatusConditionTrue(v.Conditions, edictv1.ConditionReady) {
				return false, fmt.Errorf("%s has seen %d: %+v", list.Items[i].Name, v.Sequence, v.Conditions)
			}
		}
		return err == nil, err
	})
}

// TestReplicasShareTheWorkAndTakeOverFromOneAnother runs two real managers, with the rights that config/postgres gives them.
func TestReplicasShareTheWorkAndTakeOverFromOneAnother(t *testing.T) {
	s := newSite(t)
	journal := s.server.URL("edict")
	first, second := s.replica(journal), s.replica(journal)
	s.members(2)
	s.hire()
	s.remember("seats")
	s.current(4)

	s.must(first.Process.Kill())
	s.remember("meals")
	s.current(8)

	third := s.replica(journal)
	s.members(3) // the killed one's Lease is still there
	s.must(second.Process.Signal(syscall.SIGTERM))
	s.must(second.Wait())
	s.members(2) // the stopped one took its own along
	s.remember("trains")
	s.current(12)
	s.must(third.Process.Signal(syscall.SIGTERM))
	s.must(third.Wait())

	copied := "sqlite://" + filepath.Join(t.TempDir(), "copy.db")
	report := s.run("journal", "copy", s.server.URL("edict"), copied)
	if !strings.Contains(report, fmt.Sprintf("streams %d, events %d,", agents, 12*agents)) || strings.Contains(report, s.password()) {
		t.Errorf("it says %q", report)
	}
	if a, b := s.run("journal", "verify", "--journal="+s.server.URL("edict")), s.run("journal", "verify", "--journal="+copied); digestOf(a) != digestOf(b) || digestOf(a) == "" {
		t.Errorf("the journal: %sits copy: %s", a, b)
	}
}

func TestAStandbyGoesOnWithTheSameFile(t *testing.T) {
	s := newSite(t)
	file := "sqlite://" + filepath.Join(t.TempDir(), "journal.db")
	first := s.replica(file)
	s.hire()
	s.remember("seats")
	second := s.replica(file)
	s.current(4)
	time.Sleep(2 * time.Second) // the standby has listed everything, and has to leave it alone
	s.must(first.Process.Signal(syscall.SIGTERM))
	s.must(first.Wait())
	s.remember("meals")
	s.current(8)
	s.must(second.Process.Signal(syscall.SIGTERM))
	s.must(second.Wait())
}

func digestOf(report string) string {
	_, digest, _ := strings.Cut(report, "digest")
	return strings.TrimSpace(digest)
}

func (s *site) password() string {
	l, err := locate("", s.server.URL("edict"))
	s.must(err)
	password, _ := l.url.User.Password()
	return password
}

// run returns what the program prints.
func (s *site) run(args ...string) string {
	s.Helper()
	out, err := edict(s.T, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("edict %v: %v: %s", args[:2], err, out)
	}
	return string(out)
}
