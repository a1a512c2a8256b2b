package retrieval

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestAMomentTellsWhatAnIndexOfItsItemsAloneTells adds and ends items in any order, looks in between as often as it likes
// at any moment, and holds each answer against one of an index that is made anew of what holds then.
func TestAMomentTellsWhatAnIndexOfItsItemsAloneTells(t *testing.T) {
	config := everything
	config.Gap = 36 * time.Hour
	for name, config := range map[string]Config{"with neighbours": config, "each alone": Alone()} {
		t.Run(name, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { tellsAsOf(t, config) }) })
	}
}

func tellsAsOf(t *rapid.T, config Config) {
	x := New(nil, config)
	var items []Item
	t.Repeat(map[string]func(*rapid.T){
		"add": func(t *rapid.T) {
			item := anyLivingItem().Draw(t, "item")
			items = append(items, item)
			if n := x.Add(item); n != len(items)-1 {
				t.Fatalf("item %d is numbered %d", len(items)-1, n)
			}
		},
		"end": func(t *rapid.T) {
			if len(items) == 0 {
				t.Skip("nothing to end")
			}
			i := rapid.IntRange(0, len(items)-1).Draw(t, "item")
			items[i].Until = rapid.Int64Range(1, 8).Draw(t, "until")
			x.End(i, items[i].Until)
		},
		"": func(t *rapid.T) {
			m := Moment{
				AsOf:   rapid.Int64Range(0, 8).Draw(t, "as of"),
				Now:    wednesday.AddDate(0, 0, rapid.IntRange(-3, 3).Draw(t, "day")),
				Within: rapid.SampledFrom([][]string{nil, {"a"}, {"b", "a", "b"}, {"c"}}).Draw(t, "within"),
			}
			compare(t, x, items, m, Question{Text: anyText().Draw(t, "question")})
		},
	})
}

// TestAnIndexIsAskedAsItGrows adds and ends items as a journal tells of them, in the order of their sequences, and asks in
// between as of sequences near the last. Each snapshot is asked again when the index has grown further.
func TestAnIndexIsAskedAsItGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New(nil, Alone())
		var items []Item
		sequence := int64(0)
		type answer struct {
			of   *Snapshot
			hits [2][]Hit
		}
		var given []answer
		question := Question{Text: anyText().Draw(t, "question")}
		rank := func(s *Snapshot) [2][]Hit {
			return [2][]Hit{Lexical{s}.Rank(question, 3), Recency{s}.Rank(question, 3)}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				sequence += rapid.Int64Range(0, 2).Draw(t, "later")
				item := anyLivingItem().Draw(t, "item")
				item.Since, item.Until = sequence, 0
				if rapid.Bool().Draw(t, "for good") {
					item.Expires = time.Time{}
				}
				items = append(items, item)
				x.Add(item)
			},
			"end": func(t *rapid.T) {
				i := rapid.IntRange(0, len(items)).Draw(t, "item")
				if i == len(items) || items[i].Until != 0 {
					t.Skip("nothing to end")
				}
				sequence += rapid.Int64Range(0, 2).Draw(t, "later")
				items[i].Until = max(sequence, 1)
				x.End(i, items[i].Until)
			},
			"": func(t *rapid.T) {
				m := Moment{
					AsOf:   max(0, sequence+rapid.Int64Range(-2, 1).Draw(t, "as of")),
					Now:    wednesday.AddDate(0, 0, rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "day")),
					Within: rapid.SampledFrom([][]string{nil, nil, {"a"}}).Draw(t, "within"),
				}
				compare(t, x, items, m, question)
				if s := x.At(m); m.AsOf < sequence { // of which nothing new can come
					given = append(given, answer{s, rank(s)})
				}
				for _, a := range given {
					if diff := cmp.Diff(a.hits, rank(a.of)); diff != "" {
						t.Fatalf("a snapshot as of %d tells something else when the index is as of %d (-before +after):\n%s", a.of.asOf, sequence, diff)
					}
				}
			},
		})
	})
}

// fatal is what both kinds of tests have.
type fatal interface {
	Fatalf(format string, args ...any)
}

