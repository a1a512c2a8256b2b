package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/retrieval"
)

const harbour = `{
	"sessions": [
		{"number": 1, "date_time": "1:56 pm on 8 May, 2023", "turns": [
			{"id": "D1:1", "speaker": "Ana", "text": "I bought a boat.", "image_caption": "a photo of a red boat"},
			{"id": "D1:2", "speaker": "Ben", "text": "Lovely!"}]},
		{"number": 2, "date_time": "10:37 am on 27 June, 2023", "turns": [
			{"id": "D2:1", "speaker": "Ben", "text": "Rain again."}]}],
	"questions": [
		{"question": "What did Ana buy?", "category": 4, "evidence": ["D1:1"]},
		{"question": "Who sank it?", "category": 5, "evidence": []},
		{"question": "What colour is the boat?", "category": 1, "evidence": ["D1:1", "D9:9"]}]
}`

func TestTurnsBecomeItems(t *testing.T) {
	c, err := parse("harbour", []byte(harbour))
	if err != nil {
		t.Fatal(err)
	}
	may, june := time.Date(2023, 5, 8, 13, 56, 0, 0, time.UTC), time.Date(2023, 6, 27, 10, 37, 0, 0, time.UTC)
	want := []retrieval.Item{
		{Speaker: "Ana", Text: "I bought a boat. [a photo of a red boat]", Time: may, Conversation: "harbour", Session: "1"},
		{Speaker: "Ben", Text: "Lovely!", Time: may, Conversation: "harbour", Session: "1", Position: 1},
		{Speaker: "Ben", Text: "Rain again.", Time: june, Conversation: "harbour", Session: "2"},
	}
	if diff := cmp.Diff(want, c.items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"D1:1", "D1:2", "D2:1"}, c.ids); diff != "" {
		t.Errorf("their ids (-want +got):\n%s", diff)
	}
	if len(c.questions) != 2 {
		t.Errorf("%d questions have evidence, not 2", len(c.questions))
	}
}

func TestAFileThatIsNoConversationIsRefused(t *testing.T) {
	for name, source := range map[string]string{
		"not JSON":          "{",
		"no turns":          `{"questions": [{"question": "?", "category": 1, "evidence": ["D1:1"]}]}`,
		"no questions":      strings.ReplaceAll(harbour, `"evidence"`, `"other"`),
		"a date that is no": strings.Replace(harbour, "8 May, 2023", "May", 1),
		"a category of 9":   strings.Replace(harbour, `"category": 4`, `"category": 9`, 1),
	} {
		if _, err := parse("harbour", []byte(source)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecallIsTheShareOfEvidenceAmongTheFirst(t *testing.T) {
	var s share
	s.add([]int{5, 6, 26, 0}) // 1, 2, 2 and 3 of 4
	s.add([]int{1})
	if diff := cmp.Diff([4]float64{0.625, 0.75, 0.75, 0.875}, s.recall()); diff != "" {
		t.Errorf("recall (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([4]float64{}, share{}.recall()); diff != "" {
		t.Errorf("recall of nothing (-want +got):\n%s", diff)
	}
}

func TestEvidenceThatIsNoTurnIsNotFound(t *testing.T) {
	got := ranksOf([]string{"a", "b", "z"}, []string{"b", "a"})
	if diff := cmp.Diff([]int{2, 1, 0}, got); diff != "" {
		t.Errorf("ranks (-want +got):\n%s", diff)
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "harbour.json"), []byte(harbour), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOCOMO_DIR", dir)
	t.Setenv("EDICT_EMBEDDINGS_URL", "")
	t.Setenv("EDICT_EMBEDDINGS_MODEL", "")
	var out strings.Builder
	if err := run(&out, []string{"-ablation"}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Conversations harbour: 3 turns, 2 questions with evidence.",
		"Vectors were not measured: name a server in EDICT_EMBEDDINGS_URL and EDICT_EMBEDDINGS_MODEL.",
		"| multi-hop | 50.0 | 50.0 | 50.0 | 50.0 | 1 |",
		"| single-hop | 100.0 | 100.0 | 100.0 | 100.0 | 1 |",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("the report lacks %q:\n%s", line, out.String())
		}
	}
	var names []string
	for _, r := range append(rankings, parts...) {
		names = append(names, r.name)
	}
	for _, s := range searches(false) {
		names = append(names, s.name)
	}
	for _, name := range names {
		if !strings.Contains(out.String(), "| "+name+" | 75.0 |") {
			t.Errorf("the report lacks %q, or it found something else:\n%s", name, out.String())
		}
	}
}

func TestAnEmptyDirectoryIsNamed(t *testing.T) {
	t.Setenv("LOCOMO_DIR", t.TempDir())
	if err := run(&strings.Builder{}, nil); err == nil || !strings.Contains(err.Error(), "LOCOMO_DIR") {
		t.Errorf("error %v does not name LOCOMO_DIR", err)
	}
}
