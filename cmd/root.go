package main

import (
	"context"
	"fmt"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
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
