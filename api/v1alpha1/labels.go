package v1alpha1

// The labels and annotations that people and the operator put on ConfigMaps, Commands and ContextViews.
const (
	// CollectionLabel on a ConfigMap names the collection that its documents are in. The operator follows the ConfigMap:
	// when it changes, it issues the command that indexes it.
	CollectionLabel = "edict.dev/collection"
	// AgentLabel on such a ConfigMap names the agent, in the same namespace, that has the collection.
	AgentLabel = "edict.dev/agent"
	// ConfigMapAnnotation on a Command that the operator issued names the ConfigMap that it was issued for.
	ConfigMapAnnotation = "edict.dev/configmap"
	// RebuildAnnotation on a ContextView asks for a rebuild, as spec.rebuild does, which counts where both are set.
	RebuildAnnotation = "edict.dev/rebuild"
)
