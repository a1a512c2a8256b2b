package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// The planted values: one key of a model, one header of an API. Each has a core that nothing else holds, between
// characters that encodings change.
const (
	coreOfKey     = "zebraquartzmodelkey"
	coreOfHeader  = "yellowjacketheader"
	plantedKey    = "sk/" + coreOfKey + "+5b4a3928=="
	plantedHeader = "tok/" + coreOfHeader + "+4e5f6071=="
)

// TestSecretsNowhere plants two secrets, lets models and APIs echo them in every way, and looks for them everywhere.
func TestSecretsNowhere(t *testing.T) {
	t.Parallel()
	op := theSuite(t).sharedOperator(t)
	w := newWorld(t, op)
	w.create(newSecret("model-key", map[string]string{"api-key": plantedKey}), newSecret("api", map[string]string{"token": "Bearer " + plantedHeader}))
	names := w.askEchoingModels()
	names = append(names, w.callEchoingAPIs()...)
	for _, name := range names {
		w.command(name, edictv1.CommandSucceeded, edictv1.CommandFailed, edictv1.CommandCancelled, edictv1.CommandOutcomeUnknown)
	}
	reader := newReader(w, "reader", true)
	var views edictv1.ContextViewList
	if err := w.suite.client.List(t.Context(), &views, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	for _, v := range views.Items {
		for _, conversation := range []string{"", "ada"} {
			c := reader.context(v.Name, conversation, 0)
			w.clean("the context of "+v.Name, []byte(c.Text))
		}
	}
	w.cleanObjects()
	w.clean("the operator's log", []byte(op.logs.String()))
	metrics, status, err := get(t.Context(), "http://"+op.metrics+"/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("read metrics: %d, %v", status, err)
	}
	w.clean("the metrics", metrics)
	w.cleanFiles()
}

// askEchoingModels asks agents whose models repeat the key that they were sent, in answers and in errors.
func (w *world) askEchoingModels() []string {
	w.Helper()
	var names []string
	ask := func(name, baseURL string, operations ...edictv1.Operation) {
		a := withViews(newAgent(name, baseURL, operations...), name)
		a.Spec.Model.APIKeySecretRef = &edictv1.SecretKeyReference{Name: "model-key", Key: "api-key"}
		v := newView(name, name)
		v.Spec.Output = &edictv1.ContextOutput{ConfigMap: &edictv1.ConfigMapOutput{Name: name}}
		w.create(v, a, newAsk("ask-"+name, name, "ada", "Hello"))
		names = append(names, "ask-"+name)
	}
	for _, status := range []int{400, 401, 403, 404, 429, 500, 503} {
		m := newModel(w.T, scriptedmodel.Rule{Misbehave: &scriptedmodel.Misbehaviour{Status: status, EchoKey: true}})
		ask("model-"+strconv.Itoa(status), m.url)
	}
	// A model that was shown its key, or a server that fills templates, puts it into the decision itself.
	ask("model-response", echoingModel(w.T, func(key string) scriptedmodel.Decision { return scriptedmodel.Respond("Your key is " + key + ".") }))
	ask("model-memory", echoingModel(w.T, func(key string) scriptedmodel.Decision {
		d := issue("save_memory", map[string]any{"kind": "fact", "content": "The key is " + key + "."})
		response := "I saved it."
		d.Response = &response
		return d
	}), saveMemoryOperation())
	// Servers in some languages escape what need not be escaped.
	ask("model-escapes", echoingModel(w.T, func(key string) scriptedmodel.Decision {
		return scriptedmodel.Respond(escapeNeedlessly + key)
	}))
	ask("model-prose", echoingModel(w.T, func(key string) scriptedmodel.Decision {
		return scriptedmodel.Decision{Rationale: key, Commands: []scriptedmodel.Command{{Operation: key}}}
	}))
	return names
}

// escapeNeedlessly, in a response, has echoingModel write its JSON that way.
const escapeNeedlessly = "Escaped: "

// echoingModel answers with a decision that holds the key.
func echoingModel(t *testing.T, decide func(key string) scriptedmodel.Decision) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		s, err := scriptedmodel.New(scriptedmodel.Options{Script: scriptedmodel.Script{Rules: []scriptedmodel.Rule{
			{Decide: func(scriptedmodel.Ask) scriptedmodel.Decision { return decide(key) }}}}})
		if err != nil {
			panic(err) // a test's own script
		}
		w.Header().Set("X-Request-Key", key)
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		body := answer.Body.String()
		if strings.Contains(body, escapeNeedlessly) {
			body = strings.NewReplacer("/", `\/`, "+", `\u002b`, "=", `\u003D`).Replace(body)
		}
		w.WriteHeader(answer.Code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1"
}

// callEchoingAPIs calls APIs that repeat the header that they were sent, in answers, errors and redirects, directly and
// in an ask whose next step sees the result.
func (w *world) callEchoingAPIs() []string {
	w.Helper()
	server := httptest.NewServer(http.HandlerFunc(echoHeaders))
	w.Cleanup(server.Close)
	secret := []edictv1.HeaderFrom{
		{Name: "Authorization", SecretKeyRef: edictv1.SecretKeyReference{Name: "api", Key: "token"}},
		{Name: "X-Api-Key", SecretKeyRef: edictv1.SecretKeyReference{Name: "model-key", Key: "api-key"}},
	}
	m := newModel(w.T,
		scriptedmodel.Rule{When: scriptedmodel.When{Step: 1}, Then: issue("echo-200", map[string]any{})},
		scriptedmodel.Rule{When: scriptedmodel.When{Results: `(?P<all>(?s).*)`}, Then: scriptedmodel.Respond("It said ${all}")})
	a := withViews(newAgent("api", m.url), "api")
	v := newView("api", "api")
	v.Spec.Output = &edictv1.ContextOutput{ConfigMap: &edictv1.ConfigMapOutput{Name: "api"}}
	names := []string{"ask-api"}
	commands := []client.Object{newAsk("ask-api", "api", "ada", "What do you see?")}
	for _, status := range []int{200, 302, 400, 401, 404, 500} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			name := fmt.Sprintf("echo-%d", status)
			if method == http.MethodPost {
				name += "-post"
			}
			operation := call(name, method, fmt.Sprintf("%s/%d", server.URL, status), "")
			operation.CallAPI.HeadersFrom = secret
			a.Spec.Operations = append(a.Spec.Operations, operation)
			commands = append(commands, newCallAPI("call-"+name, "api", name, map[string]any{}))
			names = append(names, "call-"+name)
		}
	}
	w.create(v, a)
	w.create(commands...)
	return names
}

