package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DecisionMode is how the model is asked for a structured answer.
// +kubebuilder:validation:Enum=JSONSchema;Tools;JSONObject
type DecisionMode string

// The decision modes.
const (
	// DecisionModeJSONSchema asks with response_format json_schema, strict.
	DecisionModeJSONSchema DecisionMode = "JSONSchema"
	// DecisionModeTools asks for one forced function call.
	DecisionModeTools DecisionMode = "Tools"
	// DecisionModeJSONObject asks with response_format json_object, and puts the schema into the prompt.
	DecisionModeJSONObject DecisionMode = "JSONObject"
)

// OperationType is what executes an operation.
// +kubebuilder:validation:Enum=SaveMemory;ForgetMemory;CallAPI
type OperationType string

// The operation types.
const (
	OperationSaveMemory   OperationType = "SaveMemory"
	OperationForgetMemory OperationType = "ForgetMemory"
	OperationCallAPI      OperationType = "CallAPI"
)

// Effect says what a repeat of an operation would do.
// +kubebuilder:validation:Enum=Idempotent;NonIdempotent
type Effect string

// The effect classes that an operation may declare.
const (
	// EffectIdempotent may be repeated with the same Idempotency-Key.
	EffectIdempotent Effect = "Idempotent"
	// EffectNonIdempotent is never repeated by itself: an interrupted call ends as OutcomeUnknown.
	EffectNonIdempotent Effect = "NonIdempotent"
)

// ReclaimPolicy says what becomes of an agent's stream when the Agent is deleted.
// +kubebuilder:validation:Enum=Delete;Retain
type ReclaimPolicy string

// The reclaim policies.
const (
	// ReclaimDelete closes the stream: a new Agent of that name starts with an empty memory.
	ReclaimDelete ReclaimPolicy = "Delete"
	// ReclaimRetain leaves the stream open: a new Agent of that name goes on where this one ended.
	ReclaimRetain ReclaimPolicy = "Retain"
)

// Model says which language model decides, and how it is asked.
type Model struct {
	// BaseURL of an OpenAI-compatible server, up to and without /chat/completions.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="spec.model.baseURL must be an http:// or https:// URL without a user name, password or query, for example https://models.example.com/v1; put the key into a Secret and name it in spec.model.apiKeySecretRef"
	BaseURL string `json:"baseURL"`

	// Name of the model, as the server knows it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// APIKeySecretRef names the Secret that holds the server's API key. Without it no key is sent.
	// +optional
	APIKeySecretRef *SecretKeyReference `json:"apiKeySecretRef,omitempty"`

	// DecisionMode is how the model is asked for a structured answer. Not every server offers JSONSchema.
	// +kubebuilder:default=JSONSchema
	// +optional
	DecisionMode DecisionMode `json:"decisionMode,omitempty"`

	// Timeout of one request to the model.
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('30m')",message="spec.model.timeout must be between 100ms and 30m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Temperature of the model, from 0 to 2, as a decimal such as "0.2". Without it the server's own default holds.
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:XValidation:rule="self.matches('^([01]([.][0-9]{1,3})?|2([.]0{1,3})?)$')",message="spec.model.temperature must be a decimal from 0 to 2 in quotes, with at most three places, for example \"0.2\""
	// +optional
	Temperature *string `json:"temperature,omitempty"`

	// MaxOutputTokens bounds one answer. Without it the server's own limit holds.
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxOutputTokens *int32 `json:"maxOutputTokens,omitempty"`
}

