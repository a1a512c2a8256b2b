package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Observed is what the state keeps of an observation, by its name.
type Observed struct {
	Digest string // of what was recorded last; empty: nothing was
	Looked int64  // sequence at which the newest command that looked at it ended; 0: none has
}

// ObservationState is what a stream says of an observation to who decides whether another look is due.
type ObservationState struct {
	Observed
	Open bool // a command that looks at it has not ended
}

// Digest identifies what is observed: two looks at an object with the same digest
// say the same. It leaves out uid and resourceVersion, which change while nothing
// does that was asked for.
func (e ObjectObserved) Digest() string {
	e.Observation, e.UID, e.ResourceVersion = "", "", ""
	raw, err := marshal(e)
	if err != nil { // only an invalid json.RawMessage can do this; it equals nothing that was recorded
		raw = fmt.Appendf(nil, "%v", e)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Object names the observed object for people: "Deployment shop/web".
func (e ObjectObserved) Object() string {
	return ObjectReference{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}.String()
}

// String names the object for people: "Deployment shop/web".
func (o ObjectReference) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Seen returns the events of an attempt that read the object which its command
// names. What says the same as the newest observation of that name is not recorded.
//
// The events hold at whatever the stream's head has become: only commands of the
// observation's lane change what they follow from, and the lane is this command's.
func (s *State) Seen(c *Command, e ObjectObserved) []Event {
	var events []Event
	object, name := bound(e.Object(), 300), bound(e.Observation, 100)
	message := fmt.Sprintf("%s says what it said when it was last observed as %s; nothing was recorded.", object, name)
	switch {
	case s.Observations[e.Observation].Digest == e.Digest():
		if e.Missing {
			message = fmt.Sprintf("There is still no %s, which is observed as %s; nothing was recorded.", object, name)
		}
	case e.Missing:
		message = fmt.Sprintf("There is no %s, which is recorded as %s.", object, name)
		events = append(events, e)
	default:
		message = fmt.Sprintf("Observed %s as %s.", object, name)
		events = append(events, e)
	}
	return append(events, AttemptSucceeded{Attempt: c.Attempts, Result: message}, CommandSucceeded{Message: message})
}

// observe folds what was recorded of an observation.
func (s *State) observe(e ObjectObserved) {
	o := s.Observations[e.Observation]
	o.Digest = e.Digest()
	s.Observations[e.Observation] = o
}

// looked folds that a command which looks at an observation has ended, in whatever way.
func (s *State) looked(c *Command) {
	if c.Intent.Type != Observe {
		return
	}
	name := c.Intent.Observe().Name
	o := s.Observations[name]
	o.Looked = c.Sequence
	s.Observations[name] = o
}

// Observation returns what the stream says of the observation of that name.
func (s *State) Observation(name string) ObservationState {
	return ObservationState{Observed: s.Observations[name], Open: s.busy(laneOfObservation(name))}
}

// Secret reports whether the object is one whose fields are never read: what a Secret holds enters no journal.
func (o ObjectReference) Secret() bool {
	return o.Kind == "Secret" && !strings.Contains(o.APIVersion, "/")
}
