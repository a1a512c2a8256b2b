package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// MemoryID returns the id of what the command with that key saves.
func MemoryID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "mem-" + hex.EncodeToString(sum[:5])
}

// remember returns the whole effect of a saveMemory. Nothing is edited: what is
// remembered in the place of something else says so, and both stay in the journal.
func (s *State) remember(o Order) []Event {
	p := o.Intent.SaveMemory()
	id := MemoryID(o.Key)
	message := fmt.Sprintf("Remembered as %s (%s).", id, p.Kind)
	if p.Supersedes != "" {
		if _, ok := s.Memories[p.Supersedes]; !ok {
			return []Event{CommandFailed{Reason: "MemoryUnknown", Message: memoryUnknown(p.Supersedes) +
				" Correct spec.saveMemory.supersedes, or leave it out, and apply the command under another name."}}
		}
		message = fmt.Sprintf("Remembered as %s (%s), in the place of %s.", id, p.Kind, p.Supersedes)
	}
	return []Event{
		MemorySaved{ID: id, Kind: p.Kind, Content: p.Content, Importance: p.Importance, SaidBy: p.SaidBy,
			Supersedes: p.Supersedes, TTL: time.Duration(p.TTLSeconds) * time.Second},
		CommandSucceeded{Message: message},
	}
}

// forget returns the whole effect of a forgetMemory. One that has expired can be forgotten like any other.
func (s *State) forget(p ForgetMemoryPayload) []Event {
	if _, ok := s.Memories[p.ID]; !ok {
		return []Event{CommandFailed{Reason: "MemoryUnknown", Message: memoryUnknown(p.ID)}}
	}
	return []Event{MemoryForgotten(p), CommandSucceeded{Message: fmt.Sprintf("Forgot %s; it is in no context from here on.", p.ID)}}
}

func memoryUnknown(id string) string {
	return fmt.Sprintf("The agent remembers nothing under the id %q; the ids stand in the agent's contexts.", bound(id, 100))
}

// know folds what an event says of memories, documents and observed objects.
func (s *State) know(event Event) {
	switch e := event.(type) {
	case MemorySaved:
		if e.Supersedes != "" {
			delete(s.Memories, e.Supersedes)
		}
		s.Memories[e.ID] = struct{}{}
	case MemoryForgotten:
		delete(s.Memories, e.ID)
	case DocumentIndexed:
		s.shelve(e)
	case DocumentsRemoved:
		s.unshelve(e)
	case ObjectObserved:
		s.observe(e)
	case TextsEmbedded:
		s.embedded(e)
	}
}
