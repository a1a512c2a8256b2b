// Command recall measures how much of the evidence for a question the retrieval of package retrieval finds, on the
// conversations of LoCoMo (Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", ACL 2024,
// https://github.com/snap-research/locomo), and prints tables in Markdown.
//
// Every turn is journaled, with the date of its session as the time of its record, its speaker as who said it, and the
// caption of its picture as part of its text. The journal is projected, and the questions are asked as a ContextView asks
// them: of a view.Finder, in the conversation. For each question with evidence, the share of its evidence turns among the
// first k that were found is taken; the mean over questions is the recall at k. What was found is one turn: a neighbour
// that it would be read with is not counted, so k turns are k turns. Evidence that names no turn of the conversation
// counts as not found.
//
// The context at k is what a view of that many turns renders, against the whole conversation as lines of
// "Speaker (date): text", in tokens of the o200k_base vocabulary.
//
// Vectors are measured with an OpenAI-compatible server that EDICT_EMBEDDINGS_URL names, up to and without /embeddings, and
// EDICT_EMBEDDINGS_MODEL its model; EDICT_EMBEDDINGS_KEY is the key, if it wants one. Turns and questions are embedded once,
// and journaled as an ask has them journaled.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// depths are the k that recall is told for.
var depths = []int{5, 10, 25, 50}

// contextDepth is the k whose context is counted in tokens.
const contextDepth = 25

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "recall:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("recall", flag.ContinueOnError)
	only := flags.String("conversations", "", "names of the conversations, with commas; all if empty")
	all := flags.Bool("ablation", false, "measure each part of the ranking, too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conversations, err := load(directory(), *only)
	if err != nil {
		return err
	}
	e, err := embeddingAsked()
	if err != nil {
		return err
	}
	results, err := searched(context.Background(), conversations, e)
	if err != nil {
		return err
	}
	if err := report(out, conversations, results); err != nil {
		return err
	}
	if e == nil {
		fmt.Fprintf(out, "\nVectors were not measured: name a server in EDICT_EMBEDDINGS_URL and EDICT_EMBEDDINGS_MODEL.\n")
	}
	if !*all {
		return nil
	}
	fmt.Fprintf(out, "\nOver the turns alone, without a journal, one part after the other and each by itself:\n\n")
	results = nil
	for _, r := range slices.Concat(rankings, parts) {
		one, err := measure(r, conversations)
		if err != nil {
			return err
		}
		results = append(results, one)
	}
	table(out, results)
	return nil
}

// directory is where the conversations are: LOCOMO_DIR, or what the project's workplaces share.
func directory() string {
	if dir := os.Getenv("LOCOMO_DIR"); dir != "" {
		return dir
	}
	shared := os.Getenv("EDICT_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "shared")
	}
	return filepath.Join(shared, "data", "locomo")
}

func report(out io.Writer, conversations []conversation, results []result) error {
	names := make([]string, len(conversations))
	turns := 0
	for i, c := range conversations {
		names[i] = c.name
		turns += len(c.items)
	}
	_, err := fmt.Fprintf(out, "Conversations %s: %d turns, %d questions with evidence.\n\n", strings.Join(names, ", "), turns,
		results[0].overall.questions)
	table(out, results)
	for _, r := range results {
		if r.told {
			byCategory(out, r)
		}
	}
	return err
}

func byCategory(out io.Writer, r result) {
	fmt.Fprintf(out, "\nBy category, %s:\n\n", r.name)
	header(out, "category", "questions")
	for number, name := range categories {
		share := r.categories[number]
		if share.questions == 0 {
			continue
		}
		fmt.Fprintf(out, "| %s |%s %d |\n", name, cells(share), share.questions)
	}
}

func table(out io.Writer, results []result) {
	header(out, "ranking", fmt.Sprintf("context at %d", contextDepth))
	for _, r := range results {
		fmt.Fprintf(out, "| %s |%s %.1f %% |\n", r.name, cells(r.overall), 100*r.context)
	}
}

func header(out io.Writer, first, last string) {
	fmt.Fprintf(out, "| %s |", first)
	for _, k := range depths {
		fmt.Fprintf(out, " @%d |", k)
	}
	fmt.Fprintf(out, " %s |\n|---|%s\n", last, strings.Repeat("---:|", len(depths)+1))
}

func cells(s share) string {
	var line strings.Builder
	for _, recall := range s.recall() {
		fmt.Fprintf(&line, " %.1f |", 100*recall)
	}
	return line.String()
}
