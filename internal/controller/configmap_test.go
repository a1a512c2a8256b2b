package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/execution"
)

// hints is a recorder that keeps the reasons of what it is told.
type hints struct{ reasons []string }

func (r *hints) Eventf(_ runtime.Object, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	r.reasons = append(r.reasons, reason)
}

// library is a house with an agent, and the reconciler that follows ConfigMaps.
type library struct {
	*house
	hints *hints
}

func newLibrary(t *testing.T) *library {
	l := &library{house: newHouse(t), hints: &hints{}}
	l.hire(concierge())
	return l
}

func (l *library) follower() *ConfigMapReconciler {
	return &ConfigMapReconciler{Client: l.commands.Client, Live: l.api, Labelled: l.api, Engine: l.engine, Recorder: l.hints}
}

// look reconciles a ConfigMap, lets what that issued end, and looks again, as the watch on commands does.
func (l *library) look(configMap string) {
	l.Helper()
	for range 2 {
		l.must(l.follower().Reconcile(l.Context(), request(l.ns, configMap)))
		l.settle()
	}
}

func rules(data map[string]string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: data}
	cm.Name, cm.Labels = "rules", map[string]string{edictv1.CollectionLabel: "visa", edictv1.AgentLabel: "concierge"}
	return cm
}

// holds returns the names of the documents that the agent's collection has.
func (l *library) holds(collection string) []string {
	l.Helper()
	held, err := l.engine.Collections(l.Context(), l.ns, "concierge")
	if err != nil {
		l.Fatal(err)
	}
	return slices.Sorted(maps.Keys(held[collection]))
}

func (l *library) wantHeld(collection string, names ...string) {
	l.Helper()
	if diff := cmp.Diff(names, l.holds(collection)); diff != "" {
		l.Errorf("the documents of %s: %s", collection, diff)
	}
}

func (l *library) wantIssued(n int) {
	l.Helper()
	if all := l.all(); len(all) != n {
		for _, c := range all {
			l.Logf("%s is %s: %+v", c.Name, c.Status.Phase, c.Spec)
		}
		l.Errorf("%d commands, want %d", len(all), n)
	}
}

func TestALabelledConfigMapIsIndexedAndItsChangesAreFollowed(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days.", "fees.md": "Forty euro."})
	l.create(cm)
	l.look("rules")
	l.wantHeld("visa", "rules/fees.md", "rules/visa.md")
	l.wantIssued(1)
	issued := l.all()[0]
	if issued.Spec.TTLSecondsAfterFinished == nil || *issued.Spec.TTLSecondsAfterFinished != 3600 || len(issued.OwnerReferences) != 0 {
		t.Errorf("its object goes with something else than its time to live: %+v", issued.ObjectMeta)
	}
	l.merge(cm, `{"metadata":{"annotations":{"note":"nothing new"}}}`)
	l.look("rules")
	l.wantIssued(1)

	l.merge(cm, `{"data":{"visa.md":"Twelve days.","fees.md":null}}`)
	l.look("rules")
	l.wantHeld("visa", "rules/visa.md")
	l.wantIssued(2)
	if diff := cmp.Diff([]string{reasonIndexIssued, reasonIndexIssued}, l.hints.reasons); diff != "" {
		t.Error(diff)
	}
}

