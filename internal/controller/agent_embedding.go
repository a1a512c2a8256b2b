package controller

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// embedding owns Embedding: what came of the newest request for vectors. Without
// news of it, which are lost with the process, the condition says what it said,
// unless that was about another spec. An agent is ready without vectors, so Ready
// does not depend on it.
func (s *agentScope) embedding(news *execution.EmbeddingNews) {
	declared := s.profile.Embeddings
	if declared == nil {
		meta.RemoveStatusCondition(&s.object.Status.Conditions, edictv1.ConditionEmbedding)
		return
	}
	said := meta.FindStatusCondition(s.object.Status.Conditions, edictv1.ConditionEmbedding)
	switch {
	case news == nil && said != nil && said.ObservedGeneration == s.object.Generation:
	case news == nil:
		s.set(edictv1.ConditionEmbedding, metav1.ConditionUnknown, edictv1.ReasonNotEmbedded,
			fmt.Sprintf("Nothing has been embedded with %s yet; the next ask, or the next documents, will be.", declared.Model))
	case news.Failed == nil:
		s.set(edictv1.ConditionEmbedding, metav1.ConditionTrue, edictv1.ReasonReady, fmt.Sprintf("Texts are embedded with %s.", declared.Model))
	default:
		f := fault.Of(news.Failed)
		s.set(edictv1.ConditionEmbedding, metav1.ConditionFalse, f.Reason, f.Message+
			" Meanwhile asks go on by words alone, documents are not indexed, and an ask tries it again now and then.")
	}
}
