package scriptedmodel_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// vectors asks for vectors, and returns the answer.
func vectors(t *testing.T, e scriptedmodel.Embeddings, request string) (status int, body string) {
	t.Helper()
	s, err := scriptedmodel.New(scriptedmodel.Options{Embeddings: e})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	response, err := http.Post(server.URL+"/v1/embeddings", "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

const threeTexts = `{"model":"m","encoding_format":"float","dimensions":%,"input":["She LIKES the aisle.","she prefers the corridor","Ten days!"]}`

func TestWordsThatMeanTheSameHaveOneVector(t *testing.T) {
	_, body := vectors(t, scriptedmodel.Embeddings{}, strings.Replace(threeTexts, "%", "32", 1))
	var answer struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
		Usage struct {
			Prompt int `json:"prompt_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Data) != 3 || answer.Usage.Prompt != 13 {
		t.Fatalf("%v: %s", err, body)
	}
	cosine := func(a, b int) (sum float64) {
		for i, x := range answer.Data[a].Embedding {
			sum += x * answer.Data[b].Embedding[i]
		}
		return sum
	}
	if len(answer.Data[0].Embedding) != 32 || math.Abs(cosine(0, 1)-1) > 1e-6 || math.Abs(cosine(2, 2)-1) > 1e-6 || cosine(0, 2) > 0.9 {
		t.Errorf("%d dimensions, cosines %v, %v, %v", len(answer.Data[0].Embedding), cosine(0, 1), cosine(2, 2), cosine(0, 2))
	}
}

func TestVectorsAreWrongAsTold(t *testing.T) {
	request := strings.Replace(threeTexts, "%", "4", 1)
	_, good := vectors(t, scriptedmodel.Embeddings{}, request)
	for name, c := range map[string]struct {
		wrong  scriptedmodel.Embeddings
		status int
		has    string
	}{
		"a status":       {scriptedmodel.Embeddings{Status: 500}, 500, "told to fail"},
		"too many texts": {scriptedmodel.Embeddings{MostTexts: 2}, 413, "too_many_texts"},
		"a long text":    {scriptedmodel.Embeddings{Refuses: "corridor"}, 400, "text_too_long"},
		"null":           {scriptedmodel.Embeddings{First: "null"}, 200, `"embedding":[null,`},
		"a huge number":  {scriptedmodel.Embeddings{First: "1e400"}, 200, `"embedding":[1e400,`},
		"zero":           {scriptedmodel.Embeddings{Zero: true}, 200, `"embedding":[0,0,0,0]`},
		"fewer":          {scriptedmodel.Embeddings{Fewer: 3}, 200, `"data":[]`},
		"dimensions":     {scriptedmodel.Embeddings{Dimensions: 1, Fixed: true}, 200, `"embedding":[-1]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := vectors(t, c.wrong, request); status != c.status || !strings.Contains(body, c.has) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if _, half := vectors(t, scriptedmodel.Embeddings{Half: true}, request); half != good[:len(good)/2] {
		t.Errorf("half of %s is %s", good, half)
	}
	if _, same := vectors(t, scriptedmodel.Embeddings{SameIndex: true}, request); strings.Count(same, `"index":0`) != 3 {
		t.Error(same)
	}
	if _, back := vectors(t, scriptedmodel.Embeddings{Backwards: true}, request); strings.Index(back, `"index":2`) > strings.Index(back, `"index":0`) {
		t.Error(back)
	}
}