func TestAConfigMapThatReturnsToEarlierContentIsIndexedAgain(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	l.create(cm)
	l.look("rules")
	first, err := l.engine.Collections(t.Context(), l.ns, "concierge")
	if err != nil {
		t.Fatal(err)
	}
	for n, days := range []string{"Twelve days.", "Ten days.", "Twelve days.", "Ten days."} {
		l.merge(cm, fmt.Sprintf(`{"data":{"visa.md":%q}}`, days))
		l.look("rules")
		l.wantIssued(n + 2)
	}
	last, err := l.engine.Collections(t.Context(), l.ns, "concierge")
	if diff := cmp.Diff(first, last); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestAConfigMapThatChangesAllTheTimeIsIndexedOnceInAWhile(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	l.create(cm)
	follower := l.follower()
	follower.Pause = time.Hour
	look := func() ctrl.Result {
		result, err := follower.Reconcile(t.Context(), request(l.ns, "rules"))
		if err != nil {
			t.Fatal(err)
		}
		l.settle()
		return result
	}
	look()
	for _, days := range []string{"Twelve days.", "Twenty days."} {
		l.merge(cm, fmt.Sprintf(`{"data":{"visa.md":%q}}`, days))
		if again := look().RequeueAfter; again < 50*time.Minute || again > time.Hour {
			t.Errorf("it is looked at again after %s, want the rest of the pause", again)
		}
	}
	l.wantIssued(1)
	follower.Pause = 0
	look()
	look()
	l.wantIssued(2)
	held, err := l.engine.Collections(t.Context(), l.ns, "concierge")
	if err != nil || !execution.Unchanged(libraryOf(rules(map[string]string{"visa.md": "Twenty days."})), followedChunking, held["visa"]) {
		t.Errorf("what it held last is not indexed: %v %v", held, err)
	}
}

func TestOneChangeIssuesOneCommandHoweverOftenItIsLookedAtAndWhateverFails(t *testing.T) {
	l := newLibrary(t)
	l.create(rules(map[string]string{"visa.md": "Ten days."}))
	for n := 1; n <= 3; n++ { // the object is created at the first look, and the journal knows of it after the third
		l.must(l.follower().Reconcile(t.Context(), request(l.ns, "rules")))
		l.wantIssued(1)
		if n == 2 {
			l.restart()
		}
	}
	l.settle()
	l.look("rules")
	l.wantIssued(1)
}

func TestWhatIsNotToBeInACollectionAnyMoreIsWithdrawn(t *testing.T) {
	for name, part := range map[string]func(l *library, cm *corev1.ConfigMap){
		"the ConfigMap is deleted": func(l *library, cm *corev1.ConfigMap) {
			if err := l.api.Delete(l.Context(), cm); err != nil {
				l.Fatal(err)
			}
		},
		"the label is taken off": func(l *library, cm *corev1.ConfigMap) {
			l.merge(cm, `{"metadata":{"labels":{"edict.dev/collection":null}}}`)
		},
		"the agent's name is taken off": func(l *library, cm *corev1.ConfigMap) {
			l.merge(cm, `{"metadata":{"labels":{"edict.dev/agent":null}}}`)
		},
		"it is given to another agent": func(l *library, cm *corev1.ConfigMap) {
			other := concierge()
			other.Name = "guide"
			l.hire(other)
			l.merge(cm, `{"metadata":{"labels":{"edict.dev/agent":"guide"}}}`)
		},
		"it is emptied": func(l *library, cm *corev1.ConfigMap) { l.merge(cm, `{"data":null}`) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLibrary(t)
			cm := rules(map[string]string{"visa.md": "Ten days."})
			l.create(cm)
			l.look("rules")
			l.wantHeld("visa", "rules/visa.md")
			part(l, cm)
			l.restart() // nobody saw it happen
			requests := l.follower().ofAgent(t.Context(), l.agent("concierge"))
			if diff := cmp.Diff([]string{"rules"}, namesOf(requests)); diff != "" {
				t.Fatalf("after a start, these are looked at: %s", diff)
			}
			l.look("rules")
			if held := l.holds("visa"); len(held) != 0 {
				t.Errorf("it still has %v", held)
			}
		})
	}
}

func namesOf[R fmt.Stringer](requests []R) []string {
	var names []string
	for _, r := range requests {
		_, name, _ := strings.Cut(r.String(), "/")
		names = append(names, name)
	}
	return names
}

func TestAnotherCollectionInTheLabelMovesTheDocuments(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	l.create(cm)
	l.look("rules")
	l.merge(cm, `{"metadata":{"labels":{"edict.dev/collection":"borders"}}}`)
	l.look("rules")
	l.wantHeld("borders", "rules/visa.md")
	if held := l.holds("visa"); len(held) != 0 {
		t.Errorf("the collection that it left has %v", held)
	}
}

func TestWhatAPersonIndexedIsNotWithdrawnWithTheConfigMap(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	cm.Labels = nil
	l.create(cm, indexing("mine", edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "rules"}}))
	l.settle()
	l.wantHeld("visa", "rules/visa.md")
	if err := l.api.Delete(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	l.look("rules")
	l.wantHeld("visa", "rules/visa.md")
	l.wantIssued(1)
}

func TestAConfigMapThatCannotBeFollowedIsToldWhy(t *testing.T) {
	l := newLibrary(t)
	nobodys := rules(map[string]string{"visa.md": "Ten days."})
	delete(nobodys.Labels, edictv1.AgentLabel)
	strangers := rules(map[string]string{"visa.md": "Ten days."})
	strangers.Name, strangers.Labels[edictv1.AgentLabel] = "strangers", "nobody"
	l.create(nobodys, strangers)
	l.look("rules")
	l.look("strangers")
	l.wantIssued(0)
	want := []string{reasonAgentLabelMissing, reasonAgentLabelMissing, edictv1.ReasonAgentNotFound, edictv1.ReasonAgentNotFound}
	if diff := cmp.Diff(want, l.hints.reasons); diff != "" {
		t.Error(diff)
	}
}

