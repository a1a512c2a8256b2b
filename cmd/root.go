package main

import (
	"context"
	"fmt"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edict-dev/edict/internal/journal/sqlite"
)

// root is the command line: the manager, and what looks after its journal.
func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edict",
		Short: "A Kubernetes operator that runs AI agents by CQRS and event sourcing",
		// An error is printed once, by main, without the usage around it.
		SilenceErrors: true, SilenceUsage: true,
	}
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	cmd.SetContext(ctx)
	cmd.AddCommand(managerCommand(), journalCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		version := "unknown"
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
		}
		fmt.Fprintln(cmd.OutOrStdout(), version)
	}}
}

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "journal", Short: "Look after the journal"}
	var from, to string
	backup := &cobra.Command{
		Use:   "backup",
		Short: "Copy the journal into a new file, while the operator runs",
		Long: "Copy the journal into a new file, in a state that it was in at one moment. The operator may run meanwhile.\n" +
			"To restore, stop the operator, put the copy in the journal's place, and start it: projections are rebuilt by themselves.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := sqlitePath(from)
			if err != nil {
				return err
			}
			if err := sqlite.Backup(cmd.Context(), path, to); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "copied to", to)
			return nil
		},
	}
	backup.Flags().StringVar(&from, "journal", defaultJournal, "the journal to copy")
	backup.Flags().StringVar(&to, "to", "", "the file to write; it must not exist")
	_ = backup.MarkFlagRequired("to") // it is defined above
	cmd.AddCommand(backup)
	return cmd
}

// sqlitePath returns the path of a sqlite:// URL.
func sqlitePath(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "sqlite://")
	if !ok || path == "" {
		return "", fmt.Errorf("--journal %q: give it as sqlite:///path/to/journal.db", url)
	}
	return path, nil
}
