package retrieval

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBM25AsComputedByHand(t *testing.T) {
	items := []Item{{Text: "boat boat harbour"}, {Text: "boat"}, {Text: "lighthouse keeper"}}
	// The mean length is 2. Two of three items have boat, so its idf is ln(1 + (3-2+0.5)/(2+0.5)) = ln 1.6.
	//
	//	item 0: twice, length 3: 2·2.2 / (2 + 1.2·(0.25 + 0.75·3/2)) = 4.4/3.65
	//	item 1: once, length 1:  1·2.2 / (1 + 1.2·(0.25 + 0.75·1/2)) = 2.2/1.75
	//
	// One of three has harbour: ln(1 + 2.5/1.5) = ln(8/3), and item 0 has it once: 2.2 / (1 + 1.65) = 2.2/2.65.
	want := []Hit{
		{Item: 0, Score: math.Log(1.6)*4.4/3.65 + math.Log(8.0/3)*2.2/2.65},
		{Item: 1, Score: math.Log(1.6) * 2.2 / 1.75},
	}
	got := rank(New(items, Config{}), Question{Text: "Which harbour has the boats?"}, 0)
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
}

// rank asks of all items.
func rank(x *Index, q Question, limit int) []Hit { return Lexical{x.At(Moment{})}.Rank(q, limit) }

func recent(x *Index, now time.Time) []Hit {
	return Recency{x.At(Moment{Now: now})}.Rank(Question{}, 0)
}

var near = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })

func TestANeighbourIsReadAtHalfWeightBeforeItSaturates(t *testing.T) {
	items := said("boat", "harbour boat")
	// Windows: item 0 has 1 + 1/2 boats in 1 + 2/2 terms, item 1 has 1 + 1/2 in 2 + 1/2; the mean length is 2.25, and both
	// items have boat: ln(1 + 0.5/2.5) = ln 1.2.
	window := func(length float64) float64 {
		return math.Log(1.2) * 1.5 * 2.2 / (1.5 + 1.2*(0.25+0.75*length/2.25))
	}
	want := []Hit{{Item: 0, Score: window(2)}, {Item: 1, Score: window(2.5)}}
	got := rank(New(items, Config{Neighbours: 1}), Question{Text: "boat"}, 0)
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
}

// said makes one session of texts.
func said(texts ...string) []Item {
	items := make([]Item, len(texts))
	for i, text := range texts {
		items[i] = Item{Text: text, Conversation: "c", Session: "1", Position: i}
	}
	return items
}

func found(x *Index, question string) []int {
	var items []int
	for _, hit := range rank(x, Question{Text: question}, 0) {
		items = append(items, hit.Item)
	}
	return items
}

func TestRanking(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2023, 5, n, 12, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name, question string
		items          []Item
		first          []int
	}{
		{"an answer is found by its question", "Where was the wedding?",
			said("Rain again.", "Where was the wedding?", "In Lisbon.", "Lovely!", "Rain again, and wind."), []int{1, 2}},
		{"what its speaker says comes before what is said to her", "Does Ana paint?", []Item{
			{Text: "Do you still paint horses?", Speaker: "Ben", Session: "1"},
			{Text: "I still paint horses there.", Speaker: "Ana", Session: "2"},
			{Text: "Nothing new here.", Speaker: "Ana", Session: "3"},
		}, []int{1}},
		{"an irregular form is found by its base", "What did they buy?", said("A boat.", "They bought it."), []int{1}},
		{"when finds what names a time", "When did they sail?", []Item{
			{Text: "They sail with a new crew.", Session: "1"},
			{Text: "They sail on the first weekend.", Session: "2"},
			{Text: "They talk.", Session: "3"},
		}, []int{1}},
		{"how many finds a number", "How many boats sail?", []Item{
			{Text: "Boats sail with large crews.", Session: "1"},
			{Text: "Boats sail with 7 crews.", Session: "2"},
			{Text: "Crews talk.", Session: "3"},
		}, []int{1}},
		{"a time word is resolved, on both sides", "What was eaten two days ago?", []Item{
			{Text: "Fish was eaten.", Time: day(1), Session: "1"},
			{Text: "Soup was eaten yesterday.", Time: day(9), Session: "2"},
			{Text: "Bread was eaten.", Time: day(10), Session: "3"},
		}, []int{1}},
		{"a year finds what is not dated", "Which race was won in 2021?", []Item{
			{Text: "A race was won in 2020.", Session: "1"},
			{Text: "A race was won in 2021.", Session: "2"},
		}, []int{1}},
		{"of two alike, the one whose session was about it", "Which boat?", append(
			said("A boat.", "Tea.", "Rain.", "Wind.", "Snow.", "Bread."),
			Item{Text: "A boat.", Session: "2"}, Item{Text: "Tea.", Session: "2", Position: 1}, Item{Text: "Rain.", Session: "2", Position: 2},
			Item{Text: "Wind.", Session: "2", Position: 3}, Item{Text: "Snow.", Session: "2", Position: 4}, Item{Text: "Boats.", Session: "2", Position: 5},
		), []int{6}},
		{"equal items come in the order given", "boat", []Item{{Text: "boat", Session: "1"}, {Text: "boat", Session: "2"}}, []int{0, 1}},
		{"words that nobody said find nothing", "submarine", said("boat"), nil},
		{"nothing finds nothing", "", said("boat"), nil},
		{"stop words are looked for when there are no others", "who is it", said("boat", "who"), []int{1, 0}},
		{"no items", "boat", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := found(New(c.items, Default()), c.question)
			if len(got) < len(c.first) || c.first == nil && got != nil || !slices.Equal(got[:len(c.first)], c.first) {
				t.Errorf("found %v, not %v first", got, c.first)
			}
		})
	}
}

