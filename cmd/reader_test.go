package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/process"
)

func TestTheReadSideAloneIsForPostgreSQL(t *testing.T) {
	for args, says := range map[string]string{
		"--role=query":    "edict journal copy",
		"--role=readonly": "give all, or query",
		"--role=query --query-bind-address=0 --journal=postgres://edict@db/edict": "name an address",
		"--role=query --journal=postgres://edict@db/edict":                        "",
		"--role=all": "",
		"":           "",
	} {
		var f flags
		if err := managerCommandOf(&f).ParseFlags(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		_, err := f.where(slog.New(slog.DiscardHandler))
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--role")) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// readSide is processes of the read side alone, and somebody who reads from them.
type readSide struct {
	*site
	kubeconfig string // of the read side
	role       string // in the database
	token      string // of the reader
	running    []*exec.Cmd
}

func newReadSide(s *site) *readSide {
	s.Helper()
	_, err := s.plane.Kubectl(s.Context(), "apply", "--server-side", "--validate=strict", "-k", "../config/query")
	s.must(err)
	r := &readSide{site: s, role: "edict_reader"}
	_, r.kubeconfig, err = s.plane.TokenConfig(s.Context(), "edict-system", "edict-query")
	s.must(err)
	s.must(s.server.CreateRole(s.Context(), r.role))
	// As config/query says.
	for _, grant := range []string{`GRANT USAGE ON SCHEMA journal, projection TO edict_reader`, `GRANT SELECT ON ALL TABLES IN SCHEMA journal, projection TO edict_reader`} {
		s.must(s.server.Exec(s.Context(), "edict", grant))
	}
	person := &corev1.ServiceAccount{}
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{APIGroups: []string{"edict.dev"}, Resources: []string{"agents", "commands", "contextviews"}, Verbs: []string{"get", "list"}}}}
	binding := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "person"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "person", Namespace: s.namespace}}}
	for _, o := range []client.Object{person, role, binding} {
		o.SetNamespace(s.namespace)
		o.SetName("person")
		s.must(s.api.Create(s.Context(), o))
	}
	config, _, err := s.plane.TokenConfig(s.Context(), s.namespace, "person")
	s.must(err)
	r.token = config.BearerToken
	return r
}

