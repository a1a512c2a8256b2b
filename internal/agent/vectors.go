package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

// maxEmbedded bounds a text that is embedded, in bytes: models take some thousand tokens at once.
const maxEmbedded = 16 << 10

// EmbeddingText returns what is embedded of a text that stands under headings
// (empty: under none): its beginning, if it is too long for a model.
func EmbeddingText(headings, text string) string {
	if headings != "" {
		text = headings + "\n\n" + text
	}
	if len(text) > maxEmbedded {
		text = text[:maxEmbedded]
	}
	return strings.ToValidUTF8(text, "")
}

// TextDigest returns the digest by which TextsEmbedded names a text that EmbeddingText returned: SHA-256, hexadecimal.
func TextDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// EncodeVectors returns the blob of a TextsEmbedded: the numbers of one vector after the other, each an IEEE 754 binary32
// in little-endian order.
func EncodeVectors(vectors [][]float32) []byte {
	var blob []byte
	for _, vector := range vectors {
		for _, number := range vector {
			blob = binary.LittleEndian.AppendUint32(blob, math.Float32bits(number))
		}
	}
	return blob
}

// DecodeVectors returns the vectors that a blob holds, or an error if it does not hold so many of that dimension.
func DecodeVectors(blob []byte, count, dimensions int) ([][]float32, error) {
	if dimensions <= 0 || len(blob) != 4*count*dimensions {
		return nil, fmt.Errorf("%d bytes are not %d vectors of %d dimensions", len(blob), count, dimensions)
	}
	vectors := make([][]float32, count)
	for i := range vectors {
		vectors[i] = make([]float32, dimensions)
		for k := range vectors[i] {
			vectors[i][k] = math.Float32frombits(binary.LittleEndian.Uint32(blob))
			blob = blob[4:]
		}
	}
	return vectors, nil
}