func TestNeighboursStayInTheirSession(t *testing.T) {
	items := []Item{
		{Text: "boat", Conversation: "a", Session: "1", Position: 1},
		{Text: "other session", Conversation: "a", Session: "2", Position: 2},
		{Text: "other conversation", Conversation: "b", Session: "1", Position: 2},
		{Text: "beside", Conversation: "a", Session: "1", Position: 0},
	}
	if got := found(New(items, Default()), "boat"); !slices.Equal(got, []int{0, 3}) {
		t.Errorf("found %v, not the boat and the item beside it", got)
	}
}

func TestNeighboursAreThoseByPosition(t *testing.T) {
	items := []Item{{Text: "boat", Position: 2}, {Text: "far", Position: 0}, {Text: "beside", Position: 1}}
	if got := found(New(items, Config{Neighbours: 1}), "boat"); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("found %v, not the boat and the item before it", got)
	}
}

func TestProximityPrefersWordsThatStandTogether(t *testing.T) {
	items := []Item{
		{Text: "red paint stains every old boat", Session: "1"},
		{Text: "paint stains every old red boat", Session: "2"},
		{Text: "tea", Session: "3"}, {Text: "rain", Session: "4"},
	}
	if got := found(New(items, Config{}), "red boat"); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("without proximity, found %v", got)
	}
	if got := found(New(items, Config{Proximity: true}), "red boat"); !slices.Equal(got, []int{1, 0}) {
		t.Errorf("with proximity, found %v", got)
	}
}

func TestFeedbackFindsWhatTheFirstHitsAreAbout(t *testing.T) {
	items := []Item{
		{Text: "regatta harbour", Session: "1"}, {Text: "regatta harbour mast", Session: "2"},
		{Text: "harbour", Session: "3"}, {Text: "tea", Session: "4"}, {Text: "rain", Session: "5"},
		{Text: "wind", Session: "6"}, {Text: "snow", Session: "7"},
	}
	if got := found(New(items, Config{}), "regatta"); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("without feedback, found %v", got)
	}
	if got := found(New(items, Config{Feedback: true}), "regatta"); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("with feedback, found %v", got)
	}
}

