// Package v1alpha1 holds the kinds of the API group edict.dev: Agent, Command and
// ContextView, their validation, and the names of their conditions and reasons.
//
// +kubebuilder:object:generate=true
// +groupName=edict.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "edict.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Agent{}, &AgentList{}, &Command{}, &CommandList{}, &ContextView{}, &ContextViewList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