func TestContentThatCannotBeIndexedFailsOnceAndAnotherIsTriedAgain(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	cm.BinaryData = map[string][]byte{"old.txt": []byte("caf\xe9")}
	l.create(cm)
	l.look("rules")
	l.look("rules")
	l.wantIssued(1)
	c := l.wantPhase(l.all()[0].Name, edictv1.CommandFailed)
	wantCondition(t, c.Status.Conditions, edictv1.ConditionReady, metav1.ConditionFalse, "DocumentEncoding", `"rules/old.txt"`, "byte 3")
	if !slices.Contains(l.hints.reasons, reasonIndexFailed) {
		t.Errorf("the ConfigMap was told %v", l.hints.reasons)
	}
	l.merge(cm, `{"binaryData":null}`)
	l.look("rules")
	l.wantHeld("visa", "rules/visa.md")
}

func TestAReplicaThatDoesNotHoldTheAgentIssuesNothing(t *testing.T) {
	l := newLibrary(t)
	cm := rules(map[string]string{"visa.md": "Ten days."})
	l.create(cm)
	if _, err := l.engine.Hold(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	l.must(l.follower().Reconcile(t.Context(), request(l.ns, "rules")))
	l.wantIssued(0)
	if _, err := l.engine.Hold(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rules"}, namesOf(l.follower().ofAgent(t.Context(), l.agent("concierge")))); diff != "" {
		t.Errorf("once it holds the agent, these are looked at: %s", diff)
	}
	l.look("rules")
	l.wantIssued(1)
}

func indexing(name string, source edictv1.DocumentSource) *edictv1.Command {
	return commandNamed(name, edictv1.CommandSpec{IndexDocuments: &edictv1.IndexDocumentsCommand{Collection: "visa", Source: source}})
}

func TestConfigMapsAreReadByNameAndKeyAndSelector(t *testing.T) {
	l := newLibrary(t)
	rome := rules(map[string]string{"a.md": "A.", "b.md": "B."})
	rome.Name, rome.Labels = "rome", map[string]string{"topic": "visa"}
	oslo := rules(map[string]string{"c.md": "C."})
	oslo.Name, oslo.Labels = "oslo", map[string]string{"topic": "visa"}
	l.create(rome, oslo)

	l.create(indexing("by-key", edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "rome", Keys: []string{"b.md"}}}))
	l.settle()
	l.wantHeld("visa", "rome/b.md")

	selector := edictv1.DocumentSource{ConfigMapSelector: &edictv1.ConfigMapSelector{MatchLabels: map[string]edictv1.LabelValue{"topic": "visa"}}}
	l.create(indexing("by-selector", selector))
	l.settle()
	l.wantHeld("visa", "oslo/c.md", "rome/a.md", "rome/b.md")

	if err := l.api.Delete(t.Context(), oslo); err != nil {
		t.Fatal(err)
	}
	l.create(indexing("by-selector-again", selector))
	l.settle()
	l.wantHeld("visa", "rome/a.md", "rome/b.md")
}

func TestASourceThatIsNotAsTheCommandSaysFailsByName(t *testing.T) {
	l := newLibrary(t)
	l.create(rules(map[string]string{"visa.md": "Ten days."}))
	nothing := edictv1.ConfigMapSelector{MatchLabels: map[string]edictv1.LabelValue{"topic": "none"}}
	wrong := edictv1.ConfigMapSelector{MatchLabels: map[string]edictv1.LabelValue{"not a label": "none"}}
	for name, test := range map[string]struct {
		source       edictv1.DocumentSource
		reason, says string
	}{
		"absent":   {edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "nowhere"}}, "SourceNotFound", `There is no ConfigMap "nowhere"`},
		"no-key":   {edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "rules", Keys: []string{"fees.md"}}}, "SourceNotFound", `has no key "fees.md"`},
		"changed":  {edictv1.DocumentSource{ConfigMap: &edictv1.ConfigMapDocuments{Name: "rules", Digest: "sha256:0"}}, "SourceChanged", "other data"},
		"selected": {edictv1.DocumentSource{ConfigMapSelector: &nothing}, "SourceEmpty", "no documents"},
		"wrong":    {edictv1.DocumentSource{ConfigMapSelector: &wrong}, "SourceInvalid", "configMapSelector"},
	} {
		t.Run(name, func(t *testing.T) {
			c := indexing(name, test.source)
			c.Spec.Retry.MaxAttempts = 1
			l.create(c)
			l.settle()
			wantCondition(t, l.wantPhase(name, edictv1.CommandFailed).Status.Conditions, edictv1.ConditionReady, metav1.ConditionFalse, test.reason, test.says)
		})
	}
	l.wantHeld("visa")
}
