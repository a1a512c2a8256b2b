package document

import (
	"slices"
	"strings"
)

// Excerpt returns the parts of a text that stand under some headings, in the order
// of the text: from the heading up to the next one of its level or a higher one. It
// also returns which of the headings the text does not have. Case and the space in a
// heading do not matter; two headings of one name are both meant.
func Excerpt(text string, headings []string) (excerpt string, missing []string) {
	titles, _ := titlesOf(text)
	var parts strings.Builder
	there := map[string]bool{}
	end := 0 // of the part before
	for i, t := range titles {
		name := folded(t.text)
		there[name] = true
		wanted := slices.ContainsFunc(headings, func(h string) bool { return folded(h) == name })
		if !wanted || t.start < end {
			continue
		}
		end = len(text)
		for _, next := range titles[i+1:] {
			if next.level <= t.level {
				end = next.start
				break
			}
		}
		parts.WriteString(strings.TrimRight(text[t.start:end], "\r\n") + "\n\n")
	}
	for _, h := range headings {
		if !there[folded(h)] {
			missing = append(missing, h)
		}
	}
	return strings.TrimSpace(parts.String()), missing
}

// folded is a heading as it is compared.
func folded(heading string) string {
	return strings.ToLower(strings.Join(strings.Fields(heading), " "))
}
