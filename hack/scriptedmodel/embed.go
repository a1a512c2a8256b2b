package scriptedmodel

import (
	"encoding/json"
	"hash/fnv"
	"math"
	"net/http"
	"strings"
	"unicode"
)

// Embeddings say what vectors the server gives. The zero value gives honest ones of 64 dimensions.
//
// A vector is a text's words, each hashed to a dimension and a sign. Words that are said to mean the same are hashed as
// one, so that a test can show what meaning finds and words miss. Nothing else is understood.
type Embeddings struct {
	Synonyms   [][]string // words that mean the same, in lower case; nil: a few about travel
	Dimensions int        // of every vector, unless the request asks for others; 0 is 64
	Fixed      bool       // a request that asks for others gets these all the same

	// What the server does wrong, and how often: 0 is every request, otherwise the first so many.
	Times      int
	Status     int    // an HTTP error with the usual error body
	RetryAfter string // the header of that name, beside Status
	Hang       bool   // no answer until the client leaves
	MostTexts  int    // 0: any number; a request with more is refused with status 413
	Refuses    string // a request with a text that holds this is refused with status 400
	First      string // in the place of the first number of the first vector: null, 1e400
	Zero       bool   // the first vector is zero
	Fewer      int    // so many vectors are left out
	SameIndex  bool   // all vectors have the index 0
	Half       bool   // the answer is cut in the middle
	Backwards  bool   // the last vector comes first; that is no mistake, each has its index
}

// synonyms are of travel: what is said, and what is meant.
var synonyms = [][]string{
	{"likes", "prefers", "preferences", "favourite", "favorite"},
	{"aisle", "corridor"},
	{"seat", "seats", "place", "sit", "sitting"},
	{"vegetarian", "meatless"},
	{"food", "meal", "meals", "dish", "eat", "eats"},
	{"costs", "price", "fee"},
	{"flight", "flights", "plane", "fly", "flies"},
	{"doctor", "physician"},
	{"ill", "sick", "unwell"},
}

// SetEmbeddings replaces what the server does about vectors while it runs.
func (s *Server) SetEmbeddings(e Embeddings) {
	if e.Synonyms == nil {
		e.Synonyms = synonyms
	}
	if e.Dimensions == 0 {
		e.Dimensions = 64
	}
	s.vectors.Store(&e)
}

// The wire format is that of https://platform.openai.com/docs/api-reference/embeddings.

type embeddingRequest struct {
	Model      string   `json:"model"`
	Input      []string `json:"input"`
	Dimensions int      `json:"dimensions"`
	Format     string   `json:"encoding_format"`
}

type embeddingAnswer struct {
	Object string            `json:"object"`
	Model  string            `json:"model"`
	Data   []embeddingVector `json:"data"`
	Usage  usage             `json:"usage"`
}

type embeddingVector struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding []any  `json:"embedding"`
}

// embed answers one request for vectors.
func (s *Server) embed(w http.ResponseWriter, r *http.Request) {
	body, ok := s.admit(w, r)
	if !ok {
		return
	}
	var q embeddingRequest
	if err := json.Unmarshal(body, &q); err != nil || len(q.Input) == 0 || q.Format != "float" {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "The request has no list of texts, or asks for no floats.")
		return
	}
	e := *s.vectors.Load()
	nth := s.record.embedding(len(q.Input))
	if !pause(r, s.options.Latency) {
		return
	}
	if e.Times > 0 && nth > e.Times {
		e = Embeddings{Synonyms: e.Synonyms, Dimensions: e.Dimensions}
	}
	if e.refuse(w, r, q.Input) {
		return
	}
	if q.Dimensions > 0 && !e.Fixed {
		e.Dimensions = q.Dimensions
	}
	answer := encode(e.answer(q))
	if e.Half {
		answer = answer[:len(answer)/2]
	}
	if e.First != "" {
		answer = []byte(strings.Replace(string(answer), first, e.First, 1))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// refuse reports whether it has answered that there are no vectors.
func (e Embeddings) refuse(w http.ResponseWriter, r *http.Request, texts []string) bool {
	switch {
	case e.Hang:
		<-r.Context().Done()
	case e.Status != 0:
		if e.RetryAfter != "" {
			w.Header().Set("Retry-After", e.RetryAfter)
		}
		writeError(w, e.Status, "scripted_failure", "The server was told to fail. You sent "+r.Header.Get("Authorization")+".")
	case e.MostTexts > 0 && len(texts) > e.MostTexts:
		writeError(w, http.StatusRequestEntityTooLarge, "too_many_texts", "These are too many texts.")
	case e.Refuses != "" && strings.Contains(strings.Join(texts, "\n"), e.Refuses):
		writeError(w, http.StatusBadRequest, "text_too_long", "A text is too long.")
	default:
		return false
	}
	return true
}

// first stands where something is to be put that Go does not write as a number.
const first = `"first"`

func (e Embeddings) answer(q embeddingRequest) embeddingAnswer {
	a := embeddingAnswer{Object: "list", Model: q.Model, Data: []embeddingVector{}}
	bytes := 0
	for i, text := range q.Input {
		bytes += len(text)
		numbers := e.vector(text)
		if i == 0 && e.Zero {
			for k := range numbers {
				numbers[k] = 0
			}
		}
		if i == 0 && e.First != "" {
			numbers[0] = strings.Trim(first, `"`)
		}
		index := i
		if e.SameIndex {
			index = 0
		}
		a.Data = append(a.Data, embeddingVector{Object: "embedding", Index: index, Embedding: numbers})
	}
	a.Data = a.Data[:max(0, len(a.Data)-e.Fewer)]
	if e.Backwards {
		for i, k := 0, len(a.Data)-1; i < k; i, k = i+1, k-1 {
			a.Data[i], a.Data[k] = a.Data[k], a.Data[i]
		}
	}
	a.Usage.Prompt = max(1, bytes/bytesPerToken)
	a.Usage.Total = a.Usage.Prompt
	return a
}

// vector returns a text's vector, of length 1.
func (e Embeddings) vector(text string) []any {
	sums := make([]float64, e.Dimensions)
	sums[0] = 1e-3 // so that a text without words has a direction, too
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(e.meant(word))) // a hash takes every byte
		sum := h.Sum32()
		sign := 1.0
		if sum>>31 == 1 {
			sign = -1
		}
		sums[int(sum%uint32(e.Dimensions))] += sign
	}
	var square float64
	for _, x := range sums {
		square += x * x
	}
	length := math.Sqrt(max(square, 1e-12)) // words may cancel each other out
	numbers := make([]any, len(sums))
	for i, x := range sums {
		numbers[i] = float32(x / length)
	}
	return numbers
}

// meant returns the word that stands for all that mean the same.
func (e Embeddings) meant(word string) string {
	for _, same := range e.Synonyms {
		for _, other := range same {
			if word == other {
				return same[0]
			}
		}
	}
	return word
}
