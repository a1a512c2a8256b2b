package execution

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const (
	apiMaxRead   = 1 << 20  // of an answer's body
	apiMaxResult = 16 << 10 // of what is kept of it

	apiRedacted = "[redacted]"
	// apiCutNote ends a result that does not hold the whole answer.
	apiCutNote = "\n[Cut: the answer is longer, or broke off; only its beginning is kept.]"
	apiNoText  = "[The answer is not text, and is not kept.]"

	// apiShortestSecret: what is shorter is guessed sooner than it is leaked, and
	// replacing it would take results apart.
	apiShortestSecret = 4
	// apiShortestEncoding is the same for encodings, whose alphabet is smaller.
	apiShortestEncoding = 6
)

// readAPIBody reads at most apiMaxRead. It returns what came, also with an error,
// and whether that is all there is.
func readAPIBody(body io.Reader) (read []byte, whole bool, err error) {
	read, err = io.ReadAll(io.LimitReader(body, apiMaxRead+1))
	if len(read) > apiMaxRead {
		return read[:apiMaxRead], false, nil
	}
	return read, err == nil, err
}

// apiScrubber takes the secret values of one request's headers out of its answer.
type apiScrubber struct{ needles []string }

// newAPIScrubber looks for the headers' values, and for the credentials in them,
// as they are and as servers that echo a request tend to encode them.
func newAPIScrubber(headers []APIHeader) apiScrubber {
	seen := map[string]bool{}
	for _, h := range headers {
		for _, secret := range apiSecrets(apiHeaderValue(h.Value)) {
			if len(secret) < apiShortestSecret {
				continue
			}
			seen[secret] = true
			for _, encoded := range apiEncodings(secret) {
				seen[encoded] = seen[encoded] || len(encoded) >= apiShortestEncoding
			}
		}
	}
	var s apiScrubber
	for needle, wanted := range seen {
		if wanted {
			s.needles = append(s.needles, needle)
		}
	}
	// The longest first: one secret may be a part of another.
	slices.SortFunc(s.needles, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return s
}

// apiSecrets returns a header's value, the credentials after its scheme ("Bearer
// …"), and the name and password in those of Basic authentication.
func apiSecrets(value string) []string {
	secrets := []string{value}
	scheme, credentials, ok := strings.Cut(value, " ")
	if !ok {
		return secrets
	}
	credentials = strings.TrimSpace(credentials)
	secrets = append(secrets, credentials)
	if !strings.EqualFold(scheme, "Basic") {
		return secrets
	}
	if pair, err := base64.StdEncoding.DecodeString(credentials); err == nil {
		_, password, _ := strings.Cut(string(pair), ":")
		secrets = append(secrets, string(pair), password)
	}
	return secrets
}

// apiEncodings returns the secret as URLs, JSON, hexadecimal and base64 have it.
func apiEncodings(secret string) []string {
	encodings := []string{
		url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for _, html := range []bool{true, false} {
		var quoted bytes.Buffer
		e := json.NewEncoder(&quoted)
		e.SetEscapeHTML(html)
		if e.Encode(secret) == nil {
			inQuotes := strings.TrimSpace(quoted.String())
			encodings = append(encodings, inQuotes[1:len(inQuotes)-1])
		}
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			encodings = append(encodings, apiBase64Core(encoding, secret, before))
		}
	}
	return encodings
}

// apiBase64Core returns the characters that the secret has in a base64 text
// whatever stands around it, if it begins before bytes into a group of three.
func apiBase64Core(encoding *base64.Encoding, secret string, before int) string {
	encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
	from := (before*8 + 5) / 6
	to := (before + len(secret)) * 8 / 6
	return encoded[min(from, to):to]
}

// text makes a body fit to be kept: without secrets, JSON without needless space,
// valid UTF-8 without control characters, and at most apiMaxResult long.
func (s apiScrubber) text(body []byte, whole bool) string {
	if bytes.IndexByte(body[:min(len(body), 512)], 0) >= 0 {
		return apiNoText
	}
	var compact bytes.Buffer
	if whole && json.Compact(&compact, body) == nil {
		body = compact.Bytes()
	}
	text := s.scrubbed(string(body))
	if !whole {
		text = s.withoutTail(text)
	}
	text = strings.Map(apiVisible, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
	if !whole || len(text) > apiMaxResult {
		return apiCut(text, apiMaxResult-len(apiCutNote)) + apiCutNote
	}
	return text
}

func (s apiScrubber) scrubbed(text string) string {
	for _, needle := range s.needles {
		text = strings.ReplaceAll(text, needle, apiRedacted)
	}
	return text
}

// withoutTail drops the beginning of a secret from the end of a text that broke off.
func (s apiScrubber) withoutTail(text string) string {
	longest := 0
	for _, needle := range s.needles {
		for n := min(len(needle)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, needle[:n]) {
				longest = n
			}
		}
	}
	return text[:len(text)-longest]
}

// apiVisible replaces control characters rather than dropping them, which could
// join the halves of a secret.
func apiVisible(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
		return unicode.ReplacementChar
	}
	return r
}

// apiCut cuts s to at most n bytes without splitting a character.
func apiCut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
