package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Observation is what is read of a Kubernetes object, and the name that it is recorded under.
type Observation struct {
	// Name of the observation. Views show the newest that was recorded under it.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="the name of an observation must be of lower-case letters, digits and hyphens, and begin and end with a letter or digit, for example web-rollout"
	Name string `json:"name"`

	// Object that is read.
	Object ObservedObject `json:"object"`

	// Fields of the object to record. Each is at most 4 KiB of JSON, and all together are at most 16 KiB.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Fields []ObservedField `json:"fields"`
}

// ObservedObject names a Kubernetes object.
// +kubebuilder:validation:XValidation:rule="self.kind != 'Secret' || self.apiVersion.contains('/')",message="a Secret cannot be observed: what it holds would stay in the journal; observe an object that says what people may know"
type ObservedObject struct {
	// APIVersion of the object, such as v1 or apps/v1.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[0-9][a-z0-9]*$')",message="object.apiVersion must be a version, or a group and a version, for example v1 or apps/v1"
	APIVersion string `json:"apiVersion"`

	// Kind of the object, such as Deployment.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Za-z0-9]*$')",message="object.kind must be the name of a kind, for example Deployment"
	Kind string `json:"kind"`

	// Namespace of the object. The default is the agent's own; a kind that has no namespaces has none.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="object.namespace must be the name of a namespace; leave it out for the agent's own"
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[/%]|[[:cntrl:]]') && self != '.' && self != '..'",message="object.name must be the name of an object, without slashes and percent signs"
	Name string `json:"name"`
}

// ObservedField is a value of the object. What the object does not have is recorded as null.
// +kubebuilder:validation:XValidation:rule="has(self.jsonPath) != has(self.cel)",message="fields[] must have exactly one of jsonPath and cel"
type ObservedField struct {
	// Name of the field in the observation.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9_.-]*$')",message="fields[].name must begin with a letter and be of letters, digits and _ . -, for example readyReplicas"
	Name string `json:"name"`

	// JSONPath of the value as kubectl writes it, in braces: {.status.readyReplicas}. One that may find several values, by
	// a filter, a range or a union, gives a list. Wildcards and .. are not taken, because what they find has no order.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('{') && self.endsWith('}')",message="fields[].jsonPath must be one expression in braces, for example {.status.readyReplicas}"
	// +optional
	JSONPath string `json:"jsonPath,omitempty"`

	// CEL gives the value, from the object in the variable self: self.status.readyReplicas == self.spec.replicas.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CEL string `json:"cel,omitempty"`
}

// ObserveCommand reads an object once, as the service account that the agent names, and records the fields if they differ
// from what was last recorded under the name.
type ObserveCommand struct {
	Observation `json:",inline"`
}

// AgentObservation is an observation that is kept up to date: the object is read again and again, and when its fields
// differ from what is recorded, a Command of type observe is issued.
type AgentObservation struct {
	Observation `json:",inline"`

	// Every is how often the object is read.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="spec.observations[].every must be between 10s and 24h"
	// +optional
	Every *metav1.Duration `json:"every,omitempty"`
}
