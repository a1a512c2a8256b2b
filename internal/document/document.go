// Package document reads texts and splits them into passages. It is pure: the
// same text, options and counter give the same passages. It knows neither where
// texts come from nor what a token is: who calls it says how tokens are counted.
package document

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// EncodingError says at which byte a document is no UTF-8 text, and what to do.
type EncodingError struct {
	Byte   int // the first one that cannot be read, from 0
	Remedy string
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("byte %d is not UTF-8 text: %s", e.Byte, e.Remedy)
}

// Decode returns a document's text without its byte order mark, or an
// *EncodingError. Nothing is guessed or replaced: a text that was read wrongly
// would be remembered wrongly.
func Decode(raw []byte) (string, error) {
	for _, wide := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(raw, []byte(wide)) {
			return "", &EncodingError{Remedy: "it begins as UTF-16 or UTF-32 does; convert the document to UTF-8"}
		}
	}
	text := strings.TrimPrefix(string(raw), "\ufeff")
	dropped := len(raw) - len(text)
	if at := strings.IndexByte(text, 0); at >= 0 {
		return "", &EncodingError{Byte: dropped + at, Remedy: "it is a NUL, which no text holds; extract the text if the document is binary, or convert it to UTF-8"}
	}
	if !utf8.ValidString(text) {
		return "", &EncodingError{Byte: dropped + invalidAt(text), Remedy: "the document is in another encoding, or binary; convert it to UTF-8"}
	}
	return text, nil
}

func invalidAt(text string) int {
	for at, r := range text {
		if _, size := utf8.DecodeRuneInString(text[at:]); r == utf8.RuneError && size == 1 {
			return at
		}
	}
	return len(text)
}
