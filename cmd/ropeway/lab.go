package main

import "github.com/spf13/cobra"

// newLabCommand is the seat of the lab's commands.
func newLabCommand() *cobra.Command {
	return &cobra.Command{Use: "lab", Short: "Build the whole fabric on this machine and try it", Args: cobra.NoArgs}
}
