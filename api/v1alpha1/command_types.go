package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AskCommand puts a message to the agent, in a conversation.
type AskCommand struct {
	// Conversation that the message belongs to. Asks of one conversation run one at a time.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Conversation string `json:"conversation"`

	// Message to the agent.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32768
	Message string `json:"message"`

	// SaidBy is who says it, where several people talk to the agent in one conversation.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]')",message="spec.ask.saidBy must be one line without control characters"
	// +optional
	SaidBy string `json:"saidBy,omitempty"`
}

// SaveMemoryCommand lets the agent remember something.
type SaveMemoryCommand struct {
	// Kind of the memory, such as preference or fact. Views choose by it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// Content of the memory.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Content string `json:"content"`

	// Importance of the memory, from 1 to 10. Views prefer what matters more. The default counts as 5.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	// +optional
	Importance int32 `json:"importance,omitempty"`

	// SaidBy is who said it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:cntrl:]]')",message="spec.saveMemory.saidBy must be one line without control characters"
	// +optional
	SaidBy string `json:"saidBy,omitempty"`

	// Supersedes is the id of a memory in whose place this one is remembered; that one is in no context from then on.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Supersedes string `json:"supersedes,omitempty"`

	// TTL is how long the memory holds, from when it is recorded, in seconds or more: a part of a second counts as one. The
	// default is for good. Expiry is judged by the journal's own time, so that a context as of a sequence stays the same.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('87600h')",message="spec.saveMemory.ttl must be between 1s and 87600h; leave it out for a memory that holds for good"
	// +optional
	TTL *metav1.Duration `json:"ttl,omitempty"`
}

// ForgetMemoryCommand lets the agent forget something: it is in no context from then on.
// The journal keeps that it was once known.
type ForgetMemoryCommand struct {
	// ID of the memory, as contexts and results name it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
}

// CallAPICommand executes an operation of the agent's menu.
type CallAPICommand struct {
	// Operation of type CallAPI on the agent's menu.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Operation string `json:"operation"`

	// Arguments that fit the operation's parameters.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Arguments *apiextensionsv1.JSON `json:"arguments,omitempty"`
}

// ResolveOutcome is what a person says of an outcome that could not be known.
// +kubebuilder:validation:Enum=Succeeded;Failed;RunAgain
type ResolveOutcome string

// The outcomes that can be said.
const (
	// ResolveSucceeded: the effect happened.
	ResolveSucceeded ResolveOutcome = "Succeeded"
	// ResolveFailed: the effect did not happen, and is not to happen.
	ResolveFailed ResolveOutcome = "Failed"
	// ResolveRunAgain: the command runs once more, under the same idempotency key.
	ResolveRunAgain ResolveOutcome = "RunAgain"
)

// ResolveCommand settles a command of the same agent that ended as OutcomeUnknown, by what a person has found out.
// It takes the verb resolve on commands, which the ClusterRole edict-command-resolver grants.
type ResolveCommand struct {
	// Command is the name of the Command whose outcome is unknown. If several commands of that name have an unknown
	// outcome, it is the idempotency key of one, as its status has it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Command string `json:"command"`

	// Outcome of that command: Succeeded, Failed, or RunAgain, which lets it run once more under the same idempotency key.
	Outcome ResolveOutcome `json:"outcome"`

	// Reason says how you know, such as what the receiver has on record. It stays in the journal.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	// By is your own name as Kubernetes knows it; kubectl auth whoami prints it. It stays in the journal.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
}

// RetryPolicy bounds the attempts at one effect, and at one decision.
type RetryPolicy struct {
	// MaxAttempts is the number of attempts, the first one included.
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	// +optional
	MaxAttempts int32 `json:"maxAttempts,omitempty"`

	// Backoff before the second attempt. It doubles with each further one, up to a minute.
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('1m')",message="spec.retry.backoff must be between 10ms and 1m"
	// +optional
	Backoff *metav1.Duration `json:"backoff,omitempty"`
}

