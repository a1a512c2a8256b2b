package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// TestAViewIsTriedOnWhatWasAskedAndThePastStaysAsItWas tells of somebody who wants a smaller view: what it would have
// shown is compared before it is declared, and what past decisions saw is the same afterwards.
func TestAViewIsTriedOnWhatWasAskedAndThePastStaysAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, theSuite(t).sharedOperator(t))
	m := newModel(t, scriptedmodel.Rule{Then: scriptedmodel.Respond("Then take the window seat.")})
	a := withViews(newAgent("concierge", m.url), "concierge")
	none := int64(0)
	a.Spec.Freshness = &edictv1.AgentFreshness{MaxLag: &none}
	w.create(newView("concierge", "concierge"), a)
	w.ready("concierge")
	w.create(newSaveMemory("seat", "concierge", "preference", "Window seats."))
	w.command("seat", edictv1.CommandSucceeded)
	const asks = 3
	for i := range asks {
		name := fmt.Sprintf("trip-%d", i)
		w.create(newAsk(name, "concierge", "ada", fmt.Sprintf("Where do I sit on leg %d?", i)))
		w.command(name, edictv1.CommandSucceeded)
	}
	r := newReader(w, "reader", true)
	past := r.pastOf("trip-2")
	if past.Question != "Where do I sit on leg 2?" || len(past.Contexts) != 1 || !past.Contexts[0].Rebuilt.Same || past.Contexts[0].Rebuilt.DefinitionChanged {
		t.Fatalf("trip-2 saw %+v", past)
	}
	saw := past.Contexts[0]
	asked := url.Values{"at": {fmt.Sprint(saw.Sequence)}, "conversation": {"ada"}, "question": {past.Question}}
	if c := r.contextOf(asked); c.Digest != saw.Digest || !strings.Contains(c.Text, "leg 1") || strings.Contains(c.Text, "leg 2") {
		t.Errorf("as of %d it is\n%s", saw.Sequence, c.Text)
	}
	r.unchanged(asked)

	const candidate = "blocks:\n- {name: history, conversation: {turns: 1}}\n"
	c := r.compare(candidate)
	if c.Summary.Questions != asks || c.Summary.Same != 0 || c.Summary.TokensCandidate >= c.Summary.TokensCurrent || c.Questions[0].Question != past.Question {
		t.Errorf("compared: %+v", c)
	}
	if again := r.pastOf("trip-2").Contexts[0].Rebuilt; !again.Same {
		t.Errorf("after a comparison it is %+v", again)
	}

	v := &edictv1.ContextView{}
	v.Namespace, v.Name = w.ns, "concierge"
	if err := w.suite.client.Patch(t.Context(), v, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"blocks":[{"name":"history","conversation":{"turns":1}}]}}`))); err != nil {
		t.Fatal(err)
	}
	r.eventually(soon, "the declared view is the candidate", func() error {
		if now := r.compare(candidate); now.Current != now.Candidate {
			return fmt.Errorf("it is %s, and the candidate %s", now.Current, now.Candidate)
		}
		return nil
	})
	changed := r.pastOf("trip-2").Contexts[0]
	if changed.Digest != saw.Digest || changed.Rebuilt.Same || !changed.Rebuilt.DefinitionChanged {
		t.Errorf("by another definition it is %+v", changed)
	}
	if text, status := r.read("/agents/concierge/blobs/"+saw.Digest, nil); status != http.StatusOK || !strings.Contains(string(text), "Window seats.") {
		t.Errorf("what was seen then: %d %s", status, text)
	}
}

// pastAnswer is what the API says of what an ask saw.
type pastAnswer struct {
	Question string
	Contexts []struct {
		Sequence int64
		Digest   string
		Rebuilt  struct{ Same, DefinitionChanged bool }
	}
}

func (r *reader) pastOf(command string) (past pastAnswer) {
	r.Helper()
	body, status := r.read("/agents/concierge/commands/"+command+"/contexts", url.Values{"verify": {"true"}})
	if err := json.Unmarshal(body, &past); err != nil || status != http.StatusOK {
		r.Fatalf("what %s saw: %d %s", command, status, body)
	}
	return past
}

func (r *reader) contextOf(query url.Values) (c builtContext) {
	r.Helper()
	body, status := r.read("/contextviews/concierge/context", query)
	if err := json.Unmarshal(body, &c); err != nil || status != http.StatusOK {
		r.Fatalf("%d %s", status, body)
	}
	return c
}

// send asks with a body and headers, name and value in turn.
func (r *reader) send(method, path, body string, headers ...string) *http.Response {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), method, "https://"+r.op.query+"/v1/namespaces/"+r.ns+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := insecure.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// unchanged asks again for a context that it has.
func (r *reader) unchanged(query url.Values) {
	r.Helper()
	path := "/contextviews/concierge/context?" + query.Encode()
	tag := r.send(http.MethodGet, path, "").Header.Get("ETag")
	if again := r.send(http.MethodGet, path, "", "If-None-Match", tag); tag == "" || again.StatusCode != http.StatusNotModified {
		r.Errorf("with the tag %s it answers %d", tag, again.StatusCode)
	}
}

// comparison is what the API says of two definitions.
type comparison struct {
	Current, Candidate string
	Summary            struct {
		Questions, Same                int
		TokensCurrent, TokensCandidate float64
	}
	Questions []struct{ Question string }
}

func (r *reader) compare(manifest string) (c comparison) {
	r.Helper()
	answer := r.send(http.MethodPost, "/contextviews/concierge/compare", manifest)
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		r.Fatalf("%d %s: %v", answer.StatusCode, body, err)
	}
	return c
}
