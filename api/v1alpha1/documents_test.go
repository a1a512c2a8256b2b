package v1alpha1_test

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func indexes(source string) string {
	return fmt.Sprintf("{spec: {ask: null, indexDocuments: {collection: visa-rules, source: {%s}}}}", source)
}

func TestWhoIndexesConfigMapsMustBeAllowedToReadThem(t *testing.T) {
	ns := namespace(t, "indexed")
	role := func(name string, rule rbacv1.PolicyRule) {
		rule.APIGroups, rule.Resources = []string{""}, []string{"configmaps"}
		create(t, toUnstructured(t, &rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: []rbacv1.PolicyRule{rule},
		}))
	}
	role("one", rbacv1.PolicyRule{ResourceNames: []string{"visa"}, Verbs: []string{"get"}})
	role("all", rbacv1.PolicyRule{Verbs: []string{"get", "list"}})
	for _, user := range []string{"indexer", "librarian"} {
		bind(t, ns, user, "ClusterRole", "edict-command-editor")
	}
	bind(t, ns, "indexer", "Role", "one")
	bind(t, ns, "librarian", "Role", "all")
	for _, c := range []struct {
		name, user, patch string
		refused           []string // what the refusal says; nil: it is accepted
	}{
		{"a ConfigMap that the author may get", "indexer", indexes("configMap: {name: visa}"), nil},
		{"another one", "indexer", indexes("configMap: {name: salaries}"), []string{"edict-command-documents", `indexes the ConfigMap "salaries", which its author must be allowed to get`}},
		{"a selection", "indexer", indexes("configMapSelector: {matchLabels: {topic: visa}}"), []string{"edict-command-documents", "must be allowed to list those of the namespace"}},
		{"what is in the command itself", "indexer", indexes("inline: [{name: notes, text: none}]"), nil},
		{"a question", "indexer", "", nil},
		{"a selection by who may list all", "librarian", indexes("configMapSelector: {matchLabels: {topic: visa}}"), nil},
		{"any ConfigMap by who may get all", "librarian", indexes("configMap: {name: salaries}"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, command := userOf(t, c.user), inNamespace(object(t, "Command", c.patch), ns)
			// The API server may not know the policy or the role yet, so what it says is waited for.
			eventually(t, "the answer is right", func() error {
				return refusedWith(u.Create(t.Context(), command.DeepCopy(), client.DryRunAll), c.refused)
			})
		})
	}
}
