package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/files"
	"ropeway/internal/intent"
)

// completeGateways offers the gateways of the fabric file that is the first argument.
func completeGateways(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return gatewayNames(args[0]), cobra.ShellCompDirectiveNoFileComp
}

// gatewayNames returns the gateways of a file, or nothing where it cannot be read: a completion does not complain.
func gatewayNames(file string) []string {
	text, err := files.Read(file, maxFabricFile)
	if err != nil {
		return nil
	}
	in, _ := intent.Read(file, text)
	if in == nil {
		return nil
	}
	var names []string
	for _, g := range in.Gateways() {
		names = append(names, g.Name)
	}
	return names
}
