package retrieval

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Period is a span of time: From is in it, To is the first moment after it.
type Period struct {
	From, To time.Time
}

// span is a period that an item speaks of, in seconds since 1970: 100,000 of them are compared in a fraction of a
// millisecond.
type span struct {
	from, to int64
	item     int32
}

func spanOf(p Period, item int32) span { return span{from: p.From.Unix(), to: p.To.Unix(), item: item} }

// during lists the items that speak of a period: said in it, or naming a time that overlaps it. The period is then scored
// as a term that these items have, so that one which most items lie in tells as little as a word that most of them have.
func (s *Snapshot) during(p Period) []posting {
	asked := spanOf(p, 0)
	var list []posting
	for _, span := range s.index.spans {
		again := len(list) > 0 && list[len(list)-1].item == span.item
		if span.from < asked.to && asked.from < span.to && !again {
			list = append(list, posting{item: span.item, count: 1})
		}
	}
	return list
}

// maxPeriods bounds what one text can name.
const maxPeriods = 32

// Periods resolves the times that an English text names, relative to now and in now's location: dates and parts of them,
// weekdays, "yesterday", "last week", "two weekends ago", "next month", "the week before 8 May", "between May and July".
// A weekday without a word is the last one, as in telling what happened; a month or a date without a year is the one
// nearest to now. What is vague stays wide: "a few weeks ago" is the weeks from the fourth to the second before. Where
// now is the zero time, only what has a year is resolved.
func Periods(text string, now time.Time) []Period {
	periods, _ := resolve(spoken(text), now)
	return periods
}

// resolve returns the times that the words of a text name, and the words that name none.
func resolve(words []string, now time.Time) (periods []Period, rest []string) {
	r := timeReader{words: splitDates(words), now: now}
	last := 0 // the word after the last period
	for r.at < len(r.words) && len(periods) < maxPeriods {
		p, used := r.next()
		if used == 0 {
			rest = append(rest, r.words[r.at])
			r.at++
			continue
		}
		if n := len(periods); n > 0 && r.at == last+1 && r.joins(last) && periods[n-1].From.Before(p.From) {
			periods[n-1].To = p.To
		} else {
			periods = append(periods, r.beside(p))
		}
		r.at += used
		last = r.at
	}
	return periods, append(rest, r.words[r.at:]...)
}

// splitDates parts what was written without a space: "May 8,2023".
func splitDates(words []string) []string {
	var split []string
	for _, word := range words {
		if thousands.MatchString(word) {
			split = append(split, word)
			continue
		}
		for _, part := range strings.Split(word, ",") {
			if part = strings.TrimFunc(part, isConnector); part != "" {
				split = append(split, part)
			}
		}
	}
	return split
}

// timeReader reads words from left to right.
type timeReader struct {
	words []string
	at    int
	now   time.Time
}

// joins says whether the word at a place makes one span of the times before and after it.
func (r *timeReader) joins(at int) bool {
	switch r.words[at] {
	case "to", "until", "till", "through":
		return true
	case "and":
		return slices.Contains(r.words[max(0, at-5):at], "between")
	}
	return false
}

// beside returns the unit before or after a period where the words before it say so: "the week before 8 May".
func (r *timeReader) beside(p Period) Period {
	unit := map[string]int{"day": 1, "week": 7, "weekend": 7, "month": 31}[r.word(-2)]
	switch {
	case unit == 0:
		return p
	case r.word(-1) == "before":
		return Period{From: p.From.AddDate(0, 0, -unit), To: p.From}
	case r.word(-1) == "after":
		return Period{From: p.To, To: p.To.AddDate(0, 0, unit)}
	default:
		return p
	}
}

// word returns the word n places on, or nothing.
func (r *timeReader) word(n int) string {
	if r.at+n < 0 || r.at+n >= len(r.words) {
		return ""
	}
	return r.words[r.at+n]
}

// next returns the time that is named at the current word, and how many words name it; 0 if none does.
func (r *timeReader) next() (Period, int) {
	if word := r.word(0); !isDigit(rune(word[0])) && !openers[word] {
		return Period{}, 0
	}
	readers := []func() (Period, int){r.date, r.month, r.year, r.named, r.relative, r.weekday, r.ago}
	if r.now.IsZero() {
		readers = readers[:3]
	}
	for _, read := range readers {
		if p, used := read(); used > 0 {
			return p, used
		}
	}
	return Period{}, 0
}

// date reads 2023-05-08, 8 May 2023, 8th of May, May 8 and May 8th 2023.
func (r *timeReader) date() (Period, int) {
	if t, err := time.ParseInLocation(time.DateOnly, r.word(0), r.now.Location()); err == nil {
		return day(t), 1
	}
	used, of := 2, 0
	if r.word(1) == "of" {
		of = 1
	}
	dayOf, month := dayNumber(r.word(0)), months[r.word(1+of)]
	if dayOf == 0 || month == 0 {
		of = 0
		dayOf, month = dayNumber(r.word(1)), months[r.word(0)]
	}
	if dayOf == 0 || month == 0 {
		return Period{}, 0
	}
	used += of
	if year := yearOf(r.word(used)); year > 0 {
		return r.onDay(year, month, dayOf, used+1)
	}
	if r.now.IsZero() {
		return Period{}, 0
	}
	return r.onDay(r.nearestYear(month, dayOf), month, dayOf, used)
}

