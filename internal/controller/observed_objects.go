package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/edict-dev/edict/internal/agent"
	"github.com/edict-dev/edict/internal/execution"
	"github.com/edict-dev/edict/internal/fault"
)

// refusedFor is when an object is read again that may not be read: RBAC says so until somebody changes it.
const refusedFor = 5 * time.Second

// Objects reads Kubernetes objects as service accounts, past every cache: what RBAC
// lets an account see is all that the operator sees in its name.
type Objects struct {
	Config *rest.Config    // the operator's own
	Mapper meta.RESTMapper // from kinds to resources
	Client client.Client   // the operator's own, to ask what it may do
}

// Read returns the object as the service account of that name in the namespace sees it.
func (o *Objects) Read(ctx context.Context, namespace, serviceAccount string, ref agent.ObjectReference) (execution.Object, error) {
	at, err := o.locate(namespace, ref)
	if err != nil {
		return execution.Object{}, err
	}
	as, err := o.as(namespace, serviceAccount)
	if err != nil {
		return execution.Object{}, err
	}
	var reader dynamic.ResourceInterface = as.Resource(at.resource)
	if at.namespace != "" {
		reader = as.Resource(at.resource).Namespace(at.namespace)
	}
	found, err := reader.Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return execution.Object{Namespace: at.namespace}, nil
	case apierrors.IsForbidden(err):
		return execution.Object{}, o.refused(ctx, namespace, serviceAccount, at)
	case err != nil:
		return execution.Object{}, err
	}
	return execution.Object{Namespace: at.namespace, UID: string(found.GetUID()), ResourceVersion: found.GetResourceVersion(), Content: found.Object}, nil
}

// location is where the API server has an object.
type location struct {
	resource  schema.GroupVersionResource
	namespace string // empty if the kind has none
	name      string
}

// locate finds the resource of a kind.
func (o *Objects) locate(namespace string, ref agent.ObjectReference) (location, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return location{}, fault.NewInvalid(execution.ReasonObjectInvalid, "object.apiVersion is no version, or group and version; correct it, for example to apps/v1.")
	}
	mapping, err := o.Mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, gv.Version)
	switch {
	case meta.IsNoMatchError(err):
		return location{}, fault.NewWait(refusedFor, execution.ReasonKindUnknown,
			"The API server knows no kind %s of %s; correct the object's kind and apiVersion, or install what defines it.", ref.Kind, ref.APIVersion)
	case err != nil:
		return location{}, err
	case mapping.Resource.GroupResource() == schema.GroupResource{Resource: "secrets"}:
		return location{}, execution.SecretNotObservable()
	}
	at := location{resource: mapping.Resource, name: ref.Name}
	switch namespaced := mapping.Scope.Name() == meta.RESTScopeNameNamespace; {
	case namespaced && ref.Namespace == "":
		at.namespace = namespace
	case namespaced:
		at.namespace = ref.Namespace
	case ref.Namespace != "":
		return location{}, fault.NewInvalid(execution.ReasonObjectInvalid, "A %s is in no namespace; leave object.namespace out.", ref.Kind)
	}
	return at, nil
}

// as returns a client that acts as a service account. The connections are those of
// all such clients.
func (o *Objects) as(namespace, serviceAccount string) (dynamic.Interface, error) {
	config := rest.CopyConfig(o.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: accountName(namespace, serviceAccount)}
	return dynamic.NewForConfig(config)
}

// accountName is a service account's name as a user.
func accountName(namespace, serviceAccount string) string {
	return "system:serviceaccount:" + namespace + ":" + serviceAccount
}

// refused says whether the operator may not act as the account, or the account may not read the object.
func (o *Objects) refused(ctx context.Context, namespace, serviceAccount string, at location) error {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "serviceaccounts", Namespace: namespace, Name: serviceAccount}}}
	if err := o.Client.Create(ctx, review); err != nil {
		return fmt.Errorf("ask whether the operator may act as %s/%s: %w", namespace, serviceAccount, err)
	}
	if !review.Status.Allowed {
		return fault.NewWait(refusedFor, execution.ReasonImpersonationForbidden,
			"The operator may not act as the service account %q of namespace %q. Grant it the verb impersonate on that service account, as config/observe does.", serviceAccount, namespace)
	}
	return fault.NewWait(refusedFor, execution.ReasonObjectForbidden, "The service account %q of namespace %q may not get %s. Allow it, for example by: %s",
		serviceAccount, namespace, at, at.grant(namespace, serviceAccount))
}

func (l location) String() string {
	if l.namespace == "" {
		return fmt.Sprintf("%s %q", l.resource.GroupResource(), l.name)
	}
	return fmt.Sprintf("%s %q in namespace %q", l.resource.GroupResource(), l.name, l.namespace)
}

// grant returns the commands that allow an account to read the object.
func (l location) grant(namespace, serviceAccount string) string {
	kind, in := "clusterrole", ""
	if l.namespace != "" {
		kind, in = "role", " -n "+l.namespace
	}
	// A colon or the like may be in the name of an object, and not in that of a role.
	role := "observe-" + strings.Trim(cut(slug(l.resource.Resource+"-"+l.name), 40), "-…")
	return fmt.Sprintf("kubectl create %s %s%s --verb=get --resource=%s --resource-name=%s && kubectl create %sbinding %s%s --%s=%s --serviceaccount=%s:%s",
		kind, role, in, l.resource.GroupResource(), l.name, kind, role, in, kind, role, namespace, serviceAccount)
}