func TestRecentWeighsAgeAndImportance(t *testing.T) {
	now := time.Date(2023, 5, 29, 0, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	x := New([]Item{
		{Text: "no date"},
		{Text: "a week old", Time: ago(7)},
		{Text: "as old, and twice as important", Time: ago(7), Importance: 1},
		{Text: "today", Time: now},
		{Text: "half a week", Time: ago(3)},
		{Text: "an age ago", Time: ago(36500)},
		{Text: "no date, important", Importance: 1},
	}, Default())
	var got []int
	for _, hit := range recent(x, time.Time{}) {
		got = append(got, hit.Item)
	}
	if want := []int{2, 3, 4, 1, 6, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("order %v, not %v", got, want)
	}
}

func TestFuseSumsReciprocalRanks(t *testing.T) {
	a := []Hit{{Item: 4, Score: 100}, {Item: 2, Score: 1}}
	b := []Hit{{Item: 2, Score: 0.1}, {Item: 7, Score: 0.1}, {Item: 1, Score: 0.1}}
	want := []Hit{
		{Item: 2, Score: 1.0/62 + 1.0/61}, {Item: 4, Score: 1.0 / 61}, {Item: 7, Score: 1.0 / 62}, {Item: 1, Score: 1.0 / 63},
	}
	if diff := cmp.Diff(want, Fuse(a, nil, b), near); diff != "" {
		t.Errorf("fused (-want +got):\n%s", diff)
	}
}

func TestDistinctKeepsTheBestOfWhatSaysTheSame(t *testing.T) {
	x := New([]Item{
		{Text: "Ana has a red boat in the harbour of Lisbon, and sails each week."},
		{Text: "ana has a RED boat in the harbour of Lisbon and sails each week!"},
		{Text: "Ana has a blue boat in the harbour of Lisbon, and sails each week."},
		{Text: "Yes."}, {Text: "yes"}, {Text: "!!!"}, {Text: "..."},
	}, Default())
	hits := []Hit{{Item: 1}, {Item: 0}, {Item: 2}, {Item: 3}, {Item: 4}, {Item: 5}, {Item: 6}}
	if diff := cmp.Diff([]Hit{{Item: 1}, {Item: 2}, {Item: 3}, {Item: 5}, {Item: 6}}, x.Distinct(hits, 10)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if got := x.Distinct(hits, 2); len(got) != 2 {
		t.Errorf("kept %v, though two were asked for", got)
	}
}

func TestOddInputIsAnsweredInTime(t *testing.T) {
	items := said("boat", "", "caf\xff\xfe", strings.Repeat("x", 100_000), "\x00time \x00number", strings.Repeat("last Friday ", 10_000))
	x := New(items, everything)
	for name, question := range map[string]string{
		"empty":       "",
		"spaces":      " \n\t",
		"not UTF-8":   "\xff\xfe\xfd",
		"long":        strings.Repeat("boat harbour lighthouse 2023-05-08 ", 3_000),
		"one word":    strings.Repeat("a", 100_000),
		"punctuation": strings.Repeat("-'", 50_000),
		"times":       strings.Repeat("two weeks before last Friday ", 4_000),
	} {
		began := time.Now()
		for _, hit := range rank(x, Question{Text: question}, 0) {
			if !(hit.Score > 0) || math.IsInf(hit.Score, 0) {
				t.Errorf("%s: score %v", name, hit.Score)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// everything switches on what there is.
var everything = Config{Neighbours: 3, Pairs: true, Speakers: true, Sessions: true, Irregular: true, Expect: true, Periods: true,
	Proximity: true, Feedback: true}

func TestALongQuestionIsAskedByItsRarestTerms(t *testing.T) {
	var items []Item
	var question strings.Builder
	for i := range 2 * maxTerms {
		word := "word" + strings.Repeat("x", i)
		question.WriteString(word + " ")
		items = append(items, Item{Text: word})
	}
	items = append(items, Item{Text: question.String()})
	for range 10 {
		items = append(items, Item{Text: "word"})
	}
	x := New(items, Config{})
	terms, _ := x.At(Moment{}).asked(Question{Text: question.String()})
	if len(terms) != maxTerms {
		t.Fatalf("%d terms are asked for, not %d", len(terms), maxTerms)
	}
	if common := x.terms["word"]; slices.ContainsFunc(terms, func(w weighted) bool { return w.term == common }) {
		t.Error("the commonest term is among those asked for")
	}
}

func TestTheSameItemsAndQuestionGiveTheSameOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := anyItems().Draw(t, "items")
		q := Question{Text: anyText().Draw(t, "question")}
		first := rank(New(items, everything), q, 0)
		for range 3 {
			if diff := cmp.Diff(first, rank(New(items, everything), q, 0)); diff != "" {
				t.Fatalf("another index answers otherwise:\n%s", diff)
			}
		}
	})
}

func TestARankingHasEachItemAtMostOnceBestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := anyItems().Draw(t, "items")
		x := New(items, everything)
		lexical := rank(x, Question{Text: anyText().Draw(t, "question")}, 0)
		recent := recent(x, wednesday)
		fused := Fuse(lexical, recent)
		if len(recent) != len(items) || len(fused) != len(items) {
			t.Fatalf("%d recent and %d fused of %d items", len(recent), len(fused), len(items))
		}
		for _, hits := range [][]Hit{lexical, recent, fused, x.Distinct(fused, len(items))} {
			seen := map[int]bool{}
			for i, hit := range hits {
				if seen[hit.Item] || hit.Item < 0 || hit.Item >= len(items) || !(hit.Score > 0) {
					t.Fatalf("hit %d is %v", i, hit)
				}
				if i > 0 && hits[i-1].Score < hit.Score {
					t.Fatalf("hit %d is better than the one before it", i)
				}
				seen[hit.Item] = true
			}
		}
	})
}

