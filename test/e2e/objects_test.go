package e2e

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// newAgent returns an agent that decides with the model at baseURL, with timeouts that suit a test.
func newAgent(name, baseURL string, operations ...edictv1.Operation) *edictv1.Agent {
	return &edictv1.Agent{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: edictv1.AgentSpec{
			Instructions: "You help people travel.",
			Model:        edictv1.Model{BaseURL: baseURL, Name: "scripted", Timeout: duration(10 * time.Second)},
			Operations:   operations,
		},
	}
}

// withViews makes the agent know these views before it decides.
func withViews(a *edictv1.Agent, names ...string) *edictv1.Agent {
	for _, name := range names {
		a.Spec.ContextViews = append(a.Spec.ContextViews, edictv1.ContextViewReference{Name: name})
	}
	return a
}

// call returns an operation that makes a request. What it takes is free, unless parameters say otherwise.
func call(name, method, url string, effect edictv1.Effect) edictv1.Operation {
	return edictv1.Operation{
		Name: name, Type: edictv1.OperationCallAPI, Effect: effect, Description: "Made for a test.",
		Parameters: jsonOf(map[string]any{"type": "object"}),
		CallAPI:    &edictv1.CallAPIOperation{Method: method, URL: url, Timeout: duration(10 * time.Second)},
	}
}

func saveMemoryOperation() edictv1.Operation {
	return edictv1.Operation{Name: "save_memory", Type: edictv1.OperationSaveMemory}
}

// newCommand returns a command of that agent with a retry policy that does not wait for long.
func newCommand(name, agent string) *edictv1.Command {
	return &edictv1.Command{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: edictv1.CommandSpec{
			AgentRef: edictv1.AgentReference{Name: agent},
			Retry:    edictv1.RetryPolicy{MaxAttempts: 2, Backoff: duration(50 * time.Millisecond)},
		},
	}
}

func newAsk(name, agent, conversation, message string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.Ask = &edictv1.AskCommand{Conversation: conversation, Message: message}
	return c
}

func newSaveMemory(name, agent, kind, content string) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.SaveMemory = &edictv1.SaveMemoryCommand{Kind: kind, Content: content}
	return c
}

func newCallAPI(name, agent, operation string, arguments any) *edictv1.Command {
	c := newCommand(name, agent)
	c.Spec.CallAPI = &edictv1.CallAPICommand{Operation: operation, Arguments: jsonOf(arguments)}
	return c
}

// newView returns a view of three blocks: what is remembered, what was said, what calls came to.
func newView(name, agent string) *edictv1.ContextView {
	return &edictv1.ContextView{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: edictv1.ContextViewSpec{
			AgentRef: edictv1.AgentReference{Name: agent},
			Blocks: []edictv1.Block{
				{Name: "profile", Memories: &edictv1.MemoriesBlock{}},
				{Name: "history", Conversation: &edictv1.ConversationBlock{}},
				{Name: "results", Results: &edictv1.ResultsBlock{}},
			},
		},
	}
}

func newSecret(name string, values map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: values}
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func jsonOf(value any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err) // the tests' own values
	}
	return &apiextensionsv1.JSON{Raw: raw}
}
