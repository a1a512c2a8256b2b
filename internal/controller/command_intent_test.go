package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
)

func TestWhatACommandsSpecWants(t *testing.T) {
	how := edictv1.Chunking{MaxTokens: 400, OverlapTokens: ptr.To(int32(40))}
	index := func(source edictv1.DocumentSource) edictv1.CommandSpec {
		return edictv1.CommandSpec{IndexDocuments: &edictv1.IndexDocumentsCommand{Collection: "rules", Source: source, Chunking: how}}
	}
	for _, c := range []struct {
		name string
		spec edictv1.CommandSpec
		want agent.Type
		says string
	}{
		{"a plain memory", edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "seat", Content: "window"}},
			agent.SaveMemory, `{"content":"window","kind":"seat"}`},
		{"all of a memory", edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "seat", Content: "window", Importance: 9, SaidBy: "Ada",
			Supersedes: "mem-1", TTL: &metav1.Duration{Duration: 90 * time.Minute}}},
			agent.SaveMemory, `{"content":"window","importance":9,"kind":"seat","saidBy":"Ada","supersedes":"mem-1","ttlSeconds":5400}`},
		{"a part of a second", edictv1.CommandSpec{SaveMemory: &edictv1.SaveMemoryCommand{Kind: "seat", Content: "window", TTL: &metav1.Duration{Duration: 1001 * time.Millisecond}}},
			agent.SaveMemory, `{"content":"window","kind":"seat","ttlSeconds":2}`},
		{"a plain question", edictv1.CommandSpec{Ask: &edictv1.AskCommand{Conversation: "ada", Message: "hello"}}, agent.Ask, `{"conversation":"ada","message":"hello"}`},
		{"somebody's question", edictv1.CommandSpec{Ask: &edictv1.AskCommand{Conversation: "family", Message: "hello", SaidBy: "Ada"}},
			agent.Ask, `{"conversation":"family","message":"hello","saidBy":"Ada"}`},
		{"documents in the command", index(edictv1.DocumentSource{Inline: []edictv1.InlineDocument{{Name: "notes", Text: "a < b"}}}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","inline":[{"name":"notes","text":"a < b"}]}`},
		{"a ConfigMap's documents", index(edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "visa", Keys: []string{"a.md"}, Digest: "sha256:1"}}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","configMap":{"digest":"sha256:1","keys":["a.md"],"name":"visa"}}`},
		{"all of a ConfigMap", index(edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "visa"}}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","configMap":{"name":"visa"}}`},
		{"ConfigMaps by a label", index(edictv1.DocumentSource{ConfigMapSelector: &edictv1.ConfigMapSelector{MatchLabels: map[string]edictv1.LabelValue{"topic": "visa"}}}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","configMapSelector":{"matchLabels":{"topic":"visa"}}}`},
		{"ConfigMaps by a requirement", index(edictv1.DocumentSource{ConfigMapSelector: &edictv1.ConfigMapSelector{
			MatchExpressions: []edictv1.LabelRequirement{{Key: "stage", Operator: "NotIn", Values: []edictv1.LabelValue{"draft"}}}}}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","configMapSelector":{"matchExpressions":[{"key":"stage","operator":"NotIn","values":["draft"]}]}}`},
		{"a page", index(edictv1.DocumentSource{URL: "https://docs.example.com/?a=1&b=2"}),
			agent.IndexDocuments, `{"chunking":{"maxTokens":400,"overlapTokens":40},"collection":"rules","url":"https://docs.example.com/?a=1&b=2"}`},
		{"documents to withdraw", edictv1.CommandSpec{RemoveDocuments: &edictv1.RemoveDocumentsCommand{Collection: "rules", Documents: []string{"notes"}}},
			agent.RemoveDocuments, `{"collection":"rules","documents":["notes"]}`},
		{"all documents to withdraw", edictv1.CommandSpec{RemoveDocuments: &edictv1.RemoveDocumentsCommand{Collection: "rules"}}, agent.RemoveDocuments, `{"collection":"rules"}`},
		{"a conversation to summarise", edictv1.CommandSpec{Summarize: &edictv1.SummarizeCommand{Conversation: "ada", UpTo: 7}}, agent.Summarize, `{"conversation":"ada","upTo":7}`},
		{"a collection to summarise", edictv1.CommandSpec{Summarize: &edictv1.SummarizeCommand{Collection: "rules"}}, agent.Summarize, `{"collection":"rules"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := intentOf(&c.spec)
			if got.Type != c.want || string(got.Payload) != c.says {
				t.Errorf("got  %s %s\nwant %s %s", got.Type, got.Payload, c.want, c.says)
			}
		})
	}
}

// These keys are in journals: a field that the kind was given later must not change them, or what ran would run again.
func TestTheKeysOfPlainManifestsStay(t *testing.T) {
	for key, spec := range map[string]edictv1.CommandSpec{
		"window-seats/d2e2dc44cf57fc72": {SaveMemory: &edictv1.SaveMemoryCommand{Kind: "preference", Content: "Ada wants window seats."}},
		"find-flights/9c171f337dd3ec7c": {Ask: &edictv1.AskCommand{Conversation: "ada",
			Message: "Find me flights from Zurich to Lisbon on 2027-03-04, for less than 300 € & with a window seat"}},
	} {
		c := commandNamed(key[:12], spec)
		if got := orderOf(c).Key; got != key {
			t.Errorf("got %s, want %s", got, key)
		}
	}
}

// The object of an issued command brings the intent that was issued: another one would be refused at the door.
func TestAnIssuedCommandsObjectWantsWhatWasIssued(t *testing.T) {
	for name, operation := range map[string]agent.Operation{
		`{"content":"c","kind":"k"}`: {Type: agent.SaveMemory},
		`{"content":"c","importance":3.0,"kind":"k","saidBy":"Ada <ada@example.com>","supersedes":"mem-1"}`: {Type: agent.SaveMemory},
		`{"id":"mem-1"}`:       {Type: agent.ForgetMemory},
		`{"to":"LIS","n":1e3}`: {Name: "search", Type: agent.CallAPI},
	} {
		t.Run(name, func(t *testing.T) {
			issued := agent.IntentOf(operation, []byte(name))
			spec := issuedSpec(issued)
			if got := intentOf(&spec); got.Digest() != issued.Digest() {
				t.Errorf("got  %s %s\nwant %s %s", got.Type, got.Payload, issued.Type, issued.Payload)
			}
		})
	}
}
