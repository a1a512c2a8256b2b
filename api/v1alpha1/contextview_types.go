package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InstructionsBlock shows the beginning of the agent's instructions, as many paragraphs as the block holds.
type InstructionsBlock struct {
	// Headings of the instructions, in Markdown, to show what stands under, in the order of the text. Case does not matter.
	// Without any, all of the instructions. One that is not there shows nothing, and the condition RefsResolved says so.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=200
	// +listType=set
	// +optional
	Headings []string `json:"headings,omitempty"`
}

// MemoriesBlock shows what the agent remembers: what is best for the question first, without one the newest.
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

	// Summary shows the newest summary that takes no more than half of the block, in the place of the turns that it covers.
	// +optional
	Summary bool `json:"summary,omitempty"`
}

// DocumentsBlock shows passages of documents that answer the question, best first, each with what stands beside it.
type DocumentsBlock struct {
	// Collections to search. Without any, all.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Collections []string `json:"collections,omitempty"`

	// Limit is the most passages to find; what stands beside them is not counted.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`

	// Summary shows before the passages the newest summary of each collection that fits, in no more than half of the block:
	// of the collections named, or else of those that the passages are of. A summary of which something has been removed or
	// indexed anew since is not shown.
	// +optional
	Summary bool `json:"summary,omitempty"`
}

// TurnsBlock shows earlier turns of the conversation that was asked in that answer the question, each with the other
// side's, oldest first. Turns that a conversation block shows are not shown twice.
type TurnsBlock struct {
	// Limit is the most turns to find; their neighbours are not counted.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`
}

// ResultsBlock shows what commands came to: those of the conversation that was asked in, and those of no conversation.
type ResultsBlock struct {
	// Limit is the most results to show; the newest are kept.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`

	// Latest shows, of calls of one operation with the same arguments, what the newest came to alone.
	// +optional
	Latest bool `json:"latest,omitempty"`
}

// PendingBlock shows commands that have not ended, other than asks: those of the conversation that was asked in, and those
// of no conversation.
type PendingBlock struct {
	// Limit is the most commands to show; the newest are kept.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	// +optional
	Limit int32 `json:"limit,omitempty"`
}

// ObservationsBlock shows what Kubernetes objects said when they were last observed: the newest of each observation.
type ObservationsBlock struct {
	// Names of observations to show, in this order. Without any, all, by name.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Names []string `json:"names,omitempty"`
}

