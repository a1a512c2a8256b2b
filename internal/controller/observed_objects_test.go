package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// objectsOf returns what reads objects in the name of others, with the rights of a token; without one, an administrator's.
func (h *house) objectsOf(token string) *Objects {
	h.Helper()
	config, api := apiServer(h.T)
	if token != "" {
		config = rest.AnonymousClientConfig(config)
		config.BearerToken = token
	}
	own, err := client.New(config, client.Options{Scheme: api.Scheme()})
	h.check(err)
	return &Objects{Config: config, Mapper: own.RESTMapper(), Client: own}
}

// eventuallyRead reads until the error has the reason, or there is none if that is empty: the authorizer learns of roles by a watch.
func (h *house) eventuallyRead(o *Objects, account string, ref agent.ObjectReference, reason string) (found execution.Object, refusal string) {
	h.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		found, err := o.Read(h.Context(), h.ns, account, ref)
		switch f := fault.Of(err); {
		case f == nil && reason == "":
			return found, ""
		case f != nil && f.Reason == reason:
			return found, f.Message
		}
		if time.Now().After(deadline) {
			h.Fatalf("want the reason %q, got %v", reason, err)
		}
	}
}

// kubectl runs a line of kubectl as an administrator.
func (h *house) kubectl(line string) {
	h.Helper()
	args := strings.Fields(line)
	if len(args) == 0 || args[0] != "kubectl" {
		h.Fatalf("%q is no line of kubectl", line)
	}
	_, err := shared.api.Kubectl(h.Context(), args[1:]...)
	h.check(err)
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: data}
	cm.Name = name
	return cm
}

func TestAnObjectIsReadWithTheRightsOfTheServiceAccountAndThoseAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.account("reader")
	h.create(configMap("menu", map[string]string{"soup": "leek"}), configMap("salaries", nil))
	o := h.objectsOf("")
	menu := agent.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Name: "menu"}

	_, refusal := h.eventuallyRead(o, "reader", menu, execution.ReasonObjectForbidden)
	for _, says := range []string{`service account "reader"`, "may not get", `configmaps "menu" in namespace "` + h.ns} {
		if !strings.Contains(refusal, says) {
			t.Errorf("it does not say %q: %s", says, refusal)
		}
	}
	_, remedy, _ := strings.Cut(refusal, "for example by: ")
	for line := range strings.SplitSeq(remedy, " && ") {
		h.kubectl(line)
	}
	found, _ := h.eventuallyRead(o, "reader", menu, "")
	if data, _ := found.Content["data"].(map[string]any); found.Namespace != h.ns || found.UID == "" || found.ResourceVersion == "" || data["soup"] != "leek" {
		t.Errorf("it reads %+v", found)
	}
	salaries := menu
	salaries.Name = "salaries"
	h.eventuallyRead(o, "reader", salaries, execution.ReasonObjectForbidden)
	elsewhere := menu
	elsewhere.Namespace = "default"
	h.eventuallyRead(o, "reader", elsewhere, execution.ReasonObjectForbidden)

	gone := configMap("menu", nil)
	gone.Namespace = h.ns
	h.check(h.api.Delete(h.Context(), gone))
	if missing, _ := h.eventuallyRead(o, "reader", menu, ""); missing.Content != nil || missing.Namespace != h.ns {
		t.Errorf("of what is not there it reads %+v", missing)
	}
}

func TestAnObjectOfNoNamespaceIsReadWithoutOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.account("reader")
	o := h.objectsOf("")
	space := agent.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: h.ns}
	_, refusal := h.eventuallyRead(o, "reader", space, execution.ReasonObjectForbidden)
	_, remedy, _ := strings.Cut(refusal, "for example by: ")
	for line := range strings.SplitSeq(remedy, " && ") {
		h.kubectl(line)
	}
	found, _ := h.eventuallyRead(o, "reader", space, "")
	if found.Namespace != "" || found.Content["kind"] != "Namespace" {
		t.Errorf("it reads %+v", found)
	}
	space.Namespace = h.ns
	h.eventuallyRead(o, "reader", space, execution.ReasonObjectInvalid)
}

func TestWhatIsNoObjectToObserveIsRefusedByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.objectsOf("")
	for reason, ref := range map[string]agent.ObjectReference{
		execution.ReasonKindUnknown:         {APIVersion: "example.com/v1", Kind: "Unheard", Name: "a"},
		execution.ReasonObjectInvalid:       {APIVersion: "a/b/c", Kind: "Pod", Name: "a"},
		execution.ReasonSecretNotObservable: {APIVersion: "v1", Kind: "Secret", Name: "a"},
	} {
		if _, err := o.Read(t.Context(), h.ns, "reader", ref); fault.Of(err) == nil || fault.Of(err).Reason != reason {
			t.Errorf("want %s, got %v", reason, err)
		}
	}
}

func TestAnOperatorThatMayNotActAsTheServiceAccountSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.account("reader")
	o := h.objectsOf(h.account("operator"))
	menu := agent.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Name: "menu"}
	_, refusal := h.eventuallyRead(o, "reader", menu, execution.ReasonImpersonationForbidden)
	for _, says := range []string{`service account "reader" of namespace "` + h.ns, "impersonate", "config/observe"} {
		if !strings.Contains(refusal, says) {
			t.Errorf("it does not say %q: %s", says, refusal)
		}
	}
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{"reader"}, Verbs: []string{"impersonate"}}}}
	role.Name = "impersonate-reader"
	binding := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "operator", Namespace: h.ns}}}
	binding.Name = role.Name
	h.create(role, binding)
	h.eventuallyRead(o, "reader", menu, execution.ReasonObjectForbidden) // it acts as the account, which may read nothing
	h.eventuallyRead(o, "other", menu, execution.ReasonImpersonationForbidden)
	// What the operator itself may read, it does not read for an account that may not.
	self := agent.ObjectReference{APIVersion: "v1", Kind: "ServiceAccount", Name: "reader"}
	h.eventuallyRead(o, "reader", self, execution.ReasonObjectForbidden)
}
