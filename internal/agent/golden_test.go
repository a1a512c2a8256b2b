package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// golden is one file of testdata/golden: a stored event as a journal that has
// shipped may hold it. Files are added and never edited: whoever has such a
// journal cannot edit theirs.
type golden struct {
	Type    string          `json:"type"`
	Version int             `json:"version"`
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
}

// goldens returns the golden events by file name without .json: the stored name
// and version, and after a further dot, if need be, what is particular about it.
func goldens(t testing.TB) map[string]Stored {
	t.Helper()
	paths, err := filepath.Glob("testdata/golden/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Stored{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(content))
		d.DisallowUnknownFields()
		var g golden
		if err := d.Decode(&g); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = Stored(g)
	}
	return all
}

// later are the first fields that a later version of the event has, and this one not.
var later = map[string]string{"CommandAccepted.v1": "Origin", "MemorySaved.v1": "Importance", "MessageReceived.v1": "SaidBy"}

func TestEveryStoredVersionHasAGoldenEvent(t *testing.T) {
	all := goldens(t)
	for name := range decoders {
		if _, ok := all[name]; !ok {
			t.Errorf("%s is in decoders and has no testdata/golden/%s.json; add one, with every field set", name, name)
		}
	}
}

func TestGoldenEventsAreReadAndWrittenAsTheyWere(t *testing.T) {
	for file, stored := range goldens(t) {
		t.Run(file, func(t *testing.T) {
			parts := strings.SplitN(file, ".", 3)
			particular := len(parts) == 3
			if storedName(stored) != strings.Join(parts[:2], ".") {
				t.Fatalf("the file holds %s", storedName(stored))
			}
			event, err := Decode(stored)
			if err != nil {
				t.Fatal(err)
			}
			if zero := zeroField(reflect.ValueOf(event), ""); zero != "" && zero != later[storedName(stored)] && !particular {
				t.Errorf("the field %s was not read; the golden event sets every field that its version has", zero)
			}
			if newest, version := event.stored(); newest != stored.Type || version != stored.Version {
				return // an upcast event is written in its newest version, which has a golden event of its own
			}
			if again := Encode(stored.Subject, event); !sameJSON(t, again.Data, stored.Data) || storedName(again) != storedName(stored) {
				t.Errorf("it is written as\n%s %s\nand was\n%s %s", storedName(again), again.Data, storedName(stored), stored.Data)
			}
			if accepted, ok := event.(CommandAccepted); ok {
				checkIntent(t, stored.Subject, accepted)
			}
		})
	}
}

// checkIntent looks into an intent: its payload is stored too, and its digest is
// in the default key. A key that came out otherwise would run old commands again.
func checkIntent(t *testing.T, key string, accepted CommandAccepted) {
	t.Helper()
	i := accepted.Intent
	payloads := map[Type]any{
		Ask: i.Ask(), SaveMemory: i.SaveMemory(), ForgetMemory: i.ForgetMemory(), CallAPI: i.CallAPI(), Resolve: i.Resolve(),
		IndexDocuments: i.IndexDocuments(), RemoveDocuments: i.RemoveDocuments(), Summarize: i.Summarize(),
		Observe: i.Observe(),
	}
	again := NewIntent(i.Type, payloads[i.Type])
	if !sameJSON(t, again.Payload, i.Payload) {
		t.Errorf("the payload is written as\n%s\nand was\n%s", again.Payload, i.Payload)
	}
	if now := DefaultKey(accepted.Name, again); now != key {
		t.Errorf("its default key is %s, and was %s", now, key)
	}
}

func storedName(s Stored) string { return fmt.Sprintf("%s.v%d", s.Type, s.Version) }

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	return reflect.DeepEqual(readJSON(t, a), readJSON(t, b))
}

func readJSON(t *testing.T, raw []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

// zeroField returns the path of a field that has its zero value, empty if all are
// set. Of a list the first element has to have all of its fields.
func zeroField(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return zeroField(v.Elem(), path)
		}
	case reflect.Slice:
		if v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
			return zeroField(v.Index(0), path+"[0]")
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() { // of a time.Time
				continue
			}
			if zero := zeroField(v.Field(i), strings.TrimPrefix(path+"."+field.Name, ".")); zero != "" {
				return zero
			}
		}
		if v.NumField() == 0 { // AgentDeleted has none
			return ""
		}
	}
	if v.IsZero() {
		return path
	}
	return ""
}

// FuzzDecode holds that no stored bytes make Decode panic, and that whatever it
// reads is written and read again without a change.
func FuzzDecode(f *testing.F) {
	for _, stored := range goldens(f) {
		f.Add(stored.Type, stored.Version, []byte(stored.Data))
	}
	f.Add("MemorySaved", 0, []byte(`{}`))
	f.Add("Unheard", 1, []byte(`{}`))
	f.Add("AttemptStarted", 1, []byte(`{"deadline":"2027-02-30T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, name string, version int, data []byte) {
		stored := Stored{Type: name, Version: version, Subject: "key", Data: data}
		event, err := Decode(stored)
		if err != nil {
			return
		}
		once := Encode(stored.Subject, event)
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("%s was read from %q, written as %q, and cannot be read again: %v", name, data, once.Data, err)
		}
		if twice := Encode(stored.Subject, again); !bytes.Equal(once.Data, twice.Data) || once.Type != twice.Type || once.Version != twice.Version {
			t.Fatalf("%s was read from %q, written as %q, and the next time as %q", name, data, once.Data, twice.Data)
		}
		if accepted, ok := event.(CommandAccepted); ok {
			i := accepted.Intent
			_, _, _, _, _ = i.Ask(), i.SaveMemory(), i.ForgetMemory(), i.CallAPI(), i.Resolve()
			_, _, _, _ = i.IndexDocuments(), i.RemoveDocuments(), i.Summarize(), i.Observe()
		}
	})
}
