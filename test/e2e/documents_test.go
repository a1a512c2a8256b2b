package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// TestDocumentsFollowTheirConfigMaps labels a ConfigMap, changes it, and lets it go, also while no operator runs.
func TestDocumentsFollowTheirConfigMaps(t *testing.T) {
	w := newWorld(t, ownOperator(t))
	view := newView("library", "concierge")
	view.Spec.Blocks = []edictv1.Block{{Name: "rules", Documents: &edictv1.DocumentsBlock{Collections: []string{"visa"}}}}
	w.create(newAgent("concierge", "http://127.0.0.1:1/v1"), view, labelled("rules", "visa"), labelled("fees", "visa"), labelled("notes", ""))
	w.ready("concierge")
	r := newReader(w, "reader", true)
	w.issued("rules", 1, "Indexed 1 document (1 chunk) into visa.")
	w.issued("fees", 1, "Indexed 1 document (1 chunk) into visa.")
	r.shows([]string{"A visa takes ten days.", "Children pay half"}, "Nobody")

	w.patchConfigMap("rules", `{"data":{"a.md":"It takes twelve days.","b.md":"# More\n\nIt costs forty euro."}}`)
	w.issued("rules", 2, "Indexed 2 documents (2 chunks) into visa.")
	r.shows([]string{"It takes twelve days.", "It costs forty euro.", "Children pay half"}, "ten days")

	w.op.mustStop(t)
	w.patchConfigMap("rules", `{"data":{"b.md":null}}`)
	w.patchConfigMap("fees", `{"metadata":{"labels":{"edict.dev/collection":null}}}`)
	w.op.mustStart(t)
	w.issued("rules", 3, "Withdrew 1 document from visa")
	w.issued("fees", 2, "Removed 1 document from visa")
	r.shows([]string{"It takes twelve days."}, "forty euro", "Children")

	gone := labelled("rules", "visa")
	gone.Namespace = w.ns
	w.delete(gone)
	w.issued("rules", 4, "Removed 1 document from visa, which has 0 left")
	w.issued("notes", 0)
	r.shows(nil, "twelve days")
}

// shows compares what the view of the documents says: each of these once, and none of those.
func (r *reader) shows(these []string, those ...string) {
	r.Helper()
	text := r.context("library", "", 0).Text
	for _, says := range these {
		if n := strings.Count(text, says); n != 1 {
			r.Errorf("the context says %q %d times:\n%s", says, n, text)
		}
	}
	for _, says := range those {
		if strings.Contains(text, says) {
			r.Errorf("the context says %q:\n%s", says, text)
		}
	}
}

// labelled returns a ConfigMap of one document, followed if it names a collection.
func labelled(name, collection string) *corev1.ConfigMap {
	says := map[string]string{"rules": "A visa takes ten days.", "fees": "Children pay half of the price.", "notes": "Nobody is to read this."}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a.md": says[name]}}
	if collection != "" {
		cm.Labels = map[string]string{edictv1.CollectionLabel: collection, edictv1.AgentLabel: "concierge"}
	}
	return cm
}

func (w *world) patchConfigMap(configMap, patch string) {
	w.Helper()
	cm := labelled(configMap, "")
	cm.Namespace = w.ns
	if err := w.suite.client.Patch(w.Context(), cm, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

// issued waits until so many commands were issued for a ConfigMap, all have succeeded, and the newest says this.
func (w *world) issued(configMap string, n int, says ...string) {
	w.Helper()
	w.eventually(2*soon, fmt.Sprintf("%d commands were issued for %s, and say %q", n, configMap, says), func() error {
		var list edictv1.CommandList
		if err := w.suite.client.List(w.Context(), &list, client.InNamespace(w.ns)); err != nil {
			return err
		}
		var messages []string
		var seen []string
		for _, c := range list.Items {
			if c.Annotations[edictv1.ConfigMapAnnotation] != configMap {
				continue
			}
			seen = append(seen, c.Name)
			if c.Status.Phase == edictv1.CommandSucceeded {
				messages = append(messages, explain(c.Status.Conditions))
			}
		}
		if len(seen) != n || len(messages) != n {
			return fmt.Errorf("%d are there (%v), and %d have succeeded", len(seen), seen, len(messages))
		}
		for _, text := range says {
			if !strings.Contains(strings.Join(messages, "\n"), text) {
				return fmt.Errorf("none says it:%s", strings.Join(messages, "\n"))
			}
		}
		return nil
	})
}
