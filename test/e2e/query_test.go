package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reader reads the HTTP API as a service account of the test's namespace.
type reader struct {
	*world
	token string
}

// insecure accepts the certificate that the operator makes for itself at each start.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

// newReader makes a service account, and if it may read lets it, as an administrator would: by the role that
// config/rbac offers for it.
func newReader(w *world, name string, mayRead bool) *reader {
	w.Helper()
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if mayRead {
		w.create(&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: name}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		})
	}
	config, _, err := w.suite.cluster.TokenConfig(w.Context(), w.ns, name)
	if err != nil {
		w.Fatal(err)
	}
	return &reader{world: w, token: config.BearerToken}
}

// read gets a path below the namespace's. Status 0 says that nobody answered, and the body why.
func (r *reader) read(path string, query url.Values) (body []byte, status int) {
	r.Helper()
	address := url.URL{Scheme: "https", Host: r.op.query, Path: "/v1/namespaces/" + r.ns + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address.String(), nil)
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Accept", "application/json, */*;q=0.5")
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	body, status, err = do(insecure, request)
	if err != nil {
		return []byte(err.Error()), 0
	}
	return body, status
}

// builtContext is what the API says of a context.
type builtContext struct {
	Stream     string
	Sequence   int64
	Lag        int64
	Tokens     int
	Digest     string
	Definition string
	Blocks     []struct {
		Name               string
		Tokens, Items, Cut int
	}
	Text string
}

// context reads the context of a question, as of a sequence unless that is 0; the newest then, with no lag.
func (r *reader) context(view, conversation string, sequence int64, question ...string) builtContext {
	r.Helper()
	query := url.Values{}
	if conversation != "" {
		query.Set("conversation", conversation)
	}
	if sequence > 0 {
		query.Set("sequence", strconv.FormatInt(sequence, 10))
	} else {
		query.Set("maxLag", "0")
	}
	for _, q := range question {
		query.Set("question", q)
	}
	var c builtContext
	r.eventually(soon, "the context of "+view, func() error {
		body, status := r.read("/contextviews/"+view+"/context", query)
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		c = builtContext{}
		return json.Unmarshal(body, &c)
	})
	return c
}

// journalLines reads an agent's journal from the API.
func (r *reader) journalLines(agent string) []journalLine {
	r.Helper()
	body, status := r.read("/agents/"+agent+"/journal", nil)
	if status != http.StatusOK {
		r.Fatalf("read the journal of %s: %d: %s", agent, status, body)
	}
	var lines []journalLine
	for scanner := newLines(body); scanner.Scan(); {
		var l journalLine
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			r.Fatalf("journal line %q: %v", scanner.Bytes(), err)
		}
		lines = append(lines, l)
	}
	return lines
}

type journalLine struct {
	Stream   string
	Sequence int64
	Type     string
	Version  int
	Subject  string
	Data     json.RawMessage
}

func newLines(body []byte) *bufio.Scanner {
	s := bufio.NewScanner(bytes.NewReader(body))
	s.Buffer(nil, 1<<20)
	return s
}
