package retrieval

import "strings"

// What a text mentions is indexed beside its words, and a question that asks for it looks for it as for a word: J. Prager,
// E. Brown, A. Coden, D. Radev, "Question-answering by predictive annotation", SIGIR 2000. The control character keeps the
// terms apart from every word.
const (
	aTime   = "\x00time"
	aNumber = "\x00number"
)

// timeWords are the words that place something in time or measure it. "may" and "march" are left to Periods: in most
// texts they are other words.
var timeWords = setOf(`
	yesterday today tonight tomorrow ago recently lately soon day days night nights week weeks weekend weekends month
	months year years decade decades hour hours minute minutes morning afternoon evening monday tuesday wednesday thursday
	friday saturday sunday fri tues thurs january february april june july august september october november december
	spring summer autumn winter`)

// numberWords are numbers that are not written in digits.
var numberWords = setOf(`
	one two three four five six seven eight nine ten eleven twelve dozen hundred thousand million once twice thrice couple
	several`)

// timeQuestions and numberQuestions are how questions begin that a time or a number answers.
var (
	timeQuestions = []string{"when", "how long", "how old", "how often", "since when", "what day", "what date", "what month",
		"what year", "what time", "which day", "which date", "which month", "which year", "which week", "what week"}
	numberQuestions = []string{"how many", "how much", "how old", "what number", "how often"}
	durations       = []string{"how many days", "how many weeks", "how many months", "how many years", "how many hours"}
)

// mentions returns aTime and aNumber if the words of a text mention such.
func mentions(words []string) []string {
	time, number := false, false
	for _, word := range words {
		time = time || timeWords[word] || yearOf(word) > 0
		number = number || numberWords[word] || isDigit(rune(word[0]))
	}
	return kinds(time, number)
}

// expects returns aTime and aNumber if the words of a question ask for such.
func expects(question []string) []string {
	words := " " + strings.Join(question, " ") + " "
	has := func(phrases []string) bool {
		for _, phrase := range phrases {
			if strings.Contains(words, " "+phrase+" ") {
				return true
			}
		}
		return false
	}
	return kinds(has(timeQuestions) || has(durations), has(numberQuestions))
}

func kinds(time, number bool) []string {
	var kinds []string
	if time {
		kinds = append(kinds, aTime)
	}
	if number {
		kinds = append(kinds, aNumber)
	}
	return kinds
}
