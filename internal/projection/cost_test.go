package projection

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// smallReads are the statements that look at a few rows, with their arguments, as of
// the end of a stream.
func smallReads(stream, end, now int64) map[string]struct {
	text sqlText
	args []any
} {
	type read = struct {
		text sqlText
		args []any
	}
	const limit = 5
	return map[string]read{
		"messages":                     {selectMessages, []any{stream, end, limit, "ada"}},
		"memories":                     {selectMemories, []any{stream, end, limit, now}},
		"memories of a kind":           {selectMemoriesOfKind, []any{stream, end, limit, now, "fact"}},
		"results":                      {selectResults, []any{stream, end, limit, "ada"}},
		"documents":                    {selectDocuments, []any{stream, end, limit}},
		"documents of a collection":    {selectDocumentsOfCollection, []any{stream, end, limit, "rules"}},
		"chunks":                       {selectChunks, []any{stream, "[8,17]"}},
		"summaries":                    {selectSummaries, []any{stream, end, limit, "ada", ""}},
		"summaries of a collection":    {selectOverviews, []any{stream, end, limit, "rules"}},
		"observations":                 {selectObservations, []any{stream, end, limit}},
		"what was embedded":            {selectEmbedded, []any{stream, end - 10, end}},
		"pending commands":             {selectPending, []any{stream, end, limit, "ada"}},
		"memories that changed":        {selectMemoryPassages, []any{stream, end - 10, end}},
		"turns that changed":           {selectTurnPassages, []any{stream, end - 10, end}},
		"chunks that changed":          {selectChunkPassages, []any{stream, end - 10, end}},
		"documents that come to hold":  {holdDocuments, []any{end, stream, "key-3"}},
		"conversations that moved":     {selectMoved, []any{stream, end, limit, end - 10}},
		"how far a stream is, by name": {selectHead, []any{stream}},
	}
}

// What a small read looks at does not grow with the stream: not with what was
// forgotten, has expired, has ended, or stands in another conversation.
func TestASmallReadLooksAtFewRows(t *testing.T) {
	log := newLog()
	log.add(stream, "open", accept("open", "ada", callIntent("book", `{}`)))
	for i := range 1200 {
		key := fmt.Sprint("key-", i)
		text := strings.Repeat(key+", and what more there is to say. ", 20)
		log.add(stream, key, accept(key, "ada", callIntent("book", `{}`)), agent.MessageReceived{Conversation: "ada", Text: text},
			agent.ResponseGiven{Conversation: "ada", Text: text}, agent.AttemptSucceeded{Attempt: 1, Result: text},
			agent.MemorySaved{ID: key, Kind: "fact", Content: text, TTL: time.Duration(i%2) * time.Second},
			part("rules", fmt.Sprint(i/2), 1, 1, text), agent.CommandSucceeded{},
			agent.TextsEmbedded{Model: "m", Dimensions: 4, Texts: []string{key}, Vectors: key},
			agent.ObjectObserved{Observation: fmt.Sprint("pod-", i%7), Kind: "Pod", Name: key, Fields: json.RawMessage(`{"ready":1}`)})
		if i%4 == 0 {
			log.add(stream, key, agent.MemoryForgotten{ID: key}, agent.SummaryWritten{Conversation: "ada", From: 1, To: 2, Text: key})
		}
	}
	end := log.heads[stream]
	now := log.shards[0][end-1].Time.UnixMicro()

	t.Run("SQLite", func(t *testing.T) {
		s := projected(t, inFile, log)
		for name, read := range smallReads(s.heads.get(stream).stream, end, now) {
			for _, step := range explainInFile(t, s, read.text, read.args) {
				if whole.MatchString(step) || ofStreamAlone.MatchString(step) {
					t.Errorf("%s: %s", name, step)
				}
			}
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		s := projected(t, inServer, log)
		conn, err := s.db.(*server).db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		for name, read := range smallReads(s.heads.get(stream).stream, end, now) {
			if n, plan := rowsLookedAt(t, conn, read.text.postgres, read.args); n > 120 {
				t.Errorf("%s: %d rows\n%s", name, n, plan)
			}
		}
	})
}

var (
	// whole is a step that reads a table from its beginning to its end.
	whole = regexp.MustCompile(`^SCAN (m|c|d|o|r|s|x|memories|messages|commands|documents|chunks|summaries|results|embedded|observations|streams)\b`)
	// ofStreamAlone is one that finds nothing but the stream by its index.
	ofStreamAlone = regexp.MustCompile(`^SEARCH .*\(stream=\?\)$`)
)

func explainInFile(t *testing.T, s *Store, text sqlText, args []any) []string {
	t.Helper()
	rows, err := s.db.query(t.Context(), sqlText{sqlite: "EXPLAIN QUERY PLAN " + text.sqlite}, args...)
	steps, err := collect(rows, err, func(rows *sql.Rows) (step string, err error) {
		var id, parent, unused int
		err = rows.Scan(&id, &parent, &unused, &step)
		return step, err
	})
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	return steps
}

// rowsLookedAt runs a statement, so often that the server has its final plan for it,
// and returns how many rows its scans found or passed over.
func rowsLookedAt(t *testing.T, conn *sql.Conn, text string, args []any) (int, string) {
	t.Helper()
	var values []string
	for _, arg := range args {
		if s, ok := arg.(string); ok {
			arg = fmt.Sprintf(`'\x%x'`, s)
		}
		values = append(values, fmt.Sprint(arg))
	}
	run := func(statement string) {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	run("PREPARE looked AS " + text)
	defer run("DEALLOCATE looked")
	execution := "EXECUTE looked(" + strings.Join(values, ", ") + ")"
	for range 6 { // at the sixth it may go over to a plan that is made without the arguments
		run(execution)
	}
	var plan string
	err := conn.QueryRowContext(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+execution).Scan(&plan)
	if err != nil {
		t.Fatal(text, err)
	}
	var explained []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(plan), &explained); err != nil {
		t.Fatal(err)
	}
	return explained[0].Plan.scanned(), plan
}

// planNode is a step of PostgreSQL's plan, with what happened in each of its loops.
type planNode struct {
	Node    string  `json:"Node Type"`
	Rows    float64 `json:"Actual Rows"`
	Dropped float64 `json:"Rows Removed by Filter"`
	Checked float64 `json:"Rows Removed by Index Recheck"`
	Loops   float64 `json:"Actual Loops"`
	Plans   []planNode
}

func (n planNode) scanned() int {
	sum := 0
	if strings.HasSuffix(n.Node, "Scan") {
		sum = int((n.Rows + n.Dropped + n.Checked) * n.Loops)
	}
	for _, below := range n.Plans {
		sum += below.scanned()
	}
	return sum
}
