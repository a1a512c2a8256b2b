package agent

import (
	"testing"
	"time"
)

func TestWhatSavingAMemoryCauses(t *testing.T) {
	const old, gone = "mem-old", "mem-gone"
	for _, tc := range []struct {
		name string
		when SaveMemoryPayload
		then Event
		says string
		left []string // of the memories there were
	}{
		{"a plain one", SaveMemoryPayload{Kind: "fact", Content: "it rains"}, MemorySaved{Kind: "fact", Content: "it rains"},
			"Remembered as mem-9f86d08188 (fact).", []string{old}},
		{"all that can be said of one", SaveMemoryPayload{Kind: "fact", Content: "it rains", Importance: 7, SaidBy: "Ada", TTLSeconds: 3600},
			MemorySaved{Kind: "fact", Content: "it rains", Importance: 7, SaidBy: "Ada", TTL: time.Hour}, "Remembered as mem-9f86d08188 (fact).", []string{old}},
		{"one in the place of another", SaveMemoryPayload{Kind: "fact", Content: "the sun shines", Supersedes: old},
			MemorySaved{Kind: "fact", Content: "the sun shines", Supersedes: old}, "Remembered as mem-9f86d08188 (fact), in the place of mem-old.", nil},
		{"one in the place of what was never known", SaveMemoryPayload{Kind: "fact", Content: "x", Supersedes: "mem-x"}, nil,
			`MemoryUnknown: The agent remembers nothing under the id "mem-x"; the ids stand in the agent's contexts. Correct spec.saveMemory.supersedes, or leave it out, and apply the command under another name.`, []string{old}},
		{"one in the place of what was forgotten", SaveMemoryPayload{Kind: "fact", Content: "x", Supersedes: gone}, nil,
			`MemoryUnknown: The agent remembers nothing under the id "mem-gone"; the ids stand in the agent's contexts. Correct spec.saveMemory.supersedes, or leave it out, and apply the command under another name.`, []string{old}},
		{"one in its own place", SaveMemoryPayload{Kind: "fact", Content: "x", Supersedes: "mem-9f86d08188"}, nil,
			`MemoryUnknown: The agent remembers nothing under the id "mem-9f86d08188"; the ids stand in the agent's contexts. Correct spec.saveMemory.supersedes, or leave it out, and apply the command under another name.`, []string{old}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			s.given("k", MemorySaved{ID: old, Kind: "fact", Content: "it is cold"}, MemorySaved{ID: gone}, MemoryForgotten{ID: gone})
			o := Order{Name: "remember", Key: "test", Intent: NewIntent(SaveMemory, tc.when), Timeout: time.Minute}
			s.want("it follows from others", o.FollowsOthers(), tc.when.Supersedes != "")
			events := s.state.Accept(o, Approval{Allowed: true, Effect: Internal})
			s.want("its end", told(events), []string{tc.says})
			s.given(o.Key, events...)
			want := map[string]struct{}{}
			for _, id := range tc.left {
				want[id] = struct{}{}
			}
			if saved, ok := tc.then.(MemorySaved); ok {
				saved.ID = MemoryID("test")
				want[saved.ID] = struct{}{}
				s.want("what is saved", events[2], Event(saved))
			} else {
				s.want("events", names(events), []string{"CommandAccepted", "CommandApproved", "CommandFailed"})
			}
			s.want("memories", s.state.Memories, want)
			s.want("open", len(s.state.Open), 0)
		})
	}
}

// A memory is superseded once: of two that would take its place the second is told so.
func TestAMemoryIsSupersededOnce(t *testing.T) {
	s := newStory(t)
	s.given("k", MemorySaved{ID: "mem-1"})
	supersede := NewIntent(SaveMemory, SaveMemoryPayload{Kind: "fact", Content: "x", Supersedes: "mem-1"})
	s.accept("first", supersede, Internal)
	second := s.order("second", supersede)
	s.want("second", names(s.state.Accept(second, Approval{Allowed: true})), []string{"CommandAccepted", "CommandApproved", "CommandFailed"})
}

// The write side has no clock of its own: that a memory has expired it does not know.
func TestAnExpiredMemoryCanBeForgottenAndSuperseded(t *testing.T) {
	s := newStory(t)
	s.given("k", MemorySaved{ID: "mem-1", TTL: time.Second}, MemorySaved{ID: "mem-2", TTL: time.Second})
	s.clock = s.clock.Add(time.Hour)
	s.accept("forget", NewIntent(ForgetMemory, ForgetMemoryPayload{ID: "mem-1"}), Internal)
	s.accept("supersede", NewIntent(SaveMemory, SaveMemoryPayload{Kind: "fact", Content: "x", Supersedes: "mem-2"}), Internal)
	for _, id := range []string{"mem-1", "mem-2"} {
		if _, there := s.state.Memories[id]; there {
			t.Errorf("%s is there", id)
		}
	}
}

func TestWhoAsksIsInTheJournal(t *testing.T) {
	s := newStory(t)
	o := s.order("ask", NewIntent(Ask, AskPayload{Conversation: "family", Message: "Which seat?", SaidBy: "Ada"}))
	s.want("message", s.state.Accept(o, Approval{Allowed: true})[1], Event(MessageReceived{Conversation: "family", Text: "Which seat?", SaidBy: "Ada"}))
}

// What is stored in an older version means what it meant.
func TestOlderEventsAreReadInTheirNewestVersion(t *testing.T) {
	for _, tc := range []struct {
		stored Stored
		want   Event
	}{
		{Stored{Type: "MemorySaved", Version: 1, Data: []byte(`{"id":"mem-1","kind":"fact","content":"it rains"}`)}, MemorySaved{ID: "mem-1", Kind: "fact", Content: "it rains"}},
		{Stored{Type: "MessageReceived", Version: 1, Data: []byte(`{"conversation":"ada","text":"hello"}`)}, MessageReceived{Conversation: "ada", Text: "hello"}},
	} {
		got, err := Decode(tc.stored)
		if err != nil || got != tc.want {
			t.Errorf("%s.v%d: got %+v, %v", tc.stored.Type, tc.stored.Version, got, err)
		}
		if again := Encode("k", got); again.Version != 2 || string(again.Data) != string(tc.stored.Data) {
			t.Errorf("written again: %s.v%d %s", again.Type, again.Version, again.Data)
		}
	}
}

// The keys of commands that are in journals, and in Git repositories: a field that
// was added must not change them.
func TestTheDefaultKeysOfPlainCommandsStay(t *testing.T) {
	for name, i := range map[string]Intent{
		"window-seats/d2e2dc44cf57fc72": NewIntent(SaveMemory, SaveMemoryPayload{Kind: "preference", Content: "Ada wants window seats."}),
		"find-flights/9c171f337dd3ec7c": NewIntent(Ask, AskPayload{Conversation: "ada",
			Message: "Find me flights from Zurich to Lisbon on 2027-03-04, for less than 300 € & with a window seat"}),
	} {
		if got := DefaultKey(name[:12], i); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
}
