package decision

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/edict-dev/edict/internal/agent"
)

// A fence holds text that somebody else wrote, so that the model can tell it from what it is told to do:
//
//	<<<HEAD NONCE
//	text
//	<<<end NONCE
//
// Nothing inside can close it. Each <<< of the text is written as \<<<, wherever
// it stands, so that no notion of where a line begins matters; and the nonce is
// a hash over the text itself, so that its author cannot have written it there.
const (
	mark    = "<<<"
	escaped = `\<<<`
)

// fencer writes the fences of one ask.
type fencer struct {
	ask []byte // digest of who asks what, so that equal texts have other nonces in other asks
}

func fencerOf(q agent.Inquiry) fencer {
	return fencer{ask: digest([]byte(q.Profile.Namespace), []byte(q.Profile.Name), []byte(q.Question.Conversation),
		[]byte(q.Question.Text), []byte(q.User))}
}

// write appends a fence to b. The head says what the text is.
func (f fencer) write(b *strings.Builder, head, text string) {
	nonce := hex.EncodeToString(digest(f.ask, []byte(head), []byte(text))[:6])
	b.WriteString(mark + head + " " + nonce + "\n")
	b.WriteString(strings.ReplaceAll(text, mark, escaped))
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteByte('\n')
	}
	b.WriteString(mark + "end " + nonce + "\n")
}

// head joins the words of a fence's first line. A word is a name; what would
// make two words or two lines of it becomes a dash.
func head(words ...string) string {
	for i, w := range words {
		words[i] = strings.Map(func(r rune) rune {
			if r <= ' ' || r == '<' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
				return '-'
			}
			return r
		}, w)
	}
	return strings.Join(words, " ")
}

// digest hashes parts so that no two lists of parts give the same bytes to the hash.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	var length [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
	return h.Sum(nil)
}
