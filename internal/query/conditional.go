package query

import (
	"net/http"
	"strings"

	"github.com/edict-dev/edict/internal/journal"
)

// writeTagged answers with bytes and a strong ETag that is their digest, or with
// 304 if the reader has them.
//
// A reader has to ask each time, also for a context as of a sequence, for its URL
// does not say which definition and which life of the agent it is of. What it
// saves is the transfer. No cache between keeps it: the answer is one person's.
func writeTagged(w http.ResponseWriter, r *http.Request, media string, body []byte) {
	header := w.Header()
	tag := `"` + journal.Digest(body) + `"`
	header.Set("ETag", tag)
	header.Set("Vary", "Accept, Authorization")
	header.Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", media)
	_, _ = w.Write(body) // who hung up does not read it
}

// matches reports whether an If-None-Match names the tag, by the weak comparison
// that it is defined with (RFC 9110, section 13.1.2).
func matches(fields []string, tag string) bool {
	for _, field := range fields {
		for candidate := range strings.SplitSeq(field, ",") { // our tags have no comma
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
				return true
			}
		}
	}
	return false
}
