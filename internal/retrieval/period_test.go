package retrieval

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wednesday is what the tests count from.
var wednesday = time.Date(2023, 7, 12, 15, 30, 0, 0, time.UTC)

func TestPeriods(t *testing.T) {
	for _, c := range []struct{ text, periods string }{
		{"nothing in it", ""},
		{"today", "2023-07-12"},
		{"yesterday", "2023-07-11"},
		{"the day before yesterday", "2023-07-10"},
		{"the day after tomorrow", "2023-07-14"},
		{"last night", "2023-07-11"},
		{"this morning", "2023-07-12"},
		{"last Friday", "2023-07-07"},
		{"last Wednesday", "2023-07-05"},
		{"on Friday", "2023-07-07"},
		{"this Friday", "2023-07-14"},
		{"next Friday", "2023-07-14"},
		{"next Wednesday", "2023-07-19"},
		{"last Tues", "2023-07-11"},
		{"she sat in the sun", ""},
		{"last Sun", "2023-07-09"},
		{"last week", "2023-07-03..2023-07-09"},
		{"this week", "2023-07-10..2023-07-16"},
		{"next week", "2023-07-17..2023-07-23"},
		{"last weekend", "2023-07-07..2023-07-09"},
		{"two weekends ago", "2023-06-30..2023-07-02"},
		{"two weeks ago", "2023-06-26..2023-07-02"},
		{"a couple of weeks ago", "2023-06-26..2023-07-02"},
		{"a few weeks ago", "2023-06-12..2023-07-02"},
		{"3 days ago", "2023-07-09"},
		{"in three days", "2023-07-15"},
		{"a year ago", "2022-01-01..2022-12-31"},
		{"last month", "2023-06-01..2023-06-30"},
		{"last year", "2022-01-01..2022-12-31"},
		{"last summer", "2022-06-01..2022-08-31"},
		{"in May 2023", "2023-05-01..2023-05-31"},
		{"in May", "2023-05-01..2023-05-31"},
		{"last December", "2022-12-01..2022-12-31"},
		{"next May", "2024-05-01..2024-05-31"},
		{"in December", "2023-12-01..2023-12-31"},
		{"February 2024", "2024-02-01..2024-02-29"},
		{"she may march", ""},
		{"since 2016", "2016-01-01..2016-12-31"},
		{"1234 people", ""},
		{"on 8 May, 2023", "2023-05-08"},
		{"on May 8th", "2023-05-08"},
		{"the 8th of May 2022", "2022-05-08"},
		{"May 8,2023", "2023-05-08"},
		{"2023-05-08", "2023-05-08"},
		{"30 February 2023", "2023-02-01..2023-02-28"},
		{"between August 11 and August 15 2023", "2023-08-11..2023-08-15"},
		{"from May to July", "2023-05-01..2023-07-31"},
		{"yesterday and tomorrow", "2023-07-11 2023-07-13"},
		{"the week before 16 November 2023", "2023-11-09..2023-11-15"},
		{"the day after 8 May 2023", "2023-05-09"},
		{"two boats", ""},
		{"ago", ""},
		{"last", ""},
	} {
		t.Run(c.text, func(t *testing.T) {
			if got := written(Periods(c.text, wednesday)); got != c.periods {
				t.Errorf("%q is %q, not %q", c.text, got, c.periods)
			}
		})
	}
}

// written tells periods by their first and last days.
func written(periods []Period) string {
	var all []string
	for _, p := range periods {
		first, last := p.From.Format(time.DateOnly), p.To.Add(-time.Nanosecond).Format(time.DateOnly)
		if first != last {
			first += ".." + last
		}
		all = append(all, first)
	}
	return strings.Join(all, " ")
}

func TestSaidInOctoberLastSummerIsTheOneJustGone(t *testing.T) {
	if got := written(Periods("last summer", wednesday.AddDate(0, 3, 0))); got != "2023-06-01..2023-08-31" {
		t.Errorf("last summer is %s", got)
	}
}

func TestOnSundayTheWeekIsTheOneThatEnds(t *testing.T) {
	sunday := wednesday.AddDate(0, 0, 4)
	if got := written(Periods("this week, last week", sunday)); got != "2023-07-10..2023-07-16 2023-07-03..2023-07-09" {
		t.Errorf("on Sunday 16 July, this week and last week are %s", got)
	}
}

func TestWithoutADateOnlyWhatHasAYearIsResolved(t *testing.T) {
	if got := written(Periods("yesterday, in June, last Friday, on May 8, two days ago; in May 2023", time.Time{})); got != "2023-05-01..2023-05-31" {
		t.Errorf("resolved %s", got)
	}
}

func TestPeriodsAreInTheLocationOfNow(t *testing.T) {
	auckland := time.FixedZone("NZST", 12*60*60)
	got := Periods("yesterday", time.Date(2023, 7, 12, 1, 0, 0, 0, auckland))
	want := []Period{{From: time.Date(2023, 7, 11, 0, 0, 0, 0, auckland), To: time.Date(2023, 7, 12, 0, 0, 0, 0, auckland)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("yesterday (-want +got):\n%s", diff)
	}
}

func TestTheWordsThatNameNoTimeAreLeft(t *testing.T) {
	_, rest := resolve(spoken("Where did Ana sail on 8 May 2023 and last week?"), wednesday)
	if got := strings.Join(rest, " "); got != "where did ana sail on and" {
		t.Errorf("left are %q", got)
	}
}

func TestAnyPeriodBeginsBeforeItEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0).UTC()
		periods := Periods(text, now)
		if len(periods) > maxPeriods {
			t.Fatalf("%q names %d times", text, len(periods))
		}
		for _, p := range periods {
			if !p.From.Before(p.To) {
				t.Fatalf("%q is %v", text, p)
			}
		}
	})
}
