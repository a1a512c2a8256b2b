package view

import (
	"context"
	"fmt"
	"time"

	"github.com/edict-dev/edict/internal/projection"
)

// Ranking says which items of a block come first when there are more than fit.
type Ranking string

// The rankings.
const (
	Newest    Ranking = "Newest"    // what was recorded last
	Relevance Ranking = "Relevance" // what is most likely to answer the question, by words and, if it was embedded, by meaning; without one, Recency
	Lexical   Ranking = "Lexical"   // by words alone
	Semantic  Ranking = "Semantic"  // by meaning alone; Lexical where the question was not embedded
	Recency   Ranking = "Recency"   // recency times importance
	Blended   Ranking = "Blended"   // Relevance and Recency, fused by reciprocal rank
)

var rankings = []Ranking{Newest, Relevance, Lexical, Semantic, Recency, Blended}

// oneOfRankings is what there is to choose from, as a sentence has it.
var oneOfRankings = fmt.Sprintf("%s, %s, %s, %s, %s or %s", Newest, Relevance, Lexical, Semantic, Recency, Blended)

// Search asks for the passages of one shelf that come first.
type Search struct {
	Stream   string
	AsOf     int64     // the sequence that it is read at
	Now      time.Time // the journal's time of that sequence, which "yesterday" and expiry are counted from
	Shelf    projection.Shelf
	Within   []string // kinds of memories, conversations of turns, collections of documents; empty: all
	Question string
	Ranking  Ranking
	Limit    int // passages at most, neighbours not counted
}

// Found is a passage that a search came to.
type Found struct {
	projection.Passage
	Score float64 // the higher, the better; comparable within one answer
	// Before and After are the neighbours that it is read with: of a turn those of the same exchange, of a chunk those of
	// the same document. What is found itself is nobody's neighbour.
	Before, After []projection.Passage
}

// Finder searches. The answer is a function of the journal up to AsOf and the
// search: the same on every store, and however the journal went on.
type Finder interface {
	// Find returns the passages best first. Near-duplicates of a better one are left out.
	Find(ctx context.Context, s Search) ([]Found, error)
}
