package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/retrieval"
)

// categories are LoCoMo's kinds of questions, by number. The answer to an adversarial question is not in the conversation;
// its evidence is the turn that it was made from.
var categories = []string{1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}

// conversation is what is searched, and what is asked of it.
type conversation struct {
	name      string
	items     []retrieval.Item
	ids       []string // of the items
	questions []question
}

type question struct {
	Text     string   `json:"question"`
	Category int      `json:"category"`
	Evidence []string `json:"evidence"`
}

// document is a conversation as it is stored.
type document struct {
	Sessions []struct {
		Number   int    `json:"number"`
		DateTime string `json:"date_time"`
		Turns    []struct {
			ID      string `json:"id"`
			Speaker string `json:"speaker"`
			Text    string `json:"text"`
			Caption string `json:"image_caption"`
		} `json:"turns"`
	} `json:"sessions"`
	Questions []question `json:"questions"`
}

// spokenDate is how LoCoMo writes when a session began.
const spokenDate = "3:04 pm on 2 January, 2006"

// load reads the conversations in a directory, or those named; each is a file NAME.json.
func load(dir, only string) ([]conversation, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var conversations []conversation
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if only != "" && !slices.Contains(strings.Split(only, ","), name) {
			continue
		}
		c, err := read(name, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		conversations = append(conversations, c)
	}
	if len(conversations) == 0 {
		return nil, fmt.Errorf("no conversations in %s: set LOCOMO_DIR to the directory that holds them as NAME.json", dir)
	}
	return conversations, nil
}

func read(name, file string) (conversation, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return conversation{}, err
	}
	return parse(name, source)
}

// parse makes an item of each turn; questions without evidence are left out.
func parse(name string, source []byte) (conversation, error) {
	var d document
	if err := json.Unmarshal(source, &d); err != nil {
		return conversation{}, err
	}
	c := conversation{name: name}
	for _, session := range d.Sessions {
		began, err := time.Parse(spokenDate, session.DateTime)
		if err != nil {
			return conversation{}, fmt.Errorf("session %d: date_time: %w", session.Number, err)
		}
		for position, turn := range session.Turns {
			text := turn.Text
			if turn.Caption != "" {
				text += " [" + turn.Caption + "]"
			}
			c.items = append(c.items, retrieval.Item{Text: text, Speaker: turn.Speaker, Time: began,
				Conversation: name, Session: strconv.Itoa(session.Number), Position: position})
			c.ids = append(c.ids, turn.ID)
		}
	}
	for _, q := range d.Questions {
		if q.Category < 1 || q.Category >= len(categories) {
			return conversation{}, fmt.Errorf("question %q: category %d is none of 1 to %d", q.Text, q.Category, len(categories)-1)
		}
		if len(q.Evidence) > 0 {
			c.questions = append(c.questions, q)
		}
	}
	if len(c.items) == 0 || len(c.questions) == 0 {
		return conversation{}, errors.New("no turns, or no questions with evidence")
	}
	return c, nil
}
