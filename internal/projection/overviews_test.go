package projection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edict-dev/edict/internal/agent"
)

func TestAnOverviewGoesWithWhatItCovers(t *testing.T) {
	onEachStore(t, func(t *testing.T, at location) {
		log := newLog()
		index := func(key, collection, document string) int64 {
			return log.add(stream, key, part(collection, document, 1, 1, key), agent.CommandSucceeded{})
		}
		summarise := func(key, collection string, to int64) int64 {
			return log.add(stream, key, agent.SummaryWritten{Collection: collection, From: 1, To: to, Text: key})
		}
		ofVisa := index("1", "rules", "visa")
		first := summarise("first", "rules", ofVisa)
		ofMeals := index("2", "rules", "meals")
		summarise("second", "rules", ofMeals)
		summarise("of others", "others", ofMeals)
		log.add(stream, "ada", agent.SummaryWritten{Conversation: "rules", From: 1, To: ofMeals, Text: "said"})
		before := index("3", "rules", "new") // which no summary covers
		gone := log.add(stream, "4", agent.DocumentsRemoved{Collection: "rules", Documents: []string{"new"}})
		replaced := index("5", "rules", "meals")
		removed := log.add(stream, "6", agent.DocumentsRemoved{Collection: "rules", Documents: []string{"visa"}})
		again := summarise("third", "rules", removed)
		s := projected(t, at, log)
		for _, c := range []struct {
			name       string
			asOf       int64
			limit      int
			collection string
			want       []string
		}{
			{"the newest first", before, 9, "rules", []string{"second", "first"}},
			{"as many as asked for", before, 1, "rules", []string{"second"}},
			{"as it was", first, 9, "rules", []string{"first"}},
			{"when something went that it does not cover", gone, 9, "rules", []string{"second", "first"}},
			{"when something was replaced that one covers", replaced, 9, "rules", []string{"first"}},
			{"when something was removed that each covers", removed, 9, "rules", nil},
			{"when it was written again", again, 9, "rules", []string{"third"}},
			{"of another collection", again, 9, "others", []string{"of others"}},
			{"of no collection", again, 9, "", nil},
		} {
			rows, err := s.Overviews(t.Context(), Scope{Stream: stream, AsOf: c.asOf, Limit: c.limit}, c.collection)
			var got []string
			for _, row := range rows {
				got = append(got, row.Text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
			}
		}
	})
}
