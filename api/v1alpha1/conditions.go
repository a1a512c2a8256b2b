package v1alpha1

// The condition types that kstatus and people read. They are the same for every kind.
const (
	// ConditionReady is True when the object does, or did, what its spec asks for. It is always present.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while the operator works towards Ready.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing moves until a person acts.
	ConditionStalled = "Stalled"
	// ConditionRefsResolved is False while something that the spec names does not exist. It resolves by itself when that appears.
	ConditionRefsResolved = "RefsResolved"
)

// The condition types of an Agent.
const (
	// ConditionJournalWritable is False while the journal cannot be written to: nothing is decided or executed then, and nothing is lost.
	ConditionJournalWritable = "JournalWritable"
	// ConditionEmbedding is present when the spec has embeddings: True when the newest request for vectors brought them, False while asks go on by words alone, Unknown before the first request.
	ConditionEmbedding = "Embedding"
	// ConditionObserving is present if spec.observations declares some: False while one of the objects cannot be read. What was recorded before is shown meanwhile.
	ConditionObserving = "Observing"
)

// The condition types of a Command: its end, and the stages that it passed.
const (
	// ConditionComplete is True when the command succeeded.
	ConditionComplete = "Complete"
	// ConditionFailed is True when the command ended without success: refused, failed, cancelled, or with an unknown outcome.
	ConditionFailed = "Failed"
	// ConditionAccepted is True when the command is in the journal; False when another payload holds its key.
	ConditionAccepted = "Accepted"
	// ConditionApproved is True when policy let the command pass, False when it refused.
	ConditionApproved = "Approved"
	// ConditionContextBuilt is True when the newest context was built for the ask.
	ConditionContextBuilt = "ContextBuilt"
	// ConditionDecided is True when the model's newest decision was recorded.
	ConditionDecided = "Decided"
	// ConditionExecuted is True when the effect happened, False when it did not, Unknown when nobody can tell.
	ConditionExecuted = "Executed"
	// ConditionDeduplicated is True when an earlier object brought the same command: this one ran nothing, and its status mirrors what came of that.
	ConditionDeduplicated = "Deduplicated"
)

// The condition types of a ContextView.
const (
	// ConditionCurrent is True when the view has seen all of its stream.
	ConditionCurrent = "Current"
	// ConditionDegraded is present, and True, while the view's stream cannot be read to its end: no context is built from it, and its agent does not decide.
	ConditionDegraded = "Degraded"
	// ConditionRebuilt is present once a rebuild was asked for: True when the newest is done, False when the stream could not be read, Unknown while it runs. What was there is read meanwhile.
	ConditionRebuilt = "Rebuilt"
)

// The reasons that the operator itself gives. A command that ended without success carries the
// reason that the journal recorded; docs/reference/reasons.md lists those too.
const (
	// ReasonReady: everything that the spec names is there and usable.
	ReasonReady = "Ready"
	// ReasonNotEmbedded: nothing has been embedded yet.
	ReasonNotEmbedded = "NotEmbedded"
	// ReasonResolved: everything that the spec names exists.
	ReasonResolved = "Resolved"
	// ReasonSucceeded: the command did what it was to do.
	ReasonSucceeded = "Succeeded"
	// ReasonRunning: the command is on its way.
	ReasonRunning = "Running"
	// ReasonWaitingForTurn: an earlier ask of the same conversation, change of the same collection, summary of the same, or look of the same name has not ended.
	ReasonWaitingForTurn = "WaitingForTurn"
	// ReasonWaitingForCommands: commands that the ask issued have not ended.
	ReasonWaitingForCommands = "WaitingForCommands"
	// ReasonRetrying: the last attempt failed, and another one follows.
	ReasonRetrying = "Retrying"
	// ReasonAgentNotFound: spec.agentRef names no Agent of this namespace.
	ReasonAgentNotFound = "AgentNotFound"
	// ReasonAgentSuspended: the agent's spec.suspend is set.
	ReasonAgentSuspended = "AgentSuspended"
	// ReasonAgentDeleting: the agent is being deleted.
	ReasonAgentDeleting = "AgentDeleting"
	// ReasonViewNotFound: a ContextView that the agent, or a block of another view, names does not exist.
	ReasonViewNotFound = "ViewNotFound"
	// ReasonViewCycle: blocks of ContextViews show each other's view.
	ReasonViewCycle = "ViewCycle"
	// ReasonViewOfOtherAgent: a ContextView that the agent names reads another agent's journal.
	ReasonViewOfOtherAgent = "ViewOfOtherAgent"
	// ReasonSecretNotFound: a Secret, or a key of it, that the agent names does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonIdempotencyKeyConflict: another payload ran under the command's idempotency key.
	ReasonIdempotencyKeyConflict = "IdempotencyKeyConflict"
	// ReasonCommandNotFound: the object of a command that is to run again is gone.
	ReasonCommandNotFound = "CommandNotFound"
	// ReasonUnsettled: nobody has settled the unknown outcome. No condition has it: they keep the reason with which it became unknown.
	ReasonUnsettled = "Unsettled"
	// ReasonRanBefore surfaces on Deduplicated when the command had been accepted from an earlier object, and has ended.
	ReasonRanBefore = "RanBefore"
	// ReasonTakenOver surfaces on Deduplicated when the command was accepted from an earlier object, and has not ended: it goes on, and nothing of it is repeated.
	ReasonTakenOver = "TakenOver"
	// ReasonNameTaken: an object with the issued command's name exists and wants something else.
	ReasonNameTaken = "NameTaken"
	// ReasonNotAdmitted: the API server did not admit an issued command.
	ReasonNotAdmitted = "NotAdmitted"
	// ReasonJournalUnavailable: the journal cannot be written to or read now.
	ReasonJournalUnavailable = "JournalUnavailable"
	// ReasonUnreadableEvent: the stream has an event that this version cannot read.
	ReasonUnreadableEvent = "UnreadableEvent"
	// ReasonUnexpected: an unexpected failure; it is tried again.
	ReasonUnexpected = "Unexpected"
	// ReasonMenuInvalid: an operation's parameters are not a JSON Schema that can be used.
	ReasonMenuInvalid = "MenuInvalid"
	// ReasonConfigMapTaken: the output ConfigMap exists and was not created for the view.
	ReasonConfigMapTaken = "ConfigMapTaken"
	// ReasonConfigMapTooSmall: the context is larger than the output ConfigMap can be.
	ReasonConfigMapTooSmall = "ConfigMapTooSmall"
	// ReasonCurrent: the view has seen all of its stream.
	ReasonCurrent = "Current"
	// ReasonBehind: the view has not seen all of its stream.
	ReasonBehind = "Behind"
	// ReasonRebuilding: the rows of the view's stream are being made anew, beside those that are read.
	ReasonRebuilding = "Rebuilding"
	// ReasonRowsUnchanged: the rows that were there are those that the journal gives.
	ReasonRowsUnchanged = "RowsUnchanged"
	// ReasonRowsReplaced: the rows that were there were not those that the journal gives, and were replaced.
	ReasonRowsReplaced = "RowsReplaced"
	// ReasonObserving: every object that spec.observations names was read.
	ReasonObserving = "Observing"
	// ReasonSequenceNotReached: the agent's journal does not hold the sequence that spec.freshness.minSequence asks for.
	ReasonSequenceNotReached = "SequenceNotReached"
)

// AgentFinalizer holds a deleted Agent until its stream is closed in the journal.
const AgentFinalizer = "edict.dev/journal"
