package sqlite

import (
	"fmt"
	"testing"

	"github.com/edict-dev/edict/internal/journal"
)

// history is the file of a journal with two streams of eight records each, at
// alternate positions, under a key for every two.
func history(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	j := mustClaim(t, path)
	for n := range 4 {
		for i := range 2 {
			for _, stream := range []string{"travel/concierge", "travel/porter"} {
				b := journal.Batch{Stream: stream, Expected: journal.AnyVersion}
				if i == 0 {
					b.Key = fmt.Sprint(n)
				}
				b.Events = []journal.Event{{Type: "MemorySaved", Version: 1, Subject: "s", Data: fmt.Appendf(nil, `{"n":%d}`, 2*n+i)}}
				b.Blobs = []journal.Blob{journal.NewBlob(fmt.Append(nil, stream, n))}
				mustAppend(t, j, b)
			}
		}
	}
	mustClose(t, j)
	return path
}

func verifyRecords(t *testing.T, path string) (journal.Report, error) {
	t.Helper()
	j, err := Open(soon(t), path, Options{})
	if err != nil {
		return journal.Report{}, err
	}
	defer mustClose(t, j)
	return journal.Verify(soon(t), j)
}

// The streams' numbers, in the order of their first records.
const concierge, porter = 1, 2

func TestTamperingIsFound(t *testing.T) {
	const event = "event %d of stream travel/concierge (MemorySaved, position %d of shard 0)"
	at := func(sequence int) string { return fmt.Sprintf(event, sequence, 2*sequence-1) }
	changed := func(sequence int) string {
		return fmt.Sprintf("%s was changed after it was written: event %d holds another hash", at(sequence), sequence+1)
	}
	where := func(sequence int) string {
		return fmt.Sprintf("WHERE stream = %d AND sequence = %d", concierge, sequence)
	}

	for name, c := range map[string]struct{ statement, phrase string }{
		"an event's data":        {`UPDATE events SET data = '{"n":4711}' ` + where(7), changed(7)},
		"the first event's data": {`UPDATE events SET data = '{"n":4711}' ` + where(1), changed(1)},
		"a space in its data":    {`UPDATE events SET data = data || ' ' ` + where(3), changed(3)},
		"an event's time":        {`UPDATE events SET time = time + 1 ` + where(2), changed(2)},
		"an event's type": {`UPDATE events SET type = 'MemoryForgotten' ` + where(4),
			"event 4 of stream travel/concierge (MemoryForgotten, position 7 of shard 0) was changed after it was written: event 5 holds another hash"},
		"an event's version": {`UPDATE events SET version = 2 ` + where(4), changed(4)},
		"an event's subject": {`UPDATE events SET subject = 't' ` + where(4), changed(4)},
		"the last event": {`UPDATE events SET data = '{"n":4711}' ` + where(8),
			at(8) + " was changed after it was written: the stream's tip holds another hash"},
		"the hash that an event holds": {`UPDATE events SET previous = zeroblob(32) ` + where(5),
			at(5) + " does not follow event 4: it, or both, were changed"},
		"the hash that the first holds": {`UPDATE events SET previous = (SELECT previous FROM events WHERE position = 9) ` + where(1),
			at(1) + " was changed after it was written: it is the first"},
		"no hash at all": {`UPDATE events SET previous = x'00' ` + where(5), "1 bytes are stored as a hash"},
		"an event in the middle taken out": {`DELETE FROM events ` + where(5),
			"event 5 of stream travel/concierge is missing: " + at(6) + " follows, and the one before it is " + at(4)},
		"the first event taken out": {`DELETE FROM events ` + where(1), "event 1 of stream travel/concierge is missing: " + at(2) + " follows"},
		"the last event taken out": {`DELETE FROM events ` + where(8),
			"event 8 of stream travel/concierge is missing: its tip is at 8, and the one before it is " + at(7)},
		"every event taken out": {fmt.Sprintf(`DELETE FROM events WHERE stream = %d`, concierge),
			"event 1 of stream travel/concierge is missing: its tip is at 8"},
		"an event put in behind the tip": {`INSERT INTO events SELECT 17, stream, 9, time, epoch, type, version, subject, data, previous FROM events ` + where(8),
			"event 9 of stream travel/concierge (MemorySaved, position 17 of shard 0) is behind the stream's tip, which is at 8"},
		"the tip set back": {fmt.Sprintf(`UPDATE streams SET sequence = 7 WHERE id = %d`, concierge),
			at(7) + " was changed after it was written: the stream's tip holds another hash"},
		"two events exchanged in time": {`UPDATE events SET position = CASE position WHEN 5 THEN -1 ELSE 5 END WHERE position IN (5, 9);
			UPDATE events SET position = 9 WHERE position = -1`,
			at(4) + " is not behind the one before it, which is at position 9 of shard 0"},
		"the events of two streams exchanged": {
			`UPDATE events SET stream = -stream WHERE sequence = 6; UPDATE events SET stream = 3 + stream WHERE stream < 0`,
			"event 6 of stream travel/concierge (MemorySaved, position 12 of shard 0) does not follow event 5"},
		"the names of two streams exchanged": {
			`UPDATE streams SET name = 'x' WHERE id = 1; UPDATE streams SET name = 'travel/concierge' WHERE id = 2;
			 UPDATE streams SET name = 'travel/porter' WHERE id = 1`,
			"event 2 of stream travel/concierge (MemorySaved, position 4 of shard 0) does not follow event 1"},
		"a text": {`UPDATE blobs SET data = CAST('another' AS BLOB) WHERE id = 3`, "the text has changed since it was stored"},
		"a key moved past the end": {fmt.Sprintf(`UPDATE keys SET last = 9 WHERE stream = %d AND key = '3'`, concierge),
			`key "3" of stream travel/concierge is for events 7 to 9, and the stream's tip is at 8`},
		"a key behind the end": {fmt.Sprintf(`INSERT INTO keys VALUES (%d, 'k', 10, 10)`, concierge),
			`key "k" of stream travel/concierge is for events 10 to 10, and the stream's tip is at 8`},
		"a key moved over another": {fmt.Sprintf(`UPDATE keys SET last = 3 WHERE stream = %d AND key = '0'`, concierge),
			`key "1" of stream travel/concierge is for events 3 to 3, and key "0" already for 1 to 3`},
		"a key for nothing": {fmt.Sprintf(`UPDATE keys SET last = 2 WHERE stream = %d AND key = '1'`, concierge),
			`key "1" of stream travel/concierge is for events 3 to 2`},
	} {
		t.Run(name, func(t *testing.T) {
			path := history(t)
			change(t, path, c.statement)
			_, err := verifyRecords(t, path)
			fails(t, err, journal.ErrCorrupt, c.phrase)

			// And nothing of it is copied.
			from, to := mustOpen(t, path, Options{}), mustOpen(t, newPath(t), Options{})
			_, err = journal.Copy(soon(t), from, to)
			fails(t, err, journal.ErrCorrupt, "verify the source")
			if got := readAll(t, to); len(got) > 0 {
				t.Errorf("%d records were copied", len(got))
			}
		})
	}
}

// TestDigestTellsWhatWasTakenOut removes what leaves a sound journal: only who
// has kept the digest elsewhere can know.
func TestDigestTellsWhatWasTakenOut(t *testing.T) {
	for name, statements := range map[string][]string{
		"a stream": {
			fmt.Sprintf(`DELETE FROM events WHERE stream = %d`, porter), fmt.Sprintf(`DELETE FROM keys WHERE stream = %d`, porter),
			fmt.Sprintf(`DELETE FROM streams WHERE id = %d`, porter),
		},
		"a stream's end with its tip": {
			`UPDATE streams SET sequence = 7, hash = (SELECT previous FROM events WHERE stream = id AND sequence = 8) WHERE id = 1`,
			`DELETE FROM events WHERE stream = 1 AND sequence = 8`, `UPDATE keys SET last = 7 WHERE stream = 1 AND last = 8`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := history(t)
			before, err := verifyRecords(t, path)
			if err != nil {
				t.Fatal(err)
			}
			change(t, path, statements...)
			mustVerify(t, path)
			after, err := verifyRecords(t, path)
			if err != nil || after.Digest == before.Digest {
				t.Errorf("the report is %+v after %+v, error %v", after, before, err)
			}
		})
	}
}
