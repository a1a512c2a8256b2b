package v1alpha1

// IndexDocumentsCommand reads documents, splits them, and records what is new or has changed in a collection of the
// agent: all of them, or none. The same content again records nothing.
type IndexDocumentsCommand struct {
	// Source of the documents.
	Source DocumentSource `json:"source"`

	// Collection that the documents are in from then on. A document of the same name takes the place of the one before it.
	// It is a value that a label can have.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$')",message="indexDocuments.collection must begin and end with a letter or digit and be of letters, digits and - _ ., for example visa-rules"
	Collection string `json:"collection"`

	// Chunking says how the documents are split.
	// +kubebuilder:default={maxTokens: 400, overlapTokens: 40}
	// +optional
	Chunking Chunking `json:"chunking,omitempty"`
}

// DocumentSource is where documents are read.
// +kubebuilder:validation:XValidation:rule="(has(self.inline)?1:0)+(has(self.configMap)?1:0)+(has(self.configMapSelector)?1:0)+(has(self.url)?1:0) == 1",message="indexDocuments.source must have exactly one of inline, configMap, configMapSelector and url"
type DocumentSource struct {
	// Inline documents, in the command itself. The whole command fits into an event of the journal, 256 KiB; put what is
	// larger into a ConfigMap, or behind a URL.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Inline []InlineDocument `json:"inline,omitempty"`

	// ConfigMap in the command's namespace. Each key is a document, by the name of the ConfigMap, a slash, and the key.
	// Without keys the collection follows it: what it holds no more is withdrawn.
	// +optional
	ConfigMap *ConfigMapDocuments `json:"configMap,omitempty"`

	// ConfigMapSelector chooses ConfigMaps in the command's namespace by their labels, each of which is read as configMap
	// would be. What was indexed by the same selector and is gone is withdrawn.
	// +optional
	ConfigMapSelector *ConfigMapSelector `json:"configMapSelector,omitempty"`

	// URL of one document, without credentials: it stays in the journal.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https?://[^/?#@]+([/?#].*)?$')",message="indexDocuments.source.url must be an http:// or https:// URL without a user name or password, for example https://docs.example.com/visa.md"
	// +optional
	URL string `json:"url,omitempty"`
}

// InlineDocument is a document in the command itself.
type InlineDocument struct {
	// Name of the document in its collection.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]')",message="indexDocuments.source.inline[].name must be one line without control characters"
	Name string `json:"name"`

	// Text of the document, Markdown or plain.
	// +kubebuilder:validation:MaxLength=131072
	Text string `json:"text"`
}

// ConfigMapDocuments are the documents of a ConfigMap.
type ConfigMapDocuments struct {
	// Name of the ConfigMap.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Keys to read; all, if there are none. With keys nothing is withdrawn.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	// +optional
	Keys []string `json:"keys,omitempty"`

	// Digest of the ConfigMap's data that is meant, as the operator writes it into the commands that it issues by itself.
	// If the ConfigMap has other data by the time that it is read, nothing is indexed. With it the documents belong to the
	// ConfigMap's label, and are withdrawn when it has none: leave it out in a command of your own.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Digest string `json:"digest,omitempty"`
}

// ConfigMapSelector chooses ConfigMaps by their labels, as a Kubernetes label selector does. All of it has to fit.
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="indexDocuments.source.configMapSelector must not be empty, or it would choose every ConfigMap of the namespace; name a label in matchLabels or matchExpressions"
type ConfigMapSelector struct {
	// MatchLabels are labels that a ConfigMap has.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// MatchExpressions are requirements of a ConfigMap's labels.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	MatchExpressions []LabelRequirement `json:"matchExpressions,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// LabelRequirement is what a label selector asks of one label.
// +kubebuilder:validation:XValidation:rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",message="matchExpressions[].values must be set if the operator is In or NotIn, and only then"
type LabelRequirement struct {
	// Key of the label.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key"`

	// Operator that relates the label to the values.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator string `json:"operator"`

	// Values of which the label has one with In, and none with NotIn.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Values []LabelValue `json:"values,omitempty"`
}

// Chunking says how documents are split: by headings, then paragraphs, then sentences, into chunks that are ranked and
// read each by itself.
// +kubebuilder:validation:XValidation:rule="self.overlapTokens * 2 <= self.maxTokens",message="indexDocuments.chunking.overlapTokens must be at most half of maxTokens, or most of a chunk would repeat the one before it; lower overlapTokens or raise maxTokens"
type Chunking struct {
	// MaxTokens of one chunk.
	// +kubebuilder:default=400
	// +kubebuilder:validation:Minimum=32
	// +kubebuilder:validation:Maximum=4000
	// +optional
	MaxTokens int32 `json:"maxTokens,omitempty"`

	// OverlapTokens that a chunk repeats of the one before it.
	// +kubebuilder:default=40
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2000
	// +optional
	OverlapTokens *int32 `json:"overlapTokens,omitempty"`
}

// RemoveDocumentsCommand withdraws documents: they are in no context from then on. The journal keeps that they were once
// known. It waits for the commands that index documents of the same collection and were accepted before it.
type RemoveDocumentsCommand struct {
	// Collection of the documents.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Collection string `json:"collection"`

	// Documents to withdraw, by name; all of the collection, if there are none.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	// +listType=set
	// +optional
	Documents []string `json:"documents,omitempty"`
}

// SummarizeCommand has a model write a summary, once. It is recorded, and views show it in the place of what it covers.
// +kubebuilder:validation:XValidation:rule="has(self.conversation) != has(self.collection)",message="spec.summarize must have exactly one of conversation and collection"
type SummarizeCommand struct {
	// Conversation to summarise.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Conversation string `json:"conversation,omitempty"`

	// Collection of documents to summarise.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Collection string `json:"collection,omitempty"`

	// UpTo is the last sequence of the agent's stream that the summary may cover. The default is all that there is when the
	// command is accepted; a later one means the same.
	// +kubebuilder:validation:Minimum=1
	// +optional
	UpTo int64 `json:"upTo,omitempty"`
}