// ViewBlock shows the blocks of another ContextView of the same agent, in the same namespace. They share what the block
// weighs, and take no more than that view's own budget.
type ViewBlock struct {
	// Name of the ContextView.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Ranking says which items of a block come first when there are more than fit.
// +kubebuilder:validation:Enum=Newest;Relevance;Recency;Blended;Lexical;Semantic
type Ranking string

// Rendering is how a block is written.
// +kubebuilder:validation:Enum=Markdown;XML;JSON;Template
type Rendering string

// Block is a part of a context.
// +kubebuilder:validation:XValidation:rule="(has(self.instructions)?1:0)+(has(self.memories)?1:0)+(has(self.conversation)?1:0)+(has(self.documents)?1:0)+(has(self.turns)?1:0)+(has(self.results)?1:0)+(has(self.pending)?1:0)+(has(self.observations)?1:0)+(has(self.view)?1:0) == 1",message="blocks[] must have exactly one of instructions, memories, conversation, documents, turns, results, pending, observations and view"
// +kubebuilder:validation:XValidation:rule="!has(self.maxTokens) || !has(self.minTokens) || self.minTokens <= self.maxTokens",message="blocks[].maxTokens must not be less than blocks[].minTokens; raise the one or lower the other"
// +kubebuilder:validation:XValidation:rule="has(self.template) == (has(self.rendering) && self.rendering == 'Template')",message="blocks[].template must be set if blocks[].rendering is Template, and only then"
// +kubebuilder:validation:XValidation:rule="!has(self.ranking) || self.ranking == 'Newest' || has(self.memories) || has(self.documents) || has(self.turns)",message="blocks[].ranking other than Newest is for memories, documents and turns; leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.view) || (!has(self.ranking) && !has(self.rendering))",message="a block with a view is shown as that view's own blocks say; set blocks[].ranking and blocks[].rendering there"
type Block struct {
	// Name of the block, its heading in the context.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="blocks[].name must be of lower-case letters, digits and hyphens, and begin and end with a letter or digit, for example recent-results"
	Name string `json:"name"`

	// Weight of the block's items beside those of other blocks: of items of one length, blocks take tokens by weight.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Weight int32 `json:"weight,omitempty"`

	// MinTokens that the block gets before weights count, if it has so much to show.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MinTokens int32 `json:"minTokens,omitempty"`

	// MaxTokens that the block takes. Without it, as much as the budget holds.
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxTokens int32 `json:"maxTokens,omitempty"`

	// Ranking says which items come first when there are more than fit: Newest, Relevance (to the question; without one,
	// Recency), Recency (with importance) or Blended (both). Relevance is by words and, where the agent declares embeddings,
	// by meaning, fused; Lexical is by words alone, and Semantic by meaning alone (by words, where the question was not
	// embedded). Without it, memories are Blended if there is a question, documents and turns ranked by Relevance, and all
	// else Newest.
	// +optional
	Ranking Ranking `json:"ranking,omitempty"`

	// Rendering is how the block is written: Markdown, XML, JSON, or by a Template. Without it, Markdown.
	// +optional
	Rendering Rendering `json:"rendering,omitempty"`

	// Template in Go's text/template, for rendering Template: {{range .items}}* {{.text}}{{end}}. It may loop over .items
	// once in a row, choose with if, and, or, not, eq and ne, and write fields as they are, or with json or xml.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="!self.matches('[{][{]-?[ \\t\\r\\n]*(define|template|block|with)[ \\t\\r\\n]')",message="blocks[].template must not use define, template, block or with; write the text once, in {{range .items}}"
	// +optional
	Template string `json:"template,omitempty"`

	// Instructions shows the agent's instructions, or what stands under some of their headings.
	// +optional
	Instructions *InstructionsBlock `json:"instructions,omitempty"`

	// Memories shows what the agent remembers.
	// +optional
	Memories *MemoriesBlock `json:"memories,omitempty"`

	// Conversation shows the turns of the conversation that was asked in.
	// +optional
	Conversation *ConversationBlock `json:"conversation,omitempty"`

	// Documents shows passages of documents that answer the question.
	// +optional
	Documents *DocumentsBlock `json:"documents,omitempty"`

	// Turns shows earlier turns of the conversation that answer the question.
	// +optional
	Turns *TurnsBlock `json:"turns,omitempty"`

	// Results shows what commands came to.
	// +optional
	Results *ResultsBlock `json:"results,omitempty"`

	// Pending shows commands that have not ended.
	// +optional
	Pending *PendingBlock `json:"pending,omitempty"`

	// Observations shows what was observed of Kubernetes objects.
	// +optional
	Observations *ObservationsBlock `json:"observations,omitempty"`

	// View shows another view of the same agent.
	// +optional
	View *ViewBlock `json:"view,omitempty"`
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

	// Budget bounds the context. Blocks take part by weight, minimum and maximum; what is cut is said in the text.
	// +kubebuilder:default={tokens:4000}
	// +optional
	Budget Budget `json:"budget,omitempty"`

	// Output is where the context is kept for others to read.
	// +optional
	Output *ContextOutput `json:"output,omitempty"`

	// Rebuild is any text. Another one than before has what is projected of the agent's stream made anew from the journal,
	// compared with what is there, and put in its place if it differs. The annotation edict.dev/rebuild does the same where
	// this is not set.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Rebuild string `json:"rebuild,omitempty"`
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

// RebuildState says how far a rebuild is.
// +kubebuilder:validation:Enum=Running;Done;Failed
type RebuildState string

// The states of a rebuild.
const (
	RebuildRunning RebuildState = "Running" // it goes on until it is done, also after a restart
	RebuildDone    RebuildState = "Done"
	RebuildFailed  RebuildState = "Failed" // the stream cannot be read; what was there is there
)

// RebuildStatus says what the newest rebuild came to.
type RebuildStatus struct {
	// Token that asked for it.
	Token string `json:"token"`

	// State of it.
	State RebuildState `json:"state"`

	// Sequence of the last event that the rows told of when they were compared.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`

	// Digest of the rows that were made from the journal.
	// +optional
	Digest string `json:"digest,omitempty"`

	// PreviousDigest is of the rows that were there.
	// +optional
	PreviousDigest string `json:"previousDigest,omitempty"`

	// Changed says that the two differed, and the new rows took the place of the old.
	// +optional
	Changed bool `json:"changed,omitempty"`

	// CompletionTime is when the end of it was written here.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
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

	// LagSeconds is how long ago the first of these events was recorded.
	// +optional
	LagSeconds int64 `json:"lagSeconds"`

	// Tokens that the context takes, of the budget: "1871/4000".
	// +optional
	Tokens string `json:"tokens,omitempty"`

	// Digest of the context.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Rebuild says what the newest rebuild came to.
	// +optional
	Rebuild *RebuildStatus `json:"rebuild,omitempty"`

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
// +kubebuilder:validation:XValidation:rule="self.spec.blocks.all(b, !has(b.view) || b.view.name != self.metadata.name)",message="spec.blocks[].view.name must be another view: a view cannot show itself"
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
