package v1alpha1_test

import (
	"context"
	"fmt"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const watches = `{apiVersion: apps/v1, kind: Deployment, name: web}`

func observes(object string, fields ...string) string {
	list := ""
	for i, f := range fields {
		list += fmt.Sprintf("{name: f%d, %s}, ", i, f)
	}
	if fields == nil {
		list = `{name: ready, jsonPath: "{.status.readyReplicas}"}`
	}
	return fmt.Sprintf("name: web, object: %s, fields: [%s]", object, list)
}

func observeCommand(observation string) string {
	return "{spec: {ask: null, observe: {" + observation + "}}}"
}

func observingAgent(account, observations string) string {
	return fmt.Sprintf("{spec: {serviceAccountName: %s, observations: [%s]}}", account, observations)
}

func TestWhatCanBeObserved(t *testing.T) {
	for _, c := range []struct {
		name, kind, patch string
		refused           []string // what the refusal says; nil: it is accepted
	}{
		{"a field by JSONPath and one by CEL", "Command", observeCommand(observes(watches, `jsonPath: "{.a}"`, "cel: self.b")), nil},
		{"an object of a namespace", "Command", observeCommand(observes(`{apiVersion: v1, kind: ConfigMap, namespace: other, name: "a:b"}`)), nil},
		{"a kind called Secret of another group", "Command", observeCommand(observes(`{apiVersion: example.com/v1, kind: Secret, name: a}`)), nil},
		{"a Secret", "Command", observeCommand(observes(`{apiVersion: v1, kind: Secret, name: a}`)), []string{"spec.observe.object", "a Secret cannot be observed"}},
		{"no fields", "Command", observeCommand(observes(watches, []string{}...)), []string{"spec.observe.fields"}},
		{"a field of neither", "Command", observeCommand(observes(watches, "cel: null")), []string{"spec.observe.fields[0]", "exactly one of jsonPath and cel"}},
		{"a field of both", "Command", observeCommand(observes(watches, `jsonPath: "{.a}", cel: self.a`)), []string{"exactly one of jsonPath and cel"}},
		{"a path without braces", "Command", observeCommand(observes(watches, `jsonPath: .a`)), []string{"spec.observe.fields[0].jsonPath", "one expression in braces"}},
		{"a path in a name", "Command", observeCommand(observes(`{apiVersion: v1, kind: Pod, name: ../secrets/a}`)), []string{"spec.observe.object.name", "without slashes"}},
		{"no version", "Command", observeCommand(observes(`{apiVersion: apps, kind: Pod, name: a}`)), []string{"spec.observe.object.apiVersion", "apps/v1"}},
		{"a resource in the place of a kind", "Command", observeCommand(observes(`{apiVersion: v1, kind: pods, name: a}`)), []string{"spec.observe.object.kind", "name of a kind"}},
		{"what an agent declares", "Agent", observingAgent("reader", "{"+observes(watches)+", every: 10s}"), nil},
		{"too often", "Agent", observingAgent("reader", "{"+observes(watches)+", every: 9s}"), []string{"spec.observations[0].every", "between 10s and 24h"}},
		{"as nobody", "Agent", observingAgent("null", "{"+observes(watches)+"}"), []string{"spec.observations need spec.serviceAccountName"}},
		{"as somebody elsewhere", "Agent", observingAgent("other/reader", ""), []string{"spec.serviceAccountName", "name of a ServiceAccount"}},
		{"one name twice", "Agent", observingAgent("reader", "{"+observes(watches)+"}, {"+observes(watches)+"}"), []string{"Duplicate value"}},
		{"a block that shows it", "ContextView", "{spec: {blocks: [{name: cluster, observations: {names: [web]}}]}}", nil},
		{"a block with a ranking", "ContextView", "{spec: {blocks: [{name: cluster, ranking: Relevance, observations: {}}]}}", []string{"blocks[].ranking"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := admin.Create(t.Context(), object(t, c.kind, c.patch), client.DryRunAll)
			if wrong := refusedWith(err, c.refused); wrong != nil {
				t.Error(wrong)
			}
		})
	}
}

func TestWhatIsObservedCannotBeChanged(t *testing.T) {
	command := create(t, object(t, "Command", observeCommand(observes(watches))))
	err := mergeInto(t, admin, command.DeepCopy(), "{spec: {observe: {object: {name: other}}}}")
	says(t, err, "spec.observe is immutable; apply a command with another name instead")
}

// allowed gives a user a role of their own in the namespace.
func allowed(t *testing.T, ns, user string, rule rbacv1.PolicyRule) {
	t.Helper()
	create(t, toUnstructured(t, &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: user}, Rules: []rbacv1.PolicyRule{rule}}))
	bind(t, ns, user, "Role", user)
}

