package v1alpha1_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// userOf returns a client that acts as that user.
func userOf(t *testing.T, name string) client.Client {
	t.Helper()
	config := rest.CopyConfig(api.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func toUnstructured(t *testing.T, o client.Object) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: fields}
}

// authorOf returns a user who may edit Agents in the namespace, and get the Secrets of those names: all of them if one is "*".
func authorOf(t *testing.T, ns, name string, secrets ...string) client.Client {
	t.Helper()
	bind(t, ns, name, "ClusterRole", "edict-agent-editor")
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: secrets}
	if strings.Join(secrets, "") == "*" {
		rule.ResourceNames = nil
	}
	if len(secrets) > 0 {
		create(t, toUnstructured(t, &rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: []rbacv1.PolicyRule{rule}}))
		bind(t, ns, name, "Role", name)
	}
	may{"create", "edict.dev/agents", ns, true}.holds(t, name)
	return userOf(t, name)
}

// denied reports whether an Agent was refused because of a Secret, and not because its author may not create Agents.
func denied(err error) error {
	if err == nil {
		return errors.New("it was accepted")
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "edict-agent-secrets") {
		return err
	}
	return nil
}

const withKey = `{spec: {model: {apiKeySecretRef: {name: model-key, key: api-key}}}}`

// withVectors is an Agent whose embeddings have a key.
const withVectors = `{spec: {embeddings: {baseURL: "http://vectors.example.com/v1", model: m, apiKeySecretRef: {name: vector-key, key: api-key}}}}`

// withHeaders is an Agent whose operations send the value of a Secret each.
func withHeaders(url string, secrets ...string) string {
	ops := make([]string, len(secrets))
	for i, secret := range secrets {
		ops[i] = fmt.Sprintf(`{name: op-%d, type: CallAPI, callAPI: {method: GET, url: "%s", headersFrom: [{name: Authorization, secretKeyRef: {name: %s, key: token}}]}}`, i, url, secret)
	}
	return "{spec: {operations: [" + strings.Join(ops, ", ") + "]}}"
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("secret-%d", i)
	}
	return names
}

func TestTheAuthorOfAnAgentMustBeAllowedToGetItsSecrets(t *testing.T) {
	ns := namespace(t, "authors")
	stranger := authorOf(t, ns, "stranger")
	keeper := authorOf(t, ns, "keeper", "model-key")
	archivist := authorOf(t, ns, "archivist", append(numbered(9), "model-key")...)
	owner := authorOf(t, ns, "owner", "*")
	const elsewhere = "http://elsewhere.example.com"

	for _, c := range []struct {
		name    string
		author  client.Client
		patch   string
		refused string // the Secret that the refusal names; empty: it is accepted
	}{
		{"no Secret", stranger, "", ""},
		{"an operation without a Secret", stranger, call(elsewhere), ""},
		{"the model's key, which the author may not get", stranger, withKey, `"model-key"`},
		{"the model's key, which the author may get", keeper, withKey, ""},
		{"the embeddings' key, which the author may not get", keeper, withVectors, `"vector-key"`},
		{"the embeddings' key, which the author may get", owner, withVectors, ""},
		{"a header, which the author may not get", keeper, withHeaders(elsewhere, "model-key", "other"), `"other"`},
		{"a header, which the author may get", keeper, withHeaders(elsewhere, "model-key", "model-key"), ""},
		{"as many as can be asked about one by one", archivist, withHeaders(elsewhere, numbered(8)...), ""},
		{"the last of as many as can be asked about one by one", archivist, withHeaders(elsewhere, append(numbered(7), "other")...), `"other"`},
		{"more than can be asked about one by one", archivist, withHeaders(elsewhere, numbered(9)...), "more than 8 Secrets"},
		{"more, and the author may get all", owner, withHeaders(elsewhere, numbered(64)...), ""},
		{"a name with a line break in it", keeper, withHeaders(elsewhere, `"model-key\nother"`), `"other"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			agent := object(t, "Agent", c.patch)
			agent.SetNamespace(ns)
			// The API server may not know the policy or the role yet, so what it says is waited for.
			eventually(t, "the answer is right", func() error {
				err := c.author.Create(t.Context(), agent.DeepCopy(), client.DryRunAll)
				if c.refused == "" {
					return err
				}
				if wrong := denied(err); wrong != nil {
					return wrong
				}
				if !strings.Contains(err.Error(), c.refused) {
					return fmt.Errorf("the refusal does not name %s: %w", c.refused, err)
				}
				return nil
			})
		})
	}
	err := stranger.Create(t.Context(), inNamespace(object(t, "Agent", withKey), ns))
	says(t, err, `the Agent names the Secret "model-key", which its author must be allowed to get`, "name one that you may get")
}

func inNamespace(u *unstructured.Unstructured, ns string) *unstructured.Unstructured {
	u.SetNamespace(ns)
	return u
}

func TestWhoMayNotGetASecretMayNotSendItElsewhere(t *testing.T) {
	ns := namespace(t, "senders")
	clerk := authorOf(t, ns, "clerk")
	agent := object(t, "Agent", withHeaders("http://api.example.com", "travel-api"))
	agent.SetNamespace(ns)
	create(t, agent)
	for _, key := range []string{withKey, withVectors} {
		if err := mergeInto(t, admin, agent, key); err != nil {
			t.Fatal(err)
		}
	}
	moved := withHeaders("http://elsewhere.example.com", "travel-api")
	eventually(t, "the policy is in force", func() error {
		return denied(mergeInto(t, clerk, agent.DeepCopy(), moved, client.DryRunAll))
	})
	for _, c := range []struct{ name, change string }{
		{"the model's URL", "{spec: {model: {baseURL: 'http://elsewhere.example.com'}}}"},
		{"the embeddings' URL", "{spec: {embeddings: {baseURL: 'http://elsewhere.example.com'}}}"},
		{"an operation's URL", moved},
		{"the Secret", withHeaders("http://api.example.com", "other")},
		{"one more call", withHeaders("http://api.example.com", "travel-api", "travel-api")},
		{"another key of the Secret", "{spec: {model: {apiKeySecretRef: {key: other}}}}"},
	} {
		t.Run("not "+c.name, func(t *testing.T) {
			if err := denied(mergeInto(t, clerk, agent.DeepCopy(), c.change)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range []struct{ name, change string }{
		{"the instructions", "{spec: {instructions: Be brief.}}"},
		{"a label", "{metadata: {labels: {a: b}}}"},
		{"whether it is suspended", "{spec: {suspend: true}}"},
	} {
		t.Run("but "+c.name, func(t *testing.T) {
			if err := mergeInto(t, clerk, agent, c.change); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a schema's rules compare of free-form fields leaves out names that only one side has, if both have as many.
func TestAnArgumentOfACommandCannotBeRenamed(t *testing.T) {
	command := create(t, object(t, "Command", book))
	const renamed = "{spec: {callAPI: {arguments: {flight: null, flights: ED123}}}}"
	eventually(t, "the policy is in force", func() error {
		err := mergeInto(t, admin, command.DeepCopy(), renamed, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "edict-command-arguments") {
			return fmt.Errorf("got %w", err)
		}
		says(t, err, "spec.callAPI is immutable, its arguments included; apply a command with another name instead")
		return nil
	})
}
