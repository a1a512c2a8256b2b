package projection

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// PostgreSQL plans what a projection writes while the tables are empty, and goes by that plan while they fill: it has to
// name the indexes that find a few rows of a long stream, and no other that begins with the stream as well.
func TestWritesArePlannedByTheIndexesThatTheyAreMeantFor(t *testing.T) {
	s := open(t, inServer(t), newLog(), Options{})
	conn, err := s.db.(*server).db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	run := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	run("SET plan_cache_mode = force_generic_plan")
	const numbers, text = "1, 2, ", `'\x6b'`
	for name, c := range map[string]struct {
		text sqlText
		args string
		want []string
	}{
		"the end of a command":            {endCommand, numbers + text, []string{"commands_pkey"}},
		"the end of its messages":         {endMessages, numbers + text, []string{"messages_by_command"}},
		"the end of a memory":             {forgetMemory, numbers + text, []string{"memories_by_id", "memories_pkey"}},
		"the end of a result":             {replaceResult, numbers + text, []string{"results_by_key", "results_pkey"}},
		"a result":                        {insertResult, fmt.Sprintf(`1, 2, %[1]s, %[1]s, 3, %[1]s, 4, %[1]s, %[1]s`, text), []string{"commands_pkey"}},
		"the beginning of its documents":  {holdDocuments, numbers + text, []string{"documents_by_awaits"}},
		"what stands of it":               {selectStanding, `'{1}', '{"\\x6b"}'`, []string{"commands_pkey", "documents_by_awaits", "memories_by_id", "messages_by_command"}},
		"the end of what was seen before": {replaceObservation, numbers + text, []string{"observations_by_name", "observations_pkey"}},
	} {
		run("PREPARE planned AS " + c.text.postgres)
		rows, err := conn.QueryContext(t.Context(), "EXPLAIN EXECUTE planned("+c.args+")")
		lines, err := collect(rows, err, scanOne[string])
		if err != nil {
			t.Fatal(name, err)
		}
		plan := strings.Join(lines, "\n")
		var used []string
		for _, found := range usedIndex.FindAllStringSubmatch(plan, -1) {
			used = append(used, found[1])
		}
		slices.Sort(used)
		if !slices.Equal(slices.Compact(used), c.want) || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s is found by %v, want %v\n%s", name, used, c.want, plan)
		}
		run("DEALLOCATE planned")
	}
}

var usedIndex = regexp.MustCompile(`Index (?:Only )?Scan using (\w+)`)
