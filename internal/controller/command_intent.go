package controller

import (
	"encoding/json"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

// intentOf returns what a Command's spec wants. What it leaves out is not in the
// intent either: the intent's digest is in the command's default key, and a field
// that is added to the kind must not change the keys of manifests that do without.
func intentOf(spec *edictv1.CommandSpec) agent.Intent {
	switch {
	case spec.Ask != nil:
		return agent.NewIntent(agent.Ask, agent.AskPayload{Conversation: spec.Ask.Conversation, Message: spec.Ask.Message, SaidBy: spec.Ask.SaidBy})
	case spec.SaveMemory != nil:
		return agent.NewIntent(agent.SaveMemory, memoryOf(spec.SaveMemory))
	case spec.ForgetMemory != nil:
		return agent.NewIntent(agent.ForgetMemory, agent.ForgetMemoryPayload{ID: spec.ForgetMemory.ID})
	case spec.Resolve != nil:
		return agent.NewIntent(agent.Resolve, agent.ResolvePayload{Command: spec.Resolve.Command,
			Outcome: agent.Settlement(spec.Resolve.Outcome), Reason: spec.Resolve.Reason, By: spec.Resolve.By})
	case spec.IndexDocuments != nil:
		return agent.NewIntent(agent.IndexDocuments, documentsOf(spec.IndexDocuments))
	case spec.RemoveDocuments != nil:
		return agent.NewIntent(agent.RemoveDocuments, agent.RemoveDocumentsPayload(*spec.RemoveDocuments))
	case spec.Summarize != nil:
		return agent.NewIntent(agent.Summarize, agent.SummarizePayload(*spec.Summarize))
	case spec.Observe != nil:
		return agent.NewIntent(agent.Observe, observationOf(&spec.Observe.Observation))
	}
	payload := agent.CallAPIPayload{Operation: spec.CallAPI.Operation}
	if spec.CallAPI.Arguments != nil {
		payload.Arguments = json.RawMessage(spec.CallAPI.Arguments.Raw)
	}
	return agent.NewIntent(agent.CallAPI, payload)
}

func memoryOf(m *edictv1.SaveMemoryCommand) agent.SaveMemoryPayload {
	payload := agent.SaveMemoryPayload{Kind: m.Kind, Content: m.Content, Importance: int(m.Importance), SaidBy: m.SaidBy, Supersedes: m.Supersedes}
	if m.TTL != nil {
		payload.TTLSeconds = int64((m.TTL.Duration + time.Second - 1) / time.Second)
	}
	return payload
}

func documentsOf(index *edictv1.IndexDocumentsCommand) agent.IndexDocumentsPayload {
	payload := agent.IndexDocumentsPayload{
		Collection: index.Collection, URL: index.Source.URL, Chunking: agent.Chunking{MaxTokens: int(index.Chunking.MaxTokens)},
	}
	if index.Chunking.OverlapTokens != nil {
		payload.Chunking.OverlapTokens = int(*index.Chunking.OverlapTokens)
	}
	for _, doc := range index.Source.Inline {
		payload.Inline = append(payload.Inline, agent.InlineDocument(doc))
	}
	if from := index.Source.ConfigMap; from != nil {
		source := agent.ConfigMapSource(*from)
		payload.ConfigMap = &source
	}
	if selector := index.Source.ConfigMapSelector; selector != nil {
		payload.Selector, _ = json.Marshal(selector) // of strings, nothing fails
	}
	return payload
}

// issuedSpec returns the spec of an issued command. Its intent, made of the spec
// again, is the one that was issued. Types that no decision may issue have none.
func issuedSpec(i agent.Intent) edictv1.CommandSpec {
	switch i.Type {
	case agent.SaveMemory:
		p := i.SaveMemory()
		saved := &edictv1.SaveMemoryCommand{Kind: p.Kind, Content: p.Content, Importance: int32(p.Importance), SaidBy: p.SaidBy, Supersedes: p.Supersedes}
		if p.TTLSeconds > 0 {
			saved.TTL = &metav1.Duration{Duration: time.Duration(p.TTLSeconds) * time.Second}
		}
		return edictv1.CommandSpec{SaveMemory: saved}
	case agent.ForgetMemory:
		return edictv1.CommandSpec{ForgetMemory: &edictv1.ForgetMemoryCommand{ID: i.ForgetMemory().ID}}
	case agent.CallAPI:
		p := i.CallAPI()
		call := &edictv1.CallAPICommand{Operation: p.Operation}
		if len(p.Arguments) > 0 {
			call.Arguments = &apiextensionsv1.JSON{Raw: p.Arguments}
		}
		return edictv1.CommandSpec{CallAPI: call}
	}
	return edictv1.CommandSpec{}
}
