package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

func TestTheDefaultConfigurationIsAccepted(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(applied), "\n")
	for _, line := range lines {
		// A warning is how the API server says that a pod would violate the namespace's PodSecurity level.
		if !strings.HasSuffix(line, " created") {
			t.Errorf("kubectl apply says: %s", line)
		}
	}
	if objects := strings.Count("\n"+manifest, "\nkind: "); len(lines) != objects {
		t.Errorf("%d lines about %d objects:\n%s", len(lines), objects, applied)
	}
	again, err := api.KubectlStdin(t.Context(), manifest, "apply", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(again) {
		if !strings.HasSuffix(line, " unchanged\n") {
			t.Errorf("kubectl apply says the second time: %s", line)
		}
	}
}

func TestTheSamplesAreAccepted(t *testing.T) {
	for _, dir := range []string{"../../config/samples", "../../config/samples/commands"} {
		if _, err := api.Kubectl(t.Context(), "apply", "--validate=strict", "-k", dir); err != nil {
			t.Fatal(err)
		}
	}
	var commands edictv1.CommandList
	if err := admin.List(t.Context(), &commands, client.InNamespace("travel")); err != nil {
		t.Fatal(err)
	}
	if len(commands.Items) == 0 {
		t.Error("there are no commands among the samples")
	}
	for _, c := range commands.Items {
		var agent edictv1.Agent
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "travel", Name: c.Spec.AgentRef.Name}, &agent); err != nil {
			t.Errorf("Command %s: %v", c.Name, err)
		}
	}
	out, err := api.Kubectl(t.Context(), "apply", "-k", "../../config/samples/commands")
	if err != nil || strings.Count(out, " unchanged\n") != len(commands.Items) {
		t.Errorf("applied again: %s%v", out, err)
	}
}