// CommandSpec is one explicit intent to change state. It is immutable but for cancel and ttlSecondsAfterFinished.
// +kubebuilder:validation:XValidation:rule="(has(self.ask)?1:0)+(has(self.saveMemory)?1:0)+(has(self.forgetMemory)?1:0)+(has(self.callAPI)?1:0)+(has(self.resolve)?1:0)+(has(self.indexDocuments)?1:0)+(has(self.removeDocuments)?1:0)+(has(self.summarize)?1:0)+(has(self.observe)?1:0) == 1",message="spec must have exactly one of ask, saveMemory, forgetMemory, callAPI, resolve, indexDocuments, removeDocuments, summarize and observe"
// +kubebuilder:validation:XValidation:rule="self.agentRef == oldSelf.agentRef",message="spec.agentRef is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.ask) == has(oldSelf.ask) && (!has(self.ask) || self.ask == oldSelf.ask)",message="spec.ask is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.saveMemory) == has(oldSelf.saveMemory) && (!has(self.saveMemory) || (self.saveMemory.kind == oldSelf.saveMemory.kind && self.saveMemory.content == oldSelf.saveMemory.content && has(self.saveMemory.importance) == has(oldSelf.saveMemory.importance) && (!has(self.saveMemory.importance) || self.saveMemory.importance == oldSelf.saveMemory.importance) && has(self.saveMemory.saidBy) == has(oldSelf.saveMemory.saidBy) && (!has(self.saveMemory.saidBy) || self.saveMemory.saidBy == oldSelf.saveMemory.saidBy) && has(self.saveMemory.supersedes) == has(oldSelf.saveMemory.supersedes) && (!has(self.saveMemory.supersedes) || self.saveMemory.supersedes == oldSelf.saveMemory.supersedes) && has(self.saveMemory.ttl) == has(oldSelf.saveMemory.ttl) && (!has(self.saveMemory.ttl) || duration(self.saveMemory.ttl) == duration(oldSelf.saveMemory.ttl))))",message="spec.saveMemory is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.forgetMemory) == has(oldSelf.forgetMemory) && (!has(self.forgetMemory) || self.forgetMemory == oldSelf.forgetMemory)",message="spec.forgetMemory is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.callAPI) == has(oldSelf.callAPI) && (!has(self.callAPI) || self.callAPI == oldSelf.callAPI)",message="spec.callAPI is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.resolve) == has(oldSelf.resolve) && (!has(self.resolve) || self.resolve == oldSelf.resolve)",message="spec.resolve is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.indexDocuments) == has(oldSelf.indexDocuments) && (!has(self.indexDocuments) || self.indexDocuments == oldSelf.indexDocuments)",message="spec.indexDocuments is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.removeDocuments) == has(oldSelf.removeDocuments) && (!has(self.removeDocuments) || self.removeDocuments == oldSelf.removeDocuments)",message="spec.removeDocuments is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.summarize) == has(oldSelf.summarize) && (!has(self.summarize) || self.summarize == oldSelf.summarize)",message="spec.summarize is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.observe) == has(oldSelf.observe) && (!has(self.observe) || self.observe == oldSelf.observe)",message="spec.observe is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.idempotencyKey) == has(oldSelf.idempotencyKey) && (!has(self.idempotencyKey) || self.idempotencyKey == oldSelf.idempotencyKey)",message="spec.idempotencyKey is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="has(self.timeout) == has(oldSelf.timeout) && (!has(self.timeout) || duration(self.timeout) == duration(oldSelf.timeout))",message="spec.timeout is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="self.retry.maxAttempts == oldSelf.retry.maxAttempts && duration(self.retry.backoff) == duration(oldSelf.retry.backoff)",message="spec.retry is immutable; apply a command with another name instead"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",message="spec.cancel cannot be taken back; apply a command with another name instead"
type CommandSpec struct {
	// AgentRef names the agent whose command this is.
	AgentRef AgentReference `json:"agentRef"`

	// Ask puts a message to the agent.
	// +optional
	Ask *AskCommand `json:"ask,omitempty"`

	// SaveMemory lets the agent remember something.
	// +optional
	SaveMemory *SaveMemoryCommand `json:"saveMemory,omitempty"`

	// ForgetMemory lets the agent forget something.
	// +optional
	ForgetMemory *ForgetMemoryCommand `json:"forgetMemory,omitempty"`

	// CallAPI executes an operation of the agent's menu.
	// +optional
	CallAPI *CallAPICommand `json:"callAPI,omitempty"`

	// Resolve settles a command that ended as OutcomeUnknown.
	// +optional
	Resolve *ResolveCommand `json:"resolve,omitempty"`

	// IndexDocuments reads documents into a collection of the agent.
	// +optional
	IndexDocuments *IndexDocumentsCommand `json:"indexDocuments,omitempty"`

	// RemoveDocuments withdraws documents from a collection of the agent.
	// +optional
	RemoveDocuments *RemoveDocumentsCommand `json:"removeDocuments,omitempty"`

	// Summarize has a model summarise a conversation, or a collection of documents.
	// +optional
	Summarize *SummarizeCommand `json:"summarize,omitempty"`

	// Observe reads fields of a Kubernetes object as the agent's service account, and records them if they have changed.
	// It takes the verb observe on the agent, which the ClusterRole edict-agent-observer grants.
	// +optional
	Observe *ObserveCommand `json:"observe,omitempty"`

	// IdempotencyKey under which the command runs at most once in the agent's stream. The default is
	// the command's name and a hash of what it wants, so that applying the same manifest again runs nothing twice.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._:/-]+$')",message="spec.idempotencyKey must be of letters, digits and . _ : / -"
	// +optional
	IdempotencyKey string `json:"idempotencyKey,omitempty"`

	// Timeout of the whole command, from when it was accepted. A call under way is let finish.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('168h')",message="spec.timeout must be between 100ms and 168h"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Retry bounds the attempts.
	// +kubebuilder:default={}
	// +optional
	Retry RetryPolicy `json:"retry,omitempty"`

	// Cancel stops the command before its next step. A call under way is let finish, and its outcome is recorded. It can be set at any time.
	// +optional
	Cancel bool `json:"cancel,omitempty"`

	// TTLSecondsAfterFinished deletes the object that long after the command ended; the journal keeps what happened.
	// Off by default: GitOps would create the object again (which runs nothing, as long as the journal is the same). It can be changed at any time.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// CommandPhase sums the conditions up in a word.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed;Cancelled;OutcomeUnknown
type CommandPhase string

// The phases.
const (
	// CommandPending: not accepted yet; the condition Ready says what it waits for.
	CommandPending CommandPhase = "Pending"
	// CommandRunning: accepted, and not ended.
	CommandRunning CommandPhase = "Running"
	// CommandSucceeded: the effect happened, the ask was answered.
	CommandSucceeded CommandPhase = "Succeeded"
	// CommandFailed: it did not happen, and will not by itself.
	CommandFailed CommandPhase = "Failed"
	// CommandCancelled: it was stopped.
	CommandCancelled CommandPhase = "Cancelled"
	// CommandOutcomeUnknown: whether the effect happened cannot be known, until a command of type resolve settles it.
	CommandOutcomeUnknown CommandPhase = "OutcomeUnknown"
)

// CommandStatus mirrors what the journal says of the command.
type CommandStatus struct {
	// ObservedGeneration is the generation that the conditions speak of; -1 until the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions of the command. Each stage that it passed has one, with the journal's time and sequence.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Phase sums the conditions up.
	// +optional
	Phase CommandPhase `json:"phase,omitempty"`

	// Type is the field of the spec that holds the intent: ask, saveMemory, forgetMemory, callAPI, resolve,
	// indexDocuments, removeDocuments, summarize or observe.
	// +optional
	Type string `json:"type,omitempty"`

	// Stream and IdempotencyKey say where the journal has the command's events.
	// +optional
	Stream string `json:"stream,omitempty"`
	// +optional
	IdempotencyKey string `json:"idempotencyKey,omitempty"`

	// Sequence is that of the newest event that this status mirrors.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`

	// Response is what an ask was answered, cut at 4,096 bytes; the journal has all of it.
	// +optional
	Response string `json:"response,omitempty"`

	// Issued are the names of the commands that an ask's decisions issued.
	// +kubebuilder:validation:MaxItems=128
	// +listType=atomic
	// +optional
	Issued []string `json:"issued,omitempty"`

	// Attempts is the number of attempts at the effect, or of requests to the model.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// Tokens is what the command's decisions cost, tokens in and out.
	// +optional
	Tokens int64 `json:"tokens,omitempty"`

	// FinishedAt is when the journal recorded the end.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// Command is one explicit, structured, immutable intent to change state: applied by a person, by GitOps,
// or issued by an agent's decision; executed once, by deterministic code.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cmd,categories=edict
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.spec.agentRef.name`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Tokens",type=integer,JSONPath=`.status.tokens`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Response",type=string,priority=1,JSONPath=`.status.response`
// +kubebuilder:selectablefield:JSONPath=`.spec.agentRef.name`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= (has(self.spec.ask) ? 200 : 220)",message="metadata.name of a Command must be at most 220 characters, and of an ask 200, so that the names of its Kubernetes Event and of the commands that it issues fit; choose a shorter name"
type Command struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CommandSpec `json:"spec"`
	// +kubebuilder:default={observedGeneration:-1}
	Status CommandStatus `json:"status,omitempty"`
}

// CommandList is a list of Commands.
//
// +kubebuilder:object:root=true
type CommandList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Command `json:"items"`
}
