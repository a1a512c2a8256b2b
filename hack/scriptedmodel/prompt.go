package scriptedmodel

import "strings"

// Ask is one call as a rule sees it.
type Ask struct {
	Question string // the current question, without its fence
	Results  string // the results of the step before, without their fences; empty at step 1
	Prompt   string // everything that the model was given
	Step     int    // 1 at first, one more for each earlier decision whose results are in the prompt
	Repair   bool   // the same step is asked again with a complaint about the last answer
	User     string // the request's "user", if it names one
	Model    string
}

// The fences in which the decider hands over data. A fence ends with a line that starts with fenceEnd and repeats the
// last word of its first line, which is a nonce, so that data cannot end its own fence. Within it fenceEscaped stands
// for fenceMark.
const (
	fenceMark     = "<<<"
	fenceEscaped  = `\<<<`
	questionFence = fenceMark + "question"
	resultFence   = fenceMark + "result"
	fenceEnd      = fenceMark + "end"
)

// message is a chat message of the request.
type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// newAsk reads the messages: what is asked, at which step, with which results.
func newAsk(messages []message) Ask {
	ask := Ask{Step: 1, Question: question(messages)}
	var prompt, results strings.Builder
	answered := false // an assistant's message stands since the last results
	for _, m := range messages {
		prompt.WriteString(string(m.Content))
		prompt.WriteByte('\n')
		switch {
		case m.Role == "assistant":
			answered = true
			// A decision is followed by its results. One that is followed by anything else was complained about, and
			// the results of the step before stay the last ones.
		case answered && holdsResults(m):
			answered = false
			ask.Step++
			results.Reset()
			results.WriteString(resultsOf(m))
		case !answered && ask.Step > 1 && holdsResults(m):
			results.WriteString("\n" + resultsOf(m))
		}
	}
	ask.Repair = answered
	ask.Prompt, ask.Results = prompt.String(), results.String()
	return ask
}

func holdsResults(m message) bool {
	return m.Role == "tool" || m.Role == "user" && len(fenced(string(m.Content), resultFence)) > 0
}

func resultsOf(m message) string {
	if m.Role == "tool" {
		return string(m.Content)
	}
	return strings.Join(fenced(string(m.Content), resultFence), "\n")
}

// question is the last fenced question of a user's message or, from a client that does not fence, the user's last
// message that holds no results.
func question(messages []message) string {
	plain := ""
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		if m.Role != "user" {
			continue
		}
		if texts := fenced(string(m.Content), questionFence); len(texts) > 0 {
			return texts[len(texts)-1]
		}
		if plain == "" && !holdsResults(m) {
			plain = strings.TrimSpace(string(m.Content))
		}
	}
	return plain
}

// fenced returns the texts between the lines that start with opening and the ends of their fences. A fence that is
// never closed is not one.
func fenced(text, opening string) []string {
	if !strings.Contains(text, opening) {
		return nil
	}
	var texts []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		rest, opens := strings.CutPrefix(strings.TrimSpace(lines[i]), opening)
		if !opens {
			continue
		}
		if end := closing(lines[i+1:], nonce(rest)); end >= 0 {
			text := strings.TrimSpace(strings.Join(lines[i+1:i+1+end], "\n"))
			texts = append(texts, strings.ReplaceAll(text, fenceEscaped, fenceMark))
			i += end + 1
		}
	}
	return texts
}

// nonce is the last word of a fence's first line; a fence may have none.
func nonce(rest string) string {
	words := strings.Fields(strings.TrimRight(rest, ">"))
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// closing returns the index of the line that ends the fence, or -1.
func closing(lines []string, nonce string) int {
	for i, line := range lines {
		if rest, ends := strings.CutPrefix(strings.TrimSpace(line), fenceEnd); ends && strings.Contains(rest, nonce) {
			return i
		}
	}
	return -1
}
