package retrieval

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestItemsThatAreReadAloneScoreAsWindowsOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New(rapid.SliceOf(anyLivingItem()).Draw(t, "items"), Alone())
		m := Moment{AsOf: rapid.Int64Range(0, 8).Draw(t, "as of"), Now: wednesday}
		alone := x.At(m)
		windows := &Snapshot{frame: &frame{}, index: x, asOf: m.AsOf, now: m.Now}
		x.fill(windows.frame, m, x.inside(nil))
		text := anyText().Draw(t, "question") + " " + rapid.SampledFrom([]string{"", "Ada", "Ben Ada boat"}).Draw(t, "name")
		terms, periods := alone.asked(Question{Text: text})
		want := make([]float64, windows.Len())
		windows.scoreWindows(want, terms, periods)
		got := alone.score(terms, periods)
		if alone.Len() != windows.Len() {
			t.Fatalf("%d items hold, not %d", alone.Len(), windows.Len())
		}
		for p, item := range windows.order { // no bit of a score may differ
			if score := got[alone.place(item)]; score != want[p] {
				t.Fatalf("item %d scores %v, not %v", item, score, want[p])
			}
		}
	})
}

func TestTheCountsOfTwoListsAreAddedUp(t *testing.T) {
	for _, c := range []struct{ a, b, want []posting }{
		{},
		{[]posting{{1, 2}}, nil, []posting{{1, 2}}},
		{nil, []posting{{1, 2}}, []posting{{1, 2}}},
		{[]posting{{1, 2}, {4, 1}, {7, 1}}, []posting{{2, 3}, {4, 5}}, []posting{{1, 2}, {2, 3}, {4, 6}, {7, 1}}},
		{[]posting{{4, 1}}, []posting{{4, 5}, {6, 1}}, []posting{{4, 6}, {6, 1}}},
	} {
		if diff := cmp.Diff(c.want, together(c.a, c.b), cmp.AllowUnexported(posting{})); diff != "" {
			t.Errorf("of %v and %v:\n%s", c.a, c.b, diff)
		}
	}
}

// TestWhatIsAskedForIsTheBeginningOfAll asks for a few of many items, so that most are passed over before they are sorted.
func TestWhatIsAskedForIsTheBeginningOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLanguage()
		items := l.manyItems(rapid.IntRange(0, 200).Draw(t, "items"))
		for i := range items {
			items[i].Time = wednesday.AddDate(0, 0, -rapid.IntRange(0, 30).Draw(t, "days"))
			items[i].Importance = float64(rapid.IntRange(0, 10).Draw(t, "importance")) / 10
		}
		s := New(items, Alone()).At(Moment{AsOf: 200, Now: wednesday})
		q, limit := Question{Text: l.say(5) + "last week"}, rapid.IntRange(1, 20).Draw(t, "limit")
		for name, ranker := range map[string]Ranker{"lexical": Lexical{s}, "recency": Recency{s}, "latest": Latest{s}} {
			all := ranker.Rank(q, 0)
			if !slices.IsSortedFunc(all, func(a, b Hit) int {
				if better(b, a) {
					return 1
				}
				return 0
			}) {
				t.Fatalf("%s: the order is %v", name, all)
			}
			if diff := cmp.Diff(all[:min(limit, len(all))], ranker.Rank(q, limit)); diff != "" {
				t.Fatalf("%s: the first %d (-of all +asked for):\n%s", name, limit, diff)
			}
		}
	})
}

func TestMomentsThatGoOnFromTheSameOneDoNotDisturbEachOther(t *testing.T) {
	var items []Item
	x := New(nil, Alone())
	ask := func(asOf int64) {
		t.Helper()
		compare(t, x, items, Moment{AsOf: asOf, Now: wednesday}, Question{Text: "boat"})
	}
	for sequence := range int64(100) {
		items = append(items, Item{Text: "a boat", Since: sequence}, Item{Text: "the boat and tea", Since: sequence + 1})
		x.Add(items[len(items)-2])
		x.Add(items[len(items)-1])
		ask(sequence + 1)
		ask(sequence)
		ask(sequence + 1)
	}
}
