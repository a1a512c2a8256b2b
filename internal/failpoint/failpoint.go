// Package failpoint names the places where the fault campaign ends, stops or
// delays a process: beside every durable step. They exist in programs that are
// built with the tag faults; in every other, Hit is an empty function that the
// compiler leaves out.
//
// A place is named by what is about to become durable, or has just: see the
// constants. The names of appends end with the type of the batch's first event,
// as in "append:AttemptStarted" and "appended:AttemptStarted".
package failpoint

// The places. Those that end with a colon are followed by what they are about.
const (
	Append   = "append:"   // before a batch is appended; + the type of its first event
	Appended = "appended:" // after it is durable, before anything is done about it

	ModelAsked    = "model:asked"    // the request to the model is about to go out
	ModelAnswered = "model:answered" // its answer is here, and nothing is recorded
	EmbedAsked    = "embed:asked"    // a request for vectors is about to go out
	EmbedAnswered = "embed:answered" // the vectors are here, and nothing is recorded
	CallSent      = "call:sent"      // the effect's request is about to go out
	CallAnswered  = "call:answered"  // its answer is here, and nothing is recorded

	ChildCreated     = "child:created"     // the object of an issued command was created
	EventCreated     = "event:created"     // a Kubernetes Event was created
	StatusWritten    = "status:written"    // a command's status was written
	ShardClaimed     = "shard:claimed"     // a shard's epoch was taken, nothing of it is folded
	ProjectionCommit = "projection:commit" // a batch was projected, and is not committed
	Projected        = "projection:done"   // it is committed
)
