package controller

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/fault"
)

// vectors is an embedding server that gives vectors unless it is wrong.
type vectors struct{ wrong error }

func (v *vectors) Embed(_ context.Context, q agent.EmbeddingInquiry) (agent.EmbeddingAnswer, error) {
	var a agent.EmbeddingAnswer
	for range q.Texts {
		a.Vectors = append(a.Vectors, []float32{1})
	}
	return a, v.wrong
}

func TestAnAgentSaysWhetherItsTextsAreEmbedded(t *testing.T) {
	t.Parallel()
	h, server := newHouse(t), &vectors{}
	embedding := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		h.must(h.lookAtAgent("concierge"))
		conditions := h.agent("concierge").Status.Conditions
		wantCondition(t, conditions, edictv1.ConditionEmbedding, status, reason)
		wantCondition(t, conditions, edictv1.ConditionReady, metav1.ConditionTrue, edictv1.ReasonReady)
	}
	asked := func(name string) {
		t.Helper()
		h.create(ask(name))
		h.settle()
		h.wantPhase(name, edictv1.CommandSucceeded)
	}
	a := concierge()
	a.Spec.Embeddings = &edictv1.AgentEmbeddings{BaseURL: "http://vectors.example.com/v1", Model: "v1"}
	h.engine.Embedder = server
	h.hire(a)
	embedding(metav1.ConditionUnknown, edictv1.ReasonNotEmbedded)
	asked("first")
	embedding(metav1.ConditionTrue, edictv1.ReasonReady)

	h.restart()
	h.engine.Embedder = server
	embedding(metav1.ConditionTrue, edictv1.ReasonReady) // nothing says otherwise
	server.wrong = fault.NewWait(0, "EmbeddingUnavailable", "The embedding server is not available.")
	asked("second")
	embedding(metav1.ConditionFalse, "EmbeddingUnavailable")
	said := meta.FindStatusCondition(h.agent("concierge").Status.Conditions, edictv1.ConditionEmbedding).Message
	if !strings.HasPrefix(said, "The embedding server is not available. Meanwhile asks go on by words alone") {
		t.Errorf("it says: %s", said)
	}

	h.merge(h.agent("concierge"), `{"spec":{"embeddings":{"model":"v2"}}}`)
	embedding(metav1.ConditionUnknown, edictv1.ReasonNotEmbedded)
	h.merge(h.agent("concierge"), `{"spec":{"embeddings":null}}`)
	h.must(h.lookAtAgent("concierge"))
	if c := meta.FindStatusCondition(h.agent("concierge").Status.Conditions, edictv1.ConditionEmbedding); c != nil {
		t.Errorf("an agent without embeddings says %+v", c)
	}
}

func TestAnAgentWhoseEmbeddingKeyIsMissingSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := concierge()
	a.Spec.Embeddings = &edictv1.AgentEmbeddings{BaseURL: "http://vectors.example.com/v1", Model: "v1", APIKeySecretRef: &edictv1.SecretKeyReference{Name: "vector-key", Key: "key"}}
	h.engine.Embedder = &vectors{}
	h.hire(a)
	h.must(h.lookAtAgent("concierge"))
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionRefsResolved, metav1.ConditionFalse, edictv1.ReasonSecretNotFound)
	h.create(ask("trip"))
	h.settle()
	h.wantPhase("trip", edictv1.CommandSucceeded)
	h.must(h.lookAtAgent("concierge"))
	wantCondition(t, h.agent("concierge").Status.Conditions, edictv1.ConditionEmbedding, metav1.ConditionFalse, edictv1.ReasonSecretNotFound)
}
