package retrieval

import "strings"

const (
	shingle = 3   // words that make one shingle
	same    = 0.8 // the share of shingles above which two texts say the same
)

// Distinct drops hits whose text says what a better hit already says: four of five shingles (runs of three words) of the
// two together are in both, by Jaccard's measure (Broder, "On the resemblance and containment of documents", 1997). At
// most limit hits are returned; each is compared with those kept before it.
func (x *Index) Distinct(hits []Hit, limit int) []Hit {
	var kept []Hit
	var seen []map[string]bool
	for _, hit := range hits {
		if len(kept) >= limit {
			break
		}
		s := shingles(x.items[hit.Item].Text)
		if !resembles(s, seen) {
			kept = append(kept, hit)
			seen = append(seen, s)
		}
	}
	return kept
}

func resembles(s map[string]bool, seen []map[string]bool) bool {
	for _, other := range seen {
		if jaccard(s, other) >= same {
			return true
		}
	}
	return false
}

// shingles returns the runs of words in a text; one shorter than a run is one shingle. A text without words has none, and
// resembles nothing.
func shingles(text string) map[string]bool {
	words := spoken(text)
	set := map[string]bool{}
	if len(words) > 0 && len(words) < shingle {
		set[strings.Join(words, " ")] = true
	}
	for i := 0; i+shingle <= len(words); i++ {
		set[strings.Join(words[i:i+shingle], " ")] = true
	}
	return set
}

// jaccard is the size of the intersection over that of the union; 0 for two empty sets.
func jaccard(a, b map[string]bool) float64 {
	both := 0
	for s := range a {
		if b[s] {
			both++
		}
	}
	if both == 0 {
		return 0
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
