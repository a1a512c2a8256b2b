package retrieval

import (
	"hash/fnv"
	"strings"
)

const (
	shingle = 3 // words that make one shingle

	// The share of shingles above which two texts say the same is samePart of samePartOf.
	samePart, samePartOf = 4, 5
)

// Distinct drops hits whose text says what a better hit already says: four of five shingles (runs of three words) of the
// two together are in both, by Jaccard's measure (Broder, "On the resemblance and containment of documents", 1997). At
// most limit hits are returned; each is compared with those kept before it.
func (x *Index) Distinct(hits []Hit, limit int) []Hit {
	var kept []Hit
	said := resemblance{who: map[uint64][]int{}}
	for _, hit := range hits {
		if len(kept) >= limit {
			break
		}
		if said.adds(x.entries[hit.Item].text) {
			kept = append(kept, hit)
		}
	}
	return kept
}

// resemblance knows texts by their shingles, and these by their hashes.
type resemblance struct {
	who   map[uint64][]int // the texts that have a shingle
	sizes []int            // by text: its shingles
}

// adds says whether no text before resembles this one, which is known from then on. It looks at those alone that share a
// shingle with it.
func (r *resemblance) adds(text string) bool {
	set := shingles(text)
	shared := map[int]int{}
	for s := range set {
		for _, other := range r.who[s] {
			shared[other]++
		}
	}
	for other, both := range shared {
		if samePartOf*both >= samePart*(len(set)+r.sizes[other]-both) {
			return false
		}
	}
	for s := range set {
		r.who[s] = append(r.who[s], len(r.sizes))
	}
	r.sizes = append(r.sizes, len(set))
	return true
}

// shingles returns the runs of words in a text; one shorter than a run is one shingle. A text without words has none, and
// resembles nothing.
func shingles(text string) map[uint64]struct{} {
	words := spoken(text)
	set := map[uint64]struct{}{}
	if len(words) > 0 && len(words) < shingle {
		set[hashed(words)] = struct{}{}
	}
	for i := 0; i+shingle <= len(words); i++ {
		set[hashed(words[i:i+shingle])] = struct{}{}
	}
	return set
}

func hashed(words []string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(words, " "))) // it cannot fail
	return h.Sum64()
}