// AgentEmbeddings says which model turns texts into vectors, by which they are compared by their meaning.
type AgentEmbeddings struct {
	// BaseURL of an OpenAI-compatible server, up to and without /embeddings.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="spec.embeddings.baseURL must be an http:// or https:// URL without a user name, password or query, for example https://models.example.com/v1; put the key into a Secret and name it in spec.embeddings.apiKeySecretRef"
	BaseURL string `json:"baseURL"`

	// Model that makes the vectors, as the server knows it. Vectors of different models are never compared: under another name
	// everything is embedded anew, little by little.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Model string `json:"model"`

	// Dimensions that the vectors are to have, of a model that lets them be chosen. Without it they have the model's own.
	// What one model was first asked for holds for good.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8192
	// +optional
	Dimensions *int32 `json:"dimensions,omitempty"`

	// APIKeySecretRef names the Secret that holds the server's API key. Without it no key is sent.
	// +optional
	APIKeySecretRef *SecretKeyReference `json:"apiKeySecretRef,omitempty"`

	// Timeout of one request, and of all that an ask waits for vectors.
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10m')",message="spec.embeddings.timeout must be between 100ms and 10m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// HeaderFrom is a request header whose value is read from a Secret when the request goes out.
type HeaderFrom struct {
	// Name of the header.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]+$')",message="headersFrom[].name must be of letters, digits and hyphens, for example Authorization"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['accept-encoding','connection','content-length','expect','host','idempotency-key','keep-alive','proxy-connection','te','trailer','transfer-encoding','upgrade'])",message="headersFrom[].name must not be Idempotency-Key, Host or another header of the connection itself; Edict sets these"
	Name string `json:"name"`

	// SecretKeyRef names the value.
	SecretKeyRef SecretKeyReference `json:"secretKeyRef"`
}

// CallAPIOperation is an HTTP request with places for arguments.
type CallAPIOperation struct {
	// Method of the request.
	// +kubebuilder:validation:Enum=GET;HEAD;POST;PUT;PATCH;DELETE
	Method string `json:"method"`

	// URL of the request. {name} in its path is replaced by that argument; the other arguments
	// become the query of a GET, HEAD or DELETE, and a JSON body otherwise.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self.replace('{', '').replace('}', '')) && self.matches('^https?://[^/?#@]+([/?#].*)?$')",message="callAPI.url must be an http:// or https:// URL without a user name or password, for example https://api.example.com/flights; put credentials into a Secret and name it in callAPI.headersFrom"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^:]*://[^/?#]*[{}]') && !self.matches('[?#].*[{}]')",message="callAPI.url may have {name} in its path only, not in its host or query; arguments that have no place in the path are sent by themselves"
	URL string `json:"url"`

	// HeadersFrom are headers whose values come from Secrets in the agent's namespace.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	HeadersFrom []HeaderFrom `json:"headersFrom,omitempty"`

	// Timeout of one attempt.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('30m')",message="callAPI.timeout must be between 100ms and 30m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Operation is an entry of the agent's menu.
// +kubebuilder:validation:XValidation:rule="(self.type == 'CallAPI') == has(self.callAPI)",message="operations[].callAPI must be set if operations[].type is CallAPI, and only then"
// +kubebuilder:validation:XValidation:rule="self.type == 'CallAPI' || !has(self.effect)",message="operations[].effect can be set for type CallAPI only; the effect of a memory operation is always Internal"
type Operation struct {
	// Name by which the model chooses the operation.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z][a-zA-Z0-9_-]*$')",message="operations[].name must begin with a letter and be of letters, digits, underscores and hyphens, for example search_flights"
	Name string `json:"name"`

	// Description tells the model what the operation does and when to choose it.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Description string `json:"description,omitempty"`

	// Type is what executes the operation.
	Type OperationType `json:"type"`

	// Effect says what a repeat would do. The default goes by the method: GET, HEAD, PUT and DELETE are
	// Idempotent, POST and PATCH are NonIdempotent. Declare a POST Idempotent if its receiver honours Idempotency-Key.
	// +optional
	Effect Effect `json:"effect,omitempty"`

	// Parameters is a JSON Schema of the arguments, of type object. The memory operations have one of their own.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Parameters *apiextensionsv1.JSON `json:"parameters,omitempty"`

	// CallAPI is the request of an operation of type CallAPI.
	// +optional
	CallAPI *CallAPIOperation `json:"callAPI,omitempty"`
}

// AgentLimits bound what one ask may do.
type AgentLimits struct {
	// MaxSteps is the number of decisions that one ask may take.
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxSteps int32 `json:"maxSteps,omitempty"`

	// MaxCommands is the number of commands that one decision may issue.
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	// +optional
	MaxCommands int32 `json:"maxCommands,omitempty"`
}

// AgentFreshness bounds what a context may be missing of the agent's stream.
type AgentFreshness struct {
	// MinSequence is a sequence of the agent's stream that every context has seen.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinSequence int64 `json:"minSequence,omitempty"`

	// MaxLag is the most events of the agent's stream that a context may be missing; 0: it has seen all that the journal
	// holds when it is asked for.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MaxLag *int64 `json:"maxLag,omitempty"`
}

// AgentSummaries says when a summary of a conversation is issued by itself, as a Command of type summarize.
// Counted are the turns that no summary covers and that keepTurns does not leave outside.
// +kubebuilder:validation:XValidation:rule="has(self.afterTurns) || has(self.afterTokens)",message="spec.summaries must say when a summary is issued: set afterTurns, afterTokens, or both"
type AgentSummaries struct {
	// AfterTurns issues a summary when there are more turns than this.
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=10000
	// +optional
	AfterTurns *int32 `json:"afterTurns,omitempty"`

	// AfterTokens issues a summary when the turns hold more tokens than this, at four bytes a token.
	// +kubebuilder:validation:Minimum=500
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	AfterTokens *int32 `json:"afterTokens,omitempty"`

	// KeepTurns is the number of newest turns that a summary leaves outside; a question stays with its answer.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	KeepTurns *int32 `json:"keepTurns,omitempty"`
}

// AgentSpec declares who decides: a model, its instructions, and the menu that it may choose from.
// +kubebuilder:validation:XValidation:rule="!has(self.observations) || size(self.observations) == 0 || has(self.serviceAccountName)",message="spec.observations need spec.serviceAccountName: the service account as which the objects are read"
type AgentSpec struct {
	// Instructions are the author's words to the model.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32768
	Instructions string `json:"instructions"`

	// Model that decides.
	Model Model `json:"model"`

	// Embeddings says which model turns questions and what is remembered into vectors, so that what is meant is found where the
	// words differ. Without it the words decide.
	// +optional
	Embeddings *AgentEmbeddings `json:"embeddings,omitempty"`

	// ContextViews are what the agent knows before it decides, in this order.
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	// +optional
	ContextViews []ContextViewReference `json:"contextViews,omitempty"`

	// Freshness is how fresh the contexts are that the agent decides with. An ask waits until they are. Without it a context
	// has seen at least all that happened to the ask and to the commands that it issued.
	// +optional
	Freshness *AgentFreshness `json:"freshness,omitempty"`

	// Operations are what the agent may decide to do. For it, nothing else exists.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Operations []Operation `json:"operations,omitempty"`

	// Summaries says when a summary of a conversation is issued by itself. Without it none is.
	// +optional
	Summaries *AgentSummaries `json:"summaries,omitempty"`

	// ServiceAccountName is the ServiceAccount in the agent's namespace as which objects are read that are observed. The
	// operator has to be allowed to act as it: config/observe shows how. Whoever names it has to be allowed that, too.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="spec.serviceAccountName must be the name of a ServiceAccount in the agent's namespace"
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Observations are fields of Kubernetes objects that are recorded when they change. Without any nothing is read.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	Observations []AgentObservation `json:"observations,omitempty"`

	// Limits bound what one ask may do.
	// +kubebuilder:default={}
	// +optional
	Limits AgentLimits `json:"limits,omitempty"`

	// Suspend stops the agent from starting anything: new commands wait, and an ask under way rests before its next step.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// ReclaimPolicy says what a new Agent of this name inherits after this one was deleted: nothing (Delete), or everything (Retain).
	// +kubebuilder:default=Delete
	// +optional
	ReclaimPolicy ReclaimPolicy `json:"reclaimPolicy,omitempty"`
}

// AgentStatus mirrors what the journal says of the agent.
type AgentStatus struct {
	// ObservedGeneration is the generation that the conditions speak of; -1 until the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions of the agent.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Stream is the name of the agent's stream in the journal.
	// +optional
	Stream string `json:"stream,omitempty"`

	// Sequence is the stream's newest sequence when the status was written.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`

	// OpenCommands is the number of commands that have not ended.
	// +optional
	OpenCommands int32 `json:"openCommands"`

	// TokensToday is what decisions, summaries and embeddings cost since midnight UTC, tokens in and out.
	// +optional
	TokensToday int64 `json:"tokensToday"`

	// LastDecisionTime is when the newest decision was recorded.
	// +optional
	LastDecisionTime *metav1.Time `json:"lastDecisionTime,omitempty"`
}

// Agent is who decides: a model, instructions, the menu of operations it may choose from, and limits.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=agt,categories=edict
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model.name`
// +kubebuilder:printcolumn:name="Open",type=integer,JSONPath=`.status.openCommands`
// +kubebuilder:printcolumn:name="Tokens Today",type=integer,JSONPath=`.status.tokensToday`
// +kubebuilder:printcolumn:name="Last Decision",type=date,JSONPath=`.status.lastDecisionTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name of an Agent must be at most 63 characters; choose a shorter name"
type Agent struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AgentSpec `json:"spec"`
	// +kubebuilder:default={observedGeneration:-1}
	Status AgentStatus `json:"status,omitempty"`
}

// AgentList is a list of Agents.
//
// +kubebuilder:object:root=true
type AgentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Agent `json:"items"`
}
