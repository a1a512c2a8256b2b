package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

const (
	namespace = "bench"
	agentName = "bench"
	toolName  = "look_up"
)

// scenario is a kind of command, and what the project promises of it.
type scenario struct {
	Name   string  `json:"name"`
	Title  string  `json:"-"`
	Share  float64 `json:"targetShare"`  // of the ceiling, at least
	Writes float64 `json:"targetWrites"` // by the operator per command beyond all creations of Commands, at most

	// Children are the Commands that the operator creates for one.
	Children int `json:"children"`

	spec  func(name string) edictv1.CommandSpec
	agent func(name string) string // of the command with that name; nil: agentName
}

var scenarios = []scenario{
	{Name: "saveMemory", Title: "SaveMemory", Share: 0.6, Writes: 2, spec: func(name string) edictv1.CommandSpec {
		return edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{
			Kind: "preference", Content: "On flights of more than two hours, a window seat; noted by " + name + "."}}
	}},
	{Name: "ask", Title: "ask, no tool call", Share: 0.5, Writes: 2, spec: ask("What do you know of %s?")},
	{Name: "askWithTool", Title: "ask, one tool call", Share: 0.25, Writes: 5, Children: 1, spec: ask("Look up %s.")},
}

// ask returns the spec of an ask in a conversation of its own.
func ask(message string) func(string) edictv1.CommandSpec {
	return func(name string) edictv1.CommandSpec {
		return edictv1.CommandSpec{Ask: &edictv1.AskCommand{Conversation: name, Message: fmt.Sprintf(message, name)}}
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.Name)
	}
	return names
}

// script is what the model says: it looks up what it is told to look up, and answers everything else at once.
func script() scriptedmodel.Script {
	return scriptedmodel.Script{Rules: []scriptedmodel.Rule{
		{
			Name: "look up",
			When: scriptedmodel.When{Step: 1, Question: `^Look up ([a-zA-Z0-9-]+)`},
			Then: scriptedmodel.Issue(scriptedmodel.Command{Operation: toolName, Arguments: map[string]any{"item": "${1}"}}),
		},
		{Name: "answer", Then: scriptedmodel.Respond("There is one of it in stock, and it can be had by tomorrow.")},
	}}
}

// command returns the Command that a user would create.
func (s scenario) command(name string) *edictv1.Command {
	c := &edictv1.Command{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: s.spec(name)}
	c.Spec.AgentRef = edictv1.AgentReference{Name: agentName}
	if s.agent != nil {
		c.Spec.AgentRef.Name = s.agent(name)
	}
	return c
}

// benchNamespace, benchAgent and benchView are what the commands need to be there.
func benchNamespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
}

func benchAgent(name, model, tool string) *edictv1.Agent {
	parameters := `{"type":"object","required":["item"],"additionalProperties":false,"properties":{"item":{"type":"string","maxLength":200}}}`
	return &edictv1.Agent{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: edictv1.AgentSpec{
			Instructions: "You keep a small store and answer questions about what is in it.",
			Model:        edictv1.Model{BaseURL: model + "/v1", Name: "scripted"},
			ContextViews: []edictv1.ContextViewReference{{Name: name}},
			Operations: []edictv1.Operation{
				{Name: "save_memory", Type: edictv1.OperationSaveMemory},
				{
					Name: toolName, Type: edictv1.OperationCallAPI, Effect: edictv1.EffectIdempotent,
					Description: "Look an item up in the store.",
					Parameters:  &apiextensionsv1.JSON{Raw: []byte(parameters)},
					CallAPI:     &edictv1.CallAPIOperation{Method: "GET", URL: tool + "/items"},
				},
			},
		},
	}
}

// benchView is the view of the agent of its name.
func benchView(name string) *edictv1.ContextView {
	return &edictv1.ContextView{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: edictv1.ContextViewSpec{
			AgentRef: edictv1.AgentReference{Name: name},
			Budget:   edictv1.Budget{Tokens: 500},
			Blocks: []edictv1.Block{
				{Name: "profile", Memories: &edictv1.MemoriesBlock{Kinds: []string{"preference"}, Limit: 3}},
				{Name: "history", Conversation: &edictv1.ConversationBlock{Turns: 5}},
				{Name: "results", Results: &edictv1.ResultsBlock{Limit: 3}},
			},
		},
	}
}
