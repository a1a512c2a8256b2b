package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
)

// watching is a concierge that observes ConfigMaps of these names as the account reader.
func watching(names ...string) *edictv1.Agent {
	a := concierge()
	a.Spec.ServiceAccountName = "reader"
	for _, name := range names {
		a.Spec.Observations = append(a.Spec.Observations, edictv1.AgentObservation{
			Observation: edictv1.Observation{Name: name, Object: edictv1.ObservedObject{APIVersion: "v1", Kind: "ConfigMap", Name: name},
				Fields: []edictv1.ObservedField{{Name: "soup", JSONPath: "{.data.soup}"}}},
			Every: &metav1.Duration{Duration: 10 * time.Second},
		})
	}
	return a
}

// allowReader lets the account reader get all ConfigMaps, and waits until that is learned.
func (h *house) allowReader() {
	h.Helper()
	h.account("reader")
	h.kubectl("kubectl create role reader -n " + h.ns + " --verb=get --resource=configmaps")
	h.kubectl("kubectl create rolebinding reader -n " + h.ns + " --role=reader --serviceaccount=" + h.ns + ":reader")
	h.eventuallyRead(h.objectsOf(""), "reader", agent.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Name: "none"}, "")
}

// glance lets what is due be read.
func (h *house) glance() time.Duration {
	h.Helper()
	return h.must(h.observations.Reconcile(h.Context(), request(h.ns, "concierge"))).RequeueAfter
}

// later lets the time pass after which all is read again, and reads it.
func (h *house) later() {
	h.Helper()
	h.clock.pass(10 * time.Second)
	h.glance()
}

// looks returns the Commands that observe, by name.
func (h *house) looks() []edictv1.Command {
	h.Helper()
	var list edictv1.CommandList
	h.check(h.api.List(h.Context(), &list, client.InNamespace(h.ns)))
	return slices.DeleteFunc(list.Items, func(c edictv1.Command) bool { return c.Spec.Observe == nil })
}

func (h *house) serves(soup string) {
	h.Helper()
	cm := configMap("menu", nil)
	cm.Namespace = h.ns
	h.check(h.api.Patch(h.Context(), cm, client.RawPatch(types.MergePatchType, []byte(`{"data":{"soup":"`+soup+`"}}`))))
}

func TestAnObjectThatSaysSomethingNewIsObservedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.allowReader()
	h.create(configMap("menu", map[string]string{"soup": "leek", "wine": "red"}))
	h.hire(watching("menu"))
	for range 3 {
		h.glance()
		h.clock.pass(10 * time.Second)
	}
	all := h.looks()
	if len(all) != 1 {
		t.Fatalf("%d commands were issued", len(all))
	}
	c, owner := all[0], h.agent("concierge")
	if refs := c.OwnerReferences; len(refs) != 1 || refs[0].UID != owner.UID || c.Spec.AgentRef.Name != "concierge" || !strings.HasPrefix(c.Name, "menu-observed-") {
		t.Errorf("%s belongs to %+v", c.Name, refs)
	}
	if ttl := c.Spec.TTLSecondsAfterFinished; ttl == nil || *ttl != 600 {
		t.Errorf("it stays for %v", ttl)
	}
	h.settle()
	if got := h.command(c.Name); got.Status.Phase != edictv1.CommandSucceeded || got.Status.Type != "observe" {
		t.Fatalf("it is %s: %+v", got.Status.Phase, got.Status.Conditions)
	}

	h.later()
	cm := configMap("menu", nil)
	cm.Namespace = h.ns
	h.check(h.api.Patch(h.Context(), cm, client.RawPatch(types.MergePatchType, []byte(`{"data":{"wine":"white"}}`))))
	h.later()
	if n := len(h.looks()); n != 1 {
		t.Errorf("%d commands were issued for fields that nobody asked for", n)
	}
	// It changes, changes back, and changes again to what it said before.
	for i, soup := range []string{"pea", "leek", "pea"} {
		h.serves(soup)
		h.later()
		h.settle()
		if n := len(h.looks()); n != 2+i {
			t.Fatalf("%d commands after it changed to %s", n, soup)
		}
	}
	for _, c := range h.looks() {
		if c.Status.Phase != edictv1.CommandSucceeded {
			t.Errorf("%s is %s: %+v", c.Name, c.Status.Phase, c.Status.Conditions)
		}
	}
}

