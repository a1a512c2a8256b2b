package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edict-dev/edict/internal/journal"
	"github.com/edict-dev/edict/internal/journal/sqlite"
)

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "journal", Short: "Look after the journal"}
	cmd.AddCommand(backupCommand(), verifyCommand(), copyCommand())
	return cmd
}

func backupCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Copy a journal in SQLite into a new file, while the operator runs",
		Long: "Copy a journal in SQLite into a new file, in a state that it was in at one moment. The operator may run meanwhile.\n" +
			"To restore, stop the operator, put the copy in the journal's place, and start it: projections are rebuilt by themselves.\n" +
			"A journal in PostgreSQL is backed up with PostgreSQL's own tools.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := locate("--journal", from)
			if err != nil {
				return err
			}
			if source.url != nil {
				return errors.New("--journal: a journal in PostgreSQL is backed up with PostgreSQL's own tools, such as pg_dump; " +
					"edict journal copy makes a copy in a SQLite file while the operator is stopped")
			}
			if err := sqlite.Backup(cmd.Context(), source.path, to); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "copied to", to)
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "journal", defaultJournal, "the journal to copy, as sqlite:///path/to/journal.db")
	cmd.Flags().StringVar(&to, "to", "", "the file to write; it must not exist")
	_ = cmd.MarkFlagRequired("to") // it is defined above
	return cmd
}

func verifyCommand() *cobra.Command {
	var of string
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all of a journal, and name the first event that does not fit",
		Long: "Read all of a journal: each stream is without a hole, each event holds the hash of the one before, and each text has its digest.\n" +
			"The operator may run meanwhile. The digest that is printed is the same for every copy of the journal; kept elsewhere,\n" +
			"it tells later whether the end of a stream, or a whole one, was taken away.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := password.locate("--journal", of)
			if err != nil {
				return err
			}
			report, err := verify(cmd.Context(), l)
			if err != nil {
				return err
			}
			tell(cmd, "verified "+l.String(), report)
			return nil
		},
	}
	cmd.Flags().StringVar(&of, "journal", defaultJournal, "the journal, as sqlite:///path/to/journal.db or postgres://user@host:5432/database")
	password.add(cmd.Flags())
	return cmd
}

func copyCommand() *cobra.Command {
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy a journal into an empty one, of the same or of another store, and verify both",
		Long: "Copy a journal into an empty one, of the same or of another store: all of it or nothing. Both are verified.\n" +
			"Stop the operator first: what is appended meanwhile would be missing in the copy, and might run again there.\n" +
			"Start the operator with --journal=TO, and its projections are rebuilt by themselves.",
		Example: "  edict journal copy sqlite:///var/lib/edict/journal.db postgres://edict@db.example.com/edict",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := password.locate("FROM", args[0])
			if err != nil {
				return err
			}
			to, err := password.locate("TO", args[1])
			if err != nil {
				return err
			}
			report, err := copyJournal(cmd.Context(), from, to)
			if err != nil {
				return fmt.Errorf("copy %s to %s: %w", from, to, err)
			}
			tell(cmd, fmt.Sprintf("copied %s to %s, and verified both", from, to), report)
			return nil
		},
	}
	password.add(cmd.Flags())
	return cmd
}

func tell(cmd *cobra.Command, done string, r journal.Report) {
	fmt.Fprintf(cmd.OutOrStdout(), "%s\nstreams %d, events %d, texts %d\ndigest  %s\n", done, r.Streams, r.Events, r.Texts, r.Digest)
}

// verify reads all of a journal. A file is looked at as a file, too, and is not made if it is missing.
func verify(ctx context.Context, l location) (journal.Report, error) {
	j, err := existing(ctx, l)
	if err != nil {
		return journal.Report{}, err
	}
	defer func() { _ = j.Close() }() // nothing was written
	report, err := journal.Verify(ctx, j)
	if err != nil {
		return report, fmt.Errorf("verify %s: %w", l, err)
	}
	return report, nil
}

// existing opens a journal that there is.
func existing(ctx context.Context, l location) (journal.Journal, error) {
	if l.url == nil {
		if err := sqlite.Verify(ctx, l.path); err != nil {
			return nil, err
		}
	}
	return l.open(ctx, false)
}

func copyJournal(ctx context.Context, from, to location) (report journal.Report, err error) {
	source, err := existing(ctx, from)
	if err != nil {
		return report, err
	}
	defer func() { _ = source.Close() }() // nothing was written
	target, err := to.open(ctx, false)
	if err != nil {
		return report, err
	}
	report, err = journal.Copy(ctx, source, target)
	return report, errors.Join(err, target.Close())
}
