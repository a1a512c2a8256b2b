package faults

import (
	"encoding/json"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// How long calls may take. An attempt that was cut off is judged when its time is over, so that these are what a
// recovery waits for.
const (
	callTimeout  = 2 * time.Second
	modelTimeout = time.Second // an attempt may ask twice
)

// concierge returns an agent that can remember, and book with either receiver, and the view that it decides by.
func (w *world) concierge(name string) []client.Object {
	call := func(name, url string, effect edictv1.Effect) edictv1.Operation {
		return edictv1.Operation{
			Name: name, Type: edictv1.OperationCallAPI, Effect: effect, Description: "Books a flight.",
			Parameters: jsonOf(map[string]any{"type": "object"}),
			CallAPI:    &edictv1.CallAPIOperation{Method: http.MethodPost, URL: url, Timeout: duration(callTimeout)},
		}
	}
	named := metav1.ObjectMeta{Name: name}
	a := &edictv1.Agent{ObjectMeta: named, Spec: edictv1.AgentSpec{
		Instructions: "You help people travel.",
		Model:        edictv1.Model{BaseURL: w.model.url, Name: "scripted", Timeout: duration(modelTimeout)},
		ContextViews: []edictv1.ContextViewReference{{Name: name}}, ServiceAccountName: name,
		Operations: []edictv1.Operation{
			{Name: "save_memory", Type: edictv1.OperationSaveMemory},
			call("put", w.honours.url, edictv1.EffectIdempotent),
			call("post", w.ignores.url, edictv1.EffectNonIdempotent),
		},
	}}
	view := &edictv1.ContextView{ObjectMeta: named, Spec: edictv1.ContextViewSpec{
		AgentRef: edictv1.AgentReference{Name: name},
		Blocks: []edictv1.Block{
			{Name: "profile", Memories: &edictv1.MemoriesBlock{}},
			{Name: "history", Conversation: &edictv1.ConversationBlock{}},
		},
	}}
	return []client.Object{view, a}
}

// embedding lets the agents among the objects have their texts embedded.
func (w *world) embedding(objects []client.Object) []client.Object {
	for _, o := range objects {
		if a, ok := o.(*edictv1.Agent); ok {
			a.Spec.Embeddings = &edictv1.AgentEmbeddings{BaseURL: w.model.url, Model: "vectors", Timeout: duration(modelTimeout)}
		}
	}
	return objects
}

// newCommand returns a command that is tried often and for long, so that neither a busy machine's timeouts nor faults that
// go on for minutes end one.
func newCommand(name, agent string) *edictv1.Command {
	return &edictv1.Command{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: edictv1.CommandSpec{
			AgentRef: edictv1.AgentReference{Name: agent},
			Timeout:  duration(time.Hour),
			Retry:    edictv1.RetryPolicy{MaxAttempts: 20, Backoff: duration(50 * time.Millisecond)},
		},
	}
}

func newAsk(name, agent, message string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.Ask = &edictv1.AskCommand{Conversation: name, Message: message}
	return c
}

func newSummarize(name, agent, conversation string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.Summarize = &edictv1.SummarizeCommand{Conversation: conversation}
	return c
}

// newRules returns a ConfigMap of one document.
func newRules(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"visa.md": "A visa takes ten days."}}
}

// newIndex returns a command that indexes all of a ConfigMap.
func newIndex(name, agent, configMap string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.IndexDocuments = &edictv1.IndexDocumentsCommand{Collection: "rules",
		Source: edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: configMap}}}
	return c
}

// newObserve returns a command that observes a ConfigMap.
func newObserve(name, agent, configMap string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.Observe = &edictv1.ObserveCommand{Observation: edictv1.Observation{Name: configMap,
		Object: edictv1.ObservedObject{APIVersion: "v1", Kind: "ConfigMap", Name: configMap},
		Fields: []edictv1.ObservedField{{Name: "visa", JSONPath: `{.data.visa\.md}`}}}}
	return c
}

// newRights lets the operator act as the service accounts of the namespace, and those read its ConfigMaps.
func newRights() []client.Object {
	right := func(verb, resource string, to rbacv1.Subject) []client.Object {
		named := metav1.ObjectMeta{Name: verb + "-" + resource}
		return []client.Object{
			&rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{verb}}}},
			&rbacv1.RoleBinding{ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: named.Name}, Subjects: []rbacv1.Subject{to}},
		}
	}
	return append(right("impersonate", "serviceaccounts", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "edict-system", Name: "edict-controller-manager"}),
		right("get", "configmaps", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts"})...)
}

func newSave(name, agent, content string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.SaveMemory = &edictv1.SaveMemoryCommand{Kind: "note", Content: content}
	return c
}

func newResolve(name, agent, command, by string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.Resolve = &edictv1.ResolveCommand{Command: command, Outcome: edictv1.ResolveSucceeded, Reason: "The receiver has it on record.", By: by}
	return c
}

func newForget(name, agent, id string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.ForgetMemory = &edictv1.ForgetMemoryCommand{ID: id}
	return c
}

func newBooking(name, agent, operation, flight, passenger string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.CallAPI = &edictv1.CallAPICommand{Operation: operation, Arguments: jsonOf(map[string]any{"flight": flight, "passenger": passenger})}
	return c
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func jsonOf(value any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err) // the campaign's own values
	}
	return &apiextensionsv1.JSON{Raw: raw}
}
