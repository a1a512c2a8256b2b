package retrieval

import (
	"strconv"
	"time"
)

var (
	months = map[string]time.Month{"january": 1, "jan": 1, "february": 2, "feb": 2, "march": 3, "mar": 3, "april": 4, "apr": 4,
		"may": 5, "june": 6, "jun": 6, "july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sept": 9, "sep": 9,
		"october": 10, "oct": 10, "november": 11, "nov": 11, "december": 12, "dec": 12}
	weekdays = map[string]time.Weekday{"sunday": 0, "sun": 0, "monday": 1, "mon": 1, "tuesday": 2, "tues": 2, "tue": 2,
		"wednesday": 3, "wed": 3, "thursday": 4, "thurs": 4, "thur": 4, "thu": 4, "friday": 5, "fri": 5, "saturday": 6, "sat": 6}
	seasons = map[string]time.Month{"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
	steps   = map[string]int{"last": -1, "past": -1, "previous": -1, "this": 0, "next": 1, "coming": 1, "following": 1}
	counts  = map[string]int{"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
		"eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}
	// leads are the words after which "may", "march" and "sun" are a time.
	leads = setOf(`in of on by since until till during last next this early mid late every before after from to around about
		between through`)
)

// openers are the words, besides those that begin with a digit, that the name of a time can begin with.
var openers = func() map[string]bool {
	set := setOf("today tonight yesterday tomorrow few several couple")
	addKeys(set, months)
	addKeys(set, weekdays)
	addKeys(set, steps)
	addKeys(set, counts)
	return set
}()

func addKeys[V any](set map[string]bool, of map[string]V) {
	for word := range of {
		set[word] = true
	}
}

// dayNumber returns the day of a month that a word is, or 0.
func dayNumber(word string) int {
	if digits := ordinal(word); digits != "" {
		word = digits
	}
	if n, err := strconv.Atoi(word); err == nil && 1 <= n && n <= 31 {
		return n
	}
	return 0
}

// yearOf returns the year that a word is, or 0: four digits from 1900 to 2099, so that most other numbers are not years.
func yearOf(word string) int {
	if n, err := strconv.Atoi(word); err == nil && len(word) == 4 && 1900 <= n && n < 2100 {
		return n
	}
	return 0
}

// day returns the day that a moment is in.
func day(t time.Time) Period {
	from := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	return Period{From: from, To: from.AddDate(0, 0, 1)}
}

// days returns the n days that begin so many days from today.
func (r *timeReader) days(offset, n int) Period {
	from := day(r.now).From.AddDate(0, 0, offset)
	return Period{From: from, To: from.AddDate(0, 0, n)}
}

// months returns n whole months.
func (r *timeReader) months(year int, month time.Month, n int) Period {
	from := time.Date(year, month, 1, 0, 0, 0, 0, r.now.Location())
	return Period{From: from, To: from.AddDate(0, n, 0)}
}

// sinceMonday is how many days a weekday comes after Monday.
func sinceMonday(weekday time.Weekday) int { return (int(weekday) + 6) % 7 }

// unit returns the unit of the calendar that is so many units from the one that now is in. Weeks begin on Monday, as in
// ISO 8601; the weekend is their Saturday and Sunday; seasons are those of the northern half of the earth.
func (r *timeReader) unit(unit string, step int) (Period, bool) {
	monday := -sinceMonday(r.now.Weekday())
	switch unit {
	case "day":
		return r.days(step, 1), true
	case "week":
		return r.days(monday+7*step, 7), true
	case "weekend":
		// Friday counts, because people say that a weekend began then.
		return r.days(monday+7*step+4, 3), true
	case "month":
		return r.months(r.now.Year(), r.now.Month()+time.Month(step), 1), true
	case "year":
		return r.months(r.now.Year()+step, time.January, 12), true
	case "decade":
		return r.months(r.now.Year()-r.now.Year()%10+10*step, time.January, 120), true
	}
	if month, is := seasons[unit]; is {
		p := r.months(r.now.Year()+step, month, 3)
		if step < 0 && !r.months(r.now.Year(), month, 3).To.After(r.now) { // "last summer", said in October
			p = r.months(r.now.Year(), month, 3)
		}
		return p, true
	}
	return Period{}, false
}

// toWeekday returns how many days on a weekday is: the last one before today, the one in this week from Monday to Sunday, or
// the next one after today, for a step below, at or above 0.
func toWeekday(now time.Time, weekday time.Weekday, step int) int {
	ahead := (int(weekday) - int(now.Weekday()) + 7) % 7
	switch {
	case step > 0 && ahead == 0:
		return 7
	case step > 0:
		return ahead
	case step < 0:
		return ahead - 7
	default:
		return sinceMonday(weekday) - sinceMonday(now.Weekday())
	}
}