// echoHeaders answers with the status that the path names, and repeats the request's headers wherever there is room:
// as they are, in base64, in a URL.
func echoHeaders(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		status = http.StatusNotFound
	}
	all := fmt.Sprint(r.Header)
	authorization := r.Header.Get("Authorization")
	w.Header().Set("X-Echo", authorization)
	w.Header().Set("Location", "/200?authorization="+url.QueryEscape(authorization))
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "You sent %s, %q, %s, %s.", all, r.Header,
		base64.StdEncoding.EncodeToString([]byte(authorization)), url.QueryEscape(authorization))
}

// clean fails the test if the text holds one of the secrets, as it is or encoded.
func (w *world) clean(where string, text []byte) {
	w.Helper()
	for _, core := range []string{coreOfKey, coreOfHeader} {
		for how, needle := range encodings(core) {
			if at := bytes.Index(text, []byte(needle)); at >= 0 {
				w.Errorf("%s holds a secret (%s): …%s…", where, how, text[max(0, at-80):min(len(text), at+len(needle)+40)])
				break
			}
		}
	}
}

// encodings are the forms in which a core is looked for. In base64 it looks different at each of three places.
func encodings(core string) map[string]string {
	forms := map[string]string{"plain": core, "hexadecimal": hex.EncodeToString([]byte(core))}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), core...))
		forms["base64, "+strconv.Itoa(before)+" in"] = encoded[4 : len(encoded)-4] // the ends depend on what stands around it
	}
	return forms
}

// cleanObjects looks at everything that the API server stores, except Secrets.
func (w *world) cleanObjects() {
	w.Helper()
	for _, list := range []client.ObjectList{
		&edictv1.AgentList{}, &edictv1.CommandList{}, &edictv1.ContextViewList{},
		&eventsv1.EventList{}, &corev1.EventList{}, &corev1.ConfigMapList{},
	} {
		if err := w.suite.client.List(w.Context(), list); err != nil {
			w.Fatal(err)
		}
		text, err := yaml.Marshal(list)
		if err != nil {
			w.Fatal(err)
		}
		w.clean(fmt.Sprintf("a %T", list), text)
	}
}

// cleanFiles looks at the journal's records and texts, and at the bytes of all files that the operator keeps.
func (w *world) cleanFiles() {
	w.Helper()
	for _, r := range readJournal(w.T, w.op.journal) {
		w.clean(fmt.Sprintf("event %d of %s, %s", r.Sequence, r.Stream, r.Type), r.Data)
	}
	blobs := readBlobs(w.T, w.op.journal)
	if len(blobs) == 0 {
		w.Error("the journal has no texts")
	}
	for digest, text := range blobs {
		w.clean("text "+digest, text)
	}
	time.Sleep(time.Second) // the projections follow
	files, err := filepath.Glob(filepath.Join(w.op.dir, "*"))
	if err != nil || len(files) < 2 {
		w.Fatalf("the operator keeps the files %v (%v)", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			w.Fatal(err)
		}
		w.clean(filepath.Base(file), text)
	}
}