// start starts a process of the read side, and returns its address once it is ready.
func (r *readSide) start(more ...string) string {
	r.Helper()
	addresses, err := process.FreeAddresses(r.Context(), 2)
	r.must(err)
	cmd := edict(r.T, append([]string{"manager", "--role=query", "--journal=" + r.server.RoleURL(r.role, "edict"),
		"--query-bind-address=" + addresses[0], "--health-probe-bind-address=" + addresses[1], "--metrics-bind-address=0"}, more...)...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+r.kubeconfig)
	log, err := os.Create(filepath.Join(r.TempDir(), "log"))
	r.must(err)
	cmd.Stderr = log
	r.must(cmd.Start())
	r.running = append(r.running, cmd)
	r.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = log.Close()
		text, err := os.ReadFile(log.Name())
		r.must(err)
		if strings.Contains(string(text), r.password()) {
			r.Error("the log holds the password")
		}
		if r.Failed() {
			r.Logf("the read side says:\n%s", text)
		}
	})
	r.eventually("the read side is ready", func() (bool, error) {
		answer, err := http.Get("http://" + addresses[1] + "/readyz")
		if err != nil {
			return false, err
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
	return addresses[0]
}

var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // its certificate is its own

// ask sends a request below the namespace's path, and returns the answer.
func (r *readSide) ask(method, address, path, body string) (int, string) {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), method, "https://"+address+"/v1/namespaces/"+r.namespace+path, strings.NewReader(body))
	r.must(err)
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Accept", "application/json, */*;q=0.1")
	answer, err := insecure.Do(request)
	r.must(err)
	text, err := io.ReadAll(answer.Body)
	r.must(err)
	r.must(answer.Body.Close())
	return answer.StatusCode, string(text)
}

// context returns an agent's context as of at least a sequence, and how it was asked for.
func (r *readSide) context(address string, i int, least int64) (digest, text string) {
	r.Helper()
	status, body := r.ask(http.MethodGet, address, fmt.Sprintf("/contextviews/concierge-%d/context?minSequence=%d&maxLag=0", i, least), "")
	var c struct{ Digest, Text string }
	if err := json.Unmarshal([]byte(body), &c); err != nil || status != http.StatusOK {
		r.Fatalf("%d %s: %v", status, body, err)
	}
	return c.Digest, c.Text
}

// TestTheReadSideAloneServesContextsAndWritesNothing runs two processes of the read side under the rights that config/query
// gives them, beside a manager and then alone.
func TestTheReadSideAloneServesContextsAndWritesNothing(t *testing.T) {
	s := newSite(t)
	manager := s.replica(s.server.URL("edict"))
	s.members(1)
	s.hire()
	s.remember("seats")
	s.current(4)
	r := newReadSide(s)
	first, second := r.start(), r.start()
	own := r.start("--projections=" + filepath.Join(t.TempDir(), "own.db"))

	s.remember("meals") // which the manager projects
	for i := range agents {
		digest, text := r.context(first, i, 8)
		if !strings.Contains(text, "seats") || !strings.Contains(text, "meals") {
			t.Errorf("concierge-%d knows %s", i, text)
		}
		for _, other := range []string{second, own} {
			if again, _ := r.context(other, i, 8); again != digest {
				t.Errorf("concierge-%d: two processes give %s and %s", i, digest, again)
			}
		}
	}

	s.current(8)
	s.must(manager.Process.Signal(syscall.SIGTERM))
	s.must(manager.Wait())
	rows, writes := r.rows(), r.writes()
	for i := range agents {
		view := fmt.Sprintf("/contextviews/concierge-%d", i)
		for _, address := range []string{first, second} {
			for _, path := range []string{view + "/context?question=where", view + "/context?at=4", "/contextviews",
				fmt.Sprintf("/agents/concierge-%d/journal", i), fmt.Sprintf("/agents/concierge-%d/commands/seats-%d/contexts?verify=true", i, i)} {
				if status, body := r.ask(http.MethodGet, address, path, ""); status != http.StatusOK {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			if status, body := r.ask(http.MethodPost, address, view+"/compare", "blocks: [{name: few, memories: {limit: 1}}]"); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		}
	}
	if now := r.rows(); now != rows {
		t.Error("the database holds something else than before")
	}
	if now := r.writes(); now != writes {
		t.Errorf("the API server took writes: %s, before %s", now, writes)
	}
	r.mayWriteNothing()
	for _, cmd := range r.running {
		s.must(cmd.Process.Signal(syscall.SIGTERM))
		s.must(cmd.Wait())
	}
}

// rows returns a digest of all rows in the database.
func (r *readSide) rows() string {
	r.Helper()
	conn, err := pgx.Connect(r.Context(), r.server.URL("edict"))
	r.must(err)
	defer func() { _ = conn.Close(r.Context()) }()
	tables, err := conn.Query(r.Context(), `SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('journal', 'projection') ORDER BY 1`)
	r.must(err)
	names, err := pgx.CollectRows(tables, pgx.RowTo[string])
	r.must(err)
	if len(names) < 10 {
		r.Fatalf("there are only the tables %v", names)
	}
	hash := sha256.New()
	for _, name := range names {
		var digest string
		var count int
		r.must(conn.QueryRow(r.Context(), `SELECT count(*), coalesce(md5(string_agg(t::text, '/' ORDER BY t::text)), '') FROM `+name+` t`).Scan(&count, &digest))
		fmt.Fprintln(hash, name, count, digest)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

var (
	requestCount = regexp.MustCompile(`(?m)^apiserver_request_total\{(.*)\} (\S+)$`)
	verbOf       = regexp.MustCompile(`verb="(\w+)"`)
	resourceOf   = regexp.MustCompile(`resource="(\w*)"`)
)

// writes returns the API server's own count of writes, but for the reviews by which it is asked who may read.
func (r *readSide) writes() string {
	r.Helper()
	page, err := r.plane.Kubectl(r.Context(), "get", "--raw", "/metrics")
	r.must(err)
	var told []string
	all := requestCount.FindAllStringSubmatch(page, -1)
	for _, line := range all {
		verb, resource := verbOf.FindStringSubmatch(line[1])[1], resourceOf.FindStringSubmatch(line[1])[1]
		switch {
		case strings.Contains("GET LIST WATCH HEAD CONNECT", verb):
		case resource == "tokenreviews", resource == "subjectaccessreviews":
		case resource == "leases": // the API server renews one of its own
		default:
			told = append(told, line[0])
		}
	}
	if len(told) == 0 {
		r.Fatalf("among %d counts there is none of a write", len(all))
	}
	return strings.Join(told, "\n")
}

// mayWriteNothing tries, with the read side's own credentials.
func (r *readSide) mayWriteNothing() {
	r.Helper()
	config, _, err := r.plane.TokenConfig(r.Context(), "edict-system", "edict-query")
	r.must(err)
	mine, err := client.New(config, client.Options{Scheme: r.api.Scheme()})
	r.must(err)
	var v edictv1.ContextView
	r.must(mine.Get(r.Context(), types.NamespacedName{Namespace: r.namespace, Name: "concierge-0"}, &v))
	named := func(o client.Object, namespace string) client.Object {
		o.SetNamespace(namespace)
		o.SetName("written")
		return o
	}
	for what, err := range map[string]error{
		"a Command":            mine.Create(r.Context(), named(&edictv1.Command{}, r.namespace)),
		"an Agent":             mine.Create(r.Context(), named(&edictv1.Agent{}, r.namespace)),
		"a ConfigMap":          mine.Create(r.Context(), named(&corev1.ConfigMap{}, r.namespace)),
		"a Lease":              mine.Create(r.Context(), named(&coordinationv1.Lease{}, "edict-system")),
		"a view's status":      mine.Status().Update(r.Context(), v.DeepCopy()),
		"a view's spec":        mine.Update(r.Context(), v.DeepCopy()),
		"a view's deletion":    mine.Delete(r.Context(), v.DeepCopy()),
		"(reading) a Secret":   mine.Get(r.Context(), types.NamespacedName{Namespace: r.namespace, Name: "any"}, &corev1.Secret{}),
		"(reading) a Command":  mine.List(r.Context(), &edictv1.CommandList{}),
		"(reading) ConfigMaps": mine.List(r.Context(), &corev1.ConfigMapList{}),
	} {
		if !apierrors.IsForbidden(err) {
			r.Errorf("%s: %v, want it forbidden", what, err)
		}
	}
}
