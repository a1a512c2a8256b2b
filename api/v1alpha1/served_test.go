package v1alpha1_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

func TestTheSmallestManifestsGetTheDefaults(t *testing.T) {
	for _, c := range []struct{ name, kind, patch, want string }{
		{"Agent", "Agent", "", `
instructions: You help people travel.
model: {baseURL: "http://models.example.com/v1", name: gpt-5-mini, decisionMode: JSONSchema, timeout: 60s}
limits: {maxSteps: 8, maxCommands: 8}
reclaimPolicy: Delete`},
		{"Agent that calls an API", "Agent", call("http://api.example.com"), `
instructions: You help people travel.
model: {baseURL: "http://models.example.com/v1", name: gpt-5-mini, decisionMode: JSONSchema, timeout: 60s}
operations:
- {name: search, type: CallAPI, callAPI: {method: GET, url: "http://api.example.com", timeout: 30s}}
limits: {maxSteps: 8, maxCommands: 8}
reclaimPolicy: Delete`},
		{"Command", "Command", "", `
agentRef: {name: concierge}
ask: {conversation: ada, message: Find me flights}
timeout: 5m
retry: {maxAttempts: 3, backoff: 1s}`},
		{"Command that indexes documents", "Command", indexInline, `
agentRef: {name: concierge}
indexDocuments:
  collection: visa-rules
  source: {inline: [{name: notes, text: none}]}
  chunking: {maxTokens: 400, overlapTokens: 40}
timeout: 5m
retry: {maxAttempts: 3, backoff: 1s}`},
		{"Command that splits documents without overlap", "Command", "{spec: {ask: null, indexDocuments: {collection: visa-rules, source: {configMap: {name: rules}}, chunking: {maxTokens: 50, overlapTokens: 0}}}}", `
agentRef: {name: concierge}
indexDocuments:
  collection: visa-rules
  source: {configMap: {name: rules}}
  chunking: {maxTokens: 50, overlapTokens: 0}
timeout: 5m
retry: {maxAttempts: 3, backoff: 1s}`},
		{"Command that saves a plain memory", "Command", remember, `
agentRef: {name: concierge}
saveMemory: {kind: preference, content: window seats}
timeout: 5m
retry: {maxAttempts: 3, backoff: 1s}`},
		{"ContextView", "ContextView", "{spec: {blocks: [{name: a, conversation: {}}, {name: b, memories: {}}, {name: c, results: {}}]}}", `
agentRef: {name: concierge}
blocks:
- {name: a, weight: 1, conversation: {turns: 20}}
- {name: b, weight: 1, memories: {limit: 20}}
- {name: c, weight: 1, results: {limit: 10}}
budget: {tokens: 4000}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			created := create(t, object(t, c.kind, c.patch))
			var want map[string]any
			if err := yaml.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(roundTrip(t, want), roundTrip(t, created.Object["spec"])); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// roundTrip makes numbers compare equal however they were decoded.
func roundTrip(t *testing.T, v any) (out any) {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A tool that waits for an object must not take one that nobody has looked at for one that is done.
func TestANewObjectSaysThatNobodyHasLookedAtIt(t *testing.T) {
	for kind := range minimal {
		t.Run(kind, func(t *testing.T) {
			created := create(t, object(t, kind, "{status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}"))
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(created), created); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, created.Object["status"]); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if created.GetGeneration() != 1 {
				t.Errorf("generation %d", created.GetGeneration())
			}
		})
	}
}

func TestFieldSelectorsFindCommandsByAgentAndPhase(t *testing.T) {
	ns := namespace(t, "selected")
	for name, agent := range map[string]string{"a-1": "a", "a-2": "a", "b-1": "b"} {
		c := create(t, object(t, "Command", "{metadata: {name: "+name+", namespace: "+ns+"}, spec: {agentRef: {name: "+agent+"}}}"))
		if name == "a-2" {
			writeStatus(t, c, "{phase: Succeeded}")
		}
		v := clone(object(t, "ContextView", "{metadata: {namespace: "+ns+"}, spec: {agentRef: {name: "+agent+"}}}"), name)
		create(t, v)
	}
	for _, c := range []struct {
		list   client.ObjectList
		fields client.MatchingFields
		want   []string
	}{
		{&edictv1.CommandList{}, client.MatchingFields{"spec.agentRef.name": "a"}, []string{"a-1", "a-2"}},
		{&edictv1.CommandList{}, client.MatchingFields{"status.phase": "Succeeded"}, []string{"a-2"}},
		{&edictv1.CommandList{}, client.MatchingFields{"status.phase": "", "spec.agentRef.name": "a"}, []string{"a-1"}},
		{&edictv1.ContextViewList{}, client.MatchingFields{"spec.agentRef.name": "b"}, []string{"b-1"}},
	} {
		if err := admin.List(t.Context(), c.list, client.InNamespace(ns), c.fields); err != nil {
			t.Fatal(err)
		}
		var names []string
		switch l := c.list.(type) {
		case *edictv1.CommandList:
			for _, item := range l.Items {
				names = append(names, item.Name)
			}
		case *edictv1.ContextViewList:
			for _, item := range l.Items {
				names = append(names, item.Name)
			}
		}
		slices.Sort(names)
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Errorf("%T with %v (-want +got):\n%s", c.list, c.fields, diff)
		}
	}
}

// writeStatus replaces the status of a live object, as the operator does.
func writeStatus(t *testing.T, u *unstructured.Unstructured, status string) {
	t.Helper()
	var s map[string]any
	if err := yaml.Unmarshal([]byte(status), &s); err != nil {
		t.Fatal(err)
	}
	u.Object["status"] = s
	if err := admin.Status().Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func TestKubectlGetShowsWhatPeopleAskFor(t *testing.T) {
	ns := namespace(t, "shown")
	const conditions = "conditions: [{type: Ready, status: 'False', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}, " +
		"{type: Current, status: 'True', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]"
	now := metav1.Now().UTC().Format("2006-01-02T15:04:05Z")
	for kind, status := range map[string]string{
		"Agent":       "openCommands: 2, tokensToday: 48210, lastDecisionTime: '" + now + "'",
		"Command":     "phase: OutcomeUnknown, type: ask, tokens: 1204, response: There are two.",
		"ContextView": "tokens: 1871/4000, lag: 3, blockCount: 1",
	} {
		writeStatus(t, create(t, object(t, kind, "{metadata: {namespace: "+ns+"}}")), "{observedGeneration: 1, "+conditions+", "+status+"}")
	}
	for _, c := range []struct{ shortName, header, row string }{
		{"agt", "NAME|READY|MODEL|OPEN|TOKENS TODAY|LAST DECISION|AGE", `concierge\|False\|gpt-5-mini\|2\|48210\|\d+s\|\d+s`},
		{"cmd", "NAME|READY|AGENT|TYPE|PHASE|TOKENS|AGE", `find-flights\|False\|concierge\|ask\|OutcomeUnknown\|1204\|\d+s`},
		{"cv", "NAME|READY|CURRENT|AGENT|TOKENS|LAG|BLOCKS|AGE", `concierge\|False\|True\|concierge\|1871/4000\|3\|1\|\d+s`},
	} {
		out, err := api.Kubectl(t.Context(), "get", c.shortName, "-n", ns)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(regexp.MustCompile(` {2,}`).ReplaceAllString(out, "|")), "\n")
		if len(lines) != 2 || strings.TrimSuffix(lines[0], "|") != c.header || !regexp.MustCompile("^"+c.row+"$").MatchString(lines[1]) {
			t.Errorf("kubectl get %s shows\n%s", c.shortName, out)
		}
	}
	out, err := api.Kubectl(t.Context(), "get", "edict", "-n", ns, "-o", "wide")
	if err != nil || strings.Count(out, "NAME ") != 3 || !strings.Contains(out, "There are two.") {
		t.Errorf("kubectl get edict -o wide shows\n%s%v", out, err)
	}
}
