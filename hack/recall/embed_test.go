package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// embedder answers as an OpenAI-compatible server does. Rain and colours point one way, and all else the other.
func embedder(t *testing.T, asked map[string]int) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Model string   `json:"model"`
			Input []string `json:"input"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.URL.Path != "/v1/embeddings" || request.Model != "meaning-1" ||
			r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("%s was asked for model %q: %v", r.URL.Path, request.Model, err)
		}
		type embedding struct {
			Object string    `json:"object"`
			Index  int       `json:"index"`
			Vector []float32 `json:"embedding"`
		}
		var answer struct {
			Object string         `json:"object"`
			Model  string         `json:"model"`
			Data   []embedding    `json:"data"`
			Usage  map[string]int `json:"usage"`
		}
		answer.Object, answer.Model, answer.Usage = "list", request.Model, map[string]int{"prompt_tokens": 7, "total_tokens": 7}
		for i, text := range request.Input {
			asked[text]++
			vector := []float32{1, 0}
			if strings.Contains(text, "Rain") || strings.Contains(text, "colour") {
				vector = []float32{0, 1}
			}
			answer.Data = append(answer.Data, embedding{"embedding", i, vector})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestVectorsAreMeasuredWhereAServerIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "harbour.json"), []byte(harbour), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{}
	t.Setenv("LOCOMO_DIR", dir)
	t.Setenv("EDICT_EMBEDDINGS_URL", embedder(t, asked).URL+"/v1")
	t.Setenv("EDICT_EMBEDDINGS_MODEL", "meaning-1")
	t.Setenv("EDICT_EMBEDDINGS_KEY", "s3cret")
	var out strings.Builder
	if err := run(&out, nil); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| lexical alone | 75.0 | 75.0 | 75.0 | 75.0 |",
		"| vectors alone | 50.0 | 50.0 | 50.0 | 50.0 |", // the second question points to the rain
		"| lexical and vectors, fused: **what views use** | 75.0 | 75.0 | 75.0 | 75.0 |",
		"By category, vectors alone:",
		"| multi-hop | 0.0 | 0.0 | 0.0 | 0.0 | 1 |",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the report lacks %q:\n%s", line, out.String())
		}
	}
	if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "not measured") {
		t.Errorf("the report tells what it should not:\n%s", out.String())
	}
	if len(asked) != 5 { // three turns and two questions
		t.Errorf("embedded were %v", asked)
	}
	for text, times := range asked {
		if times != 1 {
			t.Errorf("%q was embedded %d times", text, times)
		}
	}
}

func TestHalfAServerIsRefused(t *testing.T) {
	t.Setenv("LOCOMO_DIR", t.TempDir())
	t.Setenv("EDICT_EMBEDDINGS_URL", "http://127.0.0.1:1")
	t.Setenv("EDICT_EMBEDDINGS_MODEL", "")
	if _, err := embeddingAsked(); err == nil || !strings.Contains(err.Error(), "EDICT_EMBEDDINGS_MODEL") {
		t.Errorf("error %v does not name what is missing", err)
	}
}
