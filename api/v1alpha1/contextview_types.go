package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemoriesBlock shows what the agent remembers, newest first.
type MemoriesBlock struct {
	// Kinds of memories to show. Without any, all kinds.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Kinds []string `json:"kinds,omitempty"`

	// Limit is the most memories to show.
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`
}

// ConversationBlock shows the turns of the conversation that was asked in, oldest first.
type ConversationBlock struct {
	// Turns is the most messages to show; the newest are kept.
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Turns int32 `json:"turns,omitempty"`
}

// ResultsBlock shows what commands came to: those of the conversation that was asked in, and those of no conversation.
type ResultsBlock struct {
	// Limit is the most results to show; the newest are kept.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`
}

// Block is a part of a context.
// +kubebuilder:validation:XValidation:rule="(has(self.memories)?1:0)+(has(self.conversation)?1:0)+(has(self.results)?1:0) == 1",message="blocks[] must have exactly one of memories, conversation and results"
type Block struct {
	// Name of the block, its heading in the context.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="blocks[].name must be of lower-case letters, digits and hyphens, and begin and end with a letter or digit, for example recent-results"
	Name string `json:"name"`

	// Weight of the block's share of the budget, beside the other blocks' weights.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Weight int32 `json:"weight,omitempty"`

	// MinTokens that the block gets before weights share the rest.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MinTokens int32 `json:"minTokens,omitempty"`

	// Memories shows what the agent remembers.
	// +optional
	Memories *MemoriesBlock `json:"memories,omitempty"`

	// Conversation shows the turns of the conversation that was asked in.
	// +optional
	Conversation *ConversationBlock `json:"conversation,omitempty"`

	// Results shows what commands came to.
	// +optional
	Results *ResultsBlock `json:"results,omitempty"`
}

// Budget bounds a context.
type Budget struct {
	// Tokens of the whole context, counted with the o200k_base vocabulary: an estimate for other models.
	// +kubebuilder:default=4000
	// +kubebuilder:validation:Minimum=64
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Tokens int32 `json:"tokens,omitempty"`
}

// ConfigMapOutput names a ConfigMap.
type ConfigMapOutput struct {
	// Name of the ConfigMap. Edict creates it, and refuses one that it did not create.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="spec.output.configMap.name must be the name of a ConfigMap: lower-case letters, digits, hyphens and dots, for example concierge-context"
	Name string `json:"name"`
}

// ContextOutput is where a context is kept for others to read.
type ContextOutput struct {
	// ConfigMap that holds the context of a question without a conversation, for any pod to mount.
	// +optional
	ConfigMap *ConfigMapOutput `json:"configMap,omitempty"`
}

// ContextViewSpec declares a read model: blocks, a token budget, a rendering.
// +kubebuilder:validation:XValidation:rule="self.blocks.map(b, has(b.minTokens) ? b.minTokens : 0).sum() <= self.budget.tokens",message="the blocks' minTokens add up to more than spec.budget.tokens; lower one or raise the budget"
type ContextViewSpec struct {
	// AgentRef names the agent whose journal the view reads.
	AgentRef AgentReference `json:"agentRef"`

	// Blocks of the context, in this order.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Blocks []Block `json:"blocks"`

	// Budget bounds the context. Blocks take part by weight and minimum; what is cut is said in the text.
	// +kubebuilder:default={tokens:4000}
	// +optional
	Budget Budget `json:"budget,omitempty"`

	// Output is where the context is kept for others to read.
	// +optional
	Output *ContextOutput `json:"output,omitempty"`
}

// BlockStatus says what a block takes of the context.
type BlockStatus struct {
	// Name of the block.
	Name string `json:"name"`
	// Tokens that it takes.
	Tokens int32 `json:"tokens"`
	// Items that it shows.
	Items int32 `json:"items"`
	// Cut is the number of items that the budget left out.
	// +optional
	Cut int32 `json:"cut,omitempty"`
}

// ContextViewStatus says what the view holds, for a question without a conversation.
type ContextViewStatus struct {
	// ObservedGeneration is the generation that the conditions speak of; -1 until the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions of the view.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Stream is the name of the stream that the view reads.
	// +optional
	Stream string `json:"stream,omitempty"`

	// Sequence that the view has seen.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`

	// Lag is the number of events in the stream that the view had not seen when the status was written.
	// +optional
	Lag int64 `json:"lag"`

	// Tokens that the context takes, of the budget: "1871/4000".
	// +optional
	Tokens string `json:"tokens,omitempty"`

	// Digest of the context.
	// +optional
	Digest string `json:"digest,omitempty"`

	// BlockCount is the number of blocks.
	// +optional
	BlockCount int32 `json:"blockCount,omitempty"`

	// Blocks say what each block takes.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Blocks []BlockStatus `json:"blocks,omitempty"`
}

// ContextView is a declared read model: prompt-ready context, rebuilt from the journal.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cv,categories=edict
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.conditions[?(@.type=="Current")].status`
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.spec.agentRef.name`
// +kubebuilder:printcolumn:name="Tokens",type=string,JSONPath=`.status.tokens`
// +kubebuilder:printcolumn:name="Lag",type=integer,JSONPath=`.status.lag`
// +kubebuilder:printcolumn:name="Blocks",type=integer,JSONPath=`.status.blockCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:selectablefield:JSONPath=`.spec.agentRef.name`
type ContextView struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ContextViewSpec `json:"spec"`
	// +kubebuilder:default={observedGeneration:-1}
	Status ContextViewStatus `json:"status,omitempty"`
}

// ContextViewList is a list of ContextViews.
//
// +kubebuilder:object:root=true
type ContextViewList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ContextView `json:"items"`
}