func TestWhoHasAnAgentObserveMustBeAllowedToActAsItsServiceAccount(t *testing.T) {
	ns := namespace(t, "watchers")
	bind(t, ns, "gardener", "ClusterRole", "edict-agent-editor")
	bind(t, ns, "watchman", "ClusterRole", "edict-agent-editor")
	allowed(t, ns, "watchman", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{"reader"}, Verbs: []string{"impersonate"}})
	refusal := []string{"edict-agent-service-account", `service account "reader", which its author must be allowed to impersonate`}
	for _, c := range []struct {
		name, user, patch string
		refused           []string
	}{
		{"an agent that observes nothing", "gardener", "", nil},
		{"as an account that the author may not act as", "gardener", observingAgent("reader", "{"+observes(watches)+"}"), refusal},
		{"an account alone, for commands", "gardener", observingAgent("reader", ""), refusal},
		{"as an account that the author may act as", "watchman", observingAgent("reader", "{"+observes(watches)+"}"), nil},
		{"as another one", "watchman", observingAgent("admin", ""), []string{`service account "admin"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, agent := userOf(t, c.user), inNamespace(object(t, "Agent", c.patch), ns)
			eventually(t, "the answer is right", func() error {
				return refusedWith(u.Create(t.Context(), agent.DeepCopy(), client.DryRunAll), c.refused)
			})
		})
	}
	agent := create(t, inNamespace(object(t, "Agent", observingAgent("reader", "{"+observes(watches)+"}")), ns))
	other := "{spec: {observations: [{" + observes(`{apiVersion: v1, kind: ConfigMap, name: salaries}`) + "}]}}"
	if err := refusedWith(mergeInto(t, userOf(t, "gardener"), agent.DeepCopy(), other), refusal); err != nil {
		t.Error("another object:", err)
	}
	if err := mergeInto(t, userOf(t, "gardener"), agent.DeepCopy(), "{spec: {instructions: Be brief.}}"); err != nil {
		t.Error("the instructions:", err)
	}
}

func TestWhoObservesMustBeAllowedToOnTheAgent(t *testing.T) {
	ns := namespace(t, "observers")
	bind(t, ns, "clerk", "ClusterRole", "edict-command-editor")
	bind(t, ns, "observer", "ClusterRole", "edict-command-editor")
	bind(t, ns, "observer", "ClusterRole", "edict-agent-observer")
	aggregates(t, "edict-agent-observer", "edit", "admin")
	const operator = "system:serviceaccount:edict-system:edict-controller-manager"
	for user, refused := range map[string][]string{
		"clerk":    {"edict-command-observe", `"clerk" is not allowed the verb observe on the agent "concierge"`, "edict-agent-observer"},
		"observer": nil,
		operator:   nil,
	} {
		t.Run(user, func(t *testing.T) {
			u, command := userOf(t, user), inNamespace(object(t, "Command", observeCommand(observes(watches))), ns)
			eventually(t, "the answer is right", func() error {
				return refusedWith(u.Create(t.Context(), command.DeepCopy(), client.DryRunAll), refused)
			})
		})
	}
}

// The default installation lets the operator act as nobody; config/observe lets it act as one account.
func TestTheOperatorMayActAsTheServiceAccountThatItIsGivenAndNoOther(t *testing.T) {
	const operator = "system:serviceaccount:edict-system:edict-controller-manager"
	named := func(user string, ok bool, what authorizationv1.ResourceAttributes) {
		t.Helper()
		what.Namespace = "travel"
		eventually(t, fmt.Sprintf("%s is %v for %s", what.String(), ok, user), func() error {
			asked := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &what}}
			if err := admin.Create(t.Context(), asked); err != nil || asked.Status.Allowed != ok {
				return fmt.Errorf("allowed: %v %w", asked.Status.Allowed, err)
			}
			return nil
		})
	}
	impersonate := func(account string, ok bool) {
		t.Helper()
		named(operator, ok, authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "serviceaccounts", Name: account})
	}
	read := func(deployment string, ok bool) {
		t.Helper()
		named("system:serviceaccount:travel:concierge", ok, authorizationv1.ResourceAttributes{Verb: "get", Group: "apps", Resource: "deployments", Name: deployment})
	}
	impersonate("concierge", false)
	if _, err := api.Kubectl(t.Context(), "apply", "-k", "../../config/samples"); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Kubectl(t.Context(), "apply", "--validate=strict", "-k", "../../config/observe"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := api.Kubectl(context.Background(), "delete", "-k", "../../config/observe"); err != nil {
			t.Error(err)
		}
	})
	impersonate("concierge", true)
	impersonate("default", false)
	read("travel-api", true)
	read("other", false)
	named(operator, false, authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "users", Name: "admin"})
}