// Some samples stand beside the story: they are applied by themselves.
func TestTheSamplesBesideTheStoryAreAccepted(t *testing.T) {
	const dir = "../../config/samples/commands/"
	if _, err := api.Kubectl(t.Context(), "apply", "-k", "../../config/samples"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	story, err := os.ReadFile(dir + "kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`(?m)^- (\S+)$`).FindAllStringSubmatch(string(story), -1)
	beside := slices.DeleteFunc(files, func(file string) bool {
		name := filepath.Base(file)
		return name == "kustomization.yaml" || slices.ContainsFunc(told, func(m []string) bool { return m[1] == name })
	})
	if len(beside) == 0 || len(told) == 0 {
		t.Fatalf("%d files are of the story, and %d are not", len(told), len(beside))
	}
	for _, file := range beside {
		if filepath.Base(file) == "resolve_booking.yaml" {
			continue // it has to name who applies it
		}
		if _, err := api.Kubectl(t.Context(), "apply", "--validate=strict", "--dry-run=server", "-f", file); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSamplesScriptIsValid(t *testing.T) {
	script, err := scriptedmodel.Load("../../config/samples/model.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scriptedmodel.New(scriptedmodel.Options{Script: script}); err != nil {
		t.Error(err)
	}
}

// may is a question to RBAC.
type may struct {
	verb, resource, namespace string // the resource as group/resource or group/resource/subresource
	allowed                   bool
}

// holds asks the API server each question about a user until the answer is right: its informers may be behind.
func (m may) holds(t *testing.T, user string) {
	t.Helper()
	parts := append(strings.SplitN(m.resource, "/", 3), "")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: m.verb, Group: parts[0], Resource: parts[1], Subresource: parts[2], Namespace: m.namespace}}}
	eventually(t, fmt.Sprintf("%s is %v for %s in %q", m.verb+" "+m.resource, m.allowed, user, m.namespace), func() error {
		asked := review.DeepCopy()
		if err := admin.Create(t.Context(), asked); err != nil {
			return err
		}
		if asked.Status.Allowed != m.allowed {
			return fmt.Errorf("allowed: %v %s", asked.Status.Allowed, asked.Status.Reason)
		}
		return nil
	})
}

func TestTheOperatorMayDoItsWorkAndNoMore(t *testing.T) {
	for _, m := range []may{
		{"list", "edict.dev/agents", "anywhere", true},
		{"update", "edict.dev/commands/status", "anywhere", true},
		{"create", "edict.dev/commands", "anywhere", true},
		{"resolve", "edict.dev/commands", "anywhere", false},
		{"create", "events.k8s.io/events", "anywhere", true},
		{"get", "/secrets", "anywhere", true},
		{"update", "coordination.k8s.io/leases", "edict-system", true},
		{"create", "authentication.k8s.io/tokenreviews", "", true},

		{"list", "/secrets", "anywhere", false},
		{"watch", "/secrets", "anywhere", false},
		{"update", "/secrets", "anywhere", false},
		{"update", "coordination.k8s.io/leases", "anywhere", false},
		{"delete", "edict.dev/agents", "anywhere", false},
		{"create", "edict.dev/agents", "anywhere", false},
		{"delete", "edict.dev/contextviews", "anywhere", false},
		{"get", "/pods", "anywhere", false},
		{"create", "rbac.authorization.k8s.io/rolebindings", "anywhere", false},
	} {
		m.holds(t, "system:serviceaccount:edict-system:edict-controller-manager")
	}
}

func TestViewersReadAndEditorsWriteAllButStatus(t *testing.T) {
	ns := namespace(t, "roles")
	for kind, resource := range map[string]string{"agent": "edict.dev/agents", "command": "edict.dev/commands", "contextview": "edict.dev/contextviews"} {
		viewer, editor := kind+"-viewer", kind+"-editor"
		bind(t, ns, viewer, "ClusterRole", "edict-"+viewer)
		bind(t, ns, editor, "ClusterRole", "edict-"+editor)
		for user, may := range map[string][]may{
			viewer: {{"get", resource, ns, true}, {"watch", resource, ns, true}, {"get", resource + "/status", ns, true},
				{"create", resource, ns, false}, {"delete", resource, ns, false}, {"patch", resource + "/status", ns, false}},
			editor: {{"list", resource, ns, true}, {"create", resource, ns, true}, {"patch", resource, ns, true}, {"delete", resource, ns, true},
				{"update", resource + "/status", ns, false}, {"patch", resource + "/status", ns, false}, {"get", "/secrets", ns, false}},
		} {
			for _, m := range may {
				m.holds(t, user)
			}
		}
		aggregates(t, "edict-"+viewer, "view")
		aggregates(t, "edict-"+editor, "edit", "admin")
	}
}

func TestEditorsOfCommandsMayNotSettleOutcomesAndResolversMay(t *testing.T) {
	ns := namespace(t, "resolvers")
	bind(t, ns, "clerk", "ClusterRole", "edict-command-editor")
	bind(t, ns, "judge", "ClusterRole", "edict-command-resolver")
	may{"create", "edict.dev/commands", ns, true}.holds(t, "clerk")
	may{"resolve", "edict.dev/commands", ns, false}.holds(t, "clerk")
	may{"resolve", "edict.dev/commands", ns, true}.holds(t, "judge")
	may{"create", "edict.dev/commands", ns, false}.holds(t, "judge")
	aggregates(t, "edict-command-resolver", "admin")
}

// aggregates checks of which of Kubernetes' own roles a role is a part.
func aggregates(t *testing.T, role string, into ...string) {
	t.Helper()
	var r rbacv1.ClusterRole
	if err := admin.Get(t.Context(), client.ObjectKey{Name: role}, &r); err != nil {
		t.Fatal(err)
	}
	found := 0
	for label := range r.Labels {
		if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
			found++
		}
	}
	for _, name := range into {
		if r.Labels["rbac.authorization.k8s.io/aggregate-to-"+name] != "true" || found != len(into) {
			t.Errorf("%s has the labels %v, and is to be a part of %v", role, r.Labels, into)
		}
	}
}

// bind gives a user of the role's own or another name a role in a namespace.
func bind(t *testing.T, ns, user, kind, role string) {
	t.Helper()
	create(t, toUnstructured(t, &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: user + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: user}},
	}))
}
