package controller

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// listedAtOnce is how many ConfigMaps of a selection are read at once: they may have a megabyte each.
const listedAtOnce = 16

// byItsLabel ends the source of a document that was indexed because its ConfigMap is labelled, and that is withdrawn when
// it is so no more. What a person had indexed from the same ConfigMap is theirs to withdraw.
const byItsLabel = ", by its label"

// Documents reads the documents that ConfigMaps hold, past the cache, which holds only their metadata.
type Documents struct {
	Live client.Reader
}

// Read returns what the ConfigMaps hold that the payload names or selects.
func (d *Documents) Read(ctx context.Context, namespace string, source agent.IndexDocumentsPayload) (execution.Library, error) {
	if source.ConfigMap != nil {
		return d.named(ctx, namespace, source.ConfigMap)
	}
	return d.selected(ctx, namespace, source.Selector)
}

func (d *Documents) named(ctx context.Context, namespace string, source *agent.ConfigMapSource) (execution.Library, error) {
	var l execution.Library
	var cm corev1.ConfigMap
	err := d.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: source.Name}, &cm)
	switch {
	case apierrors.IsNotFound(err):
		return l, fault.NewWait(5*time.Second, execution.ReasonSourceNotFound, "There is no ConfigMap %q in namespace %q; create it.", source.Name, namespace)
	case err != nil:
		return l, unreadable(err)
	}
	if source.Digest != "" && source.Digest != dataDigest(&cm) {
		return l, fault.NewInvalid(execution.ReasonSourceChanged,
			"ConfigMap %q has other data than this command was issued for; a newer command indexes that.", source.Name)
	}
	keys := source.Keys
	if len(keys) == 0 {
		keys = keysOf(&cm)
	}
	for _, key := range keys {
		doc, ok := documentOf(&cm, key, "")
		if !ok {
			return l, fault.NewWait(5*time.Second, execution.ReasonSourceNotFound, "ConfigMap %q in namespace %q has no key %q; add it.", source.Name, namespace, key)
		}
		if source.Digest != "" { // the operator issued it
			doc.Source += byItsLabel
		}
		l.Documents = append(l.Documents, doc)
	}
	return l, nil
}

func (d *Documents) selected(ctx context.Context, namespace string, raw json.RawMessage) (execution.Library, error) {
	var l execution.Library
	var labels metav1.LabelSelector
	err := json.Unmarshal(raw, &labels)
	selector, invalid := metav1.LabelSelectorAsSelector(&labels)
	if err != nil || invalid != nil || selector.Empty() {
		return l, fault.NewInvalid(execution.ReasonSourceInvalid, "spec.indexDocuments.source.configMapSelector is no selector of some ConfigMaps; correct its labels, operators and values.")
	}
	l.Selector = metav1.FormatLabelSelector(&labels)
	total := 0
	list := corev1.ConfigMapList{}
	for {
		err := d.Live.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}, client.Limit(listedAtOnce), client.Continue(list.Continue))
		if err != nil {
			return execution.Library{}, unreadable(err)
		}
		for i := range list.Items {
			cm := &list.Items[i]
			for _, key := range keysOf(cm) {
				doc, _ := documentOf(cm, key, l.Selector)
				l.Documents = append(l.Documents, doc)
				total += len(doc.Data)
			}
		}
		switch { // before the next page is read
		case len(l.Documents) > execution.MaxDocuments:
			return execution.Library{}, execution.TooManyDocuments()
		case total > execution.MaxSource:
			return execution.Library{}, execution.TooMuchAtOnce()
		case list.Continue == "":
			return l, nil
		}
	}
}

func unreadable(err error) error {
	if apierrors.IsForbidden(err) {
		return fault.NewWait(slowly, execution.ReasonSourceForbidden, "The operator may not read the ConfigMaps of this namespace; grant its service account get and list on them.")
	}
	return err
}

// libraryOf returns all that a ConfigMap holds, as Documents reads it.
func libraryOf(cm *corev1.ConfigMap) []execution.SourceDocument {
	var docs []execution.SourceDocument
	for _, key := range keysOf(cm) {
		doc, _ := documentOf(cm, key, "")
		docs = append(docs, doc)
	}
	return docs
}

// keysOf returns the keys of a ConfigMap, sorted.
func keysOf(cm *corev1.ConfigMap) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, keys := range []func(func(string) bool){maps.Keys(cm.Data), maps.Keys(cm.BinaryData)} {
			for key := range keys {
				if !yield(key) {
					return
				}
			}
		}
	})
}

// documentOf returns the document at a key. kubectl puts a file that is not UTF-8 into
// binaryData; it is read as well, so that it is refused by name and not left out.
func documentOf(cm *corev1.ConfigMap, key, selector string) (execution.SourceDocument, bool) {
	data, ok := cm.BinaryData[key]
	if text, plain := cm.Data[key]; plain {
		data, ok = []byte(text), true
	}
	name, source := agent.ConfigMapDocument(cm.Name, key, selector)
	return execution.SourceDocument{Name: name, Source: source, Data: data}, ok
}

// followedFrom reports whether a document is in its collection because a ConfigMap is labelled, and which.
func followedFrom(name string, doc agent.Document) (configMap string, ok bool) {
	if !strings.HasSuffix(doc.Source, byItsLabel) {
		return "", false
	}
	configMap, key, _ := strings.Cut(name, "/")
	_, source := agent.ConfigMapDocument(configMap, key, "")
	return configMap, doc.Source == source+byItsLabel
}

// dataDigest returns the digest of what a ConfigMap holds.
func dataDigest(cm *corev1.ConfigMap) string {
	h := sha256.New()
	write := func(b []byte) { // its length first, so that no two ConfigMaps write the same bytes
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, doc := range libraryOf(cm) {
		write([]byte(doc.Name))
		write(doc.Data)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
