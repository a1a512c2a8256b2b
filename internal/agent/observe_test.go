package agent

import (
	"encoding/json"
	"testing"
	"time"
)

var web = ObservePayload{
	Name:   "web",
	Object: ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
	Fields: []ObservedField{{Name: "ready", JSONPath: "{.status.readyReplicas}"}},
}

// says is what the Deployment web said; missing, if there was none.
func says(fields string) ObjectObserved {
	return ObjectObserved{Observation: "web", APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web",
		UID: "1", ResourceVersion: "1", Missing: fields == "", Fields: json.RawMessage(fields)}
}

// look carries an observe out, which read the object, and returns what followed.
func (s *story) look(name string, seen ObjectObserved) []Event {
	s.t.Helper()
	p := web
	p.Name = seen.Observation
	key := s.accept(name, NewIntent(Observe, p), Internal)
	s.want(name+" starts", s.next(key).Kind, Execute)
	s.given(key, s.state.Open[key].StartAttempt(s.clock, 0, time.Second))
	events := s.state.Seen(s.state.Open[key], seen)
	s.given(key, events...)
	s.want(name+" is open", s.state.Open[key] != nil, false)
	s.want(name+" was looked at", s.state.Observation(seen.Observation).Looked, s.state.Sequence)
	return events
}

func TestWhatObservingRecords(t *testing.T) {
	rolled, other, elsewhere := says(`{"ready":3}`), says(`{"ready":3}`), says(`{"ready":3}`)
	rolled.UID, rolled.ResourceVersion = "2", "9"
	other.Observation = "other"
	elsewhere.Namespace = "test"
	for _, tc := range []struct {
		name     string
		given    []ObjectObserved
		when     ObjectObserved
		recorded bool
		then     string
	}{
		{"what is seen the first time is recorded", nil, says(`{"ready":3}`), true, "Observed Deployment shop/web as web."},
		{"what says the same is not", []ObjectObserved{says(`{"ready":3}`)}, says(`{"ready":3}`), false,
			"Deployment shop/web says what it said when it was last observed as web; nothing was recorded."},
		{"another object of the same name that says the same is not", []ObjectObserved{says(`{"ready":3}`)}, rolled, false,
			"Deployment shop/web says what it said when it was last observed as web; nothing was recorded."},
		{"what has changed is recorded", []ObjectObserved{says(`{"ready":3}`)}, says(`{"ready":2}`), true, "Observed Deployment shop/web as web."},
		{"what changes back is recorded", []ObjectObserved{says(`{"ready":3}`), says(`{"ready":2}`)}, says(`{"ready":3}`), true, "Observed Deployment shop/web as web."},
		{"that there is none is recorded", []ObjectObserved{says(`{"ready":3}`)}, says(""), true, "There is no Deployment shop/web, which is recorded as web."},
		{"that there is none at first is recorded", nil, says(""), true, "There is no Deployment shop/web, which is recorded as web."},
		{"that there is still none is not", []ObjectObserved{says("")}, says(""), false, "There is still no Deployment shop/web, which is observed as web; nothing was recorded."},
		{"that there is one again is recorded", []ObjectObserved{says(`{"ready":3}`), says("")}, says(`{"ready":3}`), true, "Observed Deployment shop/web as web."},
		{"another object under the name is recorded", []ObjectObserved{says(`{"ready":3}`)}, elsewhere, true, "Observed Deployment test/web as web."},
		{"the same under another name is recorded", []ObjectObserved{says(`{"ready":3}`)}, other, true, "Observed Deployment shop/web as other."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t)
			for i, g := range tc.given {
				s.look("given-"+string(rune('a'+i)), g)
			}
			events := s.look("when", tc.when)
			s.want("the message", told(events), []string{tc.then})
			s.want("events", names(events), append(map[bool][]string{true: {"ObjectObserved"}}[tc.recorded], "AttemptSucceeded", "CommandSucceeded"))
		})
	}
}

func TestLooksUnderOneNameRunOneAtATime(t *testing.T) {
	s := newStory(t)
	other := web
	other.Name = "other"
	first, second := s.accept("first", NewIntent(Observe, web), Internal), s.accept("second", NewIntent(Observe, web), Internal)
	third := s.accept("third", NewIntent(Observe, other), Internal)
	s.want("first", s.next(first).Kind, Execute)
	s.want("second waits", s.next(second).Kind, Rest)
	s.want("one of another name does not", s.next(third).Kind, Execute)
	s.want("it is open", s.state.Observation("web"), ObservationState{Open: true})
	s.given(first, CommandFailed{Reason: "ObjectForbidden"})
	s.want("second goes on", s.next(second).Kind, Execute)
	s.given(second, CancelRequested{Reason: "CancelRequested"})
	s.given(second, s.next(second).Events...)
	s.want("what ended in whatever way was looked at", s.state.Observation("web"), ObservationState{Observed: Observed{Looked: s.state.Sequence}})
}

// An attempt that was cut off before its outcome was recorded is made again: reading changes nothing.
func TestALookThatWasCutOffIsTakenAgain(t *testing.T) {
	s := newStory(t)
	key := s.accept("look", NewIntent(Observe, web), Internal)
	attempt := s.state.Open[key].StartAttempt(s.clock, 0, time.Second)
	s.given(key, attempt)
	s.want("before the deadline", s.next(key).Kind, Rest)
	s.clock = attempt.Deadline
	s.given(key, s.next(key).Events...)
	s.want("then", s.next(key).Kind, Execute)
}

func TestASecretIsKnownByItsKind(t *testing.T) {
	for _, c := range []struct {
		apiVersion, kind string
		want             bool
	}{{"v1", "Secret", true}, {"v2", "Secret", true}, {"example.com/v1", "Secret", false}, {"v1", "ConfigMap", false}} {
		if got := (ObjectReference{APIVersion: c.apiVersion, Kind: c.kind}).Secret(); got != c.want {
			t.Errorf("%s %s: %v", c.apiVersion, c.kind, got)
		}
	}
	if text := (ObjectReference{Kind: "Node", Name: "a"}).String(); text != "Node a" {
		t.Error(text)
	}
}
