package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// Report is what Verify has seen, all of it sound.
type Report struct {
	Streams, Events, Texts int64

	// Digest is the SHA-256 over the tips of all streams, sorted by name: two
	// journals with the same history have the same. Kept elsewhere, it tells
	// later what the journal alone cannot: that a whole stream was taken out, or
	// a stream's end together with its tip.
	Digest string
}

// Verify reads all of a journal, and returns an error that wraps ErrCorrupt and
// names the first event that does not fit: the sequences of each stream have no
// hole, each record holds the hash of the one before, the tip is the last
// record's, the spans of the keys lie within the stream and apart from each
// other, and every text has its digest.
//
// The journal may be appended to meanwhile: what is appended to a stream after
// its tip was read is left to the next Verify. It takes time in proportion to
// the journal's size.
func Verify(ctx context.Context, j Journal) (Report, error) {
	var report Report
	history := newHistory()
	before := ""
	err := eachTip(ctx, j, func(tip Tip) error {
		s := streamCheck{journal: j, before: before, tip: tip}
		if err := s.run(ctx); err != nil {
			return err
		}
		before = tip.Stream
		report.Streams++
		report.Events += tip.Sequence
		history.add(tip)
		return nil
	})
	if err != nil {
		return Report{}, err
	}
	if report.Texts, err = verifyTexts(ctx, j); err != nil {
		return Report{}, err
	}
	report.Digest = history.digest()
	return report, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// eachTip calls do with the tip of every stream, sorted by name.
func eachTip(ctx context.Context, j Journal, do func(Tip) error) error {
	for after := ""; ; {
		tips, err := j.Tips(ctx, after, namePage)
		if err != nil {
			return err
		}
		if len(tips) == 0 {
			return nil
		}
		for _, tip := range tips {
			if tip.Stream <= after {
				return corrupt("stream %q is listed after %q", tip.Stream, after)
			}
			after = tip.Stream
			if err := do(tip); err != nil {
				return err
			}
		}
	}
}

// history is the digest of a journal's tips.
type history struct{ hash.Hash }

func newHistory() history { return history{sha256.New()} }

func (h history) add(tip Tip) {
	var number [8]byte
	h.Write(binary.BigEndian.AppendUint64(number[:0], uint64(len(tip.Stream))))
	_, _ = io.WriteString(h, tip.Stream) // a hash takes every byte
	h.Write(binary.BigEndian.AppendUint64(number[:0], uint64(tip.Sequence)))
	h.Write(tip.Hash[:])
}

func (h history) digest() string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func verifyTexts(ctx context.Context, j Journal) (count int64, err error) {
	for after := ""; ; {
		digests, err := j.Digests(ctx, after, namePage)
		if err != nil {
			return 0, err
		}
		if len(digests) == 0 {
			return count, nil
		}
		for _, digest := range digests {
			if digest <= after {
				return 0, corrupt("text %s is listed after %s", digest, after)
			}
			after = digest
			text, err := j.Blob(ctx, digest)
			if err != nil {
				return 0, err
			}
			if Digest(text) != digest {
				return 0, corrupt("the text under %s was changed after it was stored", digest)
			}
			count++
		}
	}
}