// onDay returns the day, unless the month has none such.
func (r *timeReader) onDay(year int, month time.Month, dayOf, used int) (Period, int) {
	t := time.Date(year, month, dayOf, 0, 0, 0, 0, r.now.Location())
	if t.Month() != month {
		return Period{}, 0
	}
	return day(t), used
}

// month reads May 2023, last May, in May, and other months without such a word.
func (r *timeReader) month() (Period, int) {
	month := months[r.word(0)]
	if month == 0 {
		return Period{}, 0
	}
	if year := yearOf(r.word(1)); year > 0 {
		return r.months(year, month, 1), 2
	}
	if r.now.IsZero() {
		return Period{}, 0
	}
	year := r.nearestYear(month, 15)
	switch before := r.word(-1); {
	case before == "last":
		year = r.now.Year()
		if month >= r.now.Month() {
			year--
		}
	case before == "next":
		year = r.now.Year()
		if month <= r.now.Month() {
			year++
		}
	case (month == time.May || month == time.March || len(r.word(0)) == 3) && !leads[before]:
		return Period{}, 0 // she may march, and jan is a name
	}
	return r.months(year, month, 1), 1
}

// nearestYear is the year in which that day is nearest to now.
func (r *timeReader) nearestYear(month time.Month, dayOf int) int {
	best, distance := 0, time.Duration(0)
	for year := r.now.Year() - 1; year <= r.now.Year()+1; year++ {
		d := r.now.Sub(time.Date(year, month, dayOf, 0, 0, 0, 0, r.now.Location())).Abs()
		if best == 0 || d < distance {
			best, distance = year, d
		}
	}
	return best
}

// year reads 2023.
func (r *timeReader) year() (Period, int) {
	if year := yearOf(r.word(0)); year > 0 {
		return r.months(year, time.January, 12), 1
	}
	return Period{}, 0
}

// named reads words that name a time by themselves.
func (r *timeReader) named() (Period, int) {
	switch r.word(0) {
	case "today", "tonight":
		return r.days(0, 1), 1
	case "yesterday":
		return r.days(-1, 1), 1
	case "tomorrow":
		return r.days(1, 1), 1
	}
	return Period{}, 0
}

// relative reads last, this and next with a unit of the calendar or a weekday.
func (r *timeReader) relative() (Period, int) {
	step, is := steps[r.word(0)]
	if !is {
		return Period{}, 0
	}
	if weekday, is := weekdays[r.word(1)]; is {
		return r.days(toWeekday(r.now, weekday, step), 1), 2
	}
	switch r.word(1) {
	case "night", "evening":
		return r.days(min(step, 0), 1), 2
	case "morning", "afternoon":
		return r.days(step, 1), 2
	}
	if p, is := r.unit(strings.TrimSuffix(r.word(1), "s"), step); is && r.word(1) != "day" && r.word(1) != "days" {
		return p, 2
	}
	return Period{}, 0
}

// weekday reads Friday, and short forms after a word that leads to a time.
func (r *timeReader) weekday() (Period, int) {
	weekday, is := weekdays[r.word(0)]
	if !is || len(r.word(0)) < 6 && !leads[r.word(-1)] {
		return Period{}, 0
	}
	return r.days(toWeekday(r.now, weekday, -1), 1), 1
}

// ago reads "two weeks ago", "a few days ago", "in three months", "couple of years back".
func (r *timeReader) ago() (Period, int) {
	count, wide, used := r.count()
	if used == 0 {
		return Period{}, 0
	}
	unit, sign := strings.TrimSuffix(r.word(used), "s"), -1
	switch after := r.word(used + 1); {
	case after == "ago" || after == "back" || after == "earlier":
		used += 2
	case r.word(-1) == "in" || after == "later":
		sign = 1
		used++
	default:
		return Period{}, 0
	}
	p, is := r.unit(unit, sign*count)
	if !is {
		return Period{}, 0
	}
	if wide > 0 {
		early, _ := r.unit(unit, sign*count-wide)
		late, _ := r.unit(unit, sign*count+wide)
		p = Period{From: early.From, To: late.To}
	}
	return p, used
}

// count reads how many, and how many more or less it may be.
func (r *timeReader) count() (count, wide, used int) {
	if n, err := strconv.Atoi(r.word(0)); err == nil && 0 < n && n <= 1000 {
		return n, 0, 1
	}
	if n := counts[r.word(0)]; n > 0 && r.word(1) != "few" && r.word(1) != "couple" {
		return n, 0, 1
	}
	switch {
	case r.word(0) == "few" || r.word(0) == "several":
		return 3, 1, 1
	case r.word(0) == "couple" && r.word(1) == "of":
		return 2, 0, 2
	case r.word(0) == "couple":
		return 2, 0, 1
	}
	return 0, 0, 0
}
