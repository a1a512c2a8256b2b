package agent

import "strings"

// EmbeddingInquiry asks for the vectors of texts, in one request.
type EmbeddingInquiry struct {
	Embeddings Embeddings
	Texts      []string // as EmbeddingText returned them; none is blank
	Known      int      // the dimensions of the vectors of this model that the stream has; 0: it has none
	APIKey     string   // the value of Embeddings.APIKey; never stored
	User       string   // an opaque id of the command, sent as the request's user
}

// EmbeddingAnswer holds the vectors that a model gave: one for each text, in their order, all of the same dimension.
type EmbeddingAnswer struct {
	Vectors [][]float32
	Usage   Usage
}

// Blank reports whether there is nothing in a text that could be embedded.
func Blank(text string) bool { return strings.TrimSpace(text) == "" }

// Embeddable returns what has to be embedded of the documents that Indexed will
// record of these: each text once, in the order in which they stand.
func (s *State) Embeddable(c *Command, docs []Read) []string {
	collection := c.Intent.IndexDocuments().Collection
	seen := map[string]struct{}{"": {}}
	var texts []string
	for _, doc := range docs {
		if s.holds(collection, doc) {
			continue
		}
		for _, chunk := range doc.Chunks {
			for _, piece := range pieces(chunk) {
				text := EmbeddingText(piece.Heading, piece.Text)
				if _, again := seen[text]; again || Blank(text) {
					continue
				}
				seen[text] = struct{}{}
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// embedded folds what the stream has vectors of. The first vectors of a model say
// for good which dimension they have: others could not be compared with them.
func (s *State) embedded(e TextsEmbedded) {
	if s.Dimensions[e.Model] == 0 {
		s.Dimensions[e.Model] = e.Dimensions
	}
	s.VectorBytes += 4 * int64(e.Dimensions) * int64(len(e.Texts))
}

// embedded folds that texts were embedded for the command: an ask remembers if its question was among them.
func (c *Command) embedded(e TextsEmbedded) {
	c.Usage = c.Usage.Plus(e.Usage)
	if c.Intent.Type != Ask {
		return
	}
	question := TextDigest(EmbeddingText("", c.Intent.Ask().Message))
	for _, text := range e.Texts {
		if text == question {
			c.Embedded = e.Model
		}
	}
}