// A restart forgets what was read, and a cache may be behind: the name is the same again.
func TestALookIsNotIssuedTwiceAfterARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.allowReader()
	h.create(configMap("menu", map[string]string{"soup": "leek"}))
	h.hire(watching("menu"))
	h.glance()
	first := h.looks()
	if len(first) != 1 {
		t.Fatalf("%d commands were issued", len(first))
	}
	h.restart()
	h.disk.hide(first[0].Name, true)
	h.glance()
	h.disk.hide("", false)
	if n := len(h.looks()); n != 1 {
		t.Errorf("%d commands after a restart", n)
	}
	h.settle()
	h.restart()
	h.glance()
	if n := len(h.looks()); n != 1 {
		t.Errorf("%d commands after a restart in which nothing had changed", n)
	}
}

// What an object changed to and back from before its command read it is seen when it changes again.
func TestAChangeIsIssuedAgainIfTheLookMissedIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.allowReader()
	h.create(configMap("menu", map[string]string{"soup": "leek"}))
	h.hire(watching("menu"))
	h.glance()
	h.settle()
	h.serves("pea")
	h.later()
	h.serves("leek")
	h.settle()
	if n := len(h.looks()); n != 2 {
		t.Fatalf("%d commands were issued", n)
	}
	h.serves("pea")
	h.later()
	h.settle()
	if all := h.looks(); len(all) != 3 || !slices.ContainsFunc(all, func(c edictv1.Command) bool { return strings.Contains(explained(&c), "nothing was recorded") }) {
		t.Errorf("%d commands were issued", len(all))
	}
}

func explained(c *edictv1.Command) string {
	return fmt.Sprint(meta.FindStatusCondition(c.Status.Conditions, edictv1.ConditionReady))
}

func TestAnAgentSaysWhetherItsObjectsCanBeRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create(configMap("menu", map[string]string{"soup": "leek"}))
	h.hire(watching("menu", "wines"))
	observing := func() *metav1.Condition {
		h.must(h.lookAtAgent("concierge"))
		return meta.FindStatusCondition(h.agent("concierge").Status.Conditions, edictv1.ConditionObserving)
	}
	if c := observing(); c != nil {
		t.Errorf("before anything was read it says %+v", c)
	}
	rung := 0
	h.observations.Ring = func(types.NamespacedName) { rung++ }
	h.glance()
	c := observing()
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != execution.ReasonObjectForbidden || !strings.HasPrefix(c.Message, "menu: ") || !strings.Contains(c.Message, "2 of 2 observations") {
		t.Errorf("it says %+v", c)
	}
	if a := h.agent("concierge"); !meta.IsStatusConditionTrue(a.Status.Conditions, edictv1.ConditionReady) {
		t.Errorf("an agent that cannot observe does not decide: %+v", a.Status.Conditions)
	}
	h.later()
	if rung != 1 || len(h.looks()) != 0 {
		t.Errorf("it was rung %d times for the same, and %d commands were issued", rung, len(h.looks()))
	}
	h.allowReader()
	h.later()
	if c := observing(); c == nil || c.Status != metav1.ConditionTrue || c.Reason != edictv1.ReasonObserving || rung != 2 {
		t.Errorf("it says %+v, and was rung %d times", c, rung)
	}

	a := h.agent("concierge")
	a.Spec.Suspend = true
	h.check(h.api.Update(h.Context(), a))
	before := len(h.looks())
	h.serves("pea")
	if again := h.glance(); again != 0 || len(h.looks()) != before {
		t.Errorf("a suspended agent's objects are read again in %s", again)
	}
	if c := observing(); c == nil || c.Status != metav1.ConditionUnknown || c.Reason != edictv1.ReasonAgentSuspended {
		t.Errorf("it says %+v", c)
	}
	a = h.agent("concierge")
	a.Spec.Suspend, a.Spec.Observations = false, nil
	h.check(h.api.Update(h.Context(), a))
	h.glance()
	if c := observing(); c != nil {
		t.Errorf("an agent that observes nothing says %+v", c)
	}
}

func TestEachObjectIsReadAsOftenAsItIsDeclared(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.allowReader()
	a := watching("menu", "wines")
	a.Spec.Observations[1].Every = &metav1.Duration{Duration: time.Hour}
	h.hire(a)
	if next := h.glance(); next != 10*time.Second {
		t.Errorf("the next is read in %s", next)
	}
	h.settle()
	h.create(configMap("menu", nil), configMap("wines", nil))
	h.later()
	h.settle()
	if all := h.looks(); len(all) != 3 { // that both are missing, and that one of them is not any more
		t.Errorf("%d commands were issued", len(all))
	}
	h.clock.pass(time.Hour)
	h.glance()
	if all := h.looks(); len(all) != 4 {
		t.Errorf("%d commands were issued after an hour", len(all))
	}
}
