package v1alpha1_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// whoami returns the administrator's name as Kubernetes knows it.
func whoami(t *testing.T) string {
	t.Helper()
	review := &authenticationv1.SelfSubjectReview{}
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo.Username
}

// resolveBy is a resolve command that says it is of that person.
func resolveBy(name string) string {
	return fmt.Sprintf(`{spec: {ask: null, resolve: {command: book-42, outcome: Failed, reason: nothing is on record, by: %q}}}`, name)
}

func TestWhoSettlesAnOutcomeMustBeAllowedToAndSayTheirName(t *testing.T) {
	ns := namespace(t, "settled")
	for user, roles := range map[string][]string{
		"editor":   {"edict-command-editor"},
		"resolver": {"edict-command-editor", "edict-command-resolver"},
	} {
		for _, role := range roles {
			bind(t, ns, user, "ClusterRole", role)
		}
	}
	for _, c := range []struct {
		name, user, patch string
		refused           []string // what the refusal says; nil: it is accepted
	}{
		{"who may edit commands only", "editor", resolveBy("editor"),
			[]string{"edict-command-resolve", `"editor" is not allowed the verb resolve`, "bind the ClusterRole edict-command-resolver"}},
		{"who may not, in the name of one who may", "editor", resolveBy("resolver"), []string{"edict-command-resolve", "is not allowed the verb resolve"}},
		{"who may, in another's name", "resolver", resolveBy("editor"), []string{"edict-command-resolve", `spec.resolve.by must be your own name as Kubernetes knows it, "resolver"`}},
		{"who may", "resolver", resolveBy("resolver"), nil},
		{"a command of another type", "editor", book, nil},
		{"a question", "editor", "", nil},
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

// refusedWith returns an error unless the request was refused with these words, or accepted if there are none.
func refusedWith(err error, words []string) error {
	if len(words) == 0 {
		return err
	}
	if err == nil {
		return errors.New("it was accepted")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			return fmt.Errorf("the refusal does not say %q: %w", word, err)
		}
	}
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return err
	}
	return nil
}

// The operator writes status, and others label: who did not settle an outcome may do that.
func TestOthersMayLabelACommandThatSettles(t *testing.T) {
	ns := namespace(t, "labelled")
	bind(t, ns, "labeller", "ClusterRole", "edict-command-editor")
	command := create(t, inNamespace(object(t, "Command", resolveBy(whoami(t))), ns))
	eventually(t, "the role is known", func() error {
		return mergeInto(t, userOf(t, "labeller"), command.DeepCopy(), "{metadata: {labels: {a: b}}}")
	})
}

func TestTheSampleThatSettlesIsAcceptedFromWhoItNames(t *testing.T) {
	manifest, err := os.ReadFile("../../config/samples/commands/resolve_booking.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sample := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(manifest, &sample.Object); err != nil {
		t.Fatal(err)
	}
	if by, _, _ := unstructured.NestedString(sample.Object, "spec", "resolve", "by"); by != "kubernetes-admin" {
		t.Errorf("the sample is of %q", by)
	}
	if err := unstructured.SetNestedField(sample.Object, whoami(t), "spec", "resolve", "by"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), inNamespace(sample, "default"), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
		t.Error(err)
	}
}