func TestALimitedRankingIsTheBeginningOfTheWholeOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOf(rapid.Map(rapid.IntRange(-1, 5), func(n int) float64 { return float64(n) })).Draw(t, "scores")
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		order := make([]int32, len(scores))
		for i, item := range rand.Perm(len(scores)) {
			order[i] = int32(item)
		}
		whole := best(scores, order, 0)
		if diff := cmp.Diff(whole[:min(limit, len(whole))], best(scores, order, limit)); diff != "" {
			t.Fatalf("the first %d of %v (-want +got):\n%s", limit, scores, diff)
		}
	})
}

func TestTheMostRecentAreTheBeginningOfAllByRecency(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Item {
			item := Item{Importance: rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "importance")}
			if days := rapid.SampledFrom([]int{0, 1, 6, 7, 8, 14, 15, 6_993, 7_000, 7_001, 9_000, -1}).Draw(t, "days"); days >= 0 {
				item.Time = wednesday.AddDate(0, 0, -days)
			}
			return item
		}), 0, 40).Draw(t, "items")
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		s := New(items, Config{}).At(Moment{Now: wednesday})
		whole := Recency{s}.Rank(Question{}, 0)
		if len(whole) != len(items) {
			t.Fatalf("%d of %d items are ranked", len(whole), len(items))
		}
		if diff := cmp.Diff(whole[:min(limit, len(whole))], Recency{s}.Rank(Question{}, limit)); diff != "" {
			t.Fatalf("the first %d (-of all +limited):\n%s", limit, diff)
		}
	})
}

func TestAnotherConversationTakesNoNeighbours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := anyItems().Draw(t, "items")
		for i := range items {
			items[i].Session = string(rune('A' + i)) // everybody alone
		}
		alone := everything
		alone.Neighbours = 0
		q := Question{Text: anyText().Draw(t, "question")}
		if diff := cmp.Diff(rank(New(items, alone), q, 0), rank(New(items, everything), q, 0)); diff != "" {
			t.Fatalf("neighbours were read across sessions:\n%s", diff)
		}
	})
}

func anyItems() *rapid.Generator[[]Item] { return rapid.SliceOfN(anyItem(), 0, 12) }

func anyItem() *rapid.Generator[Item] {
	return rapid.Custom(func(t *rapid.T) Item {
		item := Item{
			Text:       anyText().Draw(t, "text"),
			Speaker:    rapid.SampledFrom([]string{"", "Ana", "Ben", "May"}).Draw(t, "speaker"),
			Session:    rapid.SampledFrom([]string{"1", "2"}).Draw(t, "session"),
			Position:   rapid.IntRange(0, 5).Draw(t, "position"),
			Importance: rapid.Float64Range(-1, 2).Draw(t, "importance"),
		}
		if rapid.Bool().Draw(t, "dated") {
			item.Time = wednesday.AddDate(0, 0, rapid.IntRange(-400, 10).Draw(t, "day"))
		}
		return item
	})
}

func FuzzRank(f *testing.F) {
	f.Add("Ana: a boat, last Friday?", "When did Ana buy it, in May 2023?")
	f.Add("\xff", "between 2023 and")
	f.Fuzz(func(t *testing.T, text, question string) {
		x := New(said(text, question, "boat"), everything)
		for _, hit := range rank(x, Question{Text: question}, 0) {
			if !(hit.Score > 0) || math.IsInf(hit.Score, 0) {
				t.Errorf("score %v", hit.Score)
			}
		}
		x.Distinct(Fuse(recent(x, wednesday)), 3)
	})
}
