package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// ConfigMapReconciler follows ConfigMaps that are labelled with a collection: it
// compares what they hold with what the collection has, and issues the command
// that makes up the difference. It indexes nothing itself.
type ConfigMapReconciler struct {
	client.Client
	Live     client.Reader // reads past the cache
	Labelled client.Reader // the metadata of the ConfigMaps that have the label
	Engine   *execution.Engine
	Recorder events.EventRecorder
	// Pause is the least time between two commands that index the same ConfigMap; what changes in between is not indexed.
	Pause time.Duration

	mu     sync.Mutex
	issued map[types.NamespacedName]time.Time // the last that index a ConfigMap, of this process, within Pause
}

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch

// The reasons of the Kubernetes Events about a followed ConfigMap.
const (
	reasonAgentLabelMissing = "AgentLabelMissing"
	reasonIndexIssued       = "IndexIssued"
	reasonRemovalIssued     = "RemovalIssued"
	reasonIndexFailed       = "IndexFailed"
)

const (
	// followedWithin bounds a command that the operator issues for a ConfigMap: there is no hurry, and nobody would apply it again.
	followedWithin = 24 * time.Hour
	// followedKept is how long its object stays after it has ended. The journal keeps what happened.
	followedKept = time.Hour
	// removedAtOnce is how many documents a removeDocuments may name.
	removedAtOnce = 256
)

// followedChunking is how the documents of a followed ConfigMap are split.
var followedChunking = agent.Chunking{MaxTokens: 400, OverlapTokens: 40}

// place is where the documents of a followed ConfigMap belong.
type place struct{ agent, collection string }

// Reconcile looks at one ConfigMap, which may be gone or not labelled any more.
func (r *ConfigMapReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var cm corev1.ConfigMap
	if err := r.Live.Get(ctx, req.NamespacedName, &cm); client.IgnoreNotFound(err) != nil {
		return translate(err)
	}
	wanted := r.wanted(&cm)
	cm.Namespace, cm.Name = req.Namespace, req.Name
	err := r.index(ctx, &cm, wanted)
	if err == nil || elsewhere(err) { // an agent that it was for earlier may be here
		err = r.withdraw(ctx, &cm, wanted)
	}
	return translate(err)
}

// wanted returns where the documents of a ConfigMap are to be; the zero place if nowhere.
func (r *ConfigMapReconciler) wanted(cm *corev1.ConfigMap) place {
	collection, labelled := cm.Labels[edictv1.CollectionLabel]
	p := place{agent: cm.Labels[edictv1.AgentLabel], collection: collection}
	switch {
	case !labelled || !cm.DeletionTimestamp.IsZero():
		return place{}
	case p.agent == "" || p.collection == "":
		r.Recorder.Eventf(cm, nil, corev1.EventTypeWarning, reasonAgentLabelMissing, "Follow",
			"The label %s names a collection, and %s the agent that has it; set both, and the ConfigMap is indexed.", edictv1.CollectionLabel, edictv1.AgentLabel)
		return place{}
	}
	return p
}

// index issues the command that indexes the ConfigMap, if its collection has something else.
func (r *ConfigMapReconciler) index(ctx context.Context, cm *corev1.ConfigMap, to place) error {
	docs := libraryOf(cm)
	if to == (place{}) || len(docs) == 0 {
		return nil
	}
	var a edictv1.Agent
	err := r.Get(ctx, types.NamespacedName{Namespace: cm.Namespace, Name: to.agent}, &a)
	if apierrors.IsNotFound(err) {
		r.Recorder.Eventf(cm, nil, corev1.EventTypeWarning, edictv1.ReasonAgentNotFound, "Follow",
			"There is no Agent %q in this namespace; create it, and the ConfigMap is indexed.", to.agent)
		return nil
	}
	if err != nil || !a.DeletionTimestamp.IsZero() {
		return err
	}
	held, err := r.Engine.Collections(ctx, cm.Namespace, to.agent)
	if err != nil || shelved(cm.Name, docs, held[to.collection]) {
		return err
	}
	overlap := int32(followedChunking.OverlapTokens)
	return r.issue(ctx, cm, edictv1.CommandSpec{
		AgentRef: edictv1.AgentReference{Name: to.agent},
		IndexDocuments: &edictv1.IndexDocumentsCommand{
			Collection: to.collection,
			Source:     edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: cm.Name, Digest: dataDigest(cm)}},
			Chunking:   edictv1.Chunking{MaxTokens: int32(followedChunking.MaxTokens), OverlapTokens: &overlap},
		},
	})
}

// shelved reports whether a collection has just what the ConfigMap holds.
func shelved(configMap string, docs []execution.SourceDocument, held map[string]agent.Document) bool {
	there := make(map[string]bool, len(docs))
	for _, doc := range docs {
		there[doc.Name] = true
	}
	for name, doc := range held {
		if from, ok := followedFrom(name, doc); ok && from == configMap && !there[name] {
			return false
		}
	}
	return execution.Unchanged(docs, followedChunking, held)
}