func compare(t fatal, x *Index, items []Item, m Moment, q Question) {
	var alone []Item
	var numbers []int // by item of the fresh index, that in the old one
	for i, item := range items {
		if item.Since <= m.AsOf && (item.Until == 0 || m.AsOf < item.Until) &&
			(item.Expires.IsZero() || m.Now.Before(item.Expires)) &&
			(m.Within == nil || slices.Contains(m.Within, item.Conversation)) {
			item.Since, item.Until, item.Expires = 0, 0, time.Time{}
			alone = append(alone, item)
			numbers = append(numbers, i)
		}
	}
	fresh := New(alone, x.config)
	renamed := func(hits []Hit) []Hit {
		hits = slices.Clone(hits)
		for i := range hits {
			hits[i].Item = numbers[hits[i].Item]
		}
		return hits
	}
	was, is := fresh.At(Moment{Now: m.Now}), x.At(m)
	if is.Len() != len(alone) {
		t.Fatalf("%d items hold, not %d", is.Len(), len(alone))
	}
	for name, pair := range map[string][2]Ranker{
		"lexical": {Lexical{was}, Lexical{is}},
		"recency": {Recency{was}, Recency{is}},
	} {
		want := renamed(pair[0].Rank(q, 0))
		got := slices.Clone(pair[1].Rank(q, 0))
		if diff := cmp.Diff(want, got); diff != "" { // no bit of a score may differ
			t.Fatalf("%s at %+v (-made anew +grown):\n%s", name, m, diff)
		}
		if diff := cmp.Diff(renamed(fresh.Distinct(pair[0].Rank(q, 0), 5)), slices.Clone(x.Distinct(got, 5))); diff != "" {
			t.Fatalf("%s without duplicates at %+v (-made anew +grown):\n%s", name, m, diff)
		}
	}
	beside(t, was, is, numbers)
}

func beside(t fatal, was, is *Snapshot, numbers []int) {
	named := func(item int) int {
		if item < 0 {
			return item
		}
		return numbers[item]
	}
	for i, number := range numbers {
		before, after := was.Beside(i)
		gotBefore, gotAfter := is.Beside(number)
		if gotBefore != named(before) || gotAfter != named(after) {
			t.Fatalf("beside item %d stand %d and %d, not %d and %d", number, gotBefore, gotAfter, named(before), named(after))
		}
	}
}

func anyLivingItem() *rapid.Generator[Item] {
	return rapid.Custom(func(t *rapid.T) Item {
		item := anyItem().Draw(t, "item")
		item.Conversation = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "conversation")
		item.Undated = rapid.Bool().Draw(t, "undated")
		item.Since = rapid.Int64Range(0, 6).Draw(t, "since")
		if rapid.Bool().Draw(t, "ends") {
			item.Until = rapid.Int64Range(1, 8).Draw(t, "until")
		}
		if rapid.Bool().Draw(t, "expires") {
			item.Expires = wednesday.AddDate(0, 0, rapid.IntRange(-3, 3).Draw(t, "expires"))
		}
		return item
	})
}

func TestALongQuestionIsAskedAsOfTheMoment(t *testing.T) {
	var items []Item
	question := []string{"boat", "harbour", "tea"}
	for i := range 2 * maxTerms {
		word := "word" + strings.Repeat("x", i)
		question = append(question, word)
		items = append(items, Item{Text: word + " boat harbour tea" + strings.Repeat(" "+question[i%3], i%7), Since: int64(i % 5)})
	}
	x := New(items, Alone())
	for asOf := range int64(5) { // of the question's words, 106 to all 515 have been said
		compare(t, x, items, Moment{AsOf: asOf, Now: wednesday}, Question{Text: strings.Join(question, " ")})
	}
}

func TestAGapBeginsAnotherSession(t *testing.T) {
	items := said("boat", "beside", "the day after")
	for i := range items {
		items[i].Time = wednesday
	}
	items[2].Time = wednesday.AddDate(0, 0, 1)
	config := Default()
	if got := found(New(items, config), "boat"); len(got) != 3 {
		t.Fatalf("without a gap, found %v", got)
	}
	config.Gap = 6 * time.Hour
	if got := found(New(items, config), "boat"); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("found %v, not the boat and the item of the same day", got)
	}
}

func TestWhatIsUndatedIsNotFoundByItsDate(t *testing.T) {
	items := []Item{{Text: "a boat", Time: wednesday}, {Text: "a boat", Time: wednesday, Undated: true}}
	if got := found(New(items, Alone()), "July 2023"); !slices.Equal(got, []int{0}) {
		t.Errorf("found %v, not the dated item alone", got)
	}
}