// withdraw issues commands that remove what was indexed from the ConfigMap, of
// every collection that it is not to be in.
func (r *ConfigMapReconciler) withdraw(ctx context.Context, cm *corev1.ConfigMap, wanted place) error {
	var agents edictv1.AgentList
	if err := r.List(ctx, &agents, client.InNamespace(cm.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	empty := len(libraryOf(cm)) == 0
	for i := range agents.Items {
		a := &agents.Items[i]
		held, err := r.Engine.Collections(ctx, cm.Namespace, a.Name)
		if elsewhere(err) || !a.DeletionTimestamp.IsZero() {
			continue
		}
		if err != nil {
			return err
		}
		for _, collection := range slices.Sorted(maps.Keys(held)) {
			if (place{a.Name, collection}) == wanted && !empty {
				continue // what is gone of it is withdrawn by the command that indexes it
			}
			if err := r.remove(ctx, cm, place{a.Name, collection}, held[collection]); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove issues a command that removes what a collection has from the ConfigMap, if it has anything.
func (r *ConfigMapReconciler) remove(ctx context.Context, cm *corev1.ConfigMap, from place, held map[string]agent.Document) error {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(held)) {
		if configMap, ok := followedFrom(name, held[name]); ok && configMap == cm.Name {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.issue(ctx, cm, edictv1.CommandSpec{
		AgentRef:        edictv1.AgentReference{Name: from.agent},
		RemoveDocuments: &edictv1.RemoveDocumentsCommand{Collection: from.collection, Documents: names[:min(len(names), removedAtOnce)]},
	})
}

// issue ensures the command that is to make up a difference. Its name follows from
// the ConfigMap's, from what the command wants, and from how often the same was
// issued and done before, which the journal tells: so a crash cannot issue it twice,
// and a ConfigMap that returns to earlier content is indexed again.
func (r *ConfigMapReconciler) issue(ctx context.Context, cm *corev1.ConfigMap, spec edictv1.CommandSpec) error {
	spec.Timeout = &metav1.Duration{Duration: followedWithin}
	spec.Retry.MaxAttempts = 20
	kept := int32(followedKept / time.Second)
	spec.TTLSecondsAfterFinished = &kept
	for n := 1; ; n++ {
		c := &edictv1.Command{Spec: spec, ObjectMeta: metav1.ObjectMeta{
			Namespace: cm.Namespace, Name: followedName(cm.Name, &spec, n), Annotations: map[string]string{edictv1.ConfigMapAnnotation: cm.Name}}}
		before, _, err := r.Engine.Recall(ctx, c.Namespace, spec.AgentRef.Name, orderOf(c).Key)
		switch {
		case err != nil:
			return err
		case before == nil:
			return r.create(ctx, cm, c)
		case !before.Phase.Final():
			return nil // the ConfigMap is looked at again when it has ended
		case before.Phase != agent.Succeeded && before.Reason != execution.ReasonSourceChanged:
			r.Recorder.Eventf(cm, c, corev1.EventTypeWarning, reasonIndexFailed, "Follow",
				"The command %s ended as %s (%s), and is not issued again for the same content; its status says why. Change the ConfigMap, or apply a command of your own.", c.Name, before.Phase, before.Reason)
			return nil
		}
	}
}

// paused returns a Wait if the ConfigMap was indexed a moment ago: one that something writes all the time would fill the
// cluster with commands. It is indexed as it is when the pause is over.
func (r *ConfigMapReconciler) paused(cm *corev1.ConfigMap) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(r.issued, func(_ types.NamespacedName, at time.Time) bool { return now.Sub(at) >= r.Pause })
	if at, soon := r.issued[client.ObjectKeyFromObject(cm)]; soon {
		return fault.NewWait(r.Pause-now.Sub(at), "IndexedRecently", "ConfigMap %q was indexed less than %s ago.", cm.Name, r.Pause)
	}
	return nil
}

// pause begins one.
func (r *ConfigMapReconciler) pause(cm *corev1.ConfigMap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.issued == nil {
		r.issued = map[types.NamespacedName]time.Time{}
	}
	r.issued[client.ObjectKeyFromObject(cm)] = time.Now()
}

// create creates the command's object, unless it is there.
func (r *ConfigMapReconciler) create(ctx context.Context, cm *corev1.ConfigMap, c *edictv1.Command) error {
	if c.Spec.IndexDocuments != nil {
		if err := r.paused(cm); err != nil {
			return err
		}
	}
	if err := r.Create(ctx, c); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	reason, does := reasonIndexIssued, "indexes the ConfigMap into collection "+collectionOf(c)
	if c.Spec.IndexDocuments != nil {
		r.pause(cm)
	} else {
		reason, does = reasonRemovalIssued, "removes what was indexed from the ConfigMap from collection "+collectionOf(c)
	}
	if cm.UID != "" { // of one that is gone there is nothing to tell
		r.Recorder.Eventf(cm, c, corev1.EventTypeNormal, reason, "Follow", "The command %s %s of agent %s.", c.Name, does, c.Spec.AgentRef.Name)
	}
	return nil
}

func collectionOf(c *edictv1.Command) string {
	if c.Spec.RemoveDocuments != nil {
		return c.Spec.RemoveDocuments.Collection
	}
	return c.Spec.IndexDocuments.Collection
}

// followedName returns the name of the nth command that is issued for a ConfigMap and wants the same.
func followedName(configMap string, spec *edictv1.CommandSpec, n int) string {
	sum := sha256.Sum256([]byte(spec.AgentRef.Name + "\x00" + intentOf(spec).Digest()))
	name := fmt.Sprintf("%s-%s", strings.TrimRight(configMap[:min(len(configMap), 180)], ".-"), hex.EncodeToString(sum[:6]))
	if n > 1 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	return name
}
